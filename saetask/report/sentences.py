"""Sentences of the report, each about one figure of the summary."""

from collections.abc import Mapping

from saetask.report.documents import Interval
from saetask.report.figures import (
    ArmFigures,
    Detection,
    ProbeAccuracy,
    Rounds,
    SecondQuestion,
    mostly_own_notes,
)
from saetask.report.numbers import (
    decimals,
    decimals_interval,
    p_statement,
    percent,
    percent_interval,
    points,
    points_interval,
)
from saetask.report.summary import Summary

ALPHA = 0.05
"""Level of the tests."""
NEARLY_ALL = 0.9
"""Share of raw answers from which on one of them is called nearly the only one."""
MISREAD = (
    "A prompt counts as misread where its features support another reading than that of the "
    "model's calibrated answer: what it says (its raw answer) with a constant preference for some "
    "reading taken out, where the fit split shows one; else the raw answer."
)
"""The sense of the word; every page states it once."""
ROUNDS = {"one": "one round", "closed_loop": "the closed loop"}


def is_significant(interval: Interval | None, p: float | None) -> bool:
    """Returns whether an interval excludes 0 and a p-value is below `ALPHA`, where given."""
    return not (interval and interval[0] <= 0 <= interval[1]) and not (p is not None and p >= ALPHA)


def nearly_only_answer(raw_answers: Mapping[str, float]) -> str | None:
    """Returns the reading that nearly all raw answers stand for; None if they differ."""
    reading = max(raw_answers, key=raw_answers.__getitem__, default=None)
    return reading if reading is not None and raw_answers[reading] >= NEARLY_ALL else None


def undetectable_sentence(accuracy: float) -> str:
    """Returns why detection of wrong answers is undefined; empty if it is defined."""
    if 0 < accuracy < 1:
        return ""
    kind = "right" if accuracy else "wrong"
    return f"Every answer to the original prompts is {kind}: there is nothing to detect."


def detection_sentence(detection: Detection) -> str:
    """Returns how saetask's AUROC compares with chance and with the baselines."""
    baselines = detection.measured
    saetask = baselines.pop("saetask", None)
    if saetask is None:
        return "saetask's detection was not measured in this run."
    if saetask.ci95 and saetask.ci95[0] <= 0.5:
        return "saetask is not clearly better than chance, which is 0.5."
    if not baselines:
        return "No baseline was measured."
    name = max(baselines, key=lambda name: baselines[name].auroc)
    best = baselines[name].auroc
    figures = f"{name} reaches {decimals(best)}, saetask {decimals(saetask.auroc)}"
    if best >= saetask.auroc:
        return f"saetask is not ahead of every baseline: {figures}."
    if saetask.ci95 and best >= saetask.ci95[0]:
        return f"saetask is not clearly ahead of the best baseline: {figures}."
    return f"saetask is ahead of every baseline; the best, {figures}."


def dense_probe_sentence(summary: Summary) -> str:
    """Returns where a dense probe is above the interval of saetask's AUROC; empty if nowhere."""
    behind = []
    for what, detection in (
        ("wrong answers", summary.detection),
        ("the right reading", summary.reading_detection),
    ):
        saetask, dense = detection.saetask, detection.baselines.get("dense-probe")
        if saetask and dense and saetask.ci95 and dense.auroc > saetask.ci95[1]:
            behind.append(
                f"{what} with an AUROC of {decimals(dense.auroc)}, saetask with "
                f"{decimals(saetask.auroc)} (95 % CI {decimals_interval(saetask.ci95)})"
            )
    if not behind:
        return ""
    listed = "; ".join(behind)
    return f"A dense probe, linear on the raw activations, detects better: it finds {listed}."


def probe_alone_sentence(probe: ProbeAccuracy, saetask: ArmFigures | None) -> str:
    """Returns the accuracy of the probe alone, beside saetask's over the same items."""
    own = saetask.accuracy if probe.saetask is None and saetask else probe.saetask
    beside = "" if own is None else f"; saetask, which asks the model, {percent(own)}"
    return (
        "The detector's most probable reading, taken as the answer without asking the model, is "
        f"right on {percent(probe.accuracy)} of {probe.n} items "
        f"(95 % CI {percent_interval(probe.ci95)}){beside}."
    )


def credit_sentence(summary: Summary) -> str:
    """Returns what a finding is credited with; empty if no control that counts for it was run."""
    if summary.credit is None:
        return ""
    difference, interval = summary.credit.difference, summary.credit.ci95
    above = difference > 0 and is_significant(interval, None)
    verdict = "no such control explains them" if above else "more than they do is not shown"
    names = [
        name
        for name, arm in summary.arms.items()
        if arm.in_sae_credit and not mostly_own_notes(arm)
    ]
    others = f", the best of {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else ""
    return (
        f"Finding credit: {points(difference)} points (95 % CI {points_interval(interval)}), "
        f"saetask minus {summary.credit.control}{others}, which write nothing that saetask found "
        f"in the item; {verdict}."
    )


def second_question_sentence(second: SecondQuestion) -> str:
    """Returns whether saetask's note helps with a question that it does not answer."""
    saetask = second.arms.get("saetask")
    placebo = second.arms.get("gated-placebo") or second.arms.get("placebo")  # of older runs
    change = saetask.change if saetask else None
    if change is None:
        return "What saetask's note does to these answers was not measured."
    gain = (
        f"{points(change.difference)} points (95 % CI {points_interval(change.ci95)}, "
        f"{p_statement(change.mcnemar_p)})"
    )
    if not is_significant(change.ci95, change.mcnemar_p):
        return (
            f"No change is shown, {gain}: the gain on the task's own question may be the model "
            "repeating the note."
        )
    if change.difference < 0:
        return f"saetask's note makes these answers worse: {gain}."
    by_placebo = placebo.difference if placebo else None
    if by_placebo is not None and by_placebo >= change.ci95[0]:
        return (
            f"These answers improve, {gain}, but with the placebo as well "
            f"({points(by_placebo)}): that the finding is what helps is not shown."
        )
    return f"These answers improve too, {gain}: the note changes more than what it states."


def power_sentence(arms: Mapping[str, ArmFigures]) -> str:
    """Returns the smallest differences to `original` that could be shown; empty if unknown."""
    known = {
        name: arm.detectable_difference
        for name, arm in arms.items()
        if arm.detectable_difference is not None
    }
    if not known:
        return ""
    listed = ", ".join(f"{name} {100 * difference:.1f}" for name, difference in known.items())
    n = arms[next(iter(known))].n
    return (
        f"The smallest difference that {n} items could have shown (power 80 %), in points: "
        f"{listed}. A smaller true effect would mostly have been missed."
    )


def rounds_sentence(rounds: Rounds) -> str:
    """Returns what annotating once and in a closed loop reached, and which saetask does."""
    return (
        f"One round of annotating reached {percent(rounds.one)}, the closed loop (read again, kept "
        f"if better) {percent(rounds.closed_loop)}; saetask does {ROUNDS[rounds.used]}."
    )
