"""The first sentences of the report: what the summary shows, and what it does not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from saetask.report.conclusions import GATE, INERT, gated_comparisons
from saetask.report.figures import ArmResult, PairedDifference
from saetask.report.numbers import p_statement, percent, points, points_interval
from saetask.report.sentences import dense_probe_sentence, is_significant
from saetask.report.summary import Summary

UNGATED = "always"
"""The arm that annotates every item; it differs from saetask by the gate alone."""


@dataclass(frozen=True)
class Headline:
    """Conclusions from a run."""

    verdict: str
    tone: str
    """`good`, `mixed`, `bad` or `unknown`."""
    text: str
    caveat: str = ""


def headline(summary: Summary) -> Headline:
    """Returns the headline of a run."""
    effect = _effect(summary)
    if not (caveat := dense_probe_sentence(summary)):
        return effect
    if effect.tone == "good":
        verdict = f"{effect.verdict}, but a dense probe detects better"
        effect = replace(effect, verdict=verdict, tone="mixed")
    return replace(effect, caveat=caveat)


def _effect(summary: Summary) -> Headline:
    original, saetask = summary.arms.get(summary.baseline), summary.arms.get(summary.method)
    change = saetask.change if saetask else None
    if original is None or saetask is None or change is None:
        missing = summary.baseline if original is None else summary.method
        text = f"The run has no {missing} arm, so nothing can be said about saetask's effect."
        return Headline("Not measured", "unknown", text)
    sentence = _sentence(original, saetask, change)
    if change.difference <= 0 or not _is_shown(change):
        return _without_improvement(summary, saetask, change, sentence)
    return _improved(summary, saetask, sentence)


def _improved(summary: Summary, saetask: ArmResult, sentence: str) -> Headline:
    """Returns what the controls leave of an improvement over the original prompts."""
    gated = gated_comparisons(summary)
    level = [name for name in INERT if name in gated and not _is_beaten(gated[name])]
    if level == [GATE] and gated.keys() >= set(INERT):
        text = (
            f"{sentence} But it is not shown to be above {GATE}, with the same prompts picked, "
            "though it is above a neutral note there: the gate may do it without a note."
        )
        return Headline("Improved, but perhaps by the gate alone", "bad", text)
    if level:
        text = (
            f"{sentence} But it is not shown to be above {' and '.join(level)}, with the same "
            "prompts picked: what the note says is not shown to matter."
        )
        return Headline("Improved, but the note is not shown to matter", "bad", text)
    if rivals := _rivals(summary):
        text = f"{sentence} But {_listed(rivals, saetask)}, so the SAE is not shown to matter."
        level = any(arm.accuracy >= saetask.accuracy for arm in rivals.values())
        finding = "as good" if level else "not clearly behind"
        return Headline(f"Improved, but a control is {finding}", "mixed", text)
    if not (controls := summary.controls):
        text = f"{sentence} No control arm was run, so why is not known."
        return Headline("Improved, without controls", "mixed", text)
    if not gated:
        text = (
            f"{sentence} No control with its gate was run, so how much of that the choice of "
            "prompts brings without a note is not known."
        )
        return Headline("Improved, without controls of the gate", "mixed", text)
    best = _most_accurate(controls)
    reached = percent(controls[best].accuracy)
    text = f"{sentence} The best control, {best}, reaches {reached}."
    ungated = summary.arms.get(UNGATED)
    if ungated and ungated.accuracy >= saetask.accuracy:
        text += (
            f" Annotating always is as good ({percent(ungated.accuracy)}): the gate adds nothing."
        )
    return Headline("Improved", "good", text)


def _sentence(original: ArmResult, saetask: ArmResult, change: PairedDifference) -> str:
    calibrated = (
        f"saetask answers {percent(saetask.accuracy)} of {saetask.n} items right against "
        f"{percent(original.accuracy)} for the original prompt: {points(change.difference)} points "
        f"(95 % CI {points_interval(change.ci95)}), {change.fixed} fixed, {change.broken} broken, "
        f"Holm {p_statement(change.holm_p)}"
    )
    before, after = original.raw, saetask.raw
    raw = after.change if after else None
    if before is None or after is None or raw is None:
        return f"{calibrated}."
    return (
        f"{calibrated}, by calibrated answers. By raw answers, what the model says, "
        f"{percent(after.accuracy)} against {percent(before.accuracy)}: "
        f"{points(raw.difference)} points (95 % CI {points_interval(raw.ci95)}), "
        f"{raw.fixed} fixed, {raw.broken} broken, Holm {p_statement(raw.holm_p)}."
    )


def _without_improvement(
    summary: Summary, saetask: ArmResult, change: PairedDifference, sentence: str
) -> Headline:
    worse = change.difference < 0 and _is_shown(change)
    finding = "It makes the answers worse." if worse else "No improvement is shown."
    controls = summary.controls
    better = {name: arm for name, arm in controls.items() if arm.accuracy > saetask.accuracy}
    if better:
        best = _most_accurate(better)
        finding += f" The control {best} is higher ({percent(better[best].accuracy)})."
    verdict = "Worse" if worse else "No improvement shown"
    return Headline(verdict, "bad", f"{sentence} {finding}")


def _most_accurate(arms: Mapping[str, ArmResult]) -> str:
    return max(arms, key=lambda name: arms[name].accuracy)


def _is_shown(change: PairedDifference) -> bool:
    return is_significant(change.ci95, change.holm_p)


def _is_beaten(gap: PairedDifference | None) -> bool:
    return gap is not None and gap.difference > 0 and _is_shown(gap)


def _rivals(summary: Summary) -> dict[str, ArmResult]:
    """Returns the controls that saetask is not shown to beat, item by item."""
    against = summary.against
    return {name: a for name, a in summary.controls.items() if not _is_beaten(against.get(name))}


def _listed(rivals: Mapping[str, ArmResult], saetask: ArmResult) -> str:
    level = {name: arm for name, arm in rivals.items() if arm.accuracy >= saetask.accuracy}
    behind = {name: arm for name, arm in rivals.items() if arm.accuracy < saetask.accuracy}
    parts = []
    for arms, finding in ((level, "as good or better"), (behind, "not clearly behind")):
        if arms:
            names = " and ".join(f"{name} ({percent(arm.accuracy)})" for name, arm in arms.items())
            parts.append(f"{names} {'is' if len(arms) == 1 else 'are'} {finding}")
    return ", and ".join(parts)
