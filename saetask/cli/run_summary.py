"""What `saetask run` prints at its end: the arms, and what they show."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from saetask.cli.tables import make_table
from saetask.detection.silence import ANSWER_AGREES, NO_SIGNAL

if TYPE_CHECKING:
    from rich.table import Table

    from saetask.report.figures import AccuracyFigures
    from saetask.report.summary import Summary

MORE_ITEMS = "More items to fit on may change that: a larger --limit, or --fit-data."
TESTED = ("95 % CI", "fixed/\nbroken", "Holm p")


def arms_table(summary: "Summary") -> "Table":
    """Returns the arms of a run, one a row: raw and calibrated answers, both with their test."""
    from saetask.report.sentences import undetectable_sentence

    names = ("notes", "raw", *TESTED, "cali-\nbrated", *TESTED)
    table = make_table("arm", *names, right=names)
    for name, arm in summary.arms.items():
        raw = _cells(arm.raw) if arm.raw else ["", "", "", ""]
        table.add_row(name, str(arm.annotated), *raw, *_cells(arm))
        if name == summary.baseline and (bias := summary.bias):
            for reference, value in (("chance", bias.chance), ("majority", bias.majority)):
                share = f"{value:.3f}"
                table.add_row(f"  ({reference})", "", share, "", "", "", share)
    original = summary.arms.get(summary.baseline)
    table.caption = undetectable_sentence(original.accuracy) or None if original else None
    table.caption_justify = "left"
    return table


def _cells(figures: "AccuracyFigures") -> list[str]:
    low, high = figures.ci95
    cells = [f"{figures.accuracy:.3f}", f"{low:.2f}..{high:.2f}"]
    if change := figures.change:
        cells += [f"{change.fixed}/{change.broken}", f"{change.holm_p:.2g}"]
    return cells + [""] * (4 - len(cells))


def conclusion_lines(summary: "Summary") -> Iterator[str]:
    """Yields what the run shows, what is not shown first, and the sense of "misread"."""
    from saetask.report.questions import answers, verdicts_line
    from saetask.report.sentences import MISREAD

    found = answers(summary)
    yield verdicts_line(found)
    for answer in found:
        yield f"{answer.question} {f'{answer.verdict}. ' if answer.verdict else ''}{answer.text}"
    yield MISREAD


def ranking_line(summary: Mapping[str, Any]) -> str:
    """Returns how candidates were ranked, where that is not plain or not without ambiguity."""
    ranking = summary.get("ranking")
    if ranking is None:
        return ""
    method, n_tied, n_prefixes = (ranking[name] for name in ("method", "n_tied", "n_prefixes"))
    tied = {arm: n for arm, n in ranking.get("n_tied_by_arm", {}).items() if n}
    if method == "likelihood" and not n_tied + n_prefixes and not tied:
        return ""
    elsewhere = ", ".join(f"{arm} {n}" for arm, n in tied.items() if arm != "original")
    return (
        f"Candidates were ranked by {method}; {n_tied} items had tied best candidates"
        f"{f' (in other arms: {elsewhere})' if elsewhere else ''}, and in {n_prefixes} one "
        "candidate begins another."
    )


def silence_lines(summary: Mapping[str, Any]) -> list[str]:
    """Returns why a run has no finding at all, a line a fold; none where it has findings."""
    if summary["arms"]["saetask"]["annotated"]:
        return []
    lines = [
        f"fold {number}, fitted on {fold['n_fit']} items: {fold['silence']}"
        for number, fold in enumerate(summary["selection"]["folds"], 1)
        if fold.get("silence")
    ]
    if not lines:
        return [f"No finding at all: in every item, {ANSWER_AGREES}."]
    advice = [MORE_ITEMS] if any(NO_SIGNAL in line for line in lines) else []
    return ["No finding at all, so saetask's arm is the original one:", *lines, *advice]
