"""The report's first sentences: what the summary shows, and what it does not."""

from dataclasses import dataclass, replace

from saetask.report.arms import GATE, controls
from saetask.report.figures import Arm, Change, Summary
from saetask.report.numbers import p_statement, percent, points, points_interval
from saetask.report.sentences import dense_probe_sentence, is_significant


@dataclass(frozen=True)
class Headline:
    """What to believe of a run."""

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
    original, saetask = summary.arms.get("original"), summary.arms.get("saetask")
    if original is None or saetask is None:
        missing = "original" if original is None else "saetask"
        text = f"The run has no {missing} arm, so nothing can be said about saetask's effect."
        return Headline("Not measured", "unknown", text)
    sentence = _sentence(original, saetask)
    gain = _gain(original, saetask)
    if gain <= 0 or not _is_shown(saetask.change):
        return _without_improvement(summary, original, saetask, sentence)
    if saetask.change.ci95 is None and _p(saetask.change) is None:
        text = f"{sentence} The summary holds neither interval nor p-value: this may be chance."
        return Headline("Not tested", "unknown", text)
    if rivals := _rivals(summary, original, saetask):
        text = f"{sentence} But {_listed(rivals, saetask)}, so the SAE is not shown to matter."
        level = any(arm.accuracy >= saetask.accuracy for arm in rivals)
        finding = "as good" if level else "not clearly behind"
        return Headline(f"Improved, but a control is {finding}", "mixed", text)
    if not (controls := _controls(summary)):
        text = f"{sentence} No control arm was run, so why is not known."
        return Headline("Improved, without controls", "mixed", text)
    best = max(controls, key=lambda arm: arm.accuracy)
    text = f"{sentence} The best control, {best.name}, reaches {percent(best.accuracy)}."
    gate = summary.arms.get(GATE)
    if gate and gate.accuracy >= saetask.accuracy:
        text += f" Annotating always is as good ({percent(gate.accuracy)}): the gate adds nothing."
    return Headline("Improved", "good", text)


def _sentence(original: Arm, saetask: Arm) -> str:
    gain, change = _gain(original, saetask), saetask.change
    parts = [f"{points(gain)} points"]
    if change.ci95:
        parts[0] += f" (95 % CI {points_interval(change.ci95)})"
    if change.fixed is not None and change.broken is not None:
        parts.append(f"{change.fixed} fixed, {change.broken} broken")
    if (p := _p(change)) is not None:
        parts.append(f"{'McNemar' if change.holm_p is None else 'Holm'} {p_statement(p)}")
    return (
        f"saetask answers {percent(saetask.accuracy)} of {saetask.n} items right against "
        f"{percent(original.accuracy)} for the original prompt: {', '.join(parts)}."
    )


def _without_improvement(summary: Summary, original: Arm, saetask: Arm, sentence: str) -> Headline:
    worse = _gain(original, saetask) < 0 and _is_shown(saetask.change)
    finding = "It makes the answers worse." if worse else "No improvement is shown."
    better = [arm for arm in _controls(summary) if arm.accuracy > saetask.accuracy]
    if better:
        best = max(better, key=lambda arm: arm.accuracy)
        finding += f" The control {best.name} does better ({percent(best.accuracy)})."
    verdict = "Worse" if worse else "No improvement shown"
    return Headline(verdict, "bad", f"{sentence} {finding}")


def _gain(original: Arm, arm: Arm) -> float:
    known = arm.change.difference
    return arm.accuracy - original.accuracy if known is None else known


def _p(change: Change) -> float | None:
    return change.mcnemar_p if change.holm_p is None else change.holm_p


def _is_shown(change: Change) -> bool:
    return is_significant(change.ci95, _p(change))


def _controls(summary: Summary) -> list[Arm]:
    return [summary.arms[name] for name in controls(list(summary.arms))]


def _rivals(summary: Summary, original: Arm, saetask: Arm) -> list[Arm]:
    """Returns the controls that saetask is not shown to beat.

    Where the two were compared item by item, that comparison decides; else saetask's gain over
    `original` must be sure to be above the control's.
    """
    interval = saetask.change.ci95
    floor = interval[0] if interval else _gain(original, saetask)

    def is_beaten(arm: Arm) -> bool:
        change = summary.against.get(arm.name)
        if change is None or change.difference is None:
            return _gain(original, arm) < floor
        return change.difference > 0 and is_significant(change.ci95, change.holm_p)

    return [arm for arm in _controls(summary) if not is_beaten(arm)]


def _listed(rivals: list[Arm], saetask: Arm) -> str:
    level = [arm for arm in rivals if arm.accuracy >= saetask.accuracy]
    behind = [arm for arm in rivals if arm.accuracy < saetask.accuracy]
    parts = []
    for arms, finding in ((level, "as good or better"), (behind, "not clearly behind")):
        if arms:
            names = " and ".join(f"{arm.name} ({percent(arm.accuracy)})" for arm in arms)
            parts.append(f"{names} {'is' if len(arms) == 1 else 'are'} {finding}")
    return ", and ".join(parts)
