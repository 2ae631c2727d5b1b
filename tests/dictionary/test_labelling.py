"""Labels of a language model: asked for in parallel, kept, counted, and asked for again."""

import json
import re

import numpy as np
import pytest

from saetask import UserError
from saetask.dictionary import Label, Rule, context_text
from saetask.dictionary.context import DictionaryContext
from saetask.dictionary.label.base import chosen_options, configured, label_figures
from saetask.dictionary.label.runner import LABELS_JOURNAL, label_features
from saetask_plugins.labelers.keywords import Keywords
from saetask_plugins.labelers.openai import OpenAI
from tests.helpers.chat_server import ChatServer, Said, chat_server
from tests.helpers.planted import D_SAE, PROMOTED, RARE, SEA, SHIP, SILENT, split_activations
from tests.helpers.refusals import refusal

URL = "http://127.0.0.1:1/v1"


@pytest.fixture(scope="module")
def label_all(tiny_tokenizer, vocabulary, tmp_path_factory):
    """Labels the planted features; the corpus is another for another seed."""

    def label(labeler, work=None, seed=0, features=None):
        work = work or tmp_path_factory.mktemp("work")
        activations = split_activations(tiny_tokenizer, (seed, seed + 100, seed), n_rows=60)
        context = DictionaryContext(vocabulary, labeler, 0, work)
        return label_features(activations, PROMOTED, context, features)

    return label


def labeler_at(url, **options):
    return configured(OpenAI(), {"model": "tiny", "base_url": url, "retries": "0", **options})


def name_marked(request) -> str:
    """Answers with the word that is marked most often."""
    marked = re.findall(r"<<(.+?)>>", request["messages"][-1]["content"])
    return json.dumps({"label": f"the word {max(set(marked), key=marked.count)}"})


# what is asked


def test_the_question_shows_marked_contexts_by_strength(label_all) -> None:
    with chat_server(name_marked) as server:
        labels = label_all(labeler_at(server.url))
    assert [labels[SEA].text, labels[SHIP].text] == ["the word sea", "the word ship"]
    (prompt,) = (p for p in server.prompts() if p.count("<<sea>>") > 5)
    contexts, _, promoted = prompt.partition("\n\n")
    strengths = [int(line.split()[0]) for line in contexts.splitlines()]
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[0] == 10 and min(strengths) >= 1
    assert all(line.endswith("<<sea>>") for line in contexts.splitlines())
    assert "' promoted'" in promoted


def test_a_feature_that_never_fires_is_not_asked_about(label_all) -> None:
    with chat_server(name_marked) as server:
        labels = label_all(labeler_at(server.url))
    assert labels[SILENT].text == "promotes 'promoted'"
    assert labels[SILENT].provenance == {"source": "logit lens"}
    assert len(server.requests) == D_SAE - 1


def test_labels_belong_to_their_features_whatever_comes_first(label_all) -> None:
    def sea_comes_last(request):
        return Said(name_marked(request), delay=0.2 * ("<<sea>>" in str(request)))

    with chat_server(sea_comes_last) as server:
        labels = label_all(labeler_at(server.url, workers="4"))
    assert labels[SEA].text == "the word sea"
    assert labels[SHIP].text == "the word ship"


def test_only_the_features_wanted_are_labelled(label_all) -> None:
    with chat_server(name_marked) as server:
        labels = label_all(labeler_at(server.url), features=[SHIP])
    assert [bool(label.text) for label in labels] == [f == SHIP for f in range(D_SAE)]
    assert len(server.requests) == 1


def test_contexts_are_shown_on_a_line_with_spaces_outside_the_mark(
    tiny_tokenizer, vocabulary
) -> None:
    window = [-1, *tiny_tokenizer(" sea\nand ship", add_special_tokens=False)["input_ids"]]
    assert context_text(window, vocabulary, len(window) - 1) == "sea↵and <<ship>>"
    assert context_text(window, vocabulary) == "sea↵and ship"


# what is answered


@pytest.mark.parametrize(
    "answer",
    [
        "the sea",
        '{"label": ""}',
        '{"label": 3}',
        '{"name": "the sea"}',
        '{"label": "one\\ntwo"}',
        json.dumps({"label": "long " * 100}),
        Said("no", 500),
    ],
)
def test_an_unusable_answer_is_a_failure_with_its_reason(label_all, answer) -> None:
    with chat_server(
        lambda request: answer if "<<sea>>" in str(request) else name_marked(request)
    ) as server:
        labels = label_all(labeler_at(server.url))
    assert labels[SEA].text == "" and labels[SEA].failed and labels[SEA].rule is None
    assert labels[SHIP] == Label(
        "the word ship",
        None,
        {
            "model": "tiny",
            "prompt_tokens": ChatServer.prompt_tokens,
            "completion_tokens": ChatServer.completion_tokens,
        },
    )


def test_figures_count_labels_failures_and_tokens(label_all) -> None:
    with chat_server(lambda r: "?" if "<<sea>>" in str(r) else name_marked(r)) as server:
        labels = label_all(labeler := labeler_at(server.url))
    asked = D_SAE - 1
    assert label_figures(labels, chosen_options(labeler)).to_dict() == {
        "labelled": D_SAE - 1,
        "failed": 1,
        "model": "tiny",
        "options": {"model": "tiny", "base_url": server.url},
        "prompt_tokens": asked * ChatServer.prompt_tokens,
        "completion_tokens": asked * ChatServer.completion_tokens,
    }


# going on after an interruption


def test_a_killed_build_asks_only_for_what_is_missing(label_all, tmp_path) -> None:
    with chat_server(name_marked) as server:
        whole = label_all(labeler_at(server.url), tmp_path / "whole")
    with chat_server(name_marked) as server:
        killed = dying(labeler_at(server.url, workers="1"), at=2)
        with pytest.raises(KeyboardInterrupt):
            label_all(killed, tmp_path / "killed")
        n_asked = len(server.requests)
        assert 0 < n_asked < D_SAE - 1
        resumed = label_all(labeler_at(server.url, workers="8"), tmp_path / "killed")
    assert len(server.requests) == D_SAE - 1
    assert resumed == whole


def dying(labeler, at: int):
    """The same labeler, killed at its n-th label."""
    real, calls = labeler.label, []

    def label(evidence):
        calls.append(evidence.feature)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(evidence)

    object.__setattr__(labeler, "label", label)
    return labeler


def test_what_failed_is_asked_again_and_what_did_not_is_kept(label_all, tmp_path) -> None:
    puzzled = ["<<sea>>"]
    with chat_server(
        lambda r: "?" if any(word in str(r) for word in puzzled) else name_marked(r)
    ) as server:
        assert label_all(labeler_at(server.url), tmp_path)[SEA].failed
        puzzled.clear()
        server.requests.clear()
        labels = label_all(labeler_at(server.url), tmp_path)
    assert labels[SEA].text == "the word sea"
    assert all("<<sea>>" in prompt for prompt in server.prompts())
    assert len(server.requests) < D_SAE - 1


def test_an_endpoint_that_is_down_stops_the_build_and_loses_nothing(
    label_all, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("saetask.inference.endpoint.FAILURES_IN_A_ROW", 2)
    up = ["once"]
    with chat_server(lambda r: name_marked(r) if up and up.pop() else Said("down", 503)) as server:
        message = refusal(label_all, labeler_at(server.url, workers="1"), tmp_path)
        assert server.url in message and "down" in message
        up += ["always"] * 100
        server.requests.clear()
        labels = label_all(labeler_at(server.url), tmp_path)
    assert not any(label.failed for label in labels)
    assert len(server.requests) == D_SAE - 2


def test_another_model_or_other_evidence_is_asked_anew(label_all, tmp_path) -> None:
    with chat_server(name_marked) as server:
        label_all(labeler_at(server.url), tmp_path)
        label_all(labeler_at(server.url), tmp_path)
        assert len(server.requests) == D_SAE - 1
        label_all(labeler_at(server.url, model="other"), tmp_path)
        assert len(server.requests) == 2 * (D_SAE - 1)
        label_all(labeler_at(server.url), tmp_path, seed=1)
        assert len(server.requests) == 3 * (D_SAE - 1)


class Slow:
    """A slow labeler of somebody else's, with rules."""

    name, workers = "slow", 2

    def __init__(self) -> None:
        self.asked = []

    def label(self, evidence) -> Label:
        self.asked.append(evidence.feature)
        return Label("x", Rule(np.array([0.1, 1 / 3], np.float32), 0.7), {"from": "here"})


def test_rules_come_back_from_the_journal_as_they_were(label_all, tmp_path) -> None:
    first = label_all(Slow(), tmp_path)
    labeler = Slow()
    second = label_all(labeler, tmp_path)
    assert labeler.asked == []
    assert len(first) == D_SAE and str(second) == str(first)
    for one, two in zip(first, second, strict=True):
        assert one.rule is not None and two.rule is not None
        assert one.rule.weights.dtype == two.rule.weights.dtype
        assert one.rule.weights.tolist() == two.rule.weights.tolist()


def test_a_quick_labeler_keeps_no_journal(label_all, tmp_path) -> None:
    label_all(Keywords(), tmp_path)
    assert not (tmp_path / LABELS_JOURNAL).exists()


def test_a_rare_feature_is_shown_with_the_few_contexts_it_has(label_all) -> None:
    with chat_server(name_marked) as server:
        label_all(labeler_at(server.url), features=[RARE])
    assert len(server.prompts()[0].partition("\n\n")[0].splitlines()) == 3


# options


def test_an_unknown_option_names_the_known_ones() -> None:
    message = refusal(configured, OpenAI(), {"modell": "x"})
    assert "'modell'" in message and "Did you mean 'model'" in message


def test_a_labeler_without_options_says_so() -> None:
    assert "no options" in refusal(configured, Keywords(), {"model": "x"})
    keywords = Keywords()
    assert configured(keywords, {}) is keywords


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "'model'"),
        ({"model": "tiny", "workers": "0"}, "'workers'"),
        ({"model": "tiny", "workers": "many"}, "'workers'"),
        ({"model": "tiny", "timeout": "nan"}, "'timeout'"),
        ({"model": "tiny", "retries": "-1"}, "'retries'"),
    ],
)
def test_a_wrong_option_is_named(options, named) -> None:
    assert named in refusal(configured, OpenAI(), {"base_url": URL, **options})


def test_an_unset_labeler_labels_nothing(label_all) -> None:
    with pytest.raises(UserError, match="'model'"):
        label_all(OpenAI())


def test_configuring_leaves_the_plugin_as_it_was() -> None:
    plugin = OpenAI()
    found = configured(plugin, {"model": "tiny", "base_url": URL, "workers": "3"})
    assert isinstance(found, OpenAI) and found.workers == 3
    assert plugin.endpoint is None
