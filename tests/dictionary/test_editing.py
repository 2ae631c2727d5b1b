"""Edits by name: concepts and features of a dictionary, in units of their typical activation."""

import numpy as np
import pyarrow
import pytest
import torch

import saetask
from saetask import Dictionary
from saetask.dictionary.concept_table import CONCEPTS
from saetask.dictionary.editing import STRONGEST, resolve_edit, typical_activations
from saetask.dictionary.store import write_parquet
from saetask.models.hooks import read_hook
from saetask.saes.encoding import reads_bos
from saetask.saes.extraction import read_features
from saetask.saes.probe_text import probe_rows
from tests.helpers.refusals import refusal

ROW = [1, 504, 817, 282, 260, 1491]
CONCEPT = {
    "id": "on:noun.food",
    "name": "food",
    "kind": "on",
    "source": "noun.food",
    "statistic": 22.0,
    "null_threshold": 4.5,
    "auroc": 0.9,
    "verdict": "validated",
    "words": ["tea"],
    "examples": [],
}


@pytest.fixture(scope="module")
def named(word_folder, tmp_path_factory):
    """The words' dictionary with a concept of features that fire, weakest first."""
    import shutil

    folder = tmp_path_factory.mktemp("named") / "words"
    shutil.copytree(word_folder, folder)
    means = Dictionary.load(folder).mean_activations()
    features = np.flatnonzero(means > 0)[: STRONGEST + 2].tolist()
    weights = [0.1 * (1 + place) for place in range(len(features))]
    row = {**CONCEPT, "features": features, "weights": weights}
    write_parquet(folder / CONCEPTS, pyarrow.Table.from_pylist([row]))
    return Dictionary.load(folder)


def test_a_concept_is_its_strongest_features_each_by_its_mean(tiny_model, word_sae, named):
    (concept,), means = named.concepts(), named.mean_activations()
    for name in (concept.id, concept.name, concept.text):
        found = resolve_edit(tiny_model, word_sae, [], {name: 2.0}, named)
        strongest = list(concept.features[::-1][:STRONGEST])
        assert found.steered == {concept.text: strongest}
        assert found.edit.added == pytest.approx({f: 2 * means[f] for f in strongest})
    off = resolve_edit(tiny_model, word_sae, ["food"], {}, named)
    assert off.edit.ablated == set(concept.features) and not off.edit.added


def test_a_feature_of_two_names_gets_the_sum(tiny_model, word_sae, named):
    (concept,), means = named.concepts(), named.mean_activations()
    last = concept.features[-1]
    found = resolve_edit(tiny_model, word_sae, [], {"food": 1.0, last: 0.5}, named)
    assert found.edit.added[last] == pytest.approx(1.5 * means[last])


def test_without_a_dictionary_activations_are_measured_on_the_probe_texts(tiny_model, tiny_sae):
    rows, firing = probe_rows(tiny_model, reads_bos(tiny_sae)), []
    texts = [tiny_model.tokenizer.decode(row[1:]) for row in rows]
    for activations in read_features(tiny_model, tiny_sae, texts):
        firing += activations.values[activations.features == 5].tolist()
    found = typical_activations(tiny_model, tiny_sae, [5])
    assert found == pytest.approx({5: np.mean(firing)}, rel=0.05)  # decoded texts are cut elsewhere


def test_the_context_moves_the_activation_by_what_is_asked(tiny_model, tiny_sae):
    tokens, hook = torch.tensor([ROW]), tiny_sae.cfg.metadata.hook_name
    typical = typical_activations(tiny_model, tiny_sae, [5])[5]
    before = read_hook(tiny_model, tokens, hook)
    with saetask.edit(tiny_model, tiny_sae, steer={5: 3.0}):
        moved = (read_hook(tiny_model, tokens, hook) - before)[0, 1:]
    expected = torch.zeros(32)
    expected[5] = 3 * typical
    torch.testing.assert_close(moved, expected.expand_as(moved), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"steer": {"foood": 1.0}}, "There is no concept 'foood'. Did you mean 'food'?"),
        ({"ablate": ["fod"]}, "There is no concept 'fod'."),
        ({"steer": {10**6: 1.0}}, "There is no feature 1000000"),
    ],
)
def test_unknown_names_are_refused(tiny_model, word_sae, named, edit, said):
    arguments = {"ablate": [], "steer": {}} | edit
    assert said in refusal(resolve_edit, tiny_model, word_sae, *arguments.values(), named)


def test_names_need_a_dictionary_with_names(tiny_model, word_sae, word_folder, tiny_sae):
    unnamed = Dictionary.load(word_folder)
    assert "saetask dictionary name" in refusal(
        resolve_edit, tiny_model, word_sae, ["food"], {}, unnamed
    )
    assert "no dictionary" in refusal(resolve_edit, tiny_model, tiny_sae, ["food"], {})
    assert refusal(resolve_edit, tiny_model, tiny_sae, [1], {}, unnamed)  # of another SAE
