"""What the study of planted cues takes out of activations, and which concepts it strikes."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.cues import CUES
from benchmarks.planted_cues import _erased, _figures, _without_direction

N, D = 600, 8


def activations_with_a_cue():
    generator = np.random.default_rng(0)
    cue = generator.integers(0, 2, N)
    mixed = generator.normal(size=(D, D))
    return (generator.normal(size=(N, D)) + 2 * cue[:, None] * np.eye(D)[0]) @ mixed, cue


def test_no_linear_probe_tells_a_cue_that_was_erased():
    inputs, cue = activations_with_a_cue()
    probe = LogisticRegression(C=1e4, max_iter=2000)
    assert probe.fit(inputs, cue).score(inputs, cue) > 0.8
    left = _erased(inputs, cue)(inputs)
    assert probe.fit(left, cue).score(left, cue) < 0.6
    difference = left[cue == 1].mean(0) - left[cue == 0].mean(0)
    np.testing.assert_allclose(difference, 0, atol=1e-8)


def test_the_projection_takes_out_one_direction_and_no_more():
    inputs, cue = activations_with_a_cue()
    left = _without_direction(inputs, cue)(inputs)
    assert np.linalg.matrix_rank(inputs - left) == 1
    direction = inputs[cue == 1].mean(0) - inputs[cue == 0].mean(0)
    np.testing.assert_allclose(left @ direction, 0, atol=1e-8)


def test_the_words_of_a_cue_differ_between_the_halves_where_it_is_words():
    for name in ("nouns", "name"):
        for first, second in CUES[name].words:
            assert not set(first) & set(second)


def test_figures_are_of_every_draw():
    labels = np.array([0, 1, 1, 0])
    figures = _figures(np.array([[-1.0, 1, 1, -1], [1.0, -1, -1, 1]]), labels)
    assert figures == {"accuracy": 0.5, "auroc": 0.5}
