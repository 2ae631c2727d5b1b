"""k-sparse probing on planted inputs, and on the tiny model from prompt to document."""

import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from benchmarks import probe_inputs, sparse_probing
from benchmarks.k_sparse_probes import probe_scores
from saetask.detection import sparse_probes
from saetask.utils.auroc import macro_auroc

N = 160
GROUPS = [str(i // 4) for i in range(N)]


def area(inputs, labels, k) -> float:
    scores = probe_scores(inputs, labels, GROUPS, [k], repeats=2)
    found = macro_auroc([*labels] * 2, scores[k], GROUPS * 2, n_resamples=1)
    assert found is not None
    return found.value


@pytest.fixture
def planted():
    """Labels of three classes, and inputs of which columns 40 to 42 are one class each."""
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.repeat(["a", "b", "c"], [60, 50, 50]))
    inputs = generator.random((N, 50)) * (generator.random((N, 50)) < 0.3)
    for column, name in zip((40, 41, 42), "abc"):
        inputs[:, column] = (labels == name) * (1 + generator.random(N))
    return labels, inputs


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
@pytest.mark.parametrize("k", [1, 3, None])
def test_a_planted_input_is_found(planted, kind, k) -> None:
    labels, inputs = planted
    assert area(kind(inputs), labels, k) > 0.97


def test_the_choice_of_inputs_does_not_depend_on_their_scale(planted) -> None:
    labels, inputs = planted
    scaled = inputs * np.where(np.arange(50) < 40, 1000.0, 1.0)
    assert area(scaled, labels, 1) > 0.97


def test_permuted_labels_give_chance_though_inputs_are_chosen(planted) -> None:
    """With 2,000 inputs the best one looks good where it is chosen; held out it must not."""
    generator = np.random.default_rng(1)
    inputs = generator.standard_normal((N, 2000))
    areas = [area(inputs, generator.permutation(planted[0]), k) for k in (1, 8) for _ in range(3)]
    assert abs(np.mean(areas) - 0.5) < 0.05


def test_sparse_and_dense_inputs_give_the_same_scores(planted) -> None:
    labels, inputs = planted
    dense = probe_scores(inputs, labels, GROUPS, [4], repeats=1)[4]
    sparse = probe_scores(csr_matrix(inputs), labels, GROUPS, [4], repeats=1)[4]
    for name, scores in dense.items():
        np.testing.assert_allclose(sparse[name], scores, atol=1 / 8)


def test_the_contrast_is_that_of_the_plain_formula(planted) -> None:
    labels, inputs = planted
    positive = labels == "b"
    found = sparse_probes.class_contrast(inputs, positive)
    one, other = inputs[positive], inputs[~positive]
    within = np.sqrt((len(one) * one.var(0) + len(other) * other.var(0)) / N)
    np.testing.assert_allclose(found.contrast, (one.mean(0) - other.mean(0)) / within)
    np.testing.assert_allclose(found.mean, inputs.mean(0))


def test_the_document_compares_saes_neurons_and_random_features(
    tiny_model, tiny_sae_folder, monkeypatch, capsys, tmp_path
) -> None:
    monkeypatch.setattr(sparse_probing, "load_model", lambda: tiny_model)
    other = "blocks.1.hook_resid_post"
    out = tmp_path / "probing.json"
    options = ["--limit", "60", "--ks", "1", "2", "--repeats", "1", "--hooks", other]
    given = ["metaphor", "--saes", str(tiny_sae_folder), "--out", str(out), *options]
    assert sparse_probing.main(given) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(out.read_text())
    assert document["n"] == 60
    own = document["saes"]["tiny"]
    assert [*document["neurons"]] == [other, own["hook_name"]]
    for k in ("1", "2", "all"):
        of_sae, of_neurons = own["auroc"][k], document["neurons"][own["hook_name"]][k]
        difference = own["minus_neurons"][k]["value"]
        assert difference == pytest.approx(of_sae["value"] - of_neurons["value"], abs=2e-4)
        assert of_sae["ci95"][0] <= of_sae["value"] <= of_sae["ci95"][1]


def test_regions_are_read_as_extraction_reads_them(tiny_model, tiny_sae) -> None:
    """The slow twin: `read_features`, pooled, and the mean of one prompt's activations."""
    from saetask.data.samples import make_samples
    from saetask.models.hooks import read_hook
    from saetask.plugins import PluginRegistry
    from saetask.saes.extraction import read_features

    torch = pytest.importorskip("torch")
    data = probe_inputs.labelled_prompts("metaphor", tiny_model.tokenizer, limit=5)
    task = PluginRegistry().get("task", "metaphor")
    by_text = {s.prompt.content: s.prompt for s in make_samples(task, task.items())}
    prompts = [next(p for t, p in by_text.items() if t in r.text) for r in data.prompts]
    hook = tiny_sae.cfg.metadata.hook_name
    found = probe_inputs.read_inputs(tiny_model, data, [hook], {"sae": tiny_sae})
    pooled = read_features(tiny_model, tiny_sae, prompts)
    expected = np.hstack([pooled.pooled(name).log1p().toarray() for name in data.regions])
    np.testing.assert_allclose(found["sae"].toarray(), expected, atol=1e-4)
    first = data.prompts[0]
    raw = read_hook(tiny_model, torch.tensor([first.token_ids]), hook)[0].float()
    means = [raw[first.tokens_in(first.regions[name])].mean(0) for name in data.regions]
    np.testing.assert_allclose(found[hook][0], torch.cat(means), atol=1e-4)
