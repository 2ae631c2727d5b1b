"""The nearest examples are those with the same telling features, and never the prompt itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from saetask.detection import KnownPrompts, entries, known_prompts, table_of, telling_parts
from saetask.detection.known_prompts import MOST_CHARACTERS, NEAREST

READINGS = ["a", "b", "c"]
seeds = st.integers(0, 2**32 - 1)


def random_case(seed: int, n: int = 12):
    generator = np.random.default_rng(seed)
    dense = generator.gamma(1.0, size=(n, 30)) * (generator.random((n, 30)) < 0.4)
    weights, labels = generator.normal(size=(3, 30)), generator.integers(0, 3, n)
    return csr_matrix(dense), dense.mean(0), weights, labels


@given(seeds)
def test_they_are_the_nearest_by_the_cosine_of_what_firing_columns_tell(seed):
    design, usual, weights, labels = random_case(seed)
    texts = [f"text {number}" for number in range(12)]
    telling = telling_parts(design, usual, weights)
    found = known_prompts(texts, telling, labels).nearest(telling[[0]], texts[0], READINGS)
    apart = np.linalg.norm(weights - weights.mean(0), axis=0)
    dense = np.where(design.toarray() > 0, (design.toarray() - usual) * apart, 0)
    unit = dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit[0]
    expected = [i for i in np.argsort(-cosines, kind="stable") if i and cosines[i] > 0][:NEAREST]
    assert [near.text for near in found] == [texts[i] for i in expected]
    assert [near.reading for near in found] == [READINGS[labels[i]] for i in expected]
    assert [near.similarity for near in found] == pytest.approx(cosines[expected], abs=1e-5)


@given(seeds)
def test_a_column_that_tells_nothing_makes_no_prompts_alike(seed):
    design, usual, weights, labels = random_case(seed)
    weights[:, 0] = 0.7
    more = design.toarray()
    more[:, 0] += 50.0
    texts = [f"text {number}" for number in range(12)]
    found = []
    for rows in (design, csr_matrix(more)):
        telling = telling_parts(rows, usual, weights)
        known = known_prompts(texts, telling, labels)
        found.append(known.nearest(telling[[0]], texts[0], READINGS))
    assert [near.text for near in found[0]] == [near.text for near in found[1]]


def test_what_is_kept_of_a_prompt_is_what_tells_most():
    telling = csr_matrix([[1.0, -3.0, 2.0], [0.0, 0.0, 0.5]])
    known = known_prompts(["one", "two"], telling, np.array([0, 1]), most_columns=2)
    assert known.columns.tolist() == [[1, 2], [2, 0]]
    assert known.values == pytest.approx(np.array([[-3, 2], [13**0.5, 0]]) / 13**0.5)


def test_the_same_text_is_no_example_however_it_is_broken_into_lines_or_cut():
    telling, labels = csr_matrix(np.ones((3, 2))), np.array([0, 1, 2])
    long = "word " * MOST_CHARACTERS
    known = known_prompts(["a  b", long, "c"], telling, labels)
    assert [near.text for near in known.nearest(telling[[0]], "a\nb ", READINGS)][1:] == ["c"]
    assert [near.text for near in known.nearest(telling[[0]], long, READINGS)] == ["a b", "c"]
    assert all(len(text) <= MOST_CHARACTERS for text in known.texts)


def test_they_are_the_same_from_a_detectors_state_and_silent_prompts_have_none():
    design, usual, weights, labels = random_case(0)
    telling = telling_parts(design, usual, weights)
    known = known_prompts([str(number) for number in range(12)], telling, labels)
    kept = table_of(KnownPrompts, "known", entries(known=known))
    assert kept is not None
    assert kept.nearest(telling[[0]], "0", READINGS) == known.nearest(telling[[0]], "0", READINGS)
    assert known.nearest(csr_matrix((1, 30)), "other", READINGS) == []
