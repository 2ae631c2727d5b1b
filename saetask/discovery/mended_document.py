"""What notes on discoveries did, as a part of a discovery's `summary.json`."""

from typing import Annotated

from pydantic import Field

from saetask.report.documents import Count, Document, Flag, Interval, Name, Share, Text

Difference = Annotated[float, Field(strict=True, ge=-1, le=1)]


class MendedArm(Document):
    """How prompts with a discovery were answered, with one kind of note or none."""

    arm: Name
    """`original`, `mended` (the note on the discovery), or a control: `placebo` (a neutral note of
    its length), `generic` (a request for care), `other-concept` (the same note on another)."""
    accuracy: Share
    """Share of right answers."""
    fixed: Count | None
    """Prompts wrong in `original` and right here; null for `original`."""
    broken: Count | None
    """Prompts right in `original` and wrong here; null for `original`."""
    mended_minus: Difference | None
    """Accuracy of `mended` minus that of this arm; null for `mended`, like the next two."""
    mended_minus_ci95: Interval | None
    """By a bootstrap over groups."""
    mcnemar_p: Share | None
    """Exact two-sided p-value of that difference."""


class Mended(Document):
    """What a note on a discovery does to prompts that took no part in choosing it."""

    concept: Name
    """Id of the discovery."""
    name: Text
    """Name of its concept."""
    template: Text
    """The note; `{words}` stands for the words of a prompt on which the concept is active. Where
    the annotator writes one for each prompt, that of one of them."""
    annotator: Name
    """What wrote the note: `discovery` for fixed texts, else an annotator plugin."""
    placement: Text
    """`end` or `start` of the prompt."""
    n_chosen_on: Count
    """Number of prompts of the discovery half on which the note was chosen."""
    n: Count
    """Number of prompts of the confirmation half on which it was tried."""
    accuracy_in_log: Share | None = None
    """Share of right answers that the log has to these prompts; null where it has no scores."""
    n_without_target: Count = 0
    """Number of further prompts of that half, which took no part: the log does not tell their right
    answers."""
    arms: list[MendedArm]
    """The original prompts, the mended ones, and controls."""
    holm_p: Share
    """The largest p-value of `mended` against the other arms, by Holm's procedure over
    discoveries."""
    mended: Flag
    """Whether `mended` is better than every other arm, and `holm_p` below 0.05."""
    verdict: Text
    """The same in words."""
