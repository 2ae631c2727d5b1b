"""The shipped dictionary is of the shipped SAE, small, quotes what it may, and says its figures."""

import re
from pathlib import Path

import pytest

from saetask import Dictionary, load_sae
from saetask.dictionary.dictionary import dictionary_folder
from saetask.dictionary.label.tables import AFTER, BEFORE
from saetask.dictionary.store import CARD, MANIFEST, dictionary_card
from saetask.saes.loading import DEFAULT_SAE, assets_folder, sae_fingerprint

MAY_BE_QUOTED = {"openstax", "eltec", "self_dialogue", "gsm8k_chat"}
MEGABYTES = 35
PAGE = Path(__file__).parents[2] / "docs" / "dictionary.md"


@pytest.fixture(scope="module")
def dictionary():
    return Dictionary.load()


def test_it_is_of_the_shipped_sae(dictionary) -> None:
    assert dictionary.manifest.sae.fingerprint == sae_fingerprint(load_sae())
    assert len(dictionary) == load_sae().cfg.d_sae


def test_its_manifest_is_written_as_it_was_read(dictionary, tmp_path) -> None:
    dictionary.manifest.write(tmp_path / MANIFEST)
    shipped = dictionary_folder(DEFAULT_SAE) / MANIFEST
    assert (tmp_path / MANIFEST).read_bytes() == shipped.read_bytes()


def test_sae_and_dictionary_together_are_small() -> None:
    sizes = [p.stat().st_size for p in assets_folder().rglob("*") if p.is_file()]
    assert sum(sizes) <= MEGABYTES * 2**20


def test_only_texts_are_quoted_whose_licence_allows_it_and_only_shortly(dictionary) -> None:
    documents = set(dictionary.top_documents(0))
    for feature in range(0, len(dictionary), 97):
        contexts = dictionary.contexts(feature)
        documents |= {context["document"] for context in contexts}
        assert all(len(context["tokens"]) <= BEFORE + 1 + AFTER for context in contexts)
    assert {document.split("/")[0] for document in documents} == MAY_BE_QUOTED
    attribution = (assets_folder() / "dictionaries" / "ATTRIBUTION.md").read_text()
    assert all(name in attribution for name in ("OpenStax", "ELTeC", "Self-dialogue", "GSM8K"))


def test_its_card_says_what_its_manifest_says(dictionary) -> None:
    card = (dictionary_folder(DEFAULT_SAE) / CARD).read_text()
    assert card == dictionary_card(dictionary.manifest)


def test_the_page_on_dictionaries_gives_its_figures(dictionary) -> None:
    (card_rows,) = re.findall(r"(?:^\| .*%.*\|\n)+", dictionary_card(dictionary.manifest), re.M)
    assert card_rows in PAGE.read_text(encoding="utf-8")


def test_verdicts_in_the_table_are_those_counted_in_the_manifest(dictionary) -> None:
    counted = dictionary.manifest.validation.verdicts
    assert {verdict: dictionary.verdicts.count(verdict) for verdict in counted} == counted
