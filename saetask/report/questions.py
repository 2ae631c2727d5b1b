"""Six questions about a run, answered in their order: the arms as an argument."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from saetask.report.arms import CONTRARY
from saetask.report.conclusions import (
    INERT,
    figures_of,
    gate_text,
    gated_comparisons,
    note_finding,
    note_text,
    raw_answers_text,
    sae_text,
    shown_as,
)
from saetask.report.figures import PairedDifference, SAECredit, mostly_own_notes
from saetask.report.numbers import p_statement, percent, points
from saetask.report.sentences import second_question_sentence
from saetask.report.summary import Summary
from saetask.report.understood import inside_text, kinds_text, obedience_text

Verdict = Literal["Yes", "In part", "Not shown", "No", "Not measured"]
STEER = "steer"
SHUFFLED = "shuffled"


class Answer(NamedTuple):
    """A question about a run, and what its figures say."""

    question: str
    claim: str
    """What the answer yes says, as a clause behind "that"; empty of the last question."""
    verdict: Verdict | None
    """None of the last question, which is about the other answers."""
    text: str


def answers(summary: Summary) -> list[Answer]:
    """Returns the six questions with their answers, in their order."""
    asked = (
        ("Does the answer get better?", "the answers get better", _better),
        ("By the note, not by the gate?", "the note does it, not the gate", _by_the_note),
        ("Because the finding is right?", "a right finding is needed", _right_finding),
        ("Because it is the SAE's?", "the trained SAE is needed", _by_the_sae),
        ("Understood, not believed?", "notes are understood, not only believed", _understood),
    )
    found = [_answer(question, claim, *answer(summary)) for question, claim, answer in asked]
    opposite = _opposite(summary)
    return [*found, Answer("What would have to be true for the opposite?", "", None, opposite)]


def _answer(question: str, claim: str, verdict: Verdict, text: str) -> Answer:
    """Returns an answer whose text does not begin with its verdict once more."""
    said, _, rest = text.partition(": ")
    return Answer(
        question, claim, verdict, rest[:1].upper() + rest[1:] if said == verdict else text
    )


def verdicts_line(found: Sequence[Answer]) -> str:
    """Returns what is not shown, then the rest, in one line."""
    told: dict[Verdict, str] = {
        "No": "It does not hold",
        "Not shown": "It is not shown",
        "In part": "It is shown in part",
        "Yes": "It is shown",
        "Not measured": "It was not measured",
    }
    parts = []
    for verdict, beginning in told.items():
        claims = [answer.claim for answer in found if answer.verdict == verdict]
        if claims:
            ask = "whether" if verdict == "Not measured" else "that"
            parts.append(f"{beginning} {ask} {f'; {ask} '.join(claims)}.")
    return " ".join(parts)


def how_to_run(summary: Summary, *names: str) -> str:
    """Returns how a run is repeated with some arms beside those that it has.

    The summary does not hold the paths of its data, so the reader has to repeat its other flags.
    """
    arms = [*summary.arms, *(name for name in names if name not in summary.arms)]
    command = f"saetask run {summary.experiment} --arms {','.join(arms)}"
    return f"{command}, with this run's other flags (--data, --plugin …),"


def _of(change: PairedDifference | SAECredit | None) -> Verdict:
    """Returns whether a difference is shown to be above 0."""
    if change is None:
        return "Not measured"
    verdicts: dict[str, Verdict] = {"above": "Yes", "level": "Not shown", "below": "No"}
    return verdicts[shown_as(change, *verdicts)]


def _better(summary: Summary) -> tuple[Verdict, str]:
    arm = summary.arms.get(summary.method)
    calibrated = arm.change if arm else None
    raw = arm.raw.change if arm and arm.raw else None
    verdicts: set[Verdict] = {_of(each) for each in (raw, calibrated) if each is not None}
    if not verdicts:
        return "Not measured", f"Not measured: the run has no arm {summary.method}."
    parts = []
    for name, change in (("Raw, what the model says", raw), ("Calibrated", calibrated)):
        if change is not None:
            parts.append(
                f"{name}: {summary.method} minus {summary.baseline} {figures_of(change)}, "
                f"{change.fixed} fixed, {change.broken} broken."
            )
    parts.append(f"Before: {raw_answers_text(summary)}")
    verdict: Verdict = "In part" if "Yes" in verdicts else "No"
    if len(verdicts) == 1:
        (verdict,) = verdicts
    return verdict, " ".join(parts)


def _by_the_note(summary: Summary) -> tuple[Verdict, str]:
    compared = gated_comparisons(summary)
    note, gate = note_text(summary), gate_text(summary)
    if not compared:
        return "Not measured", f"{note} {how_to_run(summary, *INERT)} runs them. {gate}"
    finding = note_finding(summary, compared)
    verdicts: dict[str, Verdict] = {
        "what the note says helps": "Yes",
        "what the note says makes the answers worse": "No",
        "what the note says is not shown to help": "Not shown",
    }
    return verdicts.get(finding, "In part"), f"{note} {gate}"


def _right_finding(summary: Summary) -> tuple[Verdict, str]:
    parts, verdicts = [], []
    for name, meaning in (
        (SHUFFLED, "another item's finding on the same prompts"),
        (CONTRARY, "the opposite reading on the same prompts"),
    ):
        if (change := summary.against.get(name)) is not None:
            if mostly_own_notes(arm := summary.arms[name]):
                parts.append(
                    f"{name} is no control here: {arm.same_notes} of its {arm.annotated} notes are "
                    f"those of {summary.method}, word for word."
                )
                continue
            gap = change.raw or change
            how = "raw" if change.raw else "calibrated"
            verdicts.append(_of(gap))
            parts.append(f"{summary.method} minus {name}, {meaning} ({how}): {figures_of(gap)}.")
    missing = [name for name in (SHUFFLED, CONTRARY) if name not in summary.against]
    if missing:
        parts.append(
            f"Not run: {' and '.join(missing)}; {how_to_run(summary, *missing)} runs them."
        )
    if kinds := kinds_text(summary):
        parts.append(kinds)
    if not verdicts:
        return "Not measured", " ".join(parts)
    same = len(set(verdicts)) == 1
    return (verdicts[0] if same else "In part"), " ".join(parts)


def _by_the_sae(summary: Summary) -> tuple[Verdict, str]:
    parts = [sae_text(summary)]
    if summary.sae_credit is None:
        parts.append(f"{how_to_run(summary, 'dense-probe', 'random-sae')} runs them.")
    if summary.steering is not None:
        parts.append(_steering_text(summary))
    return _of(summary.sae_credit), " ".join(parts)


def _steering_text(summary: Summary) -> str:
    """Returns what steering by features does against pushes of the same norm."""
    steering = summary.steering
    assert steering is not None
    parts = []
    arm = summary.arms.get(STEER)
    if arm and arm.raw and arm.raw.change:
        parts.append(
            f"Without a note, features steered at the target (raw): {STEER} minus "
            f"{summary.baseline} {figures_of(arm.raw.change)}."
        )
    for name, change in steering.against.items():
        parts.append(f"{STEER} minus {name}, of the same norm (raw): {figures_of(change)}.")
    if STEER in steering.arms:
        effects = steering.arms[STEER]
        others = effects.others
        parts.append(
            f"Beside that, steering every token takes the cross-entropy of neutral text from "
            f"{steering.cross_entropy:.2f} to {effects.cross_entropy:.2f} nats, and breaks "
            f"{others.broken} and fixes {others.fixed} of {others.n} items with no finding."
        )
    return " ".join(parts)


def _understood(summary: Summary) -> tuple[Verdict, str]:
    found = summary.understanding
    obedience = found.obedience if found else None
    parts = [obedience_text(summary) or f"{how_to_run(summary, CONTRARY)} runs {CONTRARY}."]
    parts.append(
        inside_text(summary)
        or "What a note changes inside was not read; --understanding of saetask run reads it."
    )
    if summary.second_question:
        parts.append(f"A second question: {second_question_sentence(summary.second_question)}")
    if obedience is None:
        return "Not measured", " ".join(parts)
    above = obedience.ci95[0] > 0 and obedience.p < 0.05
    return ("Yes" if above else "Not shown"), " ".join(parts)


def _opposite(summary: Summary) -> str:
    """Returns by which figure each answer would turn into its opposite."""
    parts = [_not_better(summary)]
    method = summary.method
    if compared := gated_comparisons(summary):
        name, change = next(iter(compared.items()))
        reached = percent(summary.arms[name].accuracy)
        parts.append(
            f"The gate would do it all if {name} ({reached}) were level with {method}, which is "
            f"{points(change.difference)} points from it."
            if change.ci95[0] > 0
            else f"That the gate does it all is not ruled out: {name} reaches {reached}, and "
            f"{method} is {points(change.difference)} points from it."
        )
    shuffled = summary.against.get(SHUFFLED)
    if shuffled is not None and not mostly_own_notes(summary.arms[SHUFFLED]):
        parts.append(
            f"Any finding would do if {SHUFFLED} were level; {method} is "
            f"{points(shuffled.difference)} points from it, calibrated."
        )
    if (credit := summary.sae_credit) is not None:
        low, high = credit.ci95
        matters = low > 0
        parts.append(
            f"The trained SAE {'would not matter' if matters else 'would matter'} if {method} were "
            f"{'level with' if matters else 'above'} {credit.over}; the interval of the difference "
            f"goes from {points(low)} to {points(high)}."
        )
    if summary.understanding and (said := summary.understanding.obedience):
        understood = said.ci95[0] > 0
        parts.append(
            f"Notes would be {'obeyed' if understood else 'understood'} if wrong ones were "
            f"followed {'as often as' if understood else 'less than'} right ones; they are in "
            f"{percent(said.wrong)}, right ones in {percent(said.right)}."
        )
    return " ".join(filter(None, parts)) or "No figure of this run speaks to it."


def _not_better(summary: Summary) -> str:
    """Returns what would turn the answer to the first question."""
    arm = summary.arms.get(summary.method)
    if arm is None or arm.change is None:
        return ""
    (low, high), p = arm.change.ci95, arm.change.holm_p
    if _of(arm.change) == "Yes":
        return (
            f"The answers would not be better if the interval held 0; it begins at {points(low)}."
        )
    if low > 0:
        return (
            "The answers would be shown to be better if the test, corrected for all arms, agreed "
            f"with the interval, which begins at {points(low)}; it has {p_statement(p)}."
        )
    smallest = arm.detectable_difference
    larger = f" of {points(smallest)} points" if smallest else ""
    return (
        f"That the answers get better would be shown, four times in five, of a gain{larger}; the "
        f"interval ends at {points(high)}."
    )
