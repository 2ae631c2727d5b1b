"""What the page asks for is answered as documents, and what is wrong in one line."""

import json

import pytest

from saetask.dictionary.reader_verdicts import read_verdicts, struck_concepts, verdicts_path
from saetask.explore.requests import LONGEST_PROMPT
from tests.helpers.planted_explorer import HOSTILE

TEXT = "He swallowed the insult."
RIGHT = {"kind": "feature", "id": "1", "name": "", "verdict": "right"}


def test_the_status_says_what_there_is(client) -> None:
    client.post("/api/read", json={"text": TEXT})  # the model is there once it has read
    status = client.get("/api/status").json()
    assert status["state"] == "ready" and status["run"] and status["discovery"]
    assert status["dictionary"]["n_features"] == 8192


def test_a_reading_has_a_strength_for_every_piece(client) -> None:
    reading = client.post("/api/read", json={"text": TEXT, "also": ["feature:7"]}).json()
    assert "".join(reading["pieces"]) == reading["text"] == TEXT
    for row in [*reading["concepts"], *reading["features"]]:
        assert len(row["strength"]) == len(reading["pieces"])
    assert "feature:7" in [row["id"] for row in reading["features"]]


def test_texts_come_back_as_they_were_sent(client) -> None:
    reading = client.post("/api/read", json={"text": HOSTILE}).json()
    assert "".join(reading["pieces"]) == HOSTILE


def test_a_detection_has_evidence_notes_and_answers(client) -> None:
    body = {"task": "metaphor", "text": TEXT, "target": "swallowed"}
    found = client.post("/api/detect", json=body).json()
    (finding,) = found["detection"]["misunderstandings"]
    total = sum(concept["contribution"] for concept in finding["concepts"]) + finding["rest"]
    assert total == pytest.approx(finding["log_odds"], abs=1e-3)
    without = client.post("/api/detect", json={**body, "without": ["on:noun.food"]}).json()
    (changed,) = without["detection"]["misunderstandings"]
    assert changed["log_odds"] < finding["log_odds"]
    note = {"text": "Note: it is literal.", "placement": "end"}
    both = client.post("/api/ask", json={**body, "note": note}).json()
    assert both["after"]["prompt"].endswith(note["text"])
    assert both["before"]["answer"] != both["after"]["answer"]


def test_an_edit_stands_beside_random_pushes(client) -> None:
    body = {"task": "metaphor", "text": TEXT, "target": "swallowed", "strength": 4}
    body |= {"steer": ["on:noun.food", "feature:12"], "ablate": ["feature:3"]}
    found = client.post("/api/steer", json=body).json()
    assert set(found["steered"]) == {"on:noun.food", "12"} and set(found["ablated"]) == {"3"}
    assert found["before"] != found["after"] and len(found["random"]) == 3
    alone = client.post("/api/steer", json={"text": TEXT, "steer": ["feature:12"]}).json()
    assert alone["after"]["log_likelihoods"] == {}


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/api/steer", {"text": TEXT}, "Nothing"),
        ("/api/steer", {"text": TEXT, "steer": ["on:noun.nothing"]}, "on:noun.nothing"),
        ("/api/steer", {"text": TEXT, "steer": ["feature:1"], "strength": 1001}, "strength"),
        ("/api/steer", {"text": TEXT, "steer": ["feature:1"], "strength": "4"}, "strength"),
        ("/api/steer", {"text": TEXT, "steer": ["feature:1"] * 9}, "steer"),
        ("/api/read", {"text": ""}, "text"),
        ("/api/read", {"text": "x" * (LONGEST_PROMPT + 1)}, "text"),
        ("/api/read", {"text": 3}, "text"),
        ("/api/read", {"text": "x", "more": 1}, "more"),
        ("/api/read", {"text": "x", "also": ["y"] * 17}, "also"),
        ("/api/detect", {"task": "metaphor", "text": "x"}, "target"),
        ("/api/ask", {"task": "metaphor", "text": "x", "note": {"text": "n"}}, "placement"),
        ("/api/verdicts", {**RIGHT, "id": "9999999"}, "9999999"),
        ("/api/verdicts", {**RIGHT, "id": "x"}, "number"),
        ("/api/verdicts", {**RIGHT, "kind": "concept", "id": "x"}, "concept"),
        ("/api/verdicts", {**RIGHT, "verdict": "rename"}, "name"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(client, path, body, word) -> None:
    response = client.post(path, json=body)
    assert response.status_code == 422
    line = response.json()["problem"]
    assert word in line and "\n" not in line


@pytest.mark.parametrize("strength", [1001, "4", True, None])
def test_a_wrong_strength_is_told_in_plain_words(client, strength) -> None:
    body = {"text": TEXT, "steer": ["feature:1"], "strength": strength}
    line = client.post("/api/steer", json=body).json()["problem"]
    assert line == "strength: it must be a number from -1000 to 1000."


def test_a_body_that_is_no_json_is_refused(client) -> None:
    kind = {"content-type": "application/json"}
    for body in (b"", b"{", b"\xff\xfe", b"[" * 60_000):
        assert client.post("/api/read", content=body, headers=kind).status_code in (400, 422)


def test_the_dictionary_is_browsed_by_pages(client) -> None:
    first = client.get("/api/features", params={"limit": 5}).json()
    assert first["n"] == 8192 and [r["id"] for r in first["features"]][:2] == [
        "feature:0",
        "feature:1",
    ]
    next_ = client.get("/api/features", params={"limit": 5, "offset": 5}).json()
    assert next_["features"][0]["id"] == "feature:5"
    named = client.get("/api/features", params={"verdict": "validated", "sort": "name"}).json()
    names = [row["name"] for row in named["features"]]
    assert names == sorted(names) and 0 < named["n"] < 8192
    assert client.get("/api/features", params={"limit": 101}).status_code == 422
    assert client.get("/api/features", params={"sort": "x"}).status_code == 422


def test_search_finds_concepts_and_features_by_words(client) -> None:
    found = client.get("/api/search", params={"words": "food"}).json()
    assert "on:noun.food" in [row["id"] for row in found["concepts"]]
    assert found["features"]
    assert client.get("/api/search", params={"words": " "}).status_code == 422
    nothing = client.get("/api/search", params={"words": "zzzqq"}).json()
    assert nothing["concepts"] == nothing["features"] == []


def test_cards_hold_what_the_dictionary_has(client) -> None:
    card = client.get("/api/feature", params={"number": 12}).json()
    assert card["row"]["feature"] == 12 and card["contexts"] and len(card["near"]) == 2
    concept = client.get("/api/concept", params={"name": "on:noun.food"}).json()
    weights = [feature["weight"] for feature in concept["features"]]
    assert weights == sorted(weights, reverse=True)
    assert client.get("/api/feature", params={"number": 8192}).status_code == 422
    assert client.get("/api/concept", params={"name": "../x"}).status_code == 422


def test_a_run_is_browsed_by_items(client) -> None:
    assert client.get("/api/run").json()["method"] == "saetask"
    page = client.get("/api/run/items").json()
    assert page["n"] == page["n_all"] == len(page["items"]) == 2
    assert client.get("/api/run/items", params={"words": "onerror"}).json()["n"] == 2
    assert client.get("/api/run/items", params={"words": "nowhere"}).json()["n"] == 0
    item = client.get("/api/run/item", params={"name": page["items"][0]["id"]}).json()
    assert item["before"]["arm"] == "original" and item["after"]["arm"] == "saetask"
    assert client.get("/api/run/item", params={"name": "none"}).status_code == 422


def test_a_discovery_is_shown_with_its_prompts(client) -> None:
    document = client.get("/api/discovery").json()
    assert document["discoveries"][0]["name"] == HOSTILE and "controls" in document["summary"]


def test_verdicts_are_saved_beside_the_dictionary_and_taken_back(client, folder) -> None:
    strike = {"kind": "concept", "id": "on:noun.food", "name": "food", "verdict": "strike"}
    name = {"kind": "feature", "id": "3", "name": "x", "verdict": "rename", "new_name": HOSTILE}
    for verdict in (strike, name):
        assert client.post("/api/verdicts", json=verdict).status_code == 200
    path = verdicts_path(folder / "dictionary")
    assert path.parent == folder and len(read_verdicts(path)) == 2
    assert struck_concepts(folder / "dictionary") == ["on:noun.food"]
    saved = client.get("/api/verdicts").json()
    assert [each["id"] for each in saved["verdicts"]] == ["3", "on:noun.food"]
    assert saved["verdicts"][0]["new_name"] == HOSTILE
    client.post("/api/verdicts", json={**strike, "verdict": "withdrawn"})
    assert struck_concepts(folder / "dictionary") == []
    assert len(path.read_text().splitlines()) == 3  # nothing is ever removed
    assert all(json.loads(line)["schema_version"] == 1 for line in path.open())
