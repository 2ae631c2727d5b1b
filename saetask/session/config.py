"""Options of a session."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saetask.errors import UserError
from saetask.experiments.context import DEFAULT_SETTINGS, ExperimentSettings
from saetask.inference.ranking import Ranking
from saetask.models.precision import Dtype
from saetask.utils.validation import typed


@dataclass(frozen=True)
class SessionConfig:
    """Options of a session that most users leave alone."""

    journal: Path | None = None
    """Answers are stored in this file and not computed again: a run's `answers.jsonl`, for example.
    Without one, each prompt's are dropped after it."""
    dictionary: Path | None = None
    """A dictionary folder of this SAE; None takes the shipped one, if there is one."""
    unvalidated_labels: bool = False
    """Use labels in annotations even if they are not validated."""
    without: Sequence[str] = ()
    """Concepts, by id or name, and features (`feature:12`) that are hidden from the detector."""
    allow_sae_mismatch: bool = False
    """Use an SAE even if `check_sae` would refuse it for its figures."""
    ranking: Ranking = "likelihood"
    """What candidate answers are compared by."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the model's chat template, such as `{"enable_thinking": False}`."""
    date: datetime.date | None = None
    """The date that a chat template is told; None takes today's when the session is opened."""
    dtype: Dtype = "auto"
    """Floating-point type that the model is loaded in; `auto` goes by `SAETASK_DTYPE`, else by the
    processor."""
    fit_items: int = 1000
    """Maximum number of items that a session is fitted on."""
    settings: ExperimentSettings = DEFAULT_SETTINGS


def checked_config(config: SessionConfig | None) -> SessionConfig:
    """Returns a session's options with values of the types of their fields."""
    if config is None:
        return SessionConfig()
    if not isinstance(config, SessionConfig):
        raise UserError(
            "config must be a saetask.session.SessionConfig, not an object of the type "
            f"{type(config).__name__}."
        )
    return typed(SessionConfig, vars(config), "of a session")
