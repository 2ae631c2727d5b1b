"""The search: choose on one half, test on the other; the same for concepts, words and controls."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.discovery.confirmation import N_PERMUTATIONS, Tests, tested
from saetask.discovery.hypotheses import Family, Hypothesis
from saetask.discovery.score_tests import AdjustedFailures, adjust_failures
from saetask.discovery.selection import Choice, choose, presence_of, screen
from saetask.discovery.splitting import Halves

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64


class Log(NamedTuple):
    """Failures of a log's prompts, and what may explain them."""

    failures: "Float64[np.ndarray, ' n']"
    """1 for a wrong answer, 0 for a right one, or a score between."""
    confounders: "Float64[np.ndarray, 'n k']"
    groups: "Int64[np.ndarray, ' n']"
    halves: Halves

    def adjusted(self, half: "Int64[np.ndarray, ' n_half']") -> AdjustedFailures:
        """Returns the failures of one half, less what the confounders explain there."""
        return adjust_failures(self.failures[half], self.confounders[half], self.groups[half])


class Found(NamedTuple):
    """Hypotheses that were chosen and tested, in the order of their choice."""

    choices: list[Choice]
    presence: "Bool[np.ndarray, 'n m']"
    """In which prompts of the whole log each is present."""
    tests: Tests

    def confirmed(self, q: float) -> "Bool[np.ndarray, ' m']":
        """Returns which ones are confirmed at a false discovery rate."""
        return self.tests.q_values <= q


def search(
    families: Sequence[Family], logs: Sequence[Log], seed: int, n_permutations: int = N_PERMUTATIONS
) -> list[Found]:
    """Returns what is found in each of several logs of the same prompts and halves.

    Args:
        families: The hypotheses, on all prompts; an earlier family is chosen from first.
        logs: The log, or logs with other failures.
        seed: Seed of the permutations.
        n_permutations: Number of permutations of a test.
    """
    half, other = logs[0].halves
    discovery = [family.rows(half) for family in families]
    adjusted = [log.adjusted(half) for log in logs]
    outcomes = np.column_stack([each.residual for each in adjusted])
    screenings = [screen(family, adjusted[0].basis, outcomes) for family in discovery]
    found = []
    for number, (log, of_half) in enumerate(zip(logs, adjusted)):
        choices = choose(discovery, [each[number] for each in screenings], of_half)
        presence = presence_of(families, choices)
        generator = np.random.default_rng([seed, number])
        tests = tested(presence[other], log.adjusted(other), generator, n_permutations)
        found.append(Found(choices, presence, tests))
    return found


def chosen_hypotheses(families: Sequence[Family], choices: Sequence[Choice]) -> list[Hypothesis]:
    """Returns what was chosen."""
    return [families[choice.family].hypothesis(choice.column) for choice in choices]
