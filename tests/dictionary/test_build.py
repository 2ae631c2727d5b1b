"""A dictionary folder on the tiny model: whole, resumable, true to the corpus, and guarded."""

import json
from itertools import islice

import numpy as np
import pytest
from saetask_plugins.labelers.keywords import Keywords

import saetask.dictionary.collect.corpus_pass as reading
from saetask import Dictionary, UserError, read_features
from saetask.cli.main import main
from saetask.data.corpus import CorpusConfig, Source, token_rows
from saetask.dictionary.collect.corpus_pass import BuildConfig
from saetask.dictionary.evaluate.validation import shuffled_model_figures, validate
from saetask.dictionary.label.build import build
from saetask.dictionary.store import CONTEXTS, FEATURES, MANIFEST
from saetask.models.loading import model_tokenizer
from saetask.saes.random_sae import random_sae

NOUNS = ["sea", "ship", "dog", "road", "house", "bread", "king", "tree", "night", "song"]


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory):
    generator = np.random.default_rng(0)
    texts = []
    for number in range(500):
        nouns = generator.choice(NOUNS, 12)
        texts.append(
            f"Story {number}. " + " ".join(f"The old {n} was near the {n}." for n in nouns)
        )
    folder = tmp_path_factory.mktemp("corpus")
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "texts.jsonl").write_text(lines)
    return folder


@pytest.fixture(scope="module")
def config():
    corpus = CorpusConfig(
        [Source("texts.jsonl")], context_size=48, test_share=0.2, selection_share=0.2
    )
    return BuildConfig(corpus, tokens=9_000, sample_rows=150)


@pytest.fixture(scope="module")
def folder(tiny_model, tiny_sae, config, corpus_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("dictionaries") / "whole"
    build(tiny_model, tiny_sae, config, Keywords(), out, corpus_folder)
    validate(tiny_model, tiny_sae, Keywords(), out)
    return out


@pytest.fixture(scope="module")
def dictionary(folder):
    return Dictionary.load(folder)


def test_the_folder_says_what_was_read_and_how_labels_fared(dictionary, tiny_sae) -> None:
    manifest = dictionary.manifest
    assert manifest["n_features"] == len(dictionary) == tiny_sae.cfg.d_sae
    assert manifest["corpus"]["tokens"] >= 9_000
    assert manifest["corpus"]["samples"]["test"]["rows"] == 150
    validation = manifest["validation"]
    assert sum(validation["verdicts"].values()) == len(dictionary)
    assert set(validation["controls"]) == {"random-sae"}
    verdicts = [dictionary.feature(i).verdict for i in range(len(dictionary))]
    assert verdicts.count("validated") == validation["verdicts"]["validated"]


def test_splits_share_no_document(config, tiny_model, corpus_folder) -> None:
    tokenizer = model_tokenizer(tiny_model)
    documents = [
        {row.document for row in token_rows(config.corpus, tokenizer, split, corpus_folder)}
        for split in ("train", "selection", "test")
    ]
    assert sum(map(len, documents)) == len(set.union(*documents)) == 500


def test_contexts_show_the_activation_that_reading_their_row_gives(
    dictionary, config, tiny_model, tiny_sae, corpus_folder
) -> None:
    from saetask.saes.extraction import extract_token_activations

    tokenizer = model_tokenizer(tiny_model)
    rows = list(token_rows(config.corpus, tokenizer, "train", corpus_folder))
    feature = int(np.argmax([dictionary.feature(i).row["density"] for i in range(len(dictionary))]))
    strongest = dictionary.contexts(feature)[0]
    matching = [row for row in rows if row.document == strongest["document"]]
    dense = extract_token_activations(tiny_model, [tiny_sae], matching)[0].matrix().toarray()
    assert np.isclose(dense[:, feature], strongest["activation"], rtol=1e-4).any()


@pytest.mark.parametrize("rows_per_shard", [64, 192])
def test_shards_of_another_size_make_the_same_bytes(
    folder, config, tiny_model, tiny_sae, corpus_folder, tmp_path, monkeypatch, rows_per_shard
) -> None:
    monkeypatch.setattr(reading, "ROWS_PER_SHARD", rows_per_shard)
    rows = token_rows(config.corpus, model_tokenizer(tiny_model), "train", corpus_folder)
    tokens = sum(len(row.token_ids) for row in islice(rows, 192))
    exact = BuildConfig(config.corpus, tokens=tokens, sample_rows=100)
    made = []
    for name, size in (("a", rows_per_shard), ("b", 192)):
        monkeypatch.setattr(reading, "ROWS_PER_SHARD", size)
        build(tiny_model, tiny_sae, exact, Keywords(), tmp_path / name, corpus_folder)
        made.append([(tmp_path / name / f).read_bytes() for f in (FEATURES, CONTEXTS, MANIFEST)])
    assert made[0] == made[1]


def test_a_killed_build_goes_on_to_the_same_bytes(
    folder, config, tiny_model, tiny_sae, corpus_folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(reading, "ROWS_PER_SHARD", 64)
    real, calls = reading.extract_token_activations, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    short = BuildConfig(config.corpus, tokens=9_000, sample_rows=100)
    build(tiny_model, tiny_sae, short, Keywords(), tmp_path / "whole", corpus_folder)
    monkeypatch.setattr(reading, "extract_token_activations", killed)
    with pytest.raises(KeyboardInterrupt):
        build(tiny_model, tiny_sae, short, Keywords(), tmp_path / "killed", corpus_folder)
    build(tiny_model, tiny_sae, short, Keywords(), tmp_path / "killed", corpus_folder)
    for name in (FEATURES, CONTEXTS, MANIFEST):
        whole, resumed = (tmp_path / run / name for run in ("whole", "killed"))
        assert whole.read_bytes() == resumed.read_bytes(), name


def test_fewer_tokens_than_were_read_before_take_all_that_were(
    config, tiny_model, tiny_sae, corpus_folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(reading, "ROWS_PER_SHARD", 64)
    for tokens in (9_000, 3_000):
        short = BuildConfig(config.corpus, tokens=tokens, sample_rows=100)
        build(tiny_model, tiny_sae, short, Keywords(), tmp_path, corpus_folder)
        assert Dictionary.load(tmp_path).manifest["corpus"]["tokens"] >= 9_000


def test_a_corpus_that_is_too_short_says_how_short(
    config, tiny_model, tiny_sae, corpus_folder, tmp_path
) -> None:
    long = BuildConfig(config.corpus, tokens=10**7, sample_rows=100)
    with pytest.raises(UserError, match="fewer than 10000000"):
        build(tiny_model, tiny_sae, long, Keywords(), tmp_path, corpus_folder)


def test_a_folder_of_another_corpus_is_refused(
    folder, config, tiny_model, tiny_sae, corpus_folder
) -> None:
    other = BuildConfig(config.corpus, tokens=9_000, sample_rows=100, seed=1)
    with pytest.raises(UserError, match="another model, SAE or corpus"):
        build(tiny_model, tiny_sae, other, Keywords(), folder, corpus_folder)


def test_another_sae_is_refused(dictionary, tiny_model, tiny_sae) -> None:
    dictionary.check(tiny_model, tiny_sae)
    with pytest.raises(UserError, match="another sae"):
        dictionary.check(tiny_model, random_sae(tiny_model, tiny_sae, []))


def test_a_damaged_table_is_refused_by_name(folder, tmp_path) -> None:
    for name in (MANIFEST, FEATURES, CONTEXTS):
        content = (folder / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2] if name == CONTEXTS else content)
    with pytest.raises(UserError, match=CONTEXTS):
        Dictionary.load(tmp_path)
    with pytest.raises(UserError, match="holds no dictionary"):
        Dictionary.load(tmp_path / "nothing")


def test_an_unknown_feature_is_refused_with_the_range(dictionary) -> None:
    for feature in (-1, len(dictionary)):
        with pytest.raises(UserError, match=f"0 to {len(dictionary) - 1}"):
            dictionary.feature(feature)


def test_a_card_shows_itself(dictionary) -> None:
    card = dictionary.feature(3)
    assert card.label in card.text()
    assert "<b>feature 3" in card._repr_html_()


def test_search_finds_labels_by_their_words(dictionary) -> None:
    named = [i for i, label in enumerate(dictionary.labels) if "ship" in label]
    found = dictionary.search("ship")
    assert found and set(found) & set(named)
    assert dictionary.search("zzzqqq") == []


def test_contrast_names_features_of_the_first_texts(dictionary, tiny_model, tiny_sae) -> None:
    first = read_features(tiny_model, tiny_sae, ["The old ship was near.", "A ship and a ship."])
    second = read_features(tiny_model, tiny_sae, ["The bread.", "Night fell."])
    for feature, difference in dictionary.contrast(first, second):
        assert difference > 0
        fires = first.pooled("text")[:, feature].toarray() > 0
        assert fires.any()


def test_tables_open_with_datasets(dictionary) -> None:
    data = dictionary.to_datasets()
    assert len(data) == len(dictionary)
    assert {"feature", "label", "verdict", "precision", "promoted"} <= set(data.column_names)


def test_the_commands_show_and_search_a_dictionary(folder, capsys) -> None:
    assert main(["dictionary", "show", str(folder), "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["feature"] == 3
    assert main(["dictionary", "search", str(folder), "ship"]) == 0
    assert "ship" in capsys.readouterr().out
    assert main(["dictionary", "show", str(folder), "999999"]) == 2
    assert "There is no feature 999999" in capsys.readouterr().err
    assert main(["dictionary", "sho", str(folder)]) == 2


def test_the_commands_build_and_validate(
    tiny_model_folder, tiny_sae_folder, corpus_folder, tmp_path, capsys
) -> None:
    recipe = (
        "context_size: 48\ntest_share: 0.2\nselection_share: 0.2\nsources: [{path: texts.jsonl}]\n"
    )
    (corpus_folder / "corpus.yaml").write_text(recipe)
    pair = ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder)]
    out = str(tmp_path / "made")
    sizes = ["--tokens", "4000", "--sample-rows", "64"]
    corpus = ["--corpus", str(corpus_folder / "corpus.yaml")]
    assert main(["dictionary", "build", *corpus, *sizes, *pair, "--out", out]) == 0
    assert main(["dictionary", "validate", out, *pair, "--json"]) == 0
    assert "controls" in json.loads(capsys.readouterr().out.split("\n", 1)[1])
    missing = ["--corpus", str(corpus_folder / "none.yaml"), "--out", out]
    assert main(["dictionary", "build", *missing]) == 2
    assert "none.yaml does not exist" in capsys.readouterr().err


def _manifest_of(tmp_path, manifest, **changes):
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, **changes}))
    return tmp_path


def test_the_shuffled_model_stands_beside_with_its_own_figures(dictionary, tmp_path) -> None:
    manifest = dictionary.manifest
    other = {"name": "shuffled", "fingerprint": "other"}
    found = shuffled_model_figures(manifest, _manifest_of(tmp_path, manifest, model=other))
    assert found["validated_share"] == manifest["validation"]["validated_share"]
    assert "controls" not in found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "same model"),
        ({"model": {"fingerprint": "other"}, "validation": None}, "not validated"),
        ({"model": {"fingerprint": "other"}, "seed": 9}, "its seed"),
        ({"model": {"fingerprint": "other"}, "n_features": 9}, "its features"),
        ({"model": {"fingerprint": "other"}, "labeler": "else"}, "its labeler"),
    ],
)
def test_a_shuffled_model_read_in_another_way_is_refused(
    dictionary, tmp_path, changes, said
) -> None:
    manifest = dictionary.manifest
    with pytest.raises(UserError, match=said):
        shuffled_model_figures(manifest, _manifest_of(tmp_path, manifest, **changes))
