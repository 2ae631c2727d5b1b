"""Injected tokens go where they should, and planted features are told apart by them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.dictionary.falsify.injection import (
    LONGEST_INJECTION,
    STRATEGIES,
    ControlTokens,
    InjectedFeature,
    InjectionResult,
    StrategyResult,
    TriggerTokens,
    inject,
    injection_finding,
    injection_test,
    trigger_tokens,
)

VOCABULARY, TRIGGER, SECOND, CUE = 200, 7, 8, 9
TRIGGERS = [
    TriggerTokens((TRIGGER,), 0.7),
    TriggerTokens((SECOND,), 0.3),
    TriggerTokens((30, TRIGGER), 0.5),
]
ROWS = st.lists(st.integers(10, 90), min_size=20, max_size=40)
NEW = st.lists(st.lists(st.integers(100, 190), min_size=1, max_size=2), min_size=1, max_size=3)


@given(ROWS, NEW, st.integers(0, 1), st.sampled_from(STRATEGIES))
def test_pieces_stand_whole_and_in_order_and_the_rest_stays(row, pieces, n_fixed, strategy) -> None:
    found = inject(row, pieces, strategy, n_fixed)
    together = [i for piece in pieces for i in piece]
    assert found[:n_fixed] == row[:n_fixed]
    assert [i for i in found if i >= 100] == together
    kept = [i for i in found if i < 100]
    if strategy == "replacing":
        assert len(found) == len(row)
        assert [a for a, b in zip(row, found) if b < 100] == kept, "nothing else has moved"
    else:
        assert kept == row
    joined = "".join(f",{i}," for i in found)
    assert all("".join(f",{i}," for i in piece) in joined for piece in pieces), "none is torn"


@given(ROWS, NEW, st.integers(0, 1), st.sampled_from(STRATEGIES))
def test_control_tokens_of_equal_lengths_go_to_the_same_places(
    row, pieces, n_fixed, strategy
) -> None:
    other = [[195] * len(piece) for piece in pieces]
    one, two = (inject(row, injected, strategy, n_fixed) for injected in (pieces, other))
    assert [i >= 100 for i in one] == [i == 195 for i in two]


def test_each_strategy_by_hand() -> None:
    row, pieces = [0, 1, 2, 3, 4, 5, 6, 7, 8], [[50], [60, 61]]
    expected = {
        "prepended": [0, 50, 60, 61, 1, 2, 3, 4, 5, 6, 7, 8],
        "appended": [0, 1, 2, 3, 4, 5, 6, 7, 8, 50, 60, 61],
        "spread": [0, 1, 2, 50, 3, 4, 5, 60, 61, 6, 7, 8],
        "replacing": [0, 1, 50, 3, 4, 5, 60, 61, 8],
    }
    assert {strategy: inject(row, pieces, strategy, 1) for strategy in STRATEGIES} == expected


def test_a_text_too_short_to_have_tokens_replaced_is_refused() -> None:
    with pytest.raises(ValueError, match="too few to replace"):
        inject([1, 2, 3], [[50, 51], [60, 61]], "replacing", 0)
    shortest = list(range(LONGEST_INJECTION))
    assert inject(shortest, [[90, 91]] * 3, "replacing", 0) == [90, 91] * 3


# Control tokens


def test_control_tokens_are_as_frequent_as_what_they_stand_for() -> None:
    counts = np.repeat([1, 10, 100, 1000], 50)
    allowed = np.ones(VOCABULARY, bool)
    allowed[:20] = False
    controls = ControlTokens(counts, allowed)
    generator = np.random.default_rng(0)
    for token_id in (3, 60, 199):
        drawn = {controls.draw(token_id, generator) for _ in range(300)}
        assert {int(counts[i]) for i in drawn} == {int(counts[token_id])}
        assert all(allowed[list(drawn)])
        assert len(drawn) >= 25


def test_of_rare_frequencies_the_nearest_are_drawn_and_absent_tokens_never() -> None:
    counts = np.zeros(VOCABULARY, int)
    counts[100:130] = 2 ** np.arange(30)
    controls = ControlTokens(counts, np.ones(VOCABULARY, bool))
    generator = np.random.default_rng(0)
    drawn = {controls.draw(0, generator) for _ in range(400)}
    assert drawn == set(range(100, 116)), "the 16 rarest stand for a token that never occurs"


# Planted features


def texts(n=12):
    generator = np.random.default_rng(5)
    return [[1, *generator.integers(40, VOCABULARY, 25).tolist()] for _ in range(n)]


def controls_for(*tokens):
    allowed = np.ones(VOCABULARY, bool)
    allowed[list(tokens)] = False
    return ControlTokens(np.full(VOCABULARY, 10), allowed)


def run(fires, natural=2.0):
    def maxima(rows):
        return np.array([fires(row) for row in rows], np.float32)

    own = {i for trigger in TRIGGERS for i in trigger.token_ids}
    injected = InjectedFeature(TRIGGERS, controls_for(*own), natural)
    return injection_test(maxima, texts(), injected, 1, [0, 3])


def test_a_feature_of_tokens_is_found() -> None:
    found = run(lambda row: 2.5 if {TRIGGER, SECOND} & set(row) else 0.0)
    assert found.n_texts == 12
    assert found.best.injected_share == 1 and found.best.control_share == 0
    assert found.best.p_value == 1 / 2**12
    assert found.best.difference == pytest.approx(1.25)
    assert injection_finding(found, found.best.p_value) == "token-driven"


def test_a_feature_of_bigrams_is_found() -> None:
    found = run(lambda row: 3.0 * ((30, TRIGGER) in itertools.pairwise(row)))
    assert injection_finding(found, found.best.p_value) == "token-driven"


def test_a_feature_of_context_is_not_one_of_tokens() -> None:
    # Fires on the trigger only where a cue stood before it, which these texts lack.
    def fires(row):
        return 2.5 if CUE in row and TRIGGER in row[row.index(CUE) :] else 0.0

    assert fires([CUE, 3, TRIGGER]) == 2.5
    found = run(fires)
    assert injection_finding(found, 0.0) == "not token-driven"


def test_a_feature_that_any_inserted_token_sets_off_is_undecided() -> None:
    found = run(lambda row: 2.5 if len(row) > 26 else 0.0)
    assert found.best.injected_share == found.best.control_share == 1
    assert injection_finding(found, found.best.p_value) == "undecided"


def test_firing_below_the_natural_level_does_not_count() -> None:
    found = run(lambda row: 1.9 * (TRIGGER in row))
    assert found.best.p_value < 0.01
    assert injection_finding(found, 0.01) == "not token-driven"


def test_a_strategy_that_alone_sets_it_off_is_named() -> None:
    found = run(lambda row: 2.5 if row[-1] == TRIGGER or row[-1] == SECOND else 0.0)
    assert found.best.strategy == "appended"
    assert [way.injected_share > 0 for way in found.strategies] == [False, True, False, False]


def result(*shares, n_texts=24):
    ways = [StrategyResult("spread", 1.0, share, 0.0, 0.001) for share in shares]
    return InjectionResult(n_texts, ways)


@pytest.mark.parametrize(
    ("found", "q_value", "finding"),
    [
        (result(0.5, 0.1), 0.01, "token-driven"),
        (result(1.0), 0.06, "undecided"),
        (result(0.375, 0.1), 0.01, "undecided"),  # the interval reaches 0.57
        (result(0.25, 0.1), 0.01, "not token-driven"),
        (result(0.0, n_texts=3), 1.0, "undecided"),  # too few to say so
    ],
)
def test_the_finding(found, q_value, finding) -> None:
    assert injection_finding(found, q_value) == finding


def test_pieces_are_tokens_that_become_themselves_again(tiny_tokenizer) -> None:
    def grams(*texts):
        return [{"text": text, "share": 0.25} for text in texts]

    bos = tiny_tokenizer.bos_token
    row = {"tokens": grams(" ship", "\ufffd", bos), "bigrams": grams(" old ship", bos + "The")}
    found = trigger_tokens(row, tiny_tokenizer)
    assert [tiny_tokenizer.decode(piece.token_ids) for piece in found] == [" ship", " old ship"]
    assert [len(piece.token_ids) for piece in found] == [1, 2]
    halves = {"tokens": [], "bigrams": grams(" sh" + "ip")}
    assert trigger_tokens(halves, tiny_tokenizer) == [], "the two halves would become one token"
