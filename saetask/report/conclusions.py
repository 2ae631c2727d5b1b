"""What a run shows of the model's raw answers, and of what gate, note and SAE do to them."""

from collections.abc import Mapping

from saetask.report.figures import PairedComparison, PairedDifference, SAECredit, mostly_own_notes
from saetask.report.numbers import p_statement, percent, percent_interval, points, points_interval
from saetask.report.sentences import is_significant, nearly_only_answer
from saetask.report.summary import Summary

GATE = "gate-only"
INERT = (GATE, "gated-placebo")
"""Controls that pick saetask's prompts and write nothing of a finding into them."""
GATED = (*INERT, "shuffled")
"""Controls with saetask's gate: they differ from saetask by what its note says, and by no more.
Runs that lack the first two are older, and their `shuffled` had a gate of its own."""
FLAT = 0.05
"""Slope of a calibration below which next to nothing of the model's answer is left."""
MOST_READINGS = 4
"""Number of readings whose shares are listed."""


def gated_comparisons(summary: Summary) -> dict[str, PairedComparison]:
    """Returns saetask minus each control with its gate that was run, the best of them first."""
    if not summary.against.keys() & set(INERT):
        return {}
    against = {
        name: summary.against[name]
        for name in GATED
        if name in summary.against and not mostly_own_notes(summary.arms[name])
    }
    return dict(sorted(against.items(), key=lambda entry: entry[1].difference))


def raw_answers_text(summary: Summary) -> str:
    """Returns what the model says to the original prompts, and how often it is right."""
    original = summary.arms.get(summary.baseline)
    if original is None or original.raw is None:
        return "Not measured: this run kept its calibrated answers only."
    parts = []
    if summary.bias:
        parts.append(_shares(summary.bias.raw_answers))
    raw = original.raw
    accuracy = f"Right are {percent(raw.accuracy)} (95 % CI {percent_interval(raw.ci95)})"
    if summary.bias:
        accuracy += (
            f"; chance is {percent(summary.bias.chance)}, always giving the most frequent reading "
            f"{percent(summary.bias.majority)}"
        )
    parts += [f"{accuracy}.", f"Calibrated: {percent(original.accuracy)}.", _flat_folds(summary)]
    return " ".join(filter(None, parts))


def _flat_folds(summary: Summary) -> str:
    """Returns in how many folds the calibrated answer hardly depends on what the model says."""
    folds = summary.selection.folds
    n = sum(fold.answer_slope is not None and fold.answer_slope < FLAT for fold in folds)
    if not n:
        return ""
    return (
        f"In {n} of {len(folds)} folds the calibration leaves next to nothing of what the model "
        f"says (its slope is below {FLAT})."
    )


def _shares(raw_answers: Mapping[str, float]) -> str:
    """Returns how often the model gives which answer, the most frequent first."""
    named = {reading: share for reading, share in raw_answers.items() if reading}
    if reading := nearly_only_answer(named):
        return (
            f"It says “{reading}” to {percent(named[reading])} of the original prompts, whatever "
            "they are about: a single answer tells little."
        )
    most = sorted(named.items(), key=lambda entry: -entry[1])[:MOST_READINGS]
    listed = ", ".join(f"“{reading}” to {percent(share)}" for reading, share in most)
    return f"It says {listed} of the original prompts." if listed else ""


def gate_text(summary: Summary) -> str:
    """Returns what picking prompts does without a note."""
    arm = summary.arms.get(GATE)
    change = arm.change if arm else None
    if change is None:
        return f"Not measured: the arm {GATE} was not run."
    if arm and arm.touched == 0:
        return f"{GATE} changes nothing: in no fold were enough prompts picked to fit an offset on."
    finding = shown_as(
        change,
        "picking prompts, with an offset that is fitted on picked ones, needs no note to do that",
        "picking prompts is not shown to change the answers",
        "picking prompts alone makes the answers worse",
    )
    return (
        f"{GATE} minus {summary.baseline}, no note but an offset for the prompts that the detector "
        f"picks: {figures_of(change)}: {finding}."
    )


def note_text(summary: Summary) -> str:
    """Returns what a note does beyond the controls with its gate."""
    compared = gated_comparisons(summary)
    if not compared:
        return f"Not measured: the arms {' and '.join(INERT)} were not run."
    best, change = next(iter(compared.items()))
    gaps = [f"{points(gap.difference)} over {name}" for name, gap in compared.items()]
    others = f" ({', '.join(gaps[1:])})" if gaps[1:] else ""
    return (
        f"{summary.method} minus {best}, the best control with its gate{others}: "
        f"{figures_of(change)}: {note_finding(summary, compared)}. {_note_by_raw(compared)}"
    ).strip()


def note_finding(summary: Summary, compared: Mapping[str, PairedComparison]) -> str:
    """Returns what saetask's notes do, beyond all controls with its gate or beyond a neutral note.

    The offset of `gate-only` is fitted on picked prompts, which no note's is: an arm below it may
    still do nothing at all, so that alone is no harm.
    """
    shown = {name: shown_as(change, "above", "level", "below") for name, change in compared.items()}
    if set(shown.values()) == {"above"}:
        return "what the note says helps"
    if shown.get("gated-placebo") == "above":
        return "the note does more than a neutral one, but not more than every control"
    change = summary.arms[summary.method].change
    harms = change is not None and shown_as(change, "", "", "below") == "below"
    if harms and shown.get("gated-placebo") == "below":
        return "what the note says makes the answers worse"
    return "what the note says is not shown to help"


def _note_by_raw(compared: Mapping[str, PairedComparison]) -> str:
    """Returns the same of raw answers, by which another control can be the best one."""
    gaps = {name: change.raw for name, change in compared.items() if change.raw}
    if not gaps:
        return ""
    best = min(gaps, key=lambda name: gaps[name].difference)
    shown = shown_as(gaps[best], "shown", "not shown", "worse")
    return f"By raw answers, minus {best}: {figures_of(gaps[best])}: {shown}."


def sae_text(summary: Summary) -> str:
    """Returns what a trained SAE adds to pipelines that need none."""
    credit = summary.sae_credit
    probe = summary.probe_alone.comparison if summary.probe_alone else None
    parts = []
    if credit is None:
        parts.append("Not measured: it takes the arms dense-probe and random-sae.")
    else:
        finding = shown_as(
            credit,
            "a trained SAE adds something",
            "the SAE is not shown to matter",
            "the SAE does worse than what needs none",
        )
        over = credit.over
        if credit.over == "random-sae" and credit.n_dictionaries > 1:
            over += f" (mean of {credit.n_dictionaries} random dictionaries)"
        parts.append(
            f"{summary.method} minus {over}, the better of dense-probe and random-sae: "
            f"{figures_of(credit)}: {finding}."
        )
    if probe:
        finding = shown_as(
            probe,
            "asking again with the note is better",
            "neither is shown to be better",
            "taking the detector's reading as the answer is better",
        )
        parts.append(
            f"{summary.method} minus the detector's own answer, the model not asked: "
            f"{points(probe.difference)} points (95 % CI {points_interval(probe.ci95)}, "
            f"McNemar {p_statement(probe.mcnemar_p)}): {finding}."
        )
    return " ".join(parts)


def figures_of(change: PairedDifference | SAECredit) -> str:
    """Returns a difference with its interval and p-value."""
    return (
        f"{points(change.difference)} points (95 % CI {points_interval(change.ci95)}, "
        f"Holm {p_statement(change.holm_p)})"
    )


def shown_as(change: PairedDifference | SAECredit, above: str, level: str, below: str) -> str:
    """Returns what a difference shows: one of three statements."""
    if not is_significant(change.ci95, change.holm_p):
        return level
    return above if change.difference > 0 else below
