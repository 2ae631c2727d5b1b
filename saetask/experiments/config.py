"""The config of a run."""

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from saetask.data.chat_template import TemplateSettings, parse_options
from saetask.data.folds import SplitConfig
from saetask.errors import UserError
from saetask.experiments.arms import arms_named, default_arm_names
from saetask.inference.ranking import Ranking
from saetask.models.loading import DEFAULT_MODEL
from saetask.models.precision import Dtype
from saetask.saes.loading import DEFAULT_SAE


@dataclass(frozen=True)
class RunConfig:
    """An experiment; every field is a YAML key and a flag of `saetask run`."""

    task: str
    """Name of a task plugin."""
    data: Path | None = None
    """Items to test, in the task's item format; without it, the built-in items."""
    fit_data: Path | None = None
    """Items to fit on; without it, the other folds of the tested items."""
    model: str = DEFAULT_MODEL
    """Alias, folder, .gguf file or hub id of the model."""
    sae: str = DEFAULT_SAE
    """Alias, SAE-Lens folder or SAE-Lens release/sae_id."""
    dtype: Dtype = "auto"
    """Type of the model's weights: float32, bfloat16, or auto, by $SAETASK_DTYPE or processor."""
    other_saes: list[str] = field(default_factory=list)
    """More SAEs, for instance at other hook points; each fold takes the best on its fit split."""
    allow_sae_mismatch: bool = False
    """Use the SAE even if its figures show that it does not fit the model."""
    dictionary: Path | None = None
    """Dictionary folder of this SAE; without it, the shipped one if there is one."""
    unvalidated_labels: bool = False
    """Use labels in annotations even if they are not validated."""
    detector: str = "failure-probe"
    """Name of a detector plugin."""
    without: list[str] = field(default_factory=list)
    """Concept (by id or name) or feature:12 to hide from the detector; may be repeated."""
    annotators: list[str] = field(default_factory=list)
    """Annotators whose note templates are compared on the fit split; default: the task's own."""
    annotator_options: dict[str, str] = field(default_factory=dict)
    """Options of the annotators, by name; the flag sets one and may be repeated."""
    self_writer: str | None = None
    """Annotator whose language model, as its options say, writes the arm self (default: the model
    itself)."""
    arms: list[str] = field(default_factory=default_arm_names)
    """Arms to run, original and saetask among them; `--arms all` adds the slow ones."""
    understanding: bool = False
    """Read every layer under every kind of note: understood, or obeyed? Takes passes of its own."""
    scoring: Literal["rank", "generate"] = "rank"
    """Rank candidate answers by likelihood, or generate answers and parse them."""
    answer_tokens: int | None = None
    """Maximum length of a generated answer (default: the task's, 320 for maths; else 64)."""
    ranking: Ranking = "likelihood"
    """What ranks answers: likelihood, per-token, per-character, per-byte or pmi."""
    template_options: dict[str, Any] = field(default_factory=dict)
    """Variables of the model's chat template, by name; the flag sets one and may be repeated."""
    date: str | None = None
    """Date that a chat template is told, as 2025-12-31; without it, the day the run began."""
    limit: int | None = None
    """Maximum number of items to test (whole groups, drawn by the seed)."""
    folds: int = 5
    """Number of grouped folds, where no fit data are given."""
    max_fit_items: int = 800
    """Maximum number of items of the fit data to fit on."""
    builtin_items: bool = True
    """With data of your own, train the detector (nothing else) on built-in items, too."""
    seed: int = 0
    """Seed of folds, samples and control features."""
    seeds: int = 1
    """Number of seeds to repeat with, from the seed up; items are those of the first."""

    def check(self) -> None:
        """Checks the values before anything is loaded.

        Raises:
            UserError: An arm is unknown or missing, a number is too small, or the date is none.
        """
        arms_named(self.arms)
        if self.self_writer is not None and "self" not in self.arms:
            raise UserError("--self-writer is given, but not the arm self; add it to --arms.")
        if self.date is not None:
            parse_date(self.date)
        least = {
            **dict.fromkeys(("limit", "answer_tokens", "seeds", "max_fit_items"), 1),
            **{"seed": 0, "folds": 2},
        }
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                flag = name.replace("_", "-")
                raise UserError(f"--{flag} is {value}; it must be {minimum} or more.")

    def split(self, seed: int) -> SplitConfig:
        """Returns how items are drawn and split in the repetition of a seed."""
        return SplitConfig(self.limit, self.folds, self.max_fit_items, seed)

    def template_settings(self) -> TemplateSettings:
        """Returns the variables of the chat template; texts are read as JSON reads them."""
        day = None if self.date is None else parse_date(self.date)
        return TemplateSettings(parse_options(self.template_options), day)


def parse_date(text: str) -> datetime.date:
    """Returns a date.

    Raises:
        UserError: It is none.
    """
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UserError(f"--date is '{text}'; give it as year-month-day: 2025-12-31.") from None
