"""Kept work is refused, or made anew, once the content that it was made from has changed."""

import json
import shutil
from dataclasses import replace

import pytest

from saetask import Session, load_sae, train
from saetask.cli.config_files import read_config
from saetask.data.corpus import CorpusConfig, Source
from saetask.dictionary.collect.corpus_pass import BuildConfig, read_corpus
from saetask.dictionary.store import MANIFEST, read_manifest
from saetask.session import SessionConfig
from saetask.training import TrainConfig
from saetask.training import runner as training
from saetask.training.harvest import harvest
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import ONE_BASELINE, Touch, touch_plugins

BOM = b"\xef\xbb\xbf"


@pytest.fixture
def change_text(harvest_config, tmp_path):
    """Returns a function that changes a word of the corpus and nothing else."""
    path = tmp_path / harvest_config.corpus.sources[0].path

    def change():
        path.write_text(path.read_text().replace("boats", "ships"))

    return change


def test_a_harvest_of_another_corpus_or_model_is_refused(
    harvest_config, tmp_path, tiny_model, change_text, make_tiny_bridge
):
    def again(model=tiny_model):
        return harvest(model, harvest_config, tmp_path / "shards", tmp_path)

    again()
    templated = make_tiny_bridge()
    templated.tokenizer.chat_template += " "
    assert "another config or model" in refusal(again, templated)
    change_text()
    assert "corpus of other content" in refusal(again)


def test_a_training_folder_of_another_corpus_is_refused(
    harvest_config, tmp_path, tiny_model, change_text, monkeypatch
):
    monkeypatch.setattr(training, "load_model", lambda spec: tiny_model)
    recipe = TrainConfig(harvest_config, d_sae=16, options={"k": 4}, samples=640, batch_size=64)
    recipe = replace(recipe, test_tokens=200)
    train(recipe, tmp_path / "sae", tmp_path)
    change_text()
    line = refusal(train, recipe, tmp_path / "sae", tmp_path)
    assert "SAE of another recipe, model or corpus" in line


def test_a_corpus_pass_of_another_corpus_model_or_sae_is_refused(
    tmp_path, tiny_model, tiny_sae, make_tiny_sae, make_tiny_bridge, make_tiny_hf_model
):
    path = tmp_path / "texts.jsonl"
    texts = [f"Text {i}. " + f"the {i} boats sail at dawn and return. " * 20 for i in range(60)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    corpus = CorpusConfig([Source("texts.jsonl")], 32, test_share=0.3, selection_share=0.3)
    config = BuildConfig(corpus, tokens=500, sample_rows=8)

    def again(model=tiny_model, sae=tiny_sae):
        return read_corpus(model, sae, config, tmp_path / "dictionary", tmp_path)

    again()
    again()
    changed = make_tiny_sae()
    changed.cfg.k -= 1
    for other in ({"model": make_tiny_bridge(make_tiny_hf_model(seed=1))}, {"sae": changed}):
        assert "another model, SAE or corpus" in refusal(again, **other)
    path.write_text(path.read_text().replace("boats", "ships"))
    assert "another model, SAE or corpus" in refusal(again)


# fits of sessions


class OtherTouch(Touch):
    """The same task with an item more."""

    def items(self, data=None):
        items = super().items(data)
        return [*items, replace(items[0], id="one more")]


def test_the_name_of_a_fit_depends_on_all_that_the_fit_does(
    tiny_model, tiny_sae, make_tiny_sae, make_tiny_bridge, tmp_path, monkeypatch
):
    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path))
    plugins, config = touch_plugins(), SessionConfig(settings=ONE_BASELINE)
    templated = make_tiny_bridge()
    templated.tokenizer.chat_template += " "
    sae = make_tiny_sae()
    sae.cfg.metadata.norm_limit = 1e9
    few = replace(config, settings=replace(ONE_BASELINE, note_samples=9))
    sessions = [
        Session(model, used, task, QuickProbe, plugins=plugins, config=settings)
        for model, used, task, settings in (
            (tiny_model, tiny_sae, Touch(), config),
            (templated, tiny_sae, Touch(), config),
            (tiny_model, sae, Touch(), config),
            (tiny_model, tiny_sae, OtherTouch(), config),
            (tiny_model, tiny_sae, Touch(), few),
            (tiny_model, tiny_sae, Touch(), replace(config, fit_items=30)),
        )
    ]
    names = [session.pipeline_name() for session in sessions]
    assert len(set(names)) == len(names)
    again = Session(tiny_model, tiny_sae, Touch(), QuickProbe, plugins=plugins, config=config)
    assert again.pipeline_name() == names[0]


@pytest.mark.slow  # loads the default model
def test_what_is_shipped_has_the_fingerprints_of_today(model, default_sae):
    from saetask import Dictionary
    from saetask.saes.loading import assets_folder

    Dictionary.load().check(model, default_sae)
    for task in ("metaphor", "word-problems"):
        name = Session(model, default_sae, task).pipeline_name()
        assert (assets_folder() / "fits" / name).is_dir(), "python recipes/refresh_fingerprints.py"


# byte-order marks


def marked(path):
    path.write_bytes(BOM + path.read_bytes())


def test_an_saes_config_with_a_byte_order_mark_is_read(tiny_sae_folder, tiny_sae, tmp_path):
    from saetask.saes.loading import sae_fingerprint

    folder = shutil.copytree(tiny_sae_folder, tmp_path / "sae")
    marked(folder / "cfg.json")
    assert sae_fingerprint(load_sae(folder)) == sae_fingerprint(tiny_sae)


def test_a_manifest_and_a_recipe_with_a_byte_order_mark_are_read(word_manifest, tmp_path):
    folder = tmp_path / "dictionary"
    folder.mkdir()
    (folder / MANIFEST).write_text(json.dumps(word_manifest))
    plain = read_manifest(folder)
    marked(folder / MANIFEST)
    assert read_manifest(folder) == plain
    recipe = tmp_path / "corpus.yaml"
    recipe.write_text("context_size: 48\n")
    marked(recipe)
    assert read_config(recipe, CorpusConfig, "Corpus file").context_size == 48


def test_a_key_that_a_manifest_does_not_have_is_refused(word_manifest, tmp_path):
    (tmp_path / MANIFEST).write_text(json.dumps({**word_manifest, "validaton": None}))
    line = refusal(read_manifest, tmp_path)
    assert "validaton" in line


@pytest.fixture
def word_manifest():
    from saetask.dictionary.dictionary import dictionary_folder
    from saetask.saes.loading import DEFAULT_SAE

    return json.loads((dictionary_folder(DEFAULT_SAE) / MANIFEST).read_text(encoding="utf-8"))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_named(tiny_sae_folder, tmp_path, encoding):
    folder = shutil.copytree(tiny_sae_folder, tmp_path / "sae")
    text = (folder / "cfg.json").read_text().replace("tiny-llama", "tiny-é")
    (folder / "cfg.json").write_bytes(text.encode(encoding))
    assert "save it as UTF-8" in refusal(load_sae, folder)


@pytest.mark.parametrize("spec", ["sae_weights.safetensors", "missing/", "missing.safetensors"])
def test_an_sae_that_looks_like_a_path_is_one(tiny_sae_folder, spec):
    line = refusal(load_sae, f"{tiny_sae_folder}/{spec}")
    assert "is a file" in line or "does not exist" in line
    assert "does not exist" in refusal(load_sae, f"none/{spec}")
