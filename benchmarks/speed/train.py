"""Training an SAE: saetask's steps, beside those of SAE-Lens's runner, from the same start.

today: `SAETrainer.fit`, which `LanguageModelSAETrainingRunner` runs, on SAE-Lens's own SAE (with
dense activations: the sparse ones that its config offers have no backward pass in torch 2.13).
saetask: the loop of `saetask train`. Both get the same activations in the same order, the same
schedule and the same initial weights. Harvesting is not in it: that is another benchmark. The loss
curves are of longer runs than the timed ones, on held-out activations.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

from saetask import TrainConfig
from saetask.training import trainer as training_process

from .harvest import harvest_config
from .subject import Setting
from .texts import write_corpus
from .timing import Asked, Way, entry, interleaved, rounded

if TYPE_CHECKING:
    import torch
    from sae_lens import TrainingSAE

    from saetask.training.activation_store import TrainingData

ROUNDING = 1.005
"""Losses closer than this are equal: the two take their sums in different orders."""


class Point(NamedTuple):
    """A point of a loss curve."""

    step: int
    loss: float
    """Mean squared error of a held-out activation."""


Watch = Callable[["TrainingSAE[Any]", Iterator["torch.Tensor"]], Iterator["torch.Tensor"]]
"""Maps an SAE and its training batches to the same batches, to observe the training."""


@dataclass(frozen=True)
class Start:
    """Recipe and data that both training loops start with."""

    config: TrainConfig
    data: "TrainingData"
    held_out: "torch.Tensor"
    """Activations of other documents, centred and scaled, `[n, d_in]`."""
    folder: Path

    def make_sae(self, sae_class: type[Any] | None = None) -> "TrainingSAE[Any]":
        """Makes the initial SAE, the same every time, of another class if one is given."""
        import torch

        torch.manual_seed(self.config.seed)
        sae = training_process.make_sae(self.config, self.data)
        if sae_class is None:
            return sae
        other = sae_class(copy.deepcopy(sae.cfg))
        other.load_state_dict(sae.state_dict())
        return other

    def loss(self, sae: "TrainingSAE[Any]") -> float:
        """Returns the mean squared error of a held-out activation."""
        import torch

        with torch.no_grad():
            error = sae.decode(sae.encode(self.held_out)) - self.held_out
        return error.pow(2).sum(-1).mean().item()


def measure(setting: Setting) -> dict[str, Any]:
    """Times training and returns this benchmark's part of the document."""
    amounts = setting.amounts
    start = _start(setting)
    curves = {name: _curve(start, run, setting) for name, run in _RUNS.items()}

    def timed(run: Callable[[Start, int, Watch], object]) -> Way:
        def way(_: int) -> int:
            run(start, amounts.train_steps, lambda sae, batches: batches)
            return amounts.train_steps

        return way

    ways = {name: timed(run) for name, run in _RUNS.items()}
    timings = interleaved(ways, setting.rounds, "step")
    losses = {name: curve[-1].loss for name, curve in curves.items()}
    asked = [
        Asked("speed over SAE-Lens's", timings.times_as_fast("saetask", "today"), lowest=1.3),
        Asked(
            "held-out loss over SAE-Lens's", losses["saetask"] / losses["today"], highest=ROUNDING
        ),
    ]
    shape = {"d_in": start.data.shards.d_in, "d_sae": start.config.d_sae, **start.config.options}
    return entry(
        timings,
        asked,
        work={"steps": amounts.train_steps, "batch": amounts.train_batch, **shape},
        loss_curves={
            name: [{"step": p.step, "loss": rounded(p.loss)} for p in curve]
            for name, curve in curves.items()
        },
    )


def _start(setting: Setting) -> Start:
    import torch

    from saetask.training.activation_store import TrainingData
    from saetask.training.harvest import harvest

    subject, amounts, folder = setting.subject, setting.amounts, setting.folder
    corpus = write_corpus(folder)
    own = harvest_config(subject, corpus, amounts.train_tokens)
    other = replace(own, split="test", tokens=amounts.held_out_tokens)
    shards = harvest(subject.model, own, folder / "train", folder)
    test_shards = harvest(subject.model, other, folder / "test", folder)
    data = TrainingData.from_shards(shards)
    config = TrainConfig(
        own,
        d_sae=subject.sae.cfg.d_sae,
        options={"k": subject.sae.cfg.k},  # pyright: ignore[reportAttributeAccessIssue]
        batch_size=amounts.train_batch,
    )
    held_out = data.normalised(test_shards.rows(torch.arange(len(test_shards))))
    return Start(config, data, held_out, folder)


def _curve(
    start: Start, run: "Callable[[Start, int, Watch], TrainingSAE[Any]]", setting: Setting
) -> list[Point]:
    """Trains once and returns the held-out loss every few steps."""
    n_steps, every = setting.amounts.curve_steps, setting.amounts.curve_every
    points: list[Point] = []

    def watch(
        sae: "TrainingSAE[Any]", batches: "Iterator[torch.Tensor]"
    ) -> "Iterator[torch.Tensor]":
        for step, batch in enumerate(batches):
            if step % every == 0:
                points.append(Point(step, start.loss(sae)))
            yield batch

    sae = run(start, n_steps, watch)
    return [*points, Point(n_steps, start.loss(sae))]


def _run_saetask(start: Start, n_steps: int, watch: Watch) -> "TrainingSAE[Any]":
    from saetask.training.activation_store import batches
    from saetask.training.record import TrainingRecord

    sae = start.make_sae()
    config = replace(start.config, samples=n_steps * start.config.batch_size)
    folder = Path(mkdtemp(dir=start.folder))
    with mock.patch.object(training_process, "batches", lambda *given: watch(sae, batches(*given))):
        record = TrainingRecord(
            folder / "checkpoint", folder / "training.jsonl", config.checkpoint_steps
        )
        training_process.fit(config, sae, start.data, record)
    return sae


def _run_sae_lens(start: Start, n_steps: int, watch: Watch) -> "TrainingSAE[Any]":
    from sae_lens.saes.topk_sae import TopKTrainingSAE
    from sae_lens.training.sae_trainer import SAETrainer

    from saetask.training.activation_store import batches

    config = replace(start.config, samples=n_steps * start.config.batch_size)
    sae = start.make_sae(TopKTrainingSAE)
    raw = watch(sae, batches(start.data.shards, config.batch_size, config.seed))
    rows = (start.data.normalised(batch) for batch in raw)
    return SAETrainer(training_process.trainer_config(config), sae, rows).fit()


_RUNS: dict[str, Callable[[Start, int, Watch], "TrainingSAE[Any]"]] = {
    "today": _run_sae_lens,
    "saetask": _run_saetask,
}
