"""A dictionary folder on the tiny model: whole, resumable, true to the corpus, and guarded."""

import contextlib
import io
import itertools
import json
import shutil

import numpy as np
import pytest

import saetask.dictionary.collect.corpus_pass as reading
from saetask import Dictionary, UserError, read_features
from saetask.cli.main import main
from saetask.data.corpus import CorpusConfig, Source, token_rows
from saetask.dictionary import Label
from saetask.dictionary.collect.corpus_pass import BuildConfig
from saetask.dictionary.evaluate.validation import shuffled_model_figures
from saetask.dictionary.label.build import build
from saetask.dictionary.store import CONTEXTS, FEATURES, MANIFEST, read_manifest
from saetask.models.loading import load_model, model_tokenizer
from saetask.saes.random_sae import random_sae
from saetask.utils.files import content_hash

NOUNS = ["sea", "ship", "dog", "road", "house", "bread", "king", "tree", "night", "song"]
RECIPE = "context_size: 48\ntest_share: 0.2\nselection_share: 0.2\nsources: [{path: texts.jsonl}]\n"
OTHER_MODEL = {"name": "shuffled", "fingerprint": "other"}


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
def folder(config, tiny_model_folder, tiny_sae_folder, corpus_folder, tmp_path_factory):
    """A dictionary built by command."""
    pair = ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder)]
    sizes = ["--tokens", str(config.tokens), "--sample-rows", str(config.sample_rows)]
    (corpus_folder / "corpus.yaml").write_text(RECIPE)
    corpus = ["--corpus", str(corpus_folder / "corpus.yaml")]
    out = tmp_path_factory.mktemp("dictionaries") / "whole"
    assert main(["dictionary", "build", *corpus, *sizes, *pair, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def validation(folder, tiny_model_folder, tiny_sae_folder):
    """What the command that validated the dictionary printed."""
    pair = ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["dictionary", "validate", str(folder), *pair, "--json"]) == 0
    return json.loads(printed.getvalue())


@pytest.fixture(scope="module")
def dictionary(folder, validation):
    return Dictionary.load(folder)


def test_the_folder_says_what_was_read_and_how_labels_fared(dictionary, tiny_sae) -> None:
    manifest = dictionary.manifest
    assert manifest.n_features == len(dictionary) == tiny_sae.cfg.d_sae
    assert manifest.corpus.tokens >= 9_000
    assert manifest.corpus.samples["test"].rows == 150
    validation = manifest.validation
    assert sum(validation.verdicts.values()) == len(dictionary)
    assert set(validation.controls) == {"random-sae"}
    verdicts = [dictionary.feature(i).verdict for i in range(len(dictionary))]
    assert verdicts.count("validated") == validation.verdicts["validated"]


def test_splits_share_no_document(config, tiny_model, corpus_folder) -> None:
    tokenizer = model_tokenizer(tiny_model)
    documents = [
        {row.document for row in token_rows(config.corpus, tokenizer, split, corpus_folder)}
        for split in ("train", "selection", "test")
    ]
    assert sum(map(len, documents)) == len(set.union(*documents)) == 500


def test_contexts_show_the_activation_that_reading_their_row_gives(
    dictionary, config, tiny_model_folder, tiny_sae, corpus_folder
) -> None:
    from saetask.saes.corpus_extraction import extract_token_activations

    model = load_model(tiny_model_folder)  # in the dtype in which the command loaded it
    tokenizer = model_tokenizer(model)
    rows = list(token_rows(config.corpus, tokenizer, "train", corpus_folder))
    feature = int(np.argmax([dictionary.feature(i).row["density"] for i in range(len(dictionary))]))
    strongest = dictionary.contexts(feature)[0]
    matching = [row for row in rows if row.document == strongest["document"]]
    dense = extract_token_activations(model, [tiny_sae], matching)[0].matrix().toarray()
    assert np.isclose(dense[:, feature], strongest["activation"], rtol=1e-4).any()


class EvidenceHash:
    """Labels features by a hash of all it is given: other evidence gives another label."""

    name = "hash"

    def label(self, evidence):
        arrays = [*evidence.learning, *evidence.selection]
        return Label(content_hash([evidence.promoted, *(a.tolist() for a in arrays)]), None)


def test_shards_of_another_size_make_the_same_bytes(
    config, tiny_model, tiny_sae, corpus_folder, tmp_path, monkeypatch
) -> None:
    tokenizer = model_tokenizer(tiny_model)
    rows = itertools.islice(token_rows(config.corpus, tokenizer, "train", corpus_folder), 192)
    n_tokens = sum(len(row.token_ids) for row in rows)  # whole shards of either size
    exact = BuildConfig(config.corpus, tokens=n_tokens, sample_rows=100)
    made = []
    for size in (64, 192):
        monkeypatch.setattr(reading, "ROWS_PER_SHARD", size)
        out = tmp_path / str(size)
        build(tiny_model, tiny_sae, exact, EvidenceHash(), out, corpus_folder)
        made.append([(out / f).read_bytes() for f in (FEATURES, CONTEXTS, MANIFEST)])
    assert made[0] == made[1]


def test_a_killed_build_goes_on_to_the_same_bytes(
    config, tiny_model, tiny_sae, corpus_folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(reading, "ROWS_PER_SHARD", 64)
    real, calls = reading.extract_token_activations, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    short = BuildConfig(config.corpus, tokens=9_000, sample_rows=100)
    build(tiny_model, tiny_sae, short, EvidenceHash(), tmp_path / "whole", corpus_folder)
    monkeypatch.setattr(reading, "extract_token_activations", killed)
    with pytest.raises(KeyboardInterrupt):
        build(tiny_model, tiny_sae, short, EvidenceHash(), tmp_path / "killed", corpus_folder)
    build(tiny_model, tiny_sae, short, EvidenceHash(), tmp_path / "killed", corpus_folder)
    for name in (FEATURES, CONTEXTS, MANIFEST):
        whole, resumed = (tmp_path / run / name for run in ("whole", "killed"))
        assert whole.read_bytes() == resumed.read_bytes(), name


def test_fewer_tokens_than_were_read_before_take_all_that_were(
    config, tiny_model, tiny_sae, corpus_folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(reading, "ROWS_PER_SHARD", 64)
    for tokens in (9_000, 3_000):
        short = BuildConfig(config.corpus, tokens=tokens, sample_rows=100)
        build(tiny_model, tiny_sae, short, EvidenceHash(), tmp_path, corpus_folder)
        assert Dictionary.load(tmp_path).manifest.corpus.tokens >= 9_000


def test_a_corpus_that_is_too_short_says_how_short(
    config, tiny_model, tiny_sae, corpus_folder, tmp_path
) -> None:
    long = BuildConfig(config.corpus, tokens=10**7, sample_rows=100)
    with pytest.raises(UserError, match="fewer than 10000000"):
        build(tiny_model, tiny_sae, long, EvidenceHash(), tmp_path, corpus_folder)


def test_a_folder_of_another_corpus_is_refused(
    folder, config, tiny_model, tiny_sae, corpus_folder
) -> None:
    other = BuildConfig(config.corpus, tokens=9_000, sample_rows=100, seed=1)
    with pytest.raises(UserError, match="another model, SAE or corpus"):
        build(tiny_model, tiny_sae, other, EvidenceHash(), folder, corpus_folder)


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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": "0"}, "field 'seed': Input should be a valid integer"),
        (
            {"sae": {"hook_name": "blocks.0", "d_sae": 64}},
            "field 'sae.fingerprint': Field required",
        ),
        ({"schema_version": 2}, "has version 2"),
    ],
)
def test_a_damaged_manifest_is_refused_in_one_line(dictionary, tmp_path, changes, said) -> None:
    with pytest.raises(UserError) as error:
        read_manifest(_manifest_of(tmp_path, dictionary.manifest, **changes))
    assert said in str(error.value) and str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_manifest_is_written_as_it_was_read(folder, dictionary, tmp_path) -> None:
    read_manifest(folder).write(tmp_path / MANIFEST)
    assert (tmp_path / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()


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


def test_the_commands_build_and_validate(dictionary, validation, corpus_folder, tmp_path) -> None:
    assert validation == dictionary.manifest.validation.to_dict()
    out = tmp_path / "made"
    missing = ["--corpus", str(corpus_folder / "none.yaml"), "--out", str(out)]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert main(["dictionary", "build", *missing]) == 2
    assert "none.yaml does not exist" in said.getvalue()


def test_building_in_python_makes_the_same_bytes_as_the_command(
    folder, config, tiny_model_folder, tiny_sae, corpus_folder, tmp_path
) -> None:
    shutil.copytree(folder / "work", tmp_path / "work")  # the corpus is not read again
    build(load_model(tiny_model_folder), tiny_sae, config, EvidenceHash(), tmp_path, corpus_folder)
    assert (tmp_path / CONTEXTS).read_bytes() == (folder / CONTEXTS).read_bytes()


def _manifest_of(tmp_path, manifest, **changes):
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest.to_dict(), **changes}))
    return tmp_path


def test_the_shuffled_model_stands_beside_with_its_own_figures(dictionary, tmp_path) -> None:
    manifest = dictionary.manifest
    found = shuffled_model_figures(manifest, _manifest_of(tmp_path, manifest, model=OTHER_MODEL))
    assert found.validated_share == manifest.validation.validated_share
    assert "controls" not in found.to_dict()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "same model"),
        ({"model": OTHER_MODEL, "validation": None}, "not validated"),
        ({"model": OTHER_MODEL, "seed": 9}, "its seed"),
        ({"model": OTHER_MODEL, "n_features": 9}, "its features"),
        ({"model": OTHER_MODEL, "labeler": "else"}, "its labeler"),
    ],
)
def test_a_shuffled_model_read_in_another_way_is_refused(
    dictionary, tmp_path, changes, said
) -> None:
    manifest = dictionary.manifest
    with pytest.raises(UserError, match=said):
        shuffled_model_figures(manifest, _manifest_of(tmp_path, manifest, **changes))
