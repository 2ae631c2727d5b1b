"""A dictionary of words is named: what its features fire on, and what cannot be named."""

import json
import shutil

import pytest

from saetask import Dictionary, UserError
from saetask.cli.main import main
from saetask.dictionary.collect.work_folder import WORK
from saetask.dictionary.naming.runner import name_features
from tests.helpers.words import ALWAYS, DEAD, NOUNS, SEA, build_dictionary


@pytest.fixture(scope="module")
def named(tiny_model, word_sae, word_corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("named") / "words"
    build_dictionary(tiny_model, word_sae, word_corpus, folder, sample_rows=60)
    naming = name_features(tiny_model, word_sae, folder)
    return folder, naming


def test_a_feature_that_fires_on_a_noun_is_named_by_the_class_of_the_noun(named) -> None:
    dictionary = Dictionary.load(named[0])
    row = dictionary.feature(SEA).row
    assert row["name_source"] == "on:noun.object" and row["name"] == "natural things"
    assert row["name_words"] == ["sea"] and row["name_recall"] == 1.0


def test_a_card_tells_the_name_its_words_and_the_verdict(named) -> None:
    card = Dictionary.load(named[0]).feature(SEA)
    assert card.name.startswith("natural things (sea): ")
    assert card.name in card.text() and "name: natural" in card._repr_html_()
    assert Dictionary.load(named[0]).feature(DEAD).name == "no known concept"


def test_names_of_features_hold_their_words_and_a_verdict_that_is_not_validated(named) -> None:
    names, card = Dictionary.load(named[0]).concept_names(), Dictionary.load(named[0]).feature
    assert DEAD not in names and ALWAYS not in names
    verdict = card(SEA).row["name_verdict"]
    told = "" if verdict == "validated" else f"; {verdict}"
    assert names[SEA] == f"natural things (sea){told}"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_card_fits_a_width_and_keeps_the_token_that_fires(named, width) -> None:
    card = Dictionary.load(named[0]).feature(SEA)
    whole, fitted = card.text(), card.text(width)
    assert all(len(line) <= width for line in fitted.splitlines())
    assert fitted.count("[") >= len(card.contexts[:6])
    assert whole.splitlines()[0] in " ".join(fitted.split()) or len(whole.splitlines()[0]) > width


def test_features_that_never_or_always_fire_have_no_known_concept(named) -> None:
    dictionary = Dictionary.load(named[0])
    for feature in (DEAD, ALWAYS):
        assert dictionary.feature(feature).row["name"] is None


def test_figures_stand_beside_those_of_the_random_dictionary(named) -> None:
    naming = named[1]
    assert naming.n_live >= len(NOUNS)
    assert set(naming.controls) == {"random-sae"}
    assert Dictionary.load(named[0]).manifest.naming == naming


def test_naming_again_replaces_the_columns(tiny_model, word_sae, named) -> None:
    before = Dictionary.load(named[0]).feature(SEA).row
    name_features(tiny_model, word_sae, named[0])
    assert Dictionary.load(named[0]).feature(SEA).row == before


def test_the_command_prints_figures_and_takes_concepts_of_ones_own(
    named, word_pair, tmp_path, capsys
) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps({"name": "vehicles", "words": ["ship", "boat"]}) + "\n")
    main(["dictionary", "name", str(named[0]), "--concept-file", str(own), "--json", *word_pair])
    assert json.loads(capsys.readouterr().out)["n_live"] == named[1].n_live


def test_without_the_work_folder_one_line_says_how_to_mend_it(tiny_model, word_sae, named) -> None:
    shutil.rmtree(named[0] / WORK)
    with pytest.raises(UserError, match="build the dictionary anew"):
        name_features(tiny_model, word_sae, named[0])
