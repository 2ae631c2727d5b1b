"""What the figures of a summary say, in a sentence or two each."""

from saetask.report.fields import Interval
from saetask.report.figures import Arm, Credit, Detection, ProbeAlone, Rounds, Summary
from saetask.report.numbers import (
    decimals,
    decimals_interval,
    percent,
    percent_interval,
    points,
    points_interval,
)

ALPHA = 0.05
WITHOUT_CREDIT = ("self", "random-feature", "shuffled", "placebo", "generic")
"""The controls that leave out what this SAE found in this item."""
ROUNDS = {"one": "one round", "closed_loop": "the closed loop"}


def is_significant(interval: Interval | None, p: float | None) -> bool:
    """Tells whether neither the interval nor the p-value, where given, speaks for chance."""
    return not (interval and interval[0] <= 0 <= interval[1]) and not (p is not None and p >= ALPHA)


def undetectable_sentence(accuracy: float) -> str:
    """Returns why no wrong answers could be told from right ones, "" if there were both."""
    if 0 < accuracy < 1:
        return ""
    found = "right" if accuracy else "wrong"
    return f"Every answer to the original prompts is {found}: there is nothing to detect."


def detection_sentence(detection: list[Detection]) -> str:
    """Returns what the AUROCs show."""
    saetask = next((entry for entry in detection if entry.name == "saetask"), None)
    baselines = [entry for entry in detection if entry.name != "saetask"]
    if saetask is None:
        return "saetask's detection was not measured in this run."
    if saetask.ci95 and saetask.ci95[0] <= 0.5:
        return "saetask is not clearly better than chance, which is 0.5."
    if not baselines:
        return "No baseline was measured."
    best = max(baselines, key=lambda entry: entry.auroc)
    figures = f"{best.name} reaches {decimals(best.auroc)}, saetask {decimals(saetask.auroc)}"
    if best.auroc >= saetask.auroc:
        return f"saetask is not ahead of every baseline: {figures}."
    if saetask.ci95 and best.auroc >= saetask.ci95[0]:
        return f"saetask is not clearly ahead of the best baseline: {figures}."
    return f"saetask is ahead of every baseline; the best, {figures}."


def dense_probe_sentence(summary: Summary) -> str:
    """Returns where a dense probe is above the interval of saetask's AUROC, "" if nowhere."""
    behind = []
    for what, detection in (
        ("wrong answers", summary.detection),
        ("the right reading", summary.reading_detection),
    ):
        scores = {entry.name: entry for entry in detection}
        saetask, dense = scores.get("saetask"), scores.get("dense-probe")
        if saetask and dense and saetask.ci95 and dense.auroc > saetask.ci95[1]:
            behind.append(
                f"{what} with an AUROC of {decimals(dense.auroc)}, saetask with "
                f"{decimals(saetask.auroc)} (95 % CI {decimals_interval(saetask.ci95)})"
            )
    if not behind:
        return ""
    found = "; ".join(behind)
    return f"A dense probe, linear on the raw activations, detects better: it finds {found}."


def probe_alone_sentence(probe: ProbeAlone, saetask: Arm | None) -> str:
    """Returns the accuracy of the probe alone, beside saetask's over the same items."""
    interval = f" (95 % CI {percent_interval(probe.ci95)})" if probe.ci95 else ""
    items = f" of {probe.n} items" if probe.n else ""
    own = saetask.accuracy if probe.saetask is None and saetask else probe.saetask
    beside = "" if own is None else f"; saetask, which asks the model, {percent(own)}"
    return (
        "The detector's most probable reading, taken as the answer without asking the model, is "
        f"right on {percent(probe.accuracy)}{items}{interval}{beside}."
    )


def credit_sentence(credit: Credit) -> str:
    """Returns what the SAE is credited with."""
    interval = f" (95 % CI {points_interval(credit.ci95)})" if credit.ci95 else ""
    above = credit.difference > 0 and is_significant(credit.ci95, None)
    found = "no such control explains them" if above else "the SAE is not shown to matter"
    others = f"{', '.join(WITHOUT_CREDIT[:-1])} and {WITHOUT_CREDIT[-1]}"
    return (
        f"SAE credit: {points(credit.difference)} points{interval}, saetask minus "
        f"{credit.control}, the best of {others}, as far as they were run; {found}."
    )


def second_question_sentence(arms: dict[str, Arm]) -> str:
    """Returns whether saetask's note helps with a question that it does not answer."""
    saetask, placebo = arms.get("saetask"), arms.get("placebo")
    if saetask is None or saetask.change.difference is None:
        return "What saetask's note does to these answers was not measured."
    difference, interval = saetask.change.difference, saetask.change.ci95
    change = f"{points(difference)} points"
    if interval:
        change += f" (95 % CI {points_interval(interval)})"
    if not is_significant(interval, saetask.change.mcnemar_p):
        return (
            f"No change is shown, {change}: the gain on the task's own question may be the model "
            "repeating the note."
        )
    if difference < 0:
        return f"saetask's note makes these answers worse: {change}."
    floor = interval[0] if interval else difference
    by_placebo = placebo.change.difference if placebo else None
    if by_placebo is not None and by_placebo >= floor:
        return (
            f"These answers improve, {change}, but with the placebo as well "
            f"({points(by_placebo)}): that the finding is what helps is not shown."
        )
    return f"These answers improve too, {change}: the note changes more than what it states."


def power_sentence(arms: list[Arm]) -> str:
    """Returns the smallest differences to `original` that could have been shown, "" if unknown."""
    known = [arm for arm in arms if arm.detectable_difference is not None]
    if not known:
        return ""
    listed = ", ".join(f"{arm.name} {100 * (arm.detectable_difference or 0):.1f}" for arm in known)
    return (
        f"The smallest difference that {known[0].n} items could have shown (power 80 %), in "
        f"points: {listed}. A smaller true effect would mostly have been missed."
    )


def rounds_sentence(rounds: Rounds) -> str:
    """Returns what annotating once and in a closed loop reached, and which saetask does."""
    return (
        f"One round of annotating reached {percent(rounds.one)}, the closed loop (read again, kept "
        f"if better) {percent(rounds.closed_loop)}; saetask does "
        f"{ROUNDS.get(rounds.used, rounds.used)}."
    )
