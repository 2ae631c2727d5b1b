"""A writer that knows a word's feature bears its label out; what none wrote counts for nothing."""

import json
import re
import shutil

import numpy as np
import pytest

from saetask import Dictionary
from saetask.cli.main import main
from saetask.dictionary.falsify.base import FalsifyConfig, SkippedTest
from saetask.dictionary.falsify.counterexamples import (
    FORMS,
    CounterexampleResult,
    compare_pairs,
    counterexample_finding,
    pair_requests,
    read_pairs,
)
from saetask.dictionary.falsify.document import FALSIFICATION
from saetask.dictionary.falsify.generated_tests import (
    FeatureReader,
    GeneratedTextTests,
    describe_generated_text_tests,
    run_generated_text_tests,
)
from saetask.dictionary.falsify.paraphrases import (
    ParaphraseResult,
    compare_paraphrases,
    kept_words,
    paraphrase_finding,
    read_paraphrase,
)
from saetask.dictionary.falsify.text_pool import file_rows, read_text_pool
from saetask.dictionary.falsify.text_requests import MAX_CHARACTERS, WRITER_JOURNAL, Writer
from saetask.dictionary.feature_card import FeatureCard
from saetask.dictionary.label.tables import median_activation
from saetask.inference import Endpoint, EndpointError
from tests.helpers.chat_server import ChatServer, Said, chat_server
from tests.helpers.refusals import refusal
from tests.helpers.sending import SendingEngine
from tests.helpers.words import ALWAYS, DEAD, NOUNS, SEA

SHIP = SEA + 1
FEATURES = (SEA, SHIP, DEAD, ALWAYS)
TEXTS = 10


# Writers


def is_about_pairs(request) -> bool:
    return '"pairs"' in request["messages"][-1]["content"]


def rewritten(request, words) -> str:
    """Says in other words that some of the words were there."""
    text = re.search(r"Text: (.*)\n\nAnswer", request["messages"][-1]["content"], re.DOTALL)
    assert text
    there = [f"An ancient {word} lay here." for word in words if f" {word} " in text[1]]
    return json.dumps({"text": " ".join(["Once more.", *there])})


def paired(request, word: str) -> str:
    """Writes pairs of which the first has the word that the label is, or another in its place."""
    content = request["messages"][-1]["content"]
    label, n, form = re.search(r"\n\n(.*)\n\nWrite (\d+) pairs .* out of (.*?),", content).groups()
    pairs = [
        [f"In {form} my {word or label} came {i}th.", f"In {form} my cup came {i}th."]
        for i in range(int(n))
    ]
    return json.dumps({"pairs": pairs})


def knows(request) -> str:
    return paired(request, "") if is_about_pairs(request) else rewritten(request, NOUNS)


def ignorant(request) -> str:
    return paired(request, "hat") if is_about_pairs(request) else rewritten(request, [])


@pytest.fixture(scope="module")
def pool(tiny_model, word_sae, word_corpus):
    rows = file_rows(word_corpus, tiny_model.tokenizer, 48)
    return read_text_pool(tiny_model, word_sae, rows, FEATURES, 2 * TEXTS)


@pytest.fixture
def own_folder(word_folder, tmp_path):
    """A copy of the dictionary, without what others wrote into it."""
    left = shutil.ignore_patterns("work", FALSIFICATION)
    return shutil.copytree(word_folder, tmp_path / "words", ignore=left)


@pytest.fixture
def have_written(tiny_model, word_sae, pool, own_folder):
    """Has texts written for the features as the given server answers."""

    def written(answer, texts=TEXTS, workers=4, engine=None):
        config = FalsifyConfig(FEATURES, texts)
        dictionary = Dictionary.load(own_folder)
        with chat_server(answer) as server:
            writer = Writer(Endpoint("writer", server.url, retries=0), workers)
            found = run_generated_text_tests(
                writer, tiny_model, word_sae, dictionary, pool, config, engine
            )
        entries = [entry.to_dict() for entry in describe_generated_text_tests(found.tests)]
        return entries, found.figures.to_dict(), server

    return written


# What is found


def test_a_writer_that_knows_bears_right_labels_out(have_written) -> None:
    entries, figures, server = have_written(knows)
    for entry in entries[:2]:
        rewrites, pairs = entry["paraphrase"], entry["counterexample"]
        assert rewrites["finding"] == "keeps firing" and pairs["finding"] == "holds"
        assert (rewrites["n_firing"], rewrites["n_silent"], rewrites["failed"]) == (TEXTS, TEXTS, 0)
        assert (rewrites["firing_share"], rewrites["silent_share"]) == (1, 0)
        assert 0 < rewrites["kept_words"] < 0.5
        assert (pairs["n_pairs"], pairs["failed"], pairs["p_value"]) == (TEXTS, 0, 2**-TEXTS)
        assert (pairs["fitting_share"], pairs["resembling_share"]) == (1, 0)
    asked = len(server.requests)
    assert figures["model"] == "writer" and (figures["questions"], figures["failed"]) == (asked, 0)
    assert figures["prompt_tokens"] == asked * ChatServer.prompt_tokens
    assert figures["completion_tokens"] == asked * ChatServer.completion_tokens


def test_an_engine_of_other_processes_finds_the_same(have_written, tiny_model) -> None:
    engine = SendingEngine(tiny_model)
    assert have_written(knows, engine=engine)[0] == have_written(knows)[0]
    assert engine.works == ["_test_on_texts"]


def test_one_that_does_not_falsifies_them(have_written) -> None:
    entries, *_ = have_written(ignorant)
    for entry in entries[:2]:
        assert entry["paraphrase"]["finding"] == "falls silent"
        assert entry["counterexample"]["finding"] == "falsified"
        assert entry["counterexample"]["fitting_share"] == 0


def test_a_feature_that_always_fires_has_too_narrow_a_label(have_written) -> None:
    entries, *_ = have_written(knows)
    dead, always = entries[2:]
    assert always["counterexample"]["finding"] == "falsified"
    assert always["counterexample"]["resembling_share"] == 1
    assert always["paraphrase"]["finding"] == "no texts"
    assert always["paraphrase"]["reason"].startswith("silent in 0 of")
    never = {"finding": "no texts", "reason": "it never fired"}
    assert dead == {"paraphrase": never, "counterexample": never}


def test_the_writer_of_pairs_sees_the_label_alone(have_written) -> None:
    _, _, server = have_written(knows)
    seen = {request["messages"][-1]["content"] for request in server.requests}
    expected = {q.prompt for label in ("sea", "ship", "anything") for q in pair_requests(label, 10)}
    assert {prompt for prompt in seen if '"pairs"' in prompt} == expected
    assert not any("was there at" in prompt for prompt in expected)


def test_a_text_is_rewritten_once_for_all_features(have_written) -> None:
    _, figures, server = have_written(knows, texts=2 * TEXTS)
    prompts = [p for p in server.prompts() if '"pairs"' not in p]
    assert len(set(prompts)) == len(prompts) < 2 * 2 * 2 * TEXTS
    assert figures["questions"] == len(server.requests)


def test_to_fire_is_to_reach_the_natural_level(tiny_model, word_sae, word_folder, pool) -> None:
    card = Dictionary.load(word_folder).feature(SEA)
    loud = FeatureCard(
        {**card.row, "quantiles": [2 * level for level in card.row["quantiles"]]}, []
    )
    fires = FeatureReader(tiny_model, word_sae).fires
    texts = ["We went by the sea.", "We went by the cup."]
    assert fires(card, texts).tolist() == [True, False]
    assert fires(loud, texts).tolist() == [False, False]
    level = median_activation(card.row)
    assert len(pool.firing(0, level)) == len(pool.firing(0)) > 0 == len(pool.firing(0, 2 * level))


# Answers that can not be used


def test_garbage_is_counted_and_left_out(have_written) -> None:
    broken = f"out of {FORMS[0]},"

    def half(request):
        if broken in request["messages"][-1]["content"]:
            return "Certainly! Here are the pairs."
        return knows(request) if is_about_pairs(request) else Said("no", 500)

    entries, figures, server = have_written(half)
    pairs = entries[0]["counterexample"]
    assert pairs["failed"] == len(range(0, TEXTS, len(FORMS))) == 2
    assert pairs["n_pairs"] == TEXTS - 2 and pairs["finding"] == "holds"
    missing = {"finding": "no texts", "reason": "0 paraphrases that could be used, 6 needed"}
    assert entries[0]["paraphrase"] == missing
    usable = 3 * (len(FORMS) - 1)
    assert figures["failed"] == len(server.requests) - usable
    assert figures["prompt_tokens"] == (usable + 3) * ChatServer.prompt_tokens


def test_a_pair_written_again_is_no_new_evidence(have_written) -> None:
    def repeats(request):
        if not is_about_pairs(request):
            return knows(request)
        found = json.loads(paired(request, ""))["pairs"]
        return json.dumps({"pairs": [["The sea.", "The cup."] for _ in found]})

    entries, *_ = have_written(repeats)
    reason = "1 pairs that could be used, 6 needed"
    assert entries[0]["counterexample"] == {"finding": "no texts", "reason": reason}


@pytest.mark.parametrize(
    "answer",
    [
        "no JSON",
        '{"text": ""}',
        '{"text": 3}',
        '{"texts": ["Another word."]}',
        json.dumps({"text": "x" * (MAX_CHARACTERS + 1)}),
        json.dumps({"text": "The OLD sea, was there?"}),
    ],
)
def test_paraphrases_are_read_strictly(answer) -> None:
    assert read_paraphrase("The old sea was there", '{"text": " Water was there"}')
    with pytest.raises(EndpointError):
        read_paraphrase("The old sea was there", answer)


@pytest.mark.parametrize(
    "pairs",
    [[["a", "b"]], [["a", "b"], ["c"]], [["a", "b"], ["c", "c"]], [["a", "b"], ["c", 1]], 2],
)
def test_pairs_are_read_strictly(pairs) -> None:
    assert read_pairs(2, '{"pairs": [["a", "b"], ["c", "d"]]}') == ["a", "b", "c", "d"]
    with pytest.raises(EndpointError):
        read_pairs(2, json.dumps({"pairs": pairs}))


def test_words_kept_are_counted_once_whatever_their_case() -> None:
    assert kept_words("The dog and the cat", "the DOG sleeps") == 2 / 4
    assert kept_words("...", "the dog") == 0


def test_as_many_pairs_are_asked_for_as_wanted() -> None:
    for n in (6, 8, 21):
        sizes = [int(re.findall(r"Write (\d+) pairs", q.prompt)[0]) for q in pair_requests("x", n)]
        assert sum(sizes) == n and max(sizes) - min(sizes) <= 1


# Tests and findings


def test_p_values_are_those_worked_out_by_hand() -> None:
    yes, no = np.ones(6, bool), np.zeros(6, bool)
    # As extreme is this outcome alone: p^6 (1 - p)^6, largest at one half.
    assert compare_paraphrases(yes, no, 0.0, 0).p_value == pytest.approx(2**-12)
    assert compare_paraphrases(no, yes, 0.0, 0).p_value > 0.99
    assert compare_paraphrases(yes, yes, 0.0, 0).p_value == 1
    # Five pairs for the label, one against: one or no tails in six throws.
    fitting, resembling = np.arange(8) < 6, np.array([True, *[False] * 6, True])
    found = compare_pairs(fitting, resembling, 0)
    assert found.p_value == pytest.approx((1 + 6) / 2**6)
    assert (found.fitting_share, found.resembling_share) == (6 / 8, 2 / 8)
    assert compare_pairs(yes, yes, 0).p_value == 1


@pytest.mark.parametrize(
    ("fitting", "resembling", "q_value", "finding"),
    [
        (0.75, 0.25, 0.01, "holds"),
        (0.75, 0.25, 0.06, "undecided"),
        (0.25, 0.0, 0.01, "undecided"),  # it fires where the label says, if seldom
        (0.25, 0.0, 0.06, "falsified"),
        (0.5, 0.5, 1.0, "undecided"),
        (1.0, 0.5, 0.01, "undecided"),
        (1.0, 0.75, 0.01, "falsified"),
    ],
)
def test_labels_hold_or_not_by_the_criteria(fitting, resembling, q_value, finding) -> None:
    result = CounterexampleResult(24, fitting, resembling, 0, 0.0)
    assert counterexample_finding(result, q_value) == finding


@pytest.mark.parametrize(
    ("share", "q_value", "finding"),
    [
        (0.5, 0.01, "keeps firing"),
        (0.5, 0.06, "undecided"),
        (0.4, 0.01, "undecided"),
        (0.25, 0.01, "falls silent"),
    ],
)
def test_features_keep_firing_or_not_by_the_criteria(share, q_value, finding) -> None:
    assert paraphrase_finding(ParaphraseResult(24, 24, share, 0, 0, 0, 0.0), q_value) == finding


def test_p_values_are_corrected_over_the_features_that_were_tried() -> None:
    found = [CounterexampleResult(24, 1.0, 0.0, 0, p) for p in (0.01, 0.04, 0.03)]
    attempts = [GeneratedTextTests(SkippedTest("x"), each) for each in (*found, SkippedTest("y"))]
    entries = [entry.counterexample.to_dict() for entry in describe_generated_text_tests(attempts)]
    assert [entry.get("q_value") for entry in entries[:3]] == pytest.approx([0.03, 0.04, 0.04])
    assert entries[3] == {"finding": "no texts", "reason": "y"}


# Going on, and refusing


def test_a_second_start_asks_only_what_is_missing(
    have_written, own_folder, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr("saetask.inference.endpoint.FAILURES_IN_A_ROW", 2)
    # Answers are kept by address; the port changes from server to server.
    monkeypatch.setattr("saetask.inference.endpoint.content_hash", lambda parts: str(parts[2]))
    journal = own_folder / "work" / WRITER_JOURNAL
    whole, figures, undisturbed = have_written(knows)
    journal.unlink()
    left = ["alive"] * 12

    def dies(request):
        return knows(request) if left and left.pop() else Said("down", 503)

    assert "down" in refusal(have_written, dies, TEXTS, 1)
    assert len(journal.read_text().splitlines()) == 12
    resumed, again, server = have_written(knows)
    assert len(server.requests) == len(undisturbed.requests) - 12
    assert (resumed, again) == (whole, figures), "what was kept counts as what was asked"
    assert have_written(lambda r: Said("down", 503))[2].requests == []


def command(folder, pair, corpus, url):
    flags = ["--texts", "6", "--data", str(corpus), "--allow-sae-mismatch", *pair]
    writer = ["--writer", "scribe", "--writer-url", url]
    return ["dictionary", "falsify", str(folder), "--features", f"{SEA},{DEAD}", *flags, *writer]


def test_the_command_adds_a_table_and_a_key(own_folder, word_pair, word_corpus, capsys) -> None:
    with chat_server(knows) as server:
        given = command(own_folder, word_pair, word_corpus, server.url)
        assert main(given) == 0
        printed = capsys.readouterr().out
        assert "keeps firing" in printed and "holds" in printed and "token-driven" in printed
        assert f"feature {DEAD}: no paraphrase test: it never fired" in printed
        assert f"writer scribe: 0 of {len(server.requests)} questions failed" in printed
        with_writer = json.loads((own_folder / FALSIFICATION).read_text())
        asked = len(server.requests)
        assert main([*given[:-4], "--json"]) == 0
        assert len(server.requests) == asked, "nobody is asked without --writer"
    without = json.loads(capsys.readouterr().out)
    assert with_writer.pop("writer")["questions"] == asked
    written = [entry.pop("writing") for entry in with_writer["features"]]
    assert written[0]["counterexample"]["finding"] == "holds"
    assert with_writer == without, "with a writer, nothing else is different"


def test_a_writer_that_is_not_there_leaves_nothing_written(
    own_folder, word_pair, word_corpus, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("saetask.dictionary.falsify.feature_tests.edit_effects", None)
    with chat_server(lambda r: Said("who?", 404)) as server:
        assert main(command(own_folder, word_pair, word_corpus, server.url)) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "'scribe'" in last and "could not be asked" in last
    assert not (own_folder / FALSIFICATION).exists()


def test_an_address_without_a_writer_is_refused(word_folder, capsys, monkeypatch) -> None:
    monkeypatch.setattr("saetask.models.loading.load_model", None)
    given = ["dictionary", "falsify", str(word_folder), "--features", "1"]
    assert main([*given, "--writer-url", "http://127.0.0.1:1/v1"]) == 2
    assert "without --writer" in capsys.readouterr().err
