"""Contrasts have labels and statistics; words that features fire on are found."""

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from saetask import read_features
from saetask.data.prompts import Span
from saetask.data.rendering import RenderedPrompt
from saetask.dictionary.queries import contrast_features, similarities, words_fired_on
from saetask.saes.activations import FeatureActivations
from tests.helpers.refusals import refusal

LABELS = ["on 'a'", "on 'b'", "on 'c'", "on 'd'"]


def activations(*prompts):
    """One-token prompts, each a dict of activations by feature."""
    rendered = RenderedPrompt("x", [5], [Span(0, 1)], {"text": Span(0, 1)})
    return FeatureActivations(
        [rendered] * len(prompts),
        len(LABELS),
        np.cumsum([0, *map(len, prompts)]),
        np.array([f for prompt in prompts for f in sorted(prompt)], np.int32),
        np.array([prompt[f] for prompt in prompts for f in sorted(prompt)], np.float32),
    )


FIRST = activations({0: 1.0, 1: 5.0}, {0: 2.0, 1: 7.0}, {0: 1.0, 1: 3.0, 2: 1.0})
SECOND = activations({2: 1.0}, {2: 1.0, 3: 1.0}, {})


def test_a_contrast_names_label_shares_and_significance() -> None:
    best, *rest = contrast_features(FIRST, SECOND, LABELS, 10)
    assert (best.feature, best.label) == (1, "on 'b'")  # of equal shares, the stronger one
    assert (best.first, best.second, best.difference) == (1.0, 0.0, 1.0)
    assert best.p == pytest.approx(fisher_exact([[3, 0], [0, 3]], alternative="greater")[1])
    assert best.q >= best.p
    assert [each.feature for each in rest] == [0]
    feature, difference = best
    assert (feature, difference) == (1, 1.0)


def test_a_contrast_of_nothing_and_of_another_sae_is_refused() -> None:
    assert "at least one prompt" in refusal(contrast_features, activations(), SECOND, LABELS, 3)
    assert "through its SAE" in refusal(contrast_features, FIRST, SECOND, LABELS[:3], 3)
    assert contrast_features(activations({}), activations({}), LABELS, 3) == []


def words_one_at_a_time(contexts):
    """The slow twin: finds the words of the whole text that the token's characters overlap."""
    import re

    for context in contexts:
        tokens, position = context["tokens"], context["position"]
        start = len("".join(tokens[:position]))
        end = start + len(tokens[position])
        words = re.finditer(r"\w+", "".join(tokens))
        yield " ".join(m[0] for m in words if m.start() < end and start < m.end())


PIECES = st.sampled_from([" ship", "s", "in", "sul", "t", " a", ".", "\n", "é", " two words"])
CONTEXT = st.lists(PIECES, min_size=1, max_size=7).flatmap(
    lambda tokens: st.fixed_dictionaries(
        {"tokens": st.just(tokens), "position": st.integers(0, len(tokens) - 1)}
    )
)


@given(st.lists(CONTEXT, min_size=1, max_size=6))
def test_words_fired_on_are_those_of_the_slow_twin(contexts) -> None:
    table = pyarrow.Table.from_pylist(contexts)
    found = list(words_fired_on(table))
    for word, expected, context in zip(found, words_one_at_a_time(contexts), contexts):
        if all(" " in token for token in context["tokens"]) or len(context["tokens"]) <= 4:
            assert word == expected
        else:  # words of more pieces than are looked at are cut
            assert word in expected or expected in word


def test_similarity_is_of_words() -> None:
    scores = similarities(["the ship", "a road", ""], "ship")
    assert scores[0] > 0 and not scores[1:].any()
    assert not similarities(["", "..."], "ship").any()


def test_a_feature_is_found_by_the_words_that_it_fires_on(word_folder) -> None:
    from saetask import Dictionary

    dictionary = Dictionary.load(word_folder)
    feature = next(f for f, words in enumerate(dictionary._words) if words)
    word = dictionary._words[feature].split()[0]
    assert feature in dictionary.search(word, limit=len(dictionary))
    dictionary.labels = [""] * len(dictionary)
    assert feature in dictionary.search(word, limit=len(dictionary))


def test_top_documents_come_with_their_excerpts(word_folder) -> None:
    from saetask import Dictionary

    dictionary = Dictionary.load(word_folder)
    contexts = [c for f in range(len(dictionary)) for c in dictionary.contexts(f)]
    feature = contexts[0]["feature"]
    found = dictionary.top_documents(feature)
    assert next(iter(found)) == contexts[0]["document"]
    assert found[contexts[0]["document"]] == "".join(contexts[0]["tokens"])


def test_tables_of_firings_have_labels_where_labels_are_at_hand(tiny_model, tiny_sae) -> None:
    found = read_features(tiny_model, tiny_sae, "The sea was calm.")
    assert set(found.to_pandas()["label"]) == {""}
    labels = {f: f"on '{f}'" for f in range(tiny_sae.cfg.d_sae)}
    named = found.with_labels(labels)
    table = named.to_pandas()
    assert len(table) == len(list(found.firings()))
    assert list(table["label"]) == [labels[feature] for feature in table["feature"]]
    assert list(named[0].to_pandas()["label"]) == list(table["label"])
    assert "on &#x27;" in named._repr_html_()
