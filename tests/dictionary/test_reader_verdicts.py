"""Verdicts of a reader are kept whole, in order, and change names as they say."""

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from saetask.dictionary.concept_table import TriedConcept
from saetask.dictionary.dictionary import dictionary_folder
from saetask.dictionary.naming.reader_names import (
    REFUSED,
    RENAMED,
    with_reader_concepts,
    with_reader_names,
)
from saetask.dictionary.reader_verdicts import (
    ReaderVerdict,
    append_verdict,
    now,
    read_verdicts,
    standing_verdicts,
    struck_concepts,
    verdicts_path,
)
from saetask.saes.concepts import Concept
from saetask.saes.loading import DEFAULT_SAE
from tests.helpers.refusals import refusal

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@st.composite
def verdicts(draw) -> ReaderVerdict:
    kind = draw(st.sampled_from(["feature", "concept", "finding"]))
    said = {"concept": ["rename", "strike"], "feature": ["rename"], "finding": []}[kind]
    verdict = draw(st.sampled_from(["right", "wrong", "withdrawn", *said]))
    new = draw(texts.filter(str.strip)) if verdict == "rename" else None
    name = str(draw(st.integers(0, 5))) if kind == "feature" else draw(texts.filter(bool))
    return ReaderVerdict(
        date=now(),
        kind=kind,
        id=name,
        name=draw(texts),
        verdict=verdict,
        new_name=new,
        remark=draw(texts),
        text=draw(texts),
    )


@given(st.lists(verdicts(), max_size=6))
def test_what_is_appended_is_read(tmp_path_factory, given_verdicts) -> None:
    path = tmp_path_factory.mktemp("verdicts") / "d.verdicts.jsonl"
    for verdict in given_verdicts:
        append_verdict(path, verdict)
    assert read_verdicts(path) == given_verdicts
    if given_verdicts:
        assert path.read_bytes().count(b"\n") == len(given_verdicts)


@given(st.lists(verdicts(), max_size=12))
def test_the_last_verdict_stands(given_verdicts) -> None:
    last = {(verdict.kind, verdict.id): verdict for verdict in given_verdicts}
    stands = standing_verdicts(given_verdicts)
    assert {(v.kind, v.id): v for v in stands} == {
        key: verdict for key, verdict in last.items() if verdict.verdict != "withdrawn"
    }
    places = [max(i for i, each in enumerate(given_verdicts) if each == v) for v in stands]
    assert places == sorted(places)


def said(kind="feature", name="1", verdict="right", seen="food", **others) -> ReaderVerdict:
    return ReaderVerdict(date=now(), kind=kind, id=name, name=seen, verdict=verdict, **others)


def test_a_line_that_a_killed_process_began_is_dropped(tmp_path) -> None:
    path = tmp_path / "d.verdicts.jsonl"
    append_verdict(path, said())
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    assert len(read_verdicts(path)) == 1
    append_verdict(path, said(name="2"))
    assert [verdict.id for verdict in read_verdicts(path)] == ["1", "2"]


def test_a_damaged_line_is_named(tmp_path) -> None:
    path = tmp_path / "d.verdicts.jsonl"
    append_verdict(path, said())
    path.write_bytes(path.read_bytes() + b'{"kind": "feature"}\n')
    assert "d.verdicts.jsonl:2" in refusal(read_verdicts, path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": "rename"},
        {"verdict": "rename", "new_name": " "},
        {"verdict": "right", "new_name": "x"},
        {"verdict": "strike"},
        {"kind": "finding", "verdict": "rename", "new_name": "x"},
        {"name": "one"},
        {"name": ""},
        {"seen": "x" * 201},
    ],
)
def test_verdicts_that_contradict_themselves_are_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        said(**wrong)


def test_an_installed_package_is_not_written_to(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path))
    path = verdicts_path(dictionary_folder(DEFAULT_SAE))
    assert path.is_relative_to(tmp_path)
    assert verdicts_path(tmp_path / "own") == tmp_path / "own.verdicts.jsonl"


def test_struck_concepts_are_those_that_stand(tmp_path) -> None:
    path = verdicts_path(tmp_path / "d")
    for name in ("on:b", "on:a", "on:c"):
        append_verdict(path, said("concept", name, "strike"))
    append_verdict(path, said("concept", "on:c", "withdrawn"))
    append_verdict(path, said("feature", "3", "wrong"))
    assert struck_concepts(tmp_path / "d") == ["on:a", "on:b"]


def named_table() -> pyarrow.Table:
    return pyarrow.table(
        {
            "feature": [0, 1, 2, 3],
            "name": ["food", "food", None, "heat"],
            "name_source": ["on:food", "on:food", None, "on:heat"],
            "name_auroc": [0.9, 0.8, 0.5, 0.7],
            "name_null": [0.5] * 4,
            "name_verdict": ["validated"] * 4,
            "name_recall": [0.5] * 4,
            "name_precision": [0.5] * 4,
            "name_words": [["pizza"], [], [], []],
        }
    )


def test_names_are_changed_refused_or_left() -> None:
    verdicts_ = [
        said(name="0", verdict="rename", new_name="meals"),
        said(name="1", verdict="wrong", seen="food"),
        said(name="2", verdict="right", seen=""),
        said(name="3", verdict="wrong", seen="cold"),  # another name than the one given now
        said(name="99", verdict="wrong"),
    ]
    table = with_reader_names(named_table(), verdicts_)
    assert table.schema == named_table().schema
    rows = table.to_pylist()
    assert (rows[0]["name"], rows[0]["name_verdict"]) == ("meals", RENAMED)
    assert rows[0]["name_auroc"] is None and rows[0]["name_words"] == []
    assert (rows[1]["name"], rows[1]["name_verdict"]) == (None, REFUSED)
    assert rows[2:] == named_table().to_pylist()[2:]


def test_a_concept_that_is_renamed_or_refused_is_no_longer_validated() -> None:
    concepts = [
        TriedConcept(
            Concept(name, name[3:], "on", (1,), (1.0,), "validated", ("w",)), name, 3.0, 0.5, 0.9
        )
        for name in ("on:food", "on:heat", "on:acts")
    ]
    verdicts_ = [
        said("concept", "on:food", "rename", new_name="meals"),
        said("concept", "on:heat", "wrong", seen="heat (w)"),
        said("concept", "on:acts", "strike"),
    ]
    changed = [tried.concept for tried in with_reader_concepts(concepts, verdicts_)]
    assert [concept.verdict for concept in changed] == [RENAMED, REFUSED, "validated"]
    assert (changed[0].id, changed[0].name, changed[0].words) == ("on:food", "meals", ())
    assert [concept.features for concept in changed] == [(1,)] * 3
