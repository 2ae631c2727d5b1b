"""A judge finds right labels right and wrong ones wrong, and is never believed for silence."""

import json
import re

import numpy as np
import pytest

from saetask import Endpoint, EndpointError, Label
from saetask.cli.tables import judge_text
from saetask.dictionary.collect.contexts import WINDOW, FiringCounts
from saetask.dictionary.context import DictionaryContext
from saetask.dictionary.evaluate.judge import (
    Judge,
    draw_judged_features,
    judge_labels,
    judge_trials,
)
from saetask.dictionary.evaluate.judge_questions import (
    TEXTS,
    draw_marked,
    make_judge_questions,
    read_answers,
)
from saetask.dictionary.evaluate.validation import evaluate_rules
from saetask.dictionary.evaluate.verdicts import summarise_trials
from saetask.dictionary.label.runner import label_features
from saetask_plugins.labelers.keywords import Keywords
from tests.helpers.chat_server import ChatServer, Said, chat_server
from tests.helpers.planted import (
    ALWAYS,
    D_SAE,
    PROMOTED,
    RARE,
    SEA,
    SHIP,
    SILENT,
    planted_firings,
    split_activations,
)
from tests.helpers.refusals import refusal

IN_WORDS = [Label(text, None) for text in ("sea", "house", "the", "the", "the")]
"""Right for `SEA`, wrong for `SHIP`."""


class InWords(Keywords):
    """A labeler whose labels never have rules."""

    in_words = True


@pytest.fixture(scope="module")
def unseen(tiny_tokenizer):
    return planted_firings(tiny_tokenizer, 2)


@pytest.fixture(scope="module")
def ask_about(unseen, vocabulary, tmp_path_factory):
    """Has labels judged as the given server answers."""

    def judged(answer, labels, work=None, workers=4, seed=0):
        work = work or tmp_path_factory.mktemp("work")
        with chat_server(answer) as server:
            judge = Judge(Endpoint("judge", server.url, retries=0), workers=workers)
            context = DictionaryContext(vocabulary, InWords(), seed, work)
            found = judge_labels(judge, labels, unseen, context)
        return found, server

    return judged


@pytest.fixture(scope="module")
def decide(unseen, vocabulary, tmp_path_factory):
    """Decides on labels as `validate` does."""

    def decided(answer, labels, labeler=None, features=10):
        alive = np.arange(D_SAE) != SILENT
        trials = evaluate_rules([label.rule for label in labels], unseen, alive, vocabulary, [0])
        work = tmp_path_factory.mktemp("work")
        context = DictionaryContext(vocabulary, labeler or InWords(), 0, work)
        with chat_server(answer or knows) as server:
            judge = Judge(Endpoint("judge", server.url, retries=0), features) if answer else None
            found = judge_trials(judge, labels, trials, unseen, context)
        return trials, found

    return decided


def summary(found):
    counts = FiringCounts(np.ones(D_SAE), np.ones(D_SAE))
    return summarise_trials(found.trials, found.trials, counts, found.figures).to_dict()


def listed(request) -> tuple[str, list[str], bool]:
    """Returns the label asked about, the texts, and whether tokens are marked."""
    content = request["messages"][-1]["content"]
    label = re.search(r"^Description of the feature: (.*)$", content, re.MULTILINE)
    texts = re.findall(r"^Text \d+: (.*)$", content, re.MULTILINE)
    assert label
    return label[1], texts, "is marked" in content


def truths(request) -> list[int]:
    """The answers of one who knows: the label is the word on which the feature fires."""
    label, texts, marked = listed(request)
    if marked:
        return [int(f"<<{label}>>" in text) for text in texts]
    return [int(text.split()[-1] == label) for text in texts]


def knows(request) -> str:
    return json.dumps({"answers": truths(request)})


def contradicts(request) -> str:
    return json.dumps({"answers": [1 - answer for answer in truths(request)]})


def agrees(request) -> str:
    return json.dumps({"answers": [1] * len(truths(request))})


# contexts and questions


@pytest.mark.parametrize("feature", [SEA, SHIP])
def test_right_marks_are_on_firing_tokens_and_wrong_ones_beside(unseen, feature) -> None:
    found = draw_marked(unseen, feature, 40, np.random.default_rng(0))
    assert len(found.right) == 40 and found.right.sum() == 20
    own = set(unseen.activations.token_ids[unseen.tokens_firing(feature)].tolist())
    assert len(own) == 1
    for window, place, right in zip(*found, strict=True):
        assert window.shape == (WINDOW,)
        assert (window[place] in own) == right
        assert own & set(window.tolist())


def test_where_a_mark_stands_does_not_tell_right_from_wrong(unseen) -> None:
    found = [draw_marked(unseen, SEA, 150, np.random.default_rng(s)) for s in range(10)]
    places = np.concatenate([f.marked for f in found])
    right = np.concatenate([f.right for f in found])
    assert abs(places[right].mean() - places[~right].mean()) < 1.5


def test_a_feature_on_every_token_has_no_wrong_marks(unseen) -> None:
    assert draw_marked(unseen, ALWAYS, 10, np.random.default_rng(0)).right.all()


def test_questions_are_few_texts_each_mixed_and_the_same_for_the_same_seed(
    unseen, vocabulary, tmp_path
) -> None:
    def asked(seed):
        context = DictionaryContext(vocabulary, InWords(), seed, tmp_path)
        return list(make_judge_questions(SEA, "sea", unseen, context))

    first, again, other = asked(0), asked(0), asked(1)
    assert [q.messages for q in first] == [q.messages for q in again]
    assert [q.messages for q in first] != [q.messages for q in other]
    assert all(1 <= len(q.truth) <= TEXTS for q in first)
    for kind in ("detection", "fuzzing"):
        mixed = [0 < q.truth.sum() < len(q.truth) for q in first if q.kind == kind]
        assert np.mean(mixed) > 0.5
    texts = "".join(str(q.messages) for q in first if q.kind == "detection")
    assert "<<" not in texts


def test_answers_are_read_strictly() -> None:
    assert read_answers('{"answers": [1, 0, true]}', 3) == [True, False, True]
    for wrong in ('{"answers": [1, 0]}', '{"answers": [1, 0, 2]}', '{"answers": "110"}', "110"):
        with pytest.raises(EndpointError):
            read_answers(wrong, 3)


# scores


def test_one_who_knows_is_right_about_a_right_label_and_not_about_a_wrong_one(ask_about) -> None:
    found, _ = ask_about(knows, {SEA: IN_WORDS[SEA], SHIP: IN_WORDS[SHIP]})
    assert (found[SEA].detection, found[SEA].fuzzing, found[SEA].failed) == (1, 1, 0)
    assert found[SHIP].detection == pytest.approx(0.5, abs=0.1)
    assert found[SHIP].fuzzing == pytest.approx(0.5, abs=0.1)


def test_contradiction_scores_nothing_and_agreement_half(ask_about) -> None:
    found, _ = ask_about(contradicts, {SEA: IN_WORDS[SEA]})
    assert (found[SEA].detection, found[SEA].fuzzing) == (0, 0)
    found, _ = ask_about(agrees, {SEA: IN_WORDS[SEA]})
    assert (found[SEA].detection, found[SEA].fuzzing) == (0.5, 0.5)


def test_no_answer_counts_as_a_wrong_one(ask_about) -> None:
    found, server = ask_about(lambda request: "I think so", {SEA: IN_WORDS[SEA]})
    assert (found[SEA].detection, found[SEA].fuzzing) == (0, 0)
    assert found[SEA].failed == found[SEA].questions == len(server.requests)
    assert (found[SEA].claimed == ~found[SEA].firing).all()
    half, _ = ask_about(
        lambda request: knows(request) if listed(request)[2] else Said("no", 500),
        {SEA: IN_WORDS[SEA]},
    )
    assert (half[SEA].detection, half[SEA].fuzzing) == (0, 1)


def test_tokens_are_counted_of_unusable_answers_too(ask_about) -> None:
    for answer in (knows, lambda request: "?"):
        found, server = ask_about(answer, {SEA: IN_WORDS[SEA]})
        assert found[SEA].prompt_tokens == len(server.requests) * ChatServer.prompt_tokens
        assert found[SEA].completion_tokens == len(server.requests) * ChatServer.completion_tokens


# going on after an interruption


def test_a_second_start_asks_only_what_has_no_answer(
    ask_about, unseen, vocabulary, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("saetask.inference.endpoint.FAILURES_IN_A_ROW", 2)
    labels = {SEA: IN_WORDS[SEA], SHIP: IN_WORDS[SHIP]}
    whole, undisturbed = ask_about(knows, labels)
    left = ["alive"] * 20
    with chat_server(lambda r: knows(r) if left and left.pop() else Said("down", 503)) as server:

        def start():
            server.requests.clear()
            judge = Judge(Endpoint("judge", server.url, retries=0), workers=1)
            context = DictionaryContext(vocabulary, InWords(), 0, tmp_path)
            return judge_labels(judge, labels, unseen, context)

        assert "down" in refusal(start)
        left += ["alive"] * 1000
        resumed = start()
        assert len(server.requests) == len(undisturbed.requests) - 20
        again = start()
        assert server.requests == []
    for found in (resumed, again):
        assert {f: str(j) for f, j in found.items()} == {f: str(j) for f, j in whole.items()}


def test_a_judge_who_is_not_there_is_told_in_one_line(ask_about) -> None:
    message = refusal(ask_about, lambda r: Said("who?", 404), {SEA: IN_WORDS[SEA]})
    assert "'judge'" in message


# verdicts


def test_words_are_not_judged_without_a_judge(decide) -> None:
    _, found = decide(None, IN_WORDS)
    verdicts = [trial.verdict for trial in found.trials]
    assert verdicts == ["not judged", "not judged", "dead", "too rare", "not judged"]
    counted = summary(found)
    assert counted["verdicts"]["not judged"] == 3 and counted["n_tested"] == 0
    assert counted["judge"] is None and found.columns == {}
    assert "3 labels not judged" in judge_text({**counted, "controls": {}})


def test_a_judge_gives_words_their_verdict(decide) -> None:
    _, found = decide(knows, IN_WORDS)
    verdicts = [trial.verdict for trial in found.trials]
    assert verdicts[: RARE + 1] == ["validated", "inconsistent", "dead", "too rare"]
    assert found.trials[SEA].precision == 1 and found.trials[SEA].recall == 1
    assert found.columns["detection_accuracy"][SEA] == 1
    assert found.columns["judge_failed"] == [0, 0, None, None, 0]
    assert found.figures and found.figures.n_drawn == 3
    assert "detection" in judge_text({**summary(found), "controls": {}})


def test_a_silent_judge_validates_nothing(decide) -> None:
    _, found = decide(lambda request: "hm", IN_WORDS)
    assert found.trials[SEA].verdict == "inconsistent" and found.trials[SEA].precision == 0
    assert found.figures and found.figures.failed == found.figures.questions > 0


def test_a_label_that_failed_stays_in_the_denominator_and_is_asked_nothing(decide) -> None:
    labels = [Label("", None, failed="garbage"), *IN_WORDS[1:]]
    _, found = decide(knows, labels)
    assert found.trials[SEA].verdict == "inconsistent"
    assert found.columns["detection_accuracy"][SEA] is None
    assert found.figures and found.figures.n_unlabelled == 1
    assert summary(found)["n_tested"] == 3


def test_features_are_drawn_by_seed_from_those_that_fire_often(unseen) -> None:
    judge = Judge(Endpoint("judge", "http://127.0.0.1:1/v1"), 2)
    draws = [draw_judged_features(judge, unseen, seed) for seed in range(8)]
    assert draws[0] == draw_judged_features(judge, unseen, 0)
    assert all(len(drawn) == 2 and set(drawn) <= {SEA, SHIP, ALWAYS} for drawn in draws)
    assert len({tuple(drawn) for drawn in draws}) > 1


def test_who_was_not_drawn_is_not_judged(decide) -> None:
    _, found = decide(knows, IN_WORDS, features=1)
    verdicts = [trial.verdict for trial in found.trials]
    assert verdicts.count("not judged") == 2


def test_rules_keep_their_verdict_whatever_a_judge_says(
    decide, tiny_tokenizer, vocabulary, tmp_path
) -> None:
    context = DictionaryContext(vocabulary, Keywords(), 0, tmp_path)
    labels = label_features(split_activations(tiny_tokenizer), PROMOTED, context)
    trials, found = decide(contradicts, labels, Keywords())
    assert found.trials == trials
    assert trials[SEA].verdict == "validated"
    assert found.columns["detection_accuracy"][SEA] is not None
