"""What stands for failure: wrong answers, or answers to one prompt that differ."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from saetask.data.answer_matching import final_answer
from saetask.data.evaluated_items import EvaluatedItem
from saetask.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Float64

By = Literal["correctness", "disagreement"]
FEWEST_ITEMS, FEWEST_FAILURES = 40, 10
"""Numbers of scored items, and of failures (and of the rest) among them, that a search needs."""


class ScoredItems(NamedTuple):
    """The items that have a score, and their failures."""

    items: list[EvaluatedItem]
    failures: "Float64[np.ndarray, ' n']"
    n_without: int
    """Number of items that were left out because they have no score."""
    n_too_long: int = 0
    """Number of items that were left out because their prompts exceed the model's context."""

    def without_too_long(self, kept: Sequence[int], by: By) -> "ScoredItems":
        """Returns the items whose prompts fit the model's context.

        Args:
            kept: Their indices.
            by: What stands for failure.

        Raises:
            UserError: They are too few, or there is nothing to tell apart.
        """
        n_left_out = len(self.items) - len(kept)
        if not n_left_out:
            return self
        failures = self.failures[list(kept)]
        try:
            _check(failures, by)
        except UserError as error:
            raise UserError(
                f"{error} {n_left_out} prompts longer than the model's context were left out."
            ) from error
        return ScoredItems([self.items[i] for i in kept], failures, self.n_without, n_left_out)


def scored_items(items: Sequence[EvaluatedItem], by: By) -> ScoredItems:
    """Returns the items that can be searched, in the order of the log.

    By correctness, failure is 1 minus the score. By disagreement, it is the share of the pairs of
    answers to the prompt that differ, by what they come to (`final_answer`).

    Args:
        items: The items of a log.
        by: What stands for failure.

    Raises:
        UserError: There are no items, too few with a score, or nothing to tell apart.
    """
    check_items(items)
    if by == "disagreement":
        items = merge_samples(items)
    scores = [_wrongness(item) if by == "correctness" else disagreement(item) for item in items]
    kept = [i for i, score in enumerate(scores) if score is not None]
    if not kept:
        raise UserError(_nothing_scored(items, by))
    failures = np.array([scores[i] for i in kept], dtype=float)
    _check(failures, by)
    return ScoredItems([items[i] for i in kept], failures, len(items) - len(kept))


def merge_samples(items: Sequence[EvaluatedItem]) -> list[EvaluatedItem]:
    """Returns one item for each prompt, with the answers of all items that ask it as samples.

    The first item of a prompt gives the id and what else there is.
    """
    by_prompt: dict[str, list[EvaluatedItem]] = {}
    for item in items:
        by_prompt.setdefault(repr(item.prompt), []).append(item)
    return [
        replace(
            same[0],
            samples=(*same[0].samples, *(t for i in same[1:] for t in (i.output, *i.samples))),
        )
        for same in by_prompt.values()
    ]


def disagreement(item: EvaluatedItem) -> float | None:
    """Returns the share of pairs of an item's answers that differ; None where it has one answer."""
    return disagreement_of((item.output, *item.samples))


def disagreement_of(outputs: Sequence[str]) -> float | None:
    """Returns the share of pairs of answers that differ; None where there is one answer."""
    answers = [final_answer(text) for text in outputs]
    n = len(answers)
    if n < 2:
        return None
    same = sum(count * (count - 1) for count in Counter(answers).values())
    return 1 - same / (n * (n - 1))


def check_items(items: Sequence[EvaluatedItem]) -> None:
    """Checks that there are items, and that no two share an id.

    Raises:
        UserError: There are none, one is something else, or two share an id.
    """
    if not items:
        raise UserError("The log has no items; give one that has some.")
    for item in items:
        if not isinstance(item, EvaluatedItem):
            raise UserError(
                "items must be a list of saetask.data.evaluated_items.EvaluatedItem objects; one "
                f"of them is {' '.join(repr(item).split()):.60}."
            )
    name, count = Counter(item.id for item in items).most_common(1)[0]
    if count > 1:
        raise UserError(f"{count} items of the log have the id '{name}'; give each one of its own.")


def _wrongness(item: EvaluatedItem) -> float | None:
    if item.correct is None:
        return None
    if not 0 <= item.correct <= 1:
        raise UserError(
            f"Item '{item.id}' has the score {item.correct}; scores go from 0 (wrong) to 1 (right)."
        )
    return 1 - float(item.correct)


def _nothing_scored(items: Sequence[EvaluatedItem], by: By) -> str:
    if by == "disagreement":
        return (
            "The log has one answer to each prompt, so none disagree; have the model answer each "
            "again with --samples 5, or give a log with several samples or epochs."
        )
    if any(item.samples for item in items):
        return "No item of the log has a score; it has several answers, so --by disagreement works."
    columns = list(dict.fromkeys(name for item in items for name in item.columns))
    has = f" It has: {', '.join(columns)}." if columns else ""
    return (
        "No item of the log has a score; score the answers, or name the column of scores with "
        f"--correct-field.{has}"
    )


def _check(failures: "Float64[np.ndarray, ' n']", by: By) -> None:
    n = len(failures)
    if np.ptp(failures) == 0:
        kind = {0.0: "right", 1.0: "wrong"}.get(float(failures[0]), "scored alike")
        if by == "disagreement":
            kind = {0.0: "agreed on"}.get(float(failures[0]), "disagreed on alike")
        raise UserError(
            f"All {n} items are {kind}, so there is nothing to tell apart; give a log with both."
        )
    least = min(
        np.count_nonzero(failures > failures.min()), np.count_nonzero(failures < failures.max())
    )
    if n < FEWEST_ITEMS or least < FEWEST_FAILURES:
        raise UserError(
            f"The log has {n} scored items, of which {np.count_nonzero(failures > failures.min())} "
            f"failed in some part; a search needs {FEWEST_ITEMS} at least, {FEWEST_FAILURES} of "
            f"them failures and {FEWEST_FAILURES} not."
        )
