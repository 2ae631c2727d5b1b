"""Rows of `items.jsonl`: with concepts, without any, and of runs that are older than concepts."""

import json

import pytest

from saetask.data.prompts import Prompt, Span
from saetask.detection import (
    ConceptEvidence,
    ConceptToken,
    Evidence,
    Misunderstanding,
    NearPrompt,
)
from saetask.experiments.arm_prompts import retarget_findings
from saetask.report.finding_record import misunderstanding_record
from saetask.report.item_comparison import read_items
from saetask.report.items import MisunderstandingRecord, read_item_records
from saetask.session import Detection
from saetask.session.documents import detection_document
from tests.helpers.refusals import refusal

PLAIN = Misunderstanding(
    "probe", Span(3, 10), "steered", "literal", 0.9, [Evidence(7, "boats", 2.0, 0.5)]
)
CONCEPT = ConceptEvidence(
    "on:noun.artifact",
    "artefact: boat",
    -0.25,
    "validated",
    "metaphorical",
    [ConceptToken(3, 10, "steered", 2.5)],
    [7, 11],
    ["the «boat» sank"],
)
NAMED = PLAIN._replace(
    log_odds=0.5,
    rest=0.75,
    unlisted=0.25,
    concepts=[CONCEPT],
    against="metaphorical",
    unnamed_tokens=[ConceptToken(0, 2, "He", 1.0)],
    nearest=[NearPrompt("She flies.", "literal", 0.5)],
)
NEW_KEYS = ["against", "unnamed_tokens", "nearest", "why"]
OLD_KEYS = ["detector", "span", "text", "reading", "probability", "features"]


def test_a_concept_stands_in_a_row_under_the_keys_of_the_contract():
    row = json.loads(json.dumps(misunderstanding_record(NAMED).to_json()))
    assert list(row) == [*OLD_KEYS, "log_odds", "rest", "unlisted", "concepts", *NEW_KEYS]
    assert row["span"] == [3, 10]
    assert row["against"] == "metaphorical" and [t["text"] for t in row["unnamed_tokens"]] == ["He"]
    assert row["nearest"] == [{"text": "She flies.", "reading": "literal", "similarity": 0.5}]
    assert row["concepts"] == [
        {
            "id": "on:noun.artifact",
            "name": "artefact: boat",
            "contribution": -0.25,
            "verdict": "validated",
            "for": "metaphorical",
            "tokens": [
                {
                    "start": 3,
                    "end": 10,
                    "text": "steered",
                    "activation": 2.5,
                    "adds": 0.0,
                    "word": "",
                    "described": None,
                }
            ],
            "features": [7, 11],
            "contexts": ["the «boat» sank"],
            "fires_less": False,
            "less_on": [],
            "alike": None,
        }
    ]
    assert MisunderstandingRecord.model_validate(row) == misunderstanding_record(NAMED)


def test_a_detector_that_knows_no_concepts_leaves_their_keys_out():
    row = misunderstanding_record(PLAIN).to_json()
    assert list(row) == OLD_KEYS
    assert MisunderstandingRecord.model_validate(row).concepts == []


@pytest.mark.parametrize("found", [PLAIN, NAMED])
def test_detect_prints_what_a_row_holds(found):
    document = detection_document(Detection("He steered.", "a", "a", 0.9, [found]))
    assert document["misunderstandings"] == [misunderstanding_record(found).to_json()]


def row_of(misunderstanding):
    return {
        "id": "1",
        "arm": "saetask",
        "group": "g",
        "fold": 0,
        "prompt": "He steered.",
        "output": "literal",
        "parsed": "literal",
        "correct": True,
        "misunderstandings": [misunderstanding],
        "annotations": [],
        "rounds": [],
        "scores": {},
        "seed": 0,
    }


def test_rows_of_older_runs_are_read(items_file):
    path = items_file(row_of(misunderstanding_record(PLAIN).to_json()))
    ((_, record),) = read_item_records(path)
    assert record.misunderstandings[0].log_odds is None


def test_a_damaged_concept_is_named_by_row_and_field(items_file):
    row = misunderstanding_record(NAMED).to_json()
    row["concepts"][0]["contribution"] = "much"
    said = refusal(lambda: list(read_item_records(items_file(row_of(row)))))
    assert "items.jsonl:1" in said
    assert "contribution" in said


def test_concepts_are_counted_by_the_reading_that_they_speak_for(items_file):
    fires = CONCEPT._replace(contribution=0.5, reading="literal")
    absent = fires._replace(tokens=[])
    for concept, label in ((fires, "artefact: boat"), (absent, "artefact: boat (less than usual)")):
        found = NAMED._replace(concepts=[concept, CONCEPT])
        before = row_of(misunderstanding_record(found).to_json()) | {
            "arm": "original",
            "correct": False,
        }
        note = {"text": "Note.", "placement": "end", "annotator": "gloss"}
        after = before | {"arm": "saetask", "correct": True, "annotations": [note]}
        (use,) = read_items(items_file(before, after), "original", "saetask").concepts
        assert (use.label, use.reading) == (label, "literal")
        assert (use.named, use.annotated, use.fixed, use.broken) == (1, 1, 1, 0)


def test_a_concept_that_fires_is_told_apart_from_one_that_fires_less(items_file):
    fires = CONCEPT._replace(contribution=0.5, reading="literal")
    rows = [
        row_of(misunderstanding_record(NAMED._replace(concepts=[each])).to_json())
        | {"id": name, "arm": "saetask"}
        for name, each in (("a", fires._replace(tokens=[])), ("b", fires), ("c", fires))
    ]
    uses = read_items(items_file(*rows), "original", "saetask").concepts
    assert [(use.label, use.named) for use in uses] == [
        ("artefact: boat", 2),
        ("artefact: boat (less than usual)", 1),
    ]


def test_another_prompts_finding_keeps_its_concepts_but_not_their_places():
    prompt = Prompt([{"role": "user", "content": "It sank."}], spans={"text": Span(0, 8)})
    (found,) = retarget_findings(prompt, [NAMED])
    assert (found.text, found.log_odds) == ("It sank.", 0.5)
    assert list(found.concepts) == [CONCEPT._replace(tokens=[])]
    assert not found.nearest and not found.unnamed_tokens
