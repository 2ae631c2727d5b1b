import io

import numpy as np
import pytest

from saetask.data.prompts import as_prompt
from saetask.discovery import reading as reading_module
from saetask.discovery.prompt_text import READ, own_texts
from saetask.discovery.random_dictionary import random_reader
from saetask.discovery.reading import Reader, read_log, render_log
from saetask.discovery.shown_prompts import firing_tokens, prompts_to_show
from saetask.saes.concepts import Concept
from saetask.saes.extraction import read_features
from tests.helpers.refusals import refusal

PROMPTS = [
    as_prompt("Say which. The ship was green and very old. Yes or no?"),
    as_prompt("Say which. The dog. Yes or no?"),
    "The bread was on the road for a very long time, and nobody took it.",
    as_prompt("Say which. The sea and the house by the sea. Yes or no?"),
]
CONCEPTS = [
    Concept("on:a", "a", "on", (1, 5, 9), (1.0, 0.5, 2.0)),
    Concept("on:b", "b", "on", (40,), (1.0,)),
]


@pytest.fixture(scope="module")
def rendered(tiny_model, tiny_sae):
    ids = [str(i) for i in range(len(PROMPTS))]
    return render_log(tiny_model, tiny_sae, ids, PROMPTS, own_texts(PROMPTS))


@pytest.fixture(scope="module")
def read(tiny_model, tiny_sae, rendered):
    return read_log(tiny_model, [Reader(tiny_sae, CONCEPTS)], rendered)


def test_every_prompt_is_pooled_over_its_own_tokens(tiny_model, tiny_sae, rendered, read):
    """Each prompt alone, by loops over its firings."""
    for number, prompt in enumerate(PROMPTS):
        activations = read_features(tiny_model, tiny_sae, prompt)
        region = rendered[number].regions[READ]
        tokens = rendered[number].tokens_in(region)
        on_tokens = np.zeros((len(rendered[number].token_ids), tiny_sae.cfg.d_sae))
        for firing in activations.firings():
            on_tokens[firing.token, firing.feature] = np.log1p(firing.value)
        features = on_tokens[tokens].max(0)
        np.testing.assert_allclose(
            read.readings[0].features[[number]].toarray()[0], features, atol=1e-3
        )
        for column, concept in enumerate(CONCEPTS):
            weighted = on_tokens[tokens][:, list(concept.features)] @ concept.weights
            assert read.readings[0].concepts[number, column] == pytest.approx(
                max(0, weighted.max()), abs=1e-3
            )
        assert read.n_tokens[number] == len(tokens)


def test_on_a_terminal_a_bar_counts_the_prompts(tiny_model, tiny_sae, rendered, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    read_log(tiny_model, [Reader(tiny_sae, CONCEPTS)], rendered)
    shown = terminal.getvalue()
    assert "read prompts:" in shown and "0/4" in shown and "4/4" in shown


def test_every_order_of_prompts_is_given_back_and_parts_change_nothing(
    tiny_model, tiny_sae, rendered, read, tmp_path, monkeypatch
):
    monkeypatch.setattr(reading_module, "BATCHES_PER_PART", 1)
    readers, several = [Reader(tiny_sae, CONCEPTS)], [rendered[i] for i in (3, 0, 2, 1, 0)]
    monkeypatch.setattr("saetask.saes.extraction.TOKENS_PER_BATCH", 64)
    for _ in range(2):  # read, then taken from the parts
        found = read_log(tiny_model, readers, several, tmp_path).readings[0]
        whole = read.readings[0].of(np.array([3, 0, 2, 1, 0]))
        np.testing.assert_allclose(found.concepts, whole.concepts, atol=1e-3)
        difference = abs(found.features - whole.features)
        assert difference.max() < 1e-3
    assert len(list(tmp_path.glob("*.safetensors"))) > 1


def test_a_prompt_that_is_too_long_is_left_out_and_all_of_them_are_refused(tiny_model, tiny_sae):
    prompts = ["sea " * 500, "The sea."]
    spans = own_texts(prompts)
    rendered = render_log(tiny_model, tiny_sae, ["a", "b"], prompts, spans)
    assert rendered[0] is None and rendered[1] is not None
    said = refusal(render_log, tiny_model, tiny_sae, ["a"], prompts[:1], spans[:1])
    assert "All 1 prompts are longer than the model's context" in said and "Item 'a'" in said


def test_the_template_is_not_read(rendered):
    for prompt in rendered:
        region = prompt.regions[READ]
        assert "user" not in prompt.text[region.start : region.end]


def test_a_random_reader_has_groups_of_the_same_sizes_and_other_directions(
    tiny_model, tiny_sae, rendered
):
    control = random_reader(tiny_model, Reader(tiny_sae, CONCEPTS), rendered, seed=0)
    assert [len(group.features) for group in control.concepts] == [3, 1]
    assert not np.allclose(control.sae.W_dec.detach(), tiny_sae.W_dec.detach())


def test_tokens_are_those_above_the_threshold_and_within_the_text(
    tiny_model, tiny_sae, rendered, read
):
    wanted = [(index, CONCEPTS[0], 0.3) for index in (3, 0, 3)]
    tokens = firing_tokens(tiny_model, tiny_sae, rendered, wanted)
    assert tokens[0] == tokens[2]
    for (index, _, threshold), found in zip(wanted, tokens):
        region = rendered[index].regions[READ]
        text = rendered[index].text[region.start : region.end]
        assert found and all(text[t.start : t.end] == t.text for t in found)
        largest = read.readings[0].concepts[index, 0]
        assert max(t.activation for t in found) == pytest.approx(largest, abs=1e-3)
        assert min(t.activation for t in found) > threshold


def test_prompts_to_show_are_of_the_half_and_the_strongest_first():
    scores, failures = np.array([3.0, 1, 5, 4, 0, 2]), np.array([1.0, 1, 1, 0, 1, 0])
    shown = prompts_to_show(scores, scores > 0, failures, np.array([0, 1, 3, 4, 5]))
    assert shown.examples == [0, 1] and shown.near_misses == [3, 5]
