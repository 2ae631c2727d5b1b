"""Verdicts follow from what a label claims and nothing else; planted features are told apart."""

from dataclasses import replace

import numpy as np
import pytest
from saetask_plugins.labelers.keywords import Keywords

from saetask.dictionary.examples import WINDOW, FiringIndex, cut_windows
from saetask.dictionary.firings import Firings
from saetask.dictionary.labelling import label_features
from saetask.dictionary.labels import Label
from saetask.dictionary.rules import Rule, Vocabulary, atoms
from saetask.dictionary.validation import FEWEST, judge, summarise, try_labels

D_SAE = 5
WORD, CONTEXT, NOISE, SILENT, ALWAYS = range(D_SAE)
"""Features: on the word 'sea', in texts with 'ship', at random, never, on every token."""
WORDS = ("the", "a", "red", "old", "house", "walked", "to", "was", "and", "on", "for", "with")
NEAREST = np.array([CONTEXT, WORD, WORD, WORD, WORD])


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    return Vocabulary(tokenizer)


@pytest.fixture(scope="module")
def token(tokenizer):
    return lambda word: tokenizer(word, add_special_tokens=False)["input_ids"][0]


def planted(token, seed: int, n_rows: int = 400) -> FiringIndex:
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
    return FiringIndex(
        Firings(
            np.concatenate(ids).astype(np.int32),
            np.cumsum([0, *lengths]),
            np.arange(n_rows, dtype=np.uint64),
            np.array(indptr),
            np.array(features, np.int32),
            np.ones(len(features), np.float32),
            D_SAE,
        )
    )


@pytest.fixture(scope="module")
def labels(token, vocabulary):
    promoted = {feature: [] for feature in range(D_SAE)}
    learning, selection = planted(token, 0), planted(token, 1)
    return label_features(learning, selection, NEAREST, promoted, Keywords(), vocabulary, 0)


@pytest.fixture(scope="module")
def trials(labels, token, vocabulary):
    alive = np.arange(D_SAE) != SILENT
    return try_labels(labels, planted(token, 2), alive, NEAREST, vocabulary, 0)


def test_planted_meanings_are_validated_and_noise_and_silence_are_not(trials) -> None:
    verdicts = [trial.verdict for trial in trials[:ALWAYS]]
    assert verdicts == ["validated", "validated", "inconsistent", "dead"]
    assert trials[WORD].precision > 0.95 < trials[WORD].recall


def test_labels_name_what_was_planted(labels) -> None:
    assert "on 'sea'" in labels[WORD].text
    assert "'ship'" in labels[CONTEXT].text.split("about")[1]
    assert labels[SILENT].rule is None


def test_examples_are_half_silent_and_hard_ones_look_alike(token) -> None:
    index = planted(token, 3)
    found = index.draw(CONTEXT, WORD, 50, np.random.default_rng(0))
    assert found.firing.sum() == 50
    assert found.hard.sum() == 50
    assert (~found.firing & ~found.hard).sum() == 50
    dense = index.firings.matrix().toarray()
    fires = {tuple(w) for w in index.windows(np.flatnonzero(dense[:, CONTEXT] > 0))}
    assert all((tuple(w) in fires) == f for w, f in zip(found.windows, found.firing, strict=True))


def test_windows_end_with_their_token_and_stay_in_their_row() -> None:
    token_ids = np.arange(100, 140)
    found = cut_windows(token_ids, np.array([0, 30]), np.array([25, 31]))
    assert found.shape == (2, WINDOW)
    np.testing.assert_array_equal(found[0], token_ids[2:26])
    np.testing.assert_array_equal(found[1, -2:], [130, 131])
    assert (found[1, :-2] == -1).all()


def test_atoms_show_the_token_the_one_before_and_the_words(token, vocabulary) -> None:
    windows = np.full((2, WINDOW), -1, np.int32)
    windows[0, -3:] = [token(" Ship"), token(" red"), token(" sea")]
    windows[1, -1] = token(" 7") if token(" 7") != token(" ") else token("7")
    found = atoms(windows, vocabulary)
    shown = [[vocabulary.atom(c) for c in row.indices] for row in found]
    assert ("on", " sea") in shown[0] and ("after", " red") in shown[0]
    assert ("about", "ship") in shown[0] and ("on shape", "a word's beginning") in shown[0]
    assert not [a for a in shown[1] if a.kind.startswith("after")]
    assert set(np.unique(found.data)) == {1.0}


def test_a_rule_adds_weights_and_claims_from_its_threshold_on(token, vocabulary) -> None:
    windows = np.full((2, WINDOW), -1, np.int32)
    windows[:, -1] = [token(" sea"), token(" red")]
    found = atoms(windows, vocabulary)
    rule = Rule(np.array([token(" sea")]), np.array([2.0]), 2.0)
    assert rule.scores(found).tolist() == [2.0, 0.0]
    assert rule.fires(found).tolist() == [True, False]


def trial(n_right: int, n_wrong: int, n_missed: int = 0, n_silent: int = 100):
    firing = np.repeat([True, True, False, False], [n_right, n_missed, n_wrong, n_silent])
    claimed = np.repeat([True, False, True, False], [n_right, n_missed, n_wrong, n_silent])
    return judge(firing, claimed, alive=True)


@pytest.mark.parametrize(
    ("n_right", "n_wrong", "n_missed", "verdict"),
    [
        (100, 5, 0, "validated"),
        (100, 20, 0, "inconsistent"),  # precision 0.83
        (28, 0, 60, "inconsistent"),  # too few claims to tell
        (31, 0, 60, "validated"),
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
    assert judge(nothing, nothing, alive=False).verdict == "dead"
    assert judge(nothing, nothing, alive=True).verdict == "too rare"
    firing = np.ones(FEWEST, bool)
    assert judge(firing, nothing, alive=True) == ("inconsistent", 0, 0, 0, 1.0, 0, FEWEST, 0)


def test_the_summary_counts_verdicts_and_explained_firings() -> None:
    trials = [trial(90, 0, 10), trial(50, 50), trial(5, 0), judge(*[np.zeros(0, bool)] * 2, False)]
    found = summarise(trials, np.array([300, 600, 100, 0]))
    assert found["n_tested"] == 2 and found["validated_share"] == 0.5
    assert found["coverage"] == pytest.approx(300 * 0.9 / 1000)
    assert found["verdicts"] == {"validated": 1, "inconsistent": 1, "too rare": 1, "dead": 1}


def test_a_feature_unseen_in_selection_documents_claims_nothing(token, vocabulary) -> None:
    learning, selection = planted(token, 0), planted(token, 1)
    silent = np.isin(selection.firings.features, [WORD], invert=True)
    counts = np.diff(selection.firings.indptr)
    owners = np.repeat(np.arange(len(counts)), counts)[silent]
    rest = replace(
        selection.firings,
        indptr=np.cumsum([0, *np.bincount(owners, minlength=len(counts))]),
        features=selection.firings.features[silent],
        values=selection.firings.values[silent],
    )
    promoted = {feature: [] for feature in range(D_SAE)}
    labels = label_features(
        learning, FiringIndex(rest), NEAREST, promoted, Keywords(), vocabulary, 0
    )
    trials = try_labels(labels, planted(token, 2), np.ones(D_SAE, bool), NEAREST, vocabulary, 0)
    assert trials[WORD].n_claimed == 0 and trials[WORD].verdict == "inconsistent"
    assert trials[CONTEXT].verdict == "validated"


def test_a_label_without_a_rule_is_never_validated(token, vocabulary) -> None:
    labels, alive = [Label("x", None)] * D_SAE, np.ones(D_SAE, bool)
    found = try_labels(labels, planted(token, 4), alive, NEAREST, vocabulary, 0)
    assert not [t for t in found if t.verdict == "validated"]
