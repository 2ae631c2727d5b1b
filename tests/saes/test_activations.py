import html
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from saetask.data.prompts import Span, as_prompt
from saetask.data.rendering import RenderedPrompt, render
from saetask.saes.activations import FeatureActivations
from saetask.saes.extraction import read_features
from tests.helpers.refusals import refusal

# Looking at a reading: random sparse ones, without a model


@st.composite
def random_activations(draw):
    d_sae = draw(st.integers(1, 6))
    prompts, rows = [], []
    for _ in range(draw(st.integers(1, 4))):
        words = draw(st.lists(st.sampled_from(["ab", "c", " dé", "<b>", "\n"]), min_size=1))
        ends = np.cumsum([0, *map(len, words)])
        spans = [Span(int(a), int(b)) for a, b in pairwise(ends)]
        part = sorted(draw(st.tuples(*[st.integers(0, int(ends[-1]))] * 2)))
        ids = list(range(len(words)))
        prompts.append(RenderedPrompt("".join(words), ids, spans, {"part": Span(*part)}))
        feature_sets = st.sets(st.integers(0, d_sae - 1))
        rows += [sorted(draw(feature_sets)) for _ in words]
    indptr = np.cumsum([0, *map(len, rows)])
    features = np.array([feature for row in rows for feature in row], np.int32)
    strengths = st.floats(0.125, 64, width=32)
    values = draw(st.lists(strengths, min_size=len(features), max_size=len(features)))
    return FeatureActivations(prompts, d_sae, indptr, features, np.array(values, np.float32))


@given(random_activations())
def test_firings_are_the_csr_rows_with_their_text(activations):
    expected = []
    token_of_all = 0
    for item, prompt in enumerate(activations.prompts):
        for token, span in enumerate(prompt.token_spans):
            low, high = activations.indptr[token_of_all : token_of_all + 2]
            text = prompt.text[span.start : span.end]
            expected += [
                (item, token, span, text, feature, value, "", "")
                for feature, value in zip(
                    activations.features[low:high].tolist(), activations.values[low:high].tolist()
                )
            ]
            token_of_all += 1
    assert list(activations.firings()) == expected


@given(random_activations(), st.sets(st.integers(0, 7)), st.sampled_from([None, "part"]))
def test_some_features_alone_fire_as_among_all(activations, features, region):
    restricted = activations.restricted(np.array(sorted(features), dtype=int))
    expected = [firing for firing in activations.firings() if firing.feature in features]
    assert list(restricted.firings()) == expected
    dense = activations.pooled(region).toarray()
    dense[:, [f for f in range(activations.d_sae) if f not in features]] = 0
    assert np.array_equal(restricted.pooled(region).toarray(), dense)
    for item in range(len(activations)):
        assert list(restricted[item].firings()) == [
            firing._replace(item=0) for firing in expected if firing.item == item
        ]


@given(random_activations(), st.sampled_from([None, "part"]))
def test_pooling_equals_a_plain_loop(activations, region):
    expected = np.zeros((len(activations), activations.d_sae))
    for firing in activations.firings():
        prompt = activations.prompts[firing.item]
        if region is None or firing.span.overlaps(prompt.regions[region]):
            place = firing.item, firing.feature
            expected[place] = max(expected[place], firing.value)
    pooled = activations.pooled(region)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled.toarray(), expected, rtol=1e-5)


@given(random_activations())
def test_density_counts_tokens_of_the_given_items(activations):
    last = len(activations) - 1
    expected = np.zeros(activations.d_sae)
    for firing in activations.firings():
        expected[firing.feature] += firing.item in (0, last)
    np.testing.assert_array_equal(activations.density(sorted({0, last})), expected)


@given(random_activations())
def test_an_item_is_the_firings_of_its_prompt(activations):
    alone = [activations[item] for item in range(len(activations))]
    assert [list(a.prompts) for a in alone] == [[prompt] for prompt in activations.prompts]
    firings = [f._replace(item=item) for item, a in enumerate(alone) for f in a.firings()]
    assert firings == list(activations.firings())
    assert all(a.indptr[0] == 0 and a.indptr[-1] == len(a.values) for a in alone)


@given(random_activations())
def test_items_are_counted_from_the_end_and_end_where_they_end(activations):
    assert [list(a.firings()) for a in activations] == [
        list(activations[item].firings()) for item in range(len(activations))
    ]
    last = activations[len(activations) - 1]
    assert list(activations[-1].firings()) == list(last.firings())
    with pytest.raises(IndexError):
        activations[len(activations)]


@given(random_activations(), st.data())
def test_at_gives_the_firings_of_overlapping_tokens_only(activations, data):
    item = data.draw(st.integers(0, len(activations) - 1))
    length = len(activations.prompts[item].text)
    start, end = sorted(data.draw(st.tuples(st.integers(0, length), st.integers(0, length))))
    wanted = set(range(start, end))
    expected = [f for f in activations.firings() if f.item == item and wanted & set(range(*f.span))]
    assert activations.at(Span(start, end), item) == expected


@given(random_activations(), st.integers(1, 30), st.sampled_from([None, "part"]))
def test_top_gives_the_strongest_firings_and_each_feature_of_an_item_once(activations, k, region):
    top = activations.top(k, region)
    assert [f.value for f in top] == sorted((f.value for f in top), reverse=True)
    strongest = {}
    for f in activations.firings():
        if region is None or f.span.overlaps(activations.prompts[f.item].regions[region]):
            strongest[f.item, f.feature] = max(f.value, strongest.get((f.item, f.feature), 0))
    assert len(top) == min(k, len(strongest))
    assert all(strongest.pop((f.item, f.feature)) == f.value for f in top)
    assert all(value <= top[-1].value for value in strongest.values())
    assert set(top) <= set(activations.firings())


# As HTML


def shown_text(rendered_html):
    """The text a reader sees, with line breaks as they were."""
    return html.unescape(re.sub("<[^>]*>", "", rendered_html.replace("↵<br>", "\n")))


def test_html_escapes_the_prompt(tiny_model, tiny_sae):
    text = "a <script>alert('x')</script> & \"b\" 'c'"
    shown = read_features(tiny_model, tiny_sae, [text])._repr_html_()
    assert "<" not in re.sub("</?(p|span)( [^<>]*)?>", "", shown)
    assert shown_text(shown) == text


@pytest.mark.parametrize("spans", [[Span(0, 8)], [], [Span(8, 9)], [Span(0, 1)]])
def test_html_escapes_a_tag_within_a_token_and_between_tokens(spans):
    rendered = RenderedPrompt("<script>x", [0] * len(spans), spans, {})
    none = np.empty(0, np.int32)
    reading = FeatureActivations([rendered], 9, np.zeros(len(spans) + 1, int), none, none * 1.0)
    shown = reading._repr_html_()
    assert "<script>" not in shown
    assert shown_text(shown) == "<script>x"


@pytest.mark.parametrize(
    "text",
    [
        "two  blanks\n\nand a 🦔, é, 漢字 and שלום",
        "👩‍👩‍👧‍👦🦔🦔",
        " blank at both ends ",
        "the vocabulary lacks this at the \x1d end\x1d",
        "\x04",
    ],
)
@pytest.mark.parametrize("chat", [True, False])
def test_html_has_every_character_of_the_text_once(tiny_model, tiny_sae, text, chat):
    reading = read_features(tiny_model, tiny_sae, [as_prompt(text) if chat else text])
    assert shown_text(reading._repr_html_()) == reading.prompts[0].text


def test_html_names_the_features_of_a_token_strongest_first(tiny_tokenizer):
    rendered = render(tiny_tokenizer, "Oslo is")
    values = np.array([1, 4, 2], np.float32)
    indptr = np.array([0, 0, 3, *[3] * (len(rendered.token_ids) - 2)])
    reading = FeatureActivations([rendered], 99, indptr, np.array([3, 7, 90], np.int32), values)
    shown = reading._repr_html_()
    assert "title='feature 7: 4.00&#10;feature 90: 2.00&#10;feature 3: 1.00'" in shown
    assert shown.count("feature ") == 3


def test_an_unknown_region_is_refused_with_those_that_there_are(tiny_model, tiny_sae):
    found = read_features(tiny_model, tiny_sae, "The sea was calm.")
    for call in (found.pooled, lambda region: found.top(3, region)):
        line = refusal(call, "txt")
        assert "no region 'txt'" in line and "text" in line.partition("it has")[2]


def test_a_string_is_read_as_text_or_as_a_chat_as_asked(tiny_model, tiny_sae):
    text = "The sea was calm."
    as_text, as_chat = (read_features(tiny_model, tiny_sae, text, chat=c) for c in (False, True))
    prompt = read_features(tiny_model, tiny_sae, as_prompt(text))
    assert as_chat.prompts[0].text == prompt.prompts[0].text != as_text.prompts[0].text
    assert np.array_equal(as_chat.values, prompt.values)


@given(random_activations())
def test_the_plain_text_has_the_amounts_and_the_strongest_firings(activations):
    named = activations.with_labels({feature: f"about {feature}" for feature in range(6)})
    first, *lines = repr(named).splitlines()
    assert f"{len(activations.features):,} firings" in first
    shown = [(int(line.split()[0]), line.endswith(f"about {line.split()[0]}")) for line in lines]
    assert shown == [(firing.feature, True) for firing in activations.top(5)]


@given(random_activations())
def test_firings_and_the_table_have_the_labels_that_were_given(activations):
    labels = {0: "zero", 2: "two"}
    named = activations.with_labels(labels)
    assert all(f.label == labels.get(f.feature, "") for f in named.firings())
    table = named.to_pandas()
    assert table["label"].tolist() == [labels.get(feature, "") for feature in table["feature"]]
    assert [*table.columns] == [
        *("item", "token", "start", "end", "text", "feature", "value", "label", "name")
    ]


@given(random_activations())
def test_names_stand_on_firings_in_the_table_and_before_labels_in_what_is_shown(activations):
    assume(activations.features.size)
    features = sorted(set(activations.features.tolist()))
    labels = {feature: f"label {feature}" for feature in features}
    named = activations.with_labels(labels, {features[0]: "food (tea)"})
    assert {f.name for f in named.firings() if f.feature == features[0]} == {"food (tea)"}
    table = named.to_pandas()
    assert set(table["name"]) - {""} == {"food (tea)"}
    assert (table["label"] == [labels[feature] for feature in table["feature"]]).all()
    shown = named.restricted(np.array(features[:1]))
    assert "food (tea)" in repr(shown) and "label" not in repr(shown)
    assert "food (tea)" in shown._repr_html_() and "label" not in shown._repr_html_()
    assert named.with_labels({}).names == named.names == named[0].names
