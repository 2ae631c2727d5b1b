"""A whole dictionary of words: built, interrupted, judged, exported and read back, by command."""

import json
import re

import numpy as np
import pytest

from saetask import Dictionary
from saetask.cli.main import main
from saetask.dictionary.store import CONTEXTS, FEATURES, MANIFEST
from tests.helpers.chat_server import ChatServer, Said, chat_server

NOUNS = ["sea", "ship", "dog", "road", "house", "bread", "king", "tree", "night", "song"]
GARBAGE = 5
"""One question in so many is answered with garbage, always the same ones."""


def answer(request) -> str:
    """Names the first marked word; judges by whether the text's last word is in the label."""
    content = request["messages"][-1]["content"]
    if "Description of the feature" in content:
        texts = re.findall(r"^Text \d+: (.*)$", content, re.MULTILINE)
        return json.dumps({"answers": [int(len(text) % 2) for text in texts]})
    if len(content) % GARBAGE == 0:
        return "no idea"
    return json.dumps({"label": f"words like {re.findall('<<(.+?)>>', content)[0]}"})


@pytest.fixture(scope="module")
def pair(tiny_model_folder, tiny_sae_folder):
    return ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("corpus")
    texts = (
        f"Story {n}. " + " ".join(f"The old {w} was near." for w in generator.choice(NOUNS, 12))
        for n in range(250)
    )
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    recipe = "context_size: 32\ntest_share: 0.3\nselection_share: 0.2\n"
    (folder / "corpus.yaml").write_text(recipe + "sources: [{path: texts.jsonl}]\n")
    return ["--corpus", str(folder / "corpus.yaml"), "--tokens", "3000", "--sample-rows", "64"]


@pytest.fixture(scope="module")
def server():
    with chat_server(answer) as server:
        yield server


def openai(url):
    options = ("model=tiny", f"base_url={url}", "retries=0", "timeout=20")
    given = [part for option in options for part in ("--labeler-option", option)]
    return ["--labeler", "openai", *given]


@pytest.fixture(scope="module")
def folder(pair, corpus, server, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "whole"
    assert (
        main(["dictionary", "build", *corpus, *pair, *openai(server.url), "--out", str(out)]) == 0
    )
    return out


def test_the_manifest_counts_labels_failures_and_tokens(folder) -> None:
    dictionary = Dictionary.load(folder)
    labels = dictionary.manifest.labels
    failed = [row["failed"] for row in dictionary.to_datasets()]
    assert 0 < labels.failed == sum(map(bool, failed)) < len(dictionary)
    assert labels.labelled == len(dictionary) - labels.failed == sum(map(bool, dictionary.labels))
    assert labels.model == "tiny"
    asked = sum("prompt_tokens" in json.loads(r["provenance"]) for r in dictionary.to_datasets())
    assert labels.prompt_tokens == asked * ChatServer.prompt_tokens > 0
    assert dictionary.manifest.labeler == "openai"


def test_an_interrupted_build_goes_on_to_the_same_bytes(
    folder, pair, corpus, server, tmp_path, capsys
) -> None:
    command = ["dictionary", "build", *corpus, *pair, "--out", str(tmp_path / "killed")]
    command += [*openai(server.url), "--labeler-option", "workers=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saetask.inference.endpoint.Endpoint.ask", interrupted(at=20))
        assert main(command) == 130
    assert not (tmp_path / "killed" / MANIFEST).exists()
    server.requests.clear()
    assert main(command) == 0
    n_asked = sum("prompt_tokens" in json.loads(r["provenance"]) for r in rows(folder))
    n_failed = Dictionary.load(folder).manifest.labels.failed
    assert n_asked - 20 <= len(server.requests) <= n_asked - 20 + n_failed + 1
    for name in (FEATURES, CONTEXTS, MANIFEST):
        assert (tmp_path / "killed" / name).read_bytes() == (folder / name).read_bytes(), name


def interrupted(at: int):
    from saetask import Endpoint

    real, calls = Endpoint.ask, []

    def ask(self, messages):
        calls.append(1)
        if len(calls) > at:
            raise KeyboardInterrupt
        return real(self, messages)

    return ask


def rows(folder):
    return Dictionary.load(folder).to_datasets()


def test_without_a_judge_validating_says_what_is_missing(folder, pair, capsys) -> None:
    assert main(["dictionary", "validate", str(folder), *pair]) == 0
    assert (
        "labels not judged; they have no rule to try: give --judge MODEL" in capsys.readouterr().out
    )
    validation = Dictionary.load(folder).manifest.validation
    assert validation.n_tested == 0 and validation.verdicts["not judged"] > 0
    assert validation.controls == {} and validation.judge is None


def test_an_address_without_a_judge_is_refused(folder, capsys, monkeypatch) -> None:
    monkeypatch.setattr("saetask.models.loading.load_model", None)
    given = ["dictionary", "validate", str(folder), "--judge-url", "http://127.0.0.1:1/v1"]
    assert main(given) == 2
    assert "without --judge" in capsys.readouterr().err


def test_a_judge_gives_verdicts_scores_and_a_control(folder, pair, server, capsys) -> None:
    command = ["dictionary", "validate", str(folder), *pair, "--judge", "umpire"]
    command += ["--judge-url", server.url, "--judge-features", "2"]
    assert main(command) == 0
    assert "judge umpire on random-sae: detection" in capsys.readouterr().out
    dictionary = Dictionary.load(folder)
    validation = dictionary.manifest.validation
    judge = validation.judge
    assert judge.n_drawn == validation.n_tested == 2
    assert judge.questions * ChatServer.prompt_tokens == judge.prompt_tokens
    assert validation.controls["random-sae"].n_tested == 2
    judged = [row for row in rows(folder) if row["detection_accuracy"] is not None]
    assert len(judged) == 2 - judge.n_unlabelled
    assert judge.detection_accuracy == pytest.approx(
        np.mean([row["detection_accuracy"] for row in judged])
    )
    server.requests.clear()
    assert main(command) == 0
    assert not [p for p in server.prompts() if "Description" in p]
    assert validation == Dictionary.load(folder).manifest.validation
    assert main(["dictionary", "validate", str(folder), *pair]) == 0
    assert "detection_accuracy" not in rows(folder).column_names


def test_an_export_read_back_gives_the_same_labels(
    folder, pair, corpus, server, tmp_path, capsys
) -> None:
    export, out = tmp_path / "export.jsonl", tmp_path / "again"
    assert main(["dictionary", "export", str(folder), "--out", str(export)]) == 0
    given = ["--labeler", "neuronpedia", "--labeler-option", f"path={export}"]
    assert main(["dictionary", "build", *corpus, *pair, *given, "--out", str(out)]) == 0
    dictionary = Dictionary.load(out)
    assert dictionary.labels == Dictionary.load(folder).labels
    labelled = [row for row, label in zip(rows(out), dictionary.labels, strict=True) if label]
    types = {json.loads(row["provenance"])["typeName"] for row in labelled}
    assert types == {"saetask_openai"}


def test_an_export_has_neuronpedias_fields(folder, tmp_path) -> None:
    export = tmp_path / "export.jsonl"
    for _ in range(2):  # our own is written over
        assert main(["dictionary", "export", str(folder), "--out", str(export)]) == 0
    lines = [json.loads(line) for line in export.read_text().splitlines()]
    dictionary = Dictionary.load(folder)
    assert [line["index"] for line in lines] == [str(f) for f in range(len(dictionary))]
    for line in lines[:10]:
        card = dictionary.feature(int(line["index"]))
        assert line["description"] == card.label
        assert line["frac_nonzero"] == card.row["density"]
        assert line["maxActApprox"] == card.row["maximum"]
        assert line["pos_str"] == card.row["promoted"] and len(line["pos_values"]) == 10
        assert line["pos_values"] == sorted(line["pos_values"], reverse=True)
        assert line["neg_values"] == sorted(line["neg_values"])
        for activation in line["activations"]:
            strongest = activation["maxValueTokenIndex"]
            assert len(activation["values"]) == len(activation["tokens"])
            assert activation["values"][strongest] == activation["maxValue"] > 0


def test_an_export_spares_files_of_others(folder, tmp_path, capsys) -> None:
    other = tmp_path / "mine.jsonl"
    for content in ('{"text": "mine"}\n', "", "plain text"):
        other.write_text(content)
        assert main(["dictionary", "export", str(folder), "--out", str(other)]) == 2
        assert "mine.jsonl" in capsys.readouterr().err
        assert other.read_text() == content


def test_wrong_options_are_refused_before_anything_is_read(corpus, tmp_path, capsys) -> None:
    command = ["dictionary", "build", *corpus, "--out", str(tmp_path / "no")]
    for option, labeler in (("model", "openai"), ("colour=red", "openai"), ("a=b", "keywords")):
        assert main([*command, "--labeler", labeler, "--labeler-option", option]) == 2
        assert option.partition("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_an_endpoint_that_turns_away_stops_the_build(pair, corpus, tmp_path, capsys) -> None:
    command = ["dictionary", "build", *corpus, *pair, "--out", str(tmp_path / "down")]
    with chat_server(lambda request: Said("no such model", 404)) as server:
        assert main([*command, *openai(server.url)]) == 2
    assert "no such model" in capsys.readouterr().err
