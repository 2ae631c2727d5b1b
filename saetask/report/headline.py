"""The report's first sentence: what the summary shows, and what it does not."""

from dataclasses import dataclass

from saetask.report.arms import GATE, in_order
from saetask.report.data import Arm, Detection, Summary
from saetask.report.numbers import decimals, p_statement, percent, points, points_interval

ALPHA = 0.05


@dataclass(frozen=True)
class Headline:
    """What to believe of a run."""

    verdict: str
    tone: str
    """`good`, `mixed`, `bad` or `unknown`."""
    text: str


def headline(summary: Summary) -> Headline:
    """Returns the headline of a run."""
    original, saetask = summary.arms.get("original"), summary.arms.get("saetask")
    if original is None or saetask is None:
        missing = "original" if original is None else "saetask"
        text = f"The run has no {missing} arm, so nothing can be said about saetask's effect."
        return Headline("Not measured", "unknown", text)
    sentence = _sentence(original, saetask)
    gain = _gain(original, saetask)
    if gain <= 0 or not _is_significant(saetask):
        return _without_improvement(summary, original, saetask, sentence)
    if saetask.difference_ci95 is None and _p(saetask) is None:
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


def detection_sentence(detection: list[Detection]) -> str:
    """Returns what the AUROCs show."""
    saetask = next((entry for entry in detection if entry.name == "saetask"), None)
    baselines = [entry for entry in detection if entry.name != "saetask"]
    if saetask is None:
        return "saetask's detection was not measured in this run."
    if saetask.ci95 and saetask.ci95[0] <= 0.5:
        return "saetask does not clearly tell wrong answers from right ones: chance is 0.5."
    if not baselines:
        return "No baseline was measured."
    best = max(baselines, key=lambda entry: entry.auroc)
    figures = f"{best.name} reaches {decimals(best.auroc)}, saetask {decimals(saetask.auroc)}"
    if best.auroc >= saetask.auroc:
        return f"saetask does not detect better than every baseline: {figures}."
    if saetask.ci95 and best.auroc >= saetask.ci95[0]:
        return f"saetask is not clearly ahead of the best baseline: {figures}."
    return f"saetask detects better than every baseline; the best, {figures}."


def _sentence(original: Arm, saetask: Arm) -> str:
    gain = _gain(original, saetask)
    parts = [f"{points(gain)} points"]
    if saetask.difference_ci95:
        parts[0] += f" (95 % CI {points_interval(saetask.difference_ci95)})"
    if saetask.fixed is not None and saetask.broken is not None:
        parts.append(f"{saetask.fixed} fixed, {saetask.broken} broken")
    if (p := _p(saetask)) is not None:
        parts.append(f"{'McNemar' if saetask.holm_p is None else 'Holm'} {p_statement(p)}")
    return (
        f"saetask answers {percent(saetask.accuracy)} of {saetask.n} items right against "
        f"{percent(original.accuracy)} for the original prompt: {', '.join(parts)}."
    )


def _without_improvement(summary: Summary, original: Arm, saetask: Arm, sentence: str) -> Headline:
    worse = _gain(original, saetask) < 0 and _is_significant(saetask)
    finding = "It makes the answers worse." if worse else "No improvement is shown."
    better = [arm for arm in _controls(summary) if arm.accuracy > saetask.accuracy]
    if better:
        best = max(better, key=lambda arm: arm.accuracy)
        finding += f" The control {best.name} does better ({percent(best.accuracy)})."
    verdict = "Worse" if worse else "No improvement shown"
    return Headline(verdict, "bad", f"{sentence} {finding}")


def _gain(original: Arm, arm: Arm) -> float:
    return arm.accuracy - original.accuracy if arm.difference is None else arm.difference


def _p(arm: Arm) -> float | None:
    return arm.mcnemar_p if arm.holm_p is None else arm.holm_p


def _is_significant(arm: Arm) -> bool:
    """Tells whether neither the interval nor the p-value, where given, speaks for chance."""
    interval, p = arm.difference_ci95, _p(arm)
    return not (interval and interval[0] <= 0 <= interval[1]) and not (p is not None and p >= ALPHA)


def _controls(summary: Summary) -> list[Arm]:
    """Returns the arms that speak against the SAE when they do as well, unknown ones included."""
    apart = ("original", "saetask", "oracle", GATE)
    return [summary.arms[name] for name in in_order(list(summary.arms)) if name not in apart]


def _rivals(summary: Summary, original: Arm, saetask: Arm) -> list[Arm]:
    """Returns the controls whose gain is not below the interval of saetask's gain."""
    interval = saetask.difference_ci95
    floor = interval[0] if interval else _gain(original, saetask)
    return [arm for arm in _controls(summary) if _gain(original, arm) >= floor]


def _listed(rivals: list[Arm], saetask: Arm) -> str:
    level = [arm for arm in rivals if arm.accuracy >= saetask.accuracy]
    behind = [arm for arm in rivals if arm.accuracy < saetask.accuracy]
    parts = []
    for arms, finding in ((level, "as good or better"), (behind, "not clearly behind")):
        if arms:
            names = " and ".join(f"{arm.name} ({percent(arm.accuracy)})" for arm in arms)
            parts.append(f"{names} {'is' if len(arms) == 1 else 'are'} {finding}")
    return ", and ".join(parts)
