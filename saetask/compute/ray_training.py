"""Runs a work in several workers at a time, which Ray Train starts and connects.

The workers are one torch process group (gloo on CPUs, nccl on GPUs). If one is lost, all are
started again, and the work resumes from what it has written.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

from saetask.compute import ray_worker as worker
from saetask.compute.config import ComputeConfig
from saetask.compute.ray_cluster import WorkerResources, connected, worker_capacity
from saetask.compute.ray_executor import START_SECONDS
from saetask.compute.shard_queue import MAX_LOSSES
from saetask.errors import UserError


def run_distributed(
    config: ComputeConfig, n_workers: int, device: str, work: Callable[[int, int], None]
) -> None:
    """Runs a work in several workers, each a process of one torch process group.

    Args:
        config: Address of the Ray cluster.
        n_workers: Number of workers.
        device: `cuda`: each worker takes a GPU; else as many CPUs as torch has threads here.
        work: A function of the rank and the number of workers, of a module or a `partial` of one.
            It must resume when it is called again.

    Raises:
        UserError: An error of the work; or the cluster lacks the resources, a worker has other
            versions, or workers were lost `MAX_LOSSES` times.
    """
    import torch

    threads = torch.get_num_threads()
    resources = WorkerResources.of(device, threads)
    with connected(config.address) as ray:
        capacity = worker_capacity(ray, resources)
        if capacity < n_workers:
            raise UserError(
                f"--workers is {n_workers}; the Ray cluster has room for {capacity} of {resources} "
                "each. Add nodes, ask for fewer, or set OMP_NUM_THREADS to fewer threads a worker."
            )
        ray.cloudpickle.register_pickle_by_value(worker)  # see ray_worker.py
        pickled = ray.cloudpickle.dumps(work)
        payload = worker.WorkPayload(pickled, threads, worker.installed_versions())
        for n_losses in range(1, MAX_LOSSES + 1):
            loss = _run_once(ray, n_workers, resources, payload)
            if loss is None:
                return
            if n_losses < MAX_LOSSES:
                print(f"saetask: ray: {loss}; all workers start again", file=sys.stderr)
        raise UserError(
            f"Workers were lost {MAX_LOSSES} times ({loss}); look into their logs (memory, most "
            "often), then start again: it goes on from the last checkpoint."
        )


def _run_once(
    ray: Any, n_workers: int, resources: WorkerResources, payload: worker.WorkPayload
) -> str | None:
    """Runs the work by Ray Train; returns a line on the worker that was lost, None if none was."""
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(START_SECONDS)
    from ray.train import (
        ControllerError,
        FailureConfig,
        RunConfig,
        ScalingConfig,
        WorkerGroupError,
    )
    from ray.train.torch import TorchTrainer

    with TemporaryDirectory(prefix="saetask-ray-") as folder:  # Ray Train wants one; it stays empty
        trainer = TorchTrainer(
            worker.run_rank,
            train_loop_config={"payload": payload},
            scaling_config=ScalingConfig(
                num_workers=n_workers,
                use_gpu=bool(resources.num_gpus),
                resources_per_worker={"CPU": resources.num_cpus, "GPU": resources.num_gpus},
                placement_strategy="SPREAD",
            ),
            run_config=RunConfig(
                storage_path=folder,
                failure_config=FailureConfig(controller_failure_limit=0),
            ),
        )
        handler = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit()
        except WorkerGroupError as error:
            return _loss(error.worker_failures)
        except ControllerError as error:
            raise UserError(
                f"The {n_workers} workers, of {resources} each, did not start "
                f"({_line(error.controller_failure)}); free or add nodes and start again."
            ) from error
        except ray.exceptions.RayActorError as error:
            return f"Ray Train's controller was lost ({_line(error)})"
        except SystemExit as error:  # Ray Train handles Ctrl-C itself and exits so
            raise KeyboardInterrupt from error
        finally:
            with suppress(ValueError):  # not the main thread: no handler was set
                signal.signal(signal.SIGINT, handler)
    return None


def _loss(failures: dict[int, Exception]) -> str:
    """Returns a line on the worker that was lost.

    Raises:
        UserError: A worker raised an error that it would raise again.
    """
    for error in failures.values():
        if isinstance(error, UserError):
            raise error
        if isinstance(error, ImportError):
            raise UserError(str(error)) from error
    # The other workers raise connection errors (RuntimeError), which say less.
    rank, error = min(failures.items(), key=lambda failure: isinstance(failure[1], RuntimeError))
    return f"worker {rank} was lost ({_line(error)})"


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
