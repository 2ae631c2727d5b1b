"""Verdicts follow from what a label claims and nothing else; planted features are told apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from saetask.dictionary.collect.contexts import (
    PADDING,
    SILENT_PER_FIRING,
    WINDOW,
    ActivationIndex,
    FiringCounts,
    SplitActivations,
    cut_windows,
    strong_floors,
)
from saetask.dictionary.context import DictionaryContext
from saetask.dictionary.evaluate.validation import evaluate_rules
from saetask.dictionary.evaluate.verdicts import MIN_CONTEXTS, evaluate_claims, summarise_trials
from saetask.dictionary.label.rules import DECAYS, SCALES, VIEWS, Rule, context_vectors
from saetask.dictionary.label.runner import label_features
from saetask.dictionary.store import load_rules, save_rules
from saetask.saes.activations import TokenActivations
from saetask_plugins.labelers.keywords import Keywords

D_SAE = 5
WORD, CONTEXT, NOISE, SILENT, ALWAYS = range(D_SAE)
"""Features: on the word 'sea', in texts with 'ship', at random, never, on every token."""
WORDS = ("the", "a", "red", "old", "house", "walked", "to", "was", "and", "on", "for", "with")
NEAREST = np.array([CONTEXT, WORD, WORD, WORD, WORD])
PROMOTED = {feature: [] for feature in range(D_SAE)}


@pytest.fixture(scope="module")
def token(tiny_tokenizer):
    return lambda word: tiny_tokenizer(word, add_special_tokens=False)["input_ids"][0]


def planted(token, seed: int, n_rows: int = 400) -> ActivationIndex:
    """TokenActivations of activation 1, all of them strong."""
    generator = np.random.default_rng(seed)
    words = [token(f" {word}") for word in WORDS]
    sea, ship = token(" sea"), token(" ship")
    ids, indptr, features = [], [0], []
    for _ in range(n_rows):
        row = generator.choice(words, 12)
        row[generator.choice(12, 2, replace=False)] = generator.choice([sea, ship, words[0]], 2)
        for place, word in enumerate(row):
            firing = [NOISE] if generator.random() < 0.3 else []
            firing += [WORD] if word == sea else []
            firing += [CONTEXT] if ship in row[: place + 1] else []
            features += sorted([*firing, ALWAYS])
            indptr.append(len(features))
        ids.append(row)
    lengths = [len(row) for row in ids]
    return ActivationIndex(
        TokenActivations(
            np.concatenate(ids).astype(np.int32),
            np.cumsum([0, *lengths]),
            np.arange(n_rows, dtype=np.uint64),
            np.array(indptr),
            np.array(features, np.int32),
            np.ones(len(features), np.float32),
            D_SAE,
        ),
        np.ones(D_SAE, np.float32),
        NEAREST,
    )


@pytest.fixture(scope="module")
def context(vocabulary, tmp_path_factory):
    return DictionaryContext(vocabulary, Keywords(), 0, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def labels(token, context):
    learning, selection = planted(token, 0), planted(token, 1)
    return label_features(SplitActivations(learning, selection, learning), PROMOTED, context)


def rules(labels) -> list[Rule | None]:
    return [label.rule for label in labels]


@pytest.fixture(scope="module")
def trials(labels, token, vocabulary):
    alive = np.arange(D_SAE) != SILENT
    return evaluate_rules(rules(labels), planted(token, 2), alive, vocabulary, [0])


def test_planted_meanings_are_validated_and_noise_and_silence_are_not(trials) -> None:
    verdicts = [trial.verdict for trial in trials[:ALWAYS]]
    assert verdicts == ["validated", "validated", "inconsistent", "dead"]
    assert trials[WORD].precision > 0.95 < trials[WORD].recall


def test_labels_name_what_was_planted(labels) -> None:
    assert "on 'sea'" in labels[WORD].text
    assert "'ship'" in labels[CONTEXT].text.split("about")[1]
    assert labels[SILENT].rule is None


def test_four_silent_examples_a_firing_one_and_one_of_them_hard(token) -> None:
    index = planted(token, 3)
    found = index.draw(CONTEXT, 50, [0])
    assert found.firing.sum() == 50 and found.silent.sum() == 50 * SILENT_PER_FIRING
    assert found.hard.sum() == 50 and not (found.hard & ~found.silent).any()
    dense = index.activations.matrix().toarray()
    fires = {tuple(w) for w in index.windows(np.flatnonzero(dense[:, CONTEXT] > 0))}
    assert all((tuple(w) in fires) == f for w, f in zip(found.windows, found.firing, strict=True))


def test_only_firings_above_the_floor_are_strong_and_the_rest_is_drawn_too(token) -> None:
    index = planted(token, 3)
    n = len(index.activations.values)
    values = np.where(np.arange(n) % 2, 2.0, 1.0).astype(np.float32)
    activations = replace(index.activations, values=values)
    floors = strong_floors(activations)
    assert floors[NOISE] == 2.0 and floors[SILENT] == 0
    found = ActivationIndex(activations, floors, NEAREST).draw(NOISE, 40, [0])
    weak = ~found.firing & ~found.silent
    assert (found.activations[found.firing] == 2).all() and weak.sum() == 40
    assert (found.activations[weak] == 1).all()


def test_windows_end_with_their_token_and_stay_in_their_row() -> None:
    token_ids = np.arange(100, 140)
    found = cut_windows(token_ids, np.array([0, 30]), np.array([25, 31]))
    assert found.shape == (2, WINDOW)
    np.testing.assert_array_equal(found[0], token_ids[2:26])
    np.testing.assert_array_equal(found[1, -2:], [130, 131])
    assert (found[1, :-2] == -1).all()


def test_scores_equal_those_of_the_vectors_a_rule_was_learnt_on(token, vocabulary) -> None:
    generator = np.random.default_rng(0)
    windows = generator.integers(0, len(vocabulary.texts), (7, WINDOW)).astype(np.int32)
    windows[2, :-3] = windows[5, :-1] = PADDING
    weights = generator.normal(size=len(VIEWS) * vocabulary.vectors.shape[1]).astype(np.float32)
    slow = context_vectors(windows, vocabulary) @ weights
    np.testing.assert_allclose(
        Rule(weights, 0.0).scores(windows, vocabulary), slow, rtol=1e-4, atol=1e-4
    )


def test_views_show_the_token_those_before_it_and_averages_of_the_context(vocabulary) -> None:
    windows = np.full((1, WINDOW), PADDING, np.int32)
    windows[0, -4:] = [40, 41, 42, 43]
    views = context_vectors(windows, vocabulary).reshape(len(VIEWS), -1)
    for view, token_id in enumerate((43, 42, 41)):
        np.testing.assert_allclose(
            views[view], SCALES[view] * vocabulary.vectors[token_id], rtol=1e-5
        )
    average = vocabulary.vectors[40:44].mean(0)
    np.testing.assert_allclose(views[-1], SCALES[-1] * average, rtol=1e-4, atol=1e-6)
    recent = vocabulary.vectors[40:44] * (DECAYS[0] ** np.array([3, 2, 1, 0]))[:, None]
    expected = SCALES[3] * recent.sum(0) / (DECAYS[0] ** np.arange(4)).sum()
    np.testing.assert_allclose(views[3], expected, rtol=1e-4, atol=1e-6)


def test_a_rule_claims_from_its_threshold_on(vocabulary) -> None:
    windows = np.array([[40] * WINDOW, [41] * WINDOW], np.int32)
    weights = np.zeros((len(VIEWS), vocabulary.vectors.shape[1]), np.float32)
    weights[0] = vocabulary.vectors[40]
    threshold = float(Rule(weights.ravel(), 0.0).scores(windows, vocabulary)[0])
    rule = Rule(weights.ravel(), threshold)
    assert rule.fires(windows, vocabulary).tolist() == [True, False]


def test_rules_survive_their_file(tmp_path: Path) -> None:
    rules = [Rule(np.array([0.5, -2.0], np.float32), 1.25), None]
    save_rules(tmp_path / "rules.safetensors", rules)
    first, second = load_rules(tmp_path / "rules.safetensors")
    assert first is not None and second is None
    assert first.weights.tolist() == [0.5, -2.0] and first.threshold == 1.25


def trial(n_right: int, n_wrong: int, n_missed: int = 0, n_silent: int = 100):
    firing = np.repeat([True, True, False, False], [n_right, n_missed, n_wrong, n_silent])
    claimed = np.repeat([True, False, True, False], [n_right, n_missed, n_wrong, n_silent])
    return evaluate_claims(firing, ~firing, claimed, alive=True)


@pytest.mark.parametrize(
    ("n_right", "n_wrong", "n_missed", "verdict"),
    [
        (100, 5, 0, "validated"),
        (100, 20, 0, "inconsistent"),  # precision 0.83
        (28, 0, 60, "inconsistent"),  # too few claims to tell
        (31, 0, 60, "validated"),
        (31, 0, 80, "inconsistent"),  # recall 0.28
        (28, 3, 10, "inconsistent"),  # precision 0.903, but its interval begins at 0.75
        (20, 0, 0, "too rare"),
        (0, 0, 50, "inconsistent"),
    ],
)
def test_the_verdict(n_right, n_wrong, n_missed, verdict) -> None:
    found = trial(n_right, n_wrong, n_missed)
    assert found.verdict == verdict
    assert found.n_claimed == n_right + n_wrong


def test_a_feature_that_never_fired_is_dead_and_one_without_a_rule_claims_nothing() -> None:
    nothing = np.zeros(0, bool)
    assert evaluate_claims(nothing, nothing, nothing, alive=False).verdict == "dead"
    assert evaluate_claims(nothing, nothing, nothing, alive=True).verdict == "too rare"
    firing = np.ones(MIN_CONTEXTS, bool)
    found = evaluate_claims(firing, ~firing, ~firing, alive=True)
    assert found == ("inconsistent", 0, 0, 0, 0, 1.0, 0, MIN_CONTEXTS, 0)


def test_weak_firings_count_neither_for_a_label_nor_against_it() -> None:
    firing, weak = np.repeat([True, False, False], 100), np.repeat([False, True, False], 100)
    claimed = np.repeat([True, True, False, False], [100, 60, 40, 100])
    found = evaluate_claims(firing, ~firing & ~weak, claimed, alive=True)
    assert found.verdict == "validated" and found.precision == 1.0
    assert found.recall_weak == 0.6 and (found.n_claimed, found.n_silent) == (100, 100)


def test_the_summary_counts_verdicts_chosen_labels_and_explained_firings() -> None:
    nothing = np.zeros(0, bool)
    dead = evaluate_claims(nothing, nothing, nothing, alive=False)
    trials = [trial(90, 0, 10), trial(50, 50), trial(5, 0), trial(60, 0, 300), dead]
    selection = [trial(90, 0, 10), trial(90, 0, 10), trial(90, 0, 10), trial(80, 20), dead]
    counts = FiringCounts(np.array([300, 600, 100, 200, 0]), np.array([300, 0, 0, 0, 0]))
    found = summarise_trials(trials, selection, counts).to_dict()
    assert found["n_tested"] == 3 and found["validated_share"] == pytest.approx(1 / 3)
    assert found["precise_share"] == pytest.approx(2 / 3)
    assert found["n_chosen"] == 2 and found["chosen_validated_share"] == 0.5
    assert found["coverage"] == pytest.approx(300 * 0.9 / 1500)
    assert found["verdicts"] == {
        "validated": 1,
        "inconsistent": 2,
        "too rare": 1,
        "dead": 1,
        "not judged": 0,
    }


def test_a_feature_unseen_in_selection_documents_claims_nothing(token, context) -> None:
    learning, selection = planted(token, 0), planted(token, 1)
    known = selection.activations
    silent = np.isin(known.features, [WORD], invert=True)
    counts = np.diff(known.indptr)
    owners = np.repeat(np.arange(len(counts)), counts)[silent]
    rest = replace(
        known,
        indptr=np.cumsum([0, *np.bincount(owners, minlength=len(counts))]),
        features=known.features[silent],
        values=known.values[silent],
    )
    unseen = ActivationIndex(rest, np.ones(D_SAE, np.float32), NEAREST)
    activations = SplitActivations(learning, unseen, learning)
    labels = label_features(activations, PROMOTED, context)
    alive = np.ones(D_SAE, bool)
    trials = evaluate_rules(rules(labels), planted(token, 2), alive, context.vocabulary, [0])
    assert trials[WORD].n_claimed == 0 and trials[WORD].verdict == "inconsistent"
    assert trials[CONTEXT].verdict == "validated"


def test_a_label_without_a_rule_is_never_validated(token, vocabulary) -> None:
    alive = np.ones(D_SAE, bool)
    found = evaluate_rules([None] * D_SAE, planted(token, 4), alive, vocabulary, [0])
    assert not [t for t in found if t.verdict == "validated"]
