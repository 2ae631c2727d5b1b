"""A reading's pieces are the text, and its strengths those of the slow, obvious way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data.prompts import Span
from saetask.data.rendering import RenderedPrompt
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept
from saetask.session.reading_document import nearest_concepts, reading_document, text_pieces

D_SAE = 6


@st.composite
def readings(draw) -> FeatureActivations:
    """Activations of a text between two markers of a template; some tokens share characters."""
    words = draw(st.lists(st.text("ab é\n", min_size=1, max_size=4), min_size=1, max_size=6))
    text = "".join(words)
    spans, start = [Span(0, 2)], 2
    for word in words:
        span = Span(start, start + len(word))
        spans += [span] * draw(st.integers(1, 2))
        start = span.end
    spans.append(Span(start, start + 2))
    prompt = RenderedPrompt(f"<<{text}>>", [0] * len(spans), spans, {"text": Span(2, start)})
    firing = draw(
        st.lists(
            st.dictionaries(st.integers(0, D_SAE - 1), st.floats(0.125, 9, width=32), max_size=3),
            min_size=len(spans),
            max_size=len(spans),
        )
    )
    return FeatureActivations(
        [prompt],
        D_SAE,
        np.cumsum([0, *map(len, firing)]),
        np.array([f for each in firing for f in sorted(each)], np.int32),
        np.array([each[f] for each in firing for f in sorted(each)], np.float32),
    )


@given(readings())
def test_pieces_are_the_text_and_every_token_of_it_is_in_one(activations) -> None:
    prompt, pieces = activations.prompts[0], list(text_pieces(activations))
    region = prompt.regions["text"]
    assert "".join(piece.text for piece in pieces) == prompt.text[region.start : region.end]
    tokens = [token for piece in pieces for token in piece.tokens]
    assert len(tokens) == len(set(tokens)) and set(tokens) <= set(prompt.tokens_in(region))


@given(readings())
def test_strengths_are_those_of_the_pieces_tokens(activations) -> None:
    document = reading_document(activations, None, also=["feature:0", "feature:99", "nothing"])
    pieces = list(text_pieces(activations))
    by_token: dict[tuple[int, int], float] = {
        (firing.token, firing.feature): firing.value for firing in activations.firings()
    }
    listed = {int(row["id"].partition(":")[2]): row["strength"] for row in document["features"]}
    assert 0 in listed and 99 not in listed and document["concepts"] == []
    for feature, strength in listed.items():
        slow = [max([by_token.get((t, feature), 0.0) for t in p.tokens] or [0.0]) for p in pieces]
        assert strength == pytest.approx(slow, abs=2e-3)
    fires = {f for (t, f) in by_token if any(t in piece.tokens for piece in pieces)}
    assert fires <= set(listed)


@given(st.lists(st.sets(st.integers(0, D_SAE - 1), min_size=1), min_size=1, max_size=6))
def test_nearest_concepts_share_most_features(groups) -> None:
    concepts = [
        Concept(str(i), str(i), "on", tuple(sorted(group)), (0.5,) * len(group))
        for i, group in enumerate(groups)
    ]
    for i, near in enumerate(nearest_concepts(concepts, D_SAE)):
        shares = {
            j: len(groups[i] & groups[j]) / len(groups[i] | groups[j])
            for j in range(len(groups))
            if j != i
        }
        best = sorted((share for share in shares.values() if share), reverse=True)[:3]
        assert [shares[j] for j in near] == pytest.approx(best)
