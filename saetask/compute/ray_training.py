"""Work that several workers do together: Ray Train starts them and connects them.

They are one process group of torch (gloo on CPUs, nccl on GPUs). One that is lost takes the others
with it: all are started again, and the work goes on from what it has written.
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
from saetask.compute.ray_executor import START_SECONDS, connected
from saetask.compute.shard_queue import MOST_LOSSES
from saetask.compute.worker_resources import WorkerResources, worker_capacity
from saetask.errors import UserError


def run_distributed(
    config: ComputeConfig, n_workers: int, device: str, work: Callable[[int, int], None]
) -> None:
    """Does a work in several workers at a time, each a process of one torch process group.

    Args:
        config: Of the Ray cluster.
        n_workers: How many.
        device: `cuda`: each worker takes a GPU; else as many CPUs as torch has threads here.
        work: A function of the rank and the number of workers, as `Engine.map` wants them. It goes
            on from where it was when it is called again.

    Raises:
        UserError: As the work raised it; or the cluster has no room, a worker has other versions,
            or workers were lost several times.
    """
    import torch

    threads = torch.get_num_threads()
    needs = WorkerResources.of(device, threads)
    with connected(config.address) as ray:
        room = worker_capacity(ray, needs)
        if room < n_workers:
            raise UserError(
                f"--workers is {n_workers}; the Ray cluster has room for {room} of {needs} each. "
                "Add nodes, ask for fewer, or set OMP_NUM_THREADS to fewer threads a worker."
            )
        ray.cloudpickle.register_pickle_by_value(worker)  # see worker.py
        parcel = worker.WorkPayload(
            ray.cloudpickle.dumps(work), threads, worker.installed_versions()
        )
        for loss in range(1, MOST_LOSSES + 1):
            error = _try(ray, n_workers, needs, parcel)
            if error is None:
                return
            if loss < MOST_LOSSES:
                print(f"saetask: ray: {error}; all workers start again", file=sys.stderr)
        raise UserError(
            f"Workers were lost {MOST_LOSSES} times ({error}); look into their logs (memory, most "
            "often), then start again: it goes on from the last checkpoint."
        )


def _try(
    ray: Any, n_workers: int, needs: WorkerResources, parcel: worker.WorkPayload
) -> str | None:
    """Lets Ray Train do the work once; returns what was lost, None if nothing was."""
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(START_SECONDS)
    from ray.train import (
        ControllerError,
        FailureConfig,
        RunConfig,
        ScalingConfig,
        WorkerGroupError,
    )
    from ray.train.torch import TorchTrainer

    with TemporaryDirectory(prefix="saetask-ray-") as folder:  # Ray Train's, with nothing in it
        trainer = TorchTrainer(
            worker.run_rank,
            train_loop_config={"parcel": parcel},
            scaling_config=ScalingConfig(
                num_workers=n_workers,
                use_gpu=bool(needs.num_gpus),
                resources_per_worker={"CPU": needs.num_cpus, "GPU": needs.num_gpus},
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
                f"The {n_workers} workers, of {needs} each, did not start "
                f"({_line(error.controller_failure)}); free or add nodes and start again."
            ) from error
        except ray.exceptions.RayActorError as error:
            return f"Ray Train's controller was lost ({_line(error)})"
        except SystemExit as error:  # so Ray Train ends on Ctrl-C, which it takes for itself
            raise KeyboardInterrupt from error
        finally:
            with suppress(ValueError):  # not the main thread: then nothing was changed
                signal.signal(signal.SIGINT, handler)
    return None


def _loss(failures: dict[int, Exception]) -> str:
    """Returns what became of workers, in a line.

    Raises:
        UserError: It would become of them again.
    """
    for error in failures.values():
        if isinstance(error, UserError):
            raise error
        if isinstance(error, ImportError):
            raise UserError(str(error)) from error
    # The loss of one is an error of its connection to all others, which says less.
    rank, error = min(failures.items(), key=lambda failure: isinstance(failure[1], RuntimeError))
    return f"worker {rank} was lost ({_line(error)})"


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
