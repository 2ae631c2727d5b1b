"""Specification of an arm: its name, purpose and role in an experiment."""

from dataclasses import dataclass
from typing import Literal

CONTRARY = "contrary"
"""Name of the arm that writes the opposite of what saetask finds."""
ArmKind = Literal["baseline", "method", "variant", "control", "bound"]


@dataclass(frozen=True)
class ArmSpec:
    """Name, purpose and role of an arm; how it writes prompts is defined in `experiments`."""

    name: str
    purpose: str
    """What the arm controls for, a short sentence."""
    kind: ArmKind
    """`baseline` (the prompt as it is), `method` (saetask), `variant` (saetask's findings written
    under another rule), `control` (explains the gain without saetask) or `bound` (uses the label).
    """
    in_sae_credit: bool = False
    """Whether the arm uses no finding in this item. Finding credit is saetask minus the best of
    these arms."""
    asks_second_question: bool = False
    """Whether the task's second question is asked with this arm's notes, too."""
    in_default: bool = True
    """Whether `saetask run` runs the arm by default."""
