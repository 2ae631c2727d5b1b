"""Mended discoveries as documents: what a note was shown to do, beside its controls."""

from collections.abc import Sequence

from saetask.discovery.mended_document import Mended, MendedArm
from saetask.discovery.mending import MENDED, ORIGINAL, ArmAnswers, Mending
from saetask.report.numbers import p_statement, percent, points, points_interval
from saetask.utils.statistics import holm

LEVEL = 0.05
SAME = 0.1
"""Difference of accuracies up to which prompts count as asked as in the log."""


def mended_documents(mendings: Sequence[Mending]) -> list[Mended]:
    """Returns the documents of mended discoveries.

    A note mends where it is better than the original prompts and than every control: an
    intersection-union test (Berger 1982), whose p-value is the largest of them. Holm's procedure
    corrects it over the discoveries.
    """
    adjusted = holm({each.id: _largest_p(each) for each in mendings})
    return [_document(each, adjusted[each.id]) for each in mendings]


def _largest_p(mending: Mending) -> float:
    """Returns the largest p-value against another arm; 1 where the note is not better than one."""
    rivals = [arm.mended_against for arm in mending.arms.values() if arm.mended_against]
    return max(rival.mcnemar_p if rival.difference > 0 else 1.0 for rival in rivals)


def _document(mending: Mending, holm_p: float) -> Mended:
    mends = holm_p < LEVEL
    return Mended(
        concept=mending.id,
        name=mending.name,
        template=mending.template,
        annotator=mending.annotator,
        placement=mending.placement,
        n_chosen_on=mending.n_chosen_on,
        n=mending.n,
        accuracy_in_log=mending.accuracy_in_log,
        n_without_target=mending.n_without_target,
        arms=[_arm(name, answers) for name, answers in mending.arms.items()],
        holm_p=holm_p,
        mended=mends,
        verdict=_verdict(mending, holm_p, mends) + _left_out(mending) + _asked_otherwise(mending),
    )


def _arm(name: str, answers: ArmAnswers) -> MendedArm:
    change, minus = answers.against_original, answers.mended_against
    return MendedArm(
        arm=name,
        accuracy=answers.accuracy,
        fixed=change.fixed if change else None,
        broken=change.broken if change else None,
        mended_minus=minus.difference if minus else None,
        mended_minus_ci95=minus.ci95 if minus else None,
        mcnemar_p=minus.mcnemar_p if minus else None,
    )


def _left_out(mending: Mending) -> str:
    """Returns how many prompts took no part, where some did not; else ""."""
    if not (n := mending.n_without_target):
        return ""
    prompts = "1 more prompt" if n == 1 else f"{n} more prompts"
    return f" {prompts}, whose right answer the log does not tell, took no part."


def _asked_otherwise(mending: Mending) -> str:
    """Returns that the model answers otherwise than in the log, where it does; else ""."""
    now, then = mending.arms[ORIGINAL].accuracy, mending.accuracy_in_log
    if then is None or abs(now - then) <= SAME:
        return ""
    return (
        f" But asked again as they are, {percent(now)} of these prompts are answered rightly, and "
        f"in the log {percent(then)}: the log's were asked otherwise (another model, or the "
        "beginning of an answer that the log does not hold), so this tells little of it."
    )


def _verdict(mending: Mending, holm_p: float, mends: bool) -> str:
    """Returns whether the note mends, and what it is not shown to be better than if it does not."""
    against = mending.arms[ORIGINAL].mended_against
    assert against is not None
    change = f"{points(against.difference)} points (95 % CI {points_interval(against.ci95)})"
    if mends:
        return f"The note mends: {change} over the original prompts, Holm {p_statement(holm_p)}."
    if against.difference <= 0 or against.mcnemar_p >= LEVEL:
        return f"The note is not shown to help: {change} over the original prompts."
    level = [
        name
        for name, arm in mending.arms.items()
        if name not in (ORIGINAL, MENDED)
        and arm.mended_against
        and (arm.mended_against.difference <= 0 or arm.mended_against.mcnemar_p >= LEVEL)
    ]
    over = f"than {' and '.join(level)}" if level else "once corrected over the discoveries"
    return f"{change} over the original prompts, but the note is not shown to do more {over}."
