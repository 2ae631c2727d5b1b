"""Notes that a language model writes: requested once, kept, with no hint of the gold answer."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import saetask.inference.client
from saetask import Session, UserError
from saetask.annotation import Annotation
from saetask.annotation.generated_notes import (
    GeneratedNotes,
    NoteSubject,
    count_failed,
    generate_notes,
    with_generated_notes,
)
from saetask.annotation.prompt_writer import NoteTemplate, PromptAnnotator
from saetask.data import Span
from saetask.data.folds import Fold
from saetask.data.prompts import as_prompt
from saetask.data.samples import make_samples
from saetask.detection import Finding, Misunderstanding
from saetask.experiments.arms import arms_named
from saetask.experiments.note_selection import score_notes
from saetask.experiments.observation import rank_request
from saetask.experiments.runner import run_experiment
from saetask.experiments.second_question import score_second_question
from saetask.inference import Endpoint
from saetask.inference.client import ModelClient
from saetask.plugins import PluginRegistry
from saetask.session import SessionConfig
from saetask_plugins.annotators.self_explain import SelfExplain
from saetask_plugins.tasks.metaphor import Metaphor
from tests.helpers.chat_server import Said, chat_server
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import ONE_BASELINE, make_context

EXAMPLE = Path(__file__).parents[1] / "example_plugin" / "saetask_coin_words.py"
SENTINEL = "Xyzzy-7731"


@dataclass(frozen=True)
class Dictated:
    """Has a note dictated: the request is the text and its reading, the note is the reply."""

    endpoint: Endpoint | None = None
    name: str = "dictated"

    def request(self, misunderstanding, labels):
        return f"{misunderstanding.text} {misunderstanding.reading} {sorted(labels.values())}"

    def annotations(self, text):
        return [Annotation(text, place, self.name) for place in ("end", "start") if text.strip()]


class Guarded:
    """The example's task with gold answers that nobody could miss in a request."""

    def __init__(self):
        self._task = PluginRegistry([EXAMPLE]).get("task", "coin-words")

    def __getattr__(self, name):
        return getattr(self._task, name)

    def items(self, data=None):
        return [replace(i, gold=(SENTINEL, i.gold)) for i in self._task.items(data)]

    def score(self, item, output):
        return self._task.score(replace(item, gold=item.gold[1]), output)

    def gold_reading(self, item):
        return item.gold[1]


def finding(text="ship", reading="literal"):
    return Misunderstanding("test", Span(0, len(text)), text, reading, 0.9, [])


def findings(n):
    return [NoteSubject(finding(f"word{i}"), {}) for i in range(n)]


def texts(notes, asked):
    """Returns the notes on each finding."""
    return [[note.text for note in notes.candidates(*found)] for found in asked]


def at_endpoint(url, client):
    return GeneratedNotes(Dictated(Endpoint("tiny", url, retries=0)), client)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")


@pytest.fixture
def generated(monkeypatch):
    """Has the model under test say "So it is <n>.", and returns how many it was asked at a time."""
    batches = []

    def generate(model, prompts, max_new_tokens):
        batches.append(len(prompts))
        return [f"So it is {sum(batches) - i}." for i in range(len(prompts))]

    monkeypatch.setattr(saetask.inference.client, "generate_texts", generate)
    return batches


# asking


def test_annotators_that_need_no_language_model_are_left_alone(tiny_model) -> None:
    plain = PluginRegistry().get("annotator", "sense-note")
    assert with_generated_notes(plain, ModelClient(tiny_model)) is plain
    generate_notes(plain, iter([pytest.fail]))  # would fail if anything were made of it
    assert count_failed([plain]) == 0


def test_the_model_writes_all_notes_in_one_batch_and_none_twice(
    tiny_model, tmp_path, generated
) -> None:
    asked = findings(5)
    notes = with_generated_notes(Dictated(), ModelClient(tiny_model, tmp_path / "answers.jsonl"))
    generate_notes(notes, [*asked, *asked])
    first = texts(notes, asked)
    assert generated == [5]
    assert len({text for found in first for text in found}) == 5
    again = with_generated_notes(Dictated(), ModelClient(tiny_model, tmp_path / "answers.jsonl"))
    generate_notes(again, asked)
    assert texts(again, asked) == first
    assert generated == [5]


def test_a_note_that_was_not_generated_before_is_generated_when_it_is_needed(
    tiny_model, generated
) -> None:
    notes = with_generated_notes(Dictated(), ModelClient(tiny_model))
    written = PromptAnnotator(NoteTemplate(notes, 1), {}, {}).write(
        as_prompt("The ship sailed."), [finding()]
    )
    assert written.prompt.content == "So it is 1.\nThe ship sailed."
    assert generated == [1]


def test_labels_are_part_of_the_request(tiny_model, generated) -> None:
    notes = with_generated_notes(Dictated(), ModelClient(tiny_model))
    found = [NoteSubject(finding(), {1: "sea"}), NoteSubject(finding(), {1: "land"})]
    assert len({str(text) for text in texts(notes, found)}) == 2


def test_an_empty_reply_gives_no_note_and_is_no_failure(tiny_model, monkeypatch) -> None:
    monkeypatch.setattr(
        saetask.inference.client, "generate_texts", lambda m, prompts, n: [""] * len(prompts)
    )
    notes = with_generated_notes(Dictated(), ModelClient(tiny_model))
    prompt = as_prompt("The ship sailed.")
    written = PromptAnnotator(NoteTemplate(notes, 0), {}, {}).write(prompt, [finding()])
    assert (written.prompt, written.annotation) == (prompt, None)
    assert count_failed([notes]) == 0


# an endpoint


def test_a_request_that_fails_is_counted_and_put_again_by_the_next_run_only(
    tiny_model, tmp_path
) -> None:
    asked = findings(6)
    bad = {"word1 literal []": Said("no", 500), "word4 literal []": ""}
    with chat_server(lambda r: bad.get(r["messages"][-1]["content"], "It is so.")) as server:
        notes = at_endpoint(server.url, ModelClient(tiny_model, tmp_path / "answers.jsonl"))
        generate_notes(notes, asked)
        found = texts(notes, asked)
        assert [i for i, notes_ in enumerate(found) if not notes_] == [1, 4]
        assert sorted(server.prompts()) == [f"word{i} literal []" for i in range(6)]
        assert count_failed([notes]) == 2
        bad.clear()
        server.requests.clear()
        again = at_endpoint(server.url, ModelClient(tiny_model, tmp_path / "answers.jsonl"))
        generate_notes(again, asked)
        assert all(texts(again, asked))
        assert sorted(server.prompts()) == ["word1 literal []", "word4 literal []"]
        assert count_failed([again]) == 0


def test_a_reply_of_blanks_is_kept_and_leaves_the_prompt_as_it_is(tiny_model, tmp_path) -> None:
    with chat_server(lambda r: " \n") as server:
        for _ in range(2):
            notes = at_endpoint(server.url, ModelClient(tiny_model, tmp_path / "answers.jsonl"))
            assert notes.candidates(*findings(1)[0]) == []
            assert count_failed([notes]) == 0
    assert len(server.requests) == 1


def test_another_model_at_the_same_address_is_asked_anew(tiny_model) -> None:
    client = ModelClient(tiny_model)
    with chat_server(lambda r: f"{r['model']} says so.") as server:
        for model in ("small", "large"):
            notes = GeneratedNotes(Dictated(Endpoint(model, server.url)), client)
            assert texts(notes, findings(1)) == [[f"{model} says so."] * 2]


def test_an_endpoint_that_goes_away_costs_no_reply_that_came_before(tiny_model, tmp_path) -> None:
    asked, answered = findings(60), []

    def answer(request):
        text = request["messages"][-1]["content"]
        if len(answered) >= 20:
            return Said("gone", 503)
        answered.append(text)
        return "It is so."

    with chat_server(answer) as server:
        notes = at_endpoint(server.url, ModelClient(tiny_model, tmp_path / "answers.jsonl"))
        with pytest.raises(UserError, match="could not be asked 5 times in a row"):
            generate_notes(notes, asked)
        kept = list(answered)
        answered.clear()
        server.requests.clear()
        again = at_endpoint(server.url, ModelClient(tiny_model, tmp_path / "answers.jsonl"))
        with pytest.raises(UserError):
            generate_notes(again, asked)
        assert len(kept) >= 20
        assert not set(server.prompts()) & set(kept)


# in an experiment


def with_notes(model, sae, writer, task=None, n_samples=40):
    """Returns a context in which a language model writes the notes."""
    client = ModelClient(model)
    notes = with_generated_notes(writer, client)
    settings = replace(ONE_BASELINE, note_samples=n_samples)
    return make_context(model, sae, QuickProbe, task or Guarded(), notes, client, settings)


def test_notes_arrive_in_the_prompts_and_no_gold_answer_in_a_request(tiny_model, tiny_sae) -> None:
    with chat_server(lambda r: f"Mark: {r['messages'][-1]['content'].split(' [')[0]}") as server:
        context = with_notes(tiny_model, tiny_sae, Dictated(Endpoint("tiny", server.url)), None, 8)
        samples = make_samples(context.task, context.task.items())
        folds = [Fold(samples[:20], samples[20:40])]
        arms = arms_named(["original", "always", "closed-loop", "saetask", "oracle"])
        result = run_experiment([context], folds, arms, False, 0)
    for sample_result in result.results:
        note, found = sample_result.written.annotation, sample_result.written.misunderstandings
        if sample_result.arm in ("always", "oracle"):
            assert note
        if sample_result.arm != "closed-loop":  # there, a note may be taken back
            assert bool(note) == bool(found)
        if note:
            assert note.text == f"Mark: {found[0].text} {found[0].reading}"
            assert note.text in sample_result.written.prompt.content
    assert any(sample_result.written.rounds for sample_result in result.results)
    assert len(server.prompts()) == len(set(server.prompts())) > 20
    assert SENTINEL in str(samples[0].item.gold)
    assert SENTINEL not in "".join(server.prompts())


def test_a_template_without_a_note_is_compared_by_the_prompt_as_it_is(tiny_model, tiny_sae) -> None:
    with chat_server(lambda r: " " if "money" in str(r) else "It is so.") as server:
        context = with_notes(tiny_model, tiny_sae, Dictated(Endpoint("tiny", server.url)), None, 12)
        samples = make_samples(context.task, context.task.items())
        plain = context.client.rank([rank_request(sample) for sample in samples])
        scores = score_notes(context, [samples], 0)
    assert [template.number for template in scores.templates] == [0, 1]
    drawn = set(scores.drawn)
    assert len(drawn) == 12 and set(scores.scored) == {(n, s) for n in (0, 1) for s in drawn}
    for (_, sample), row in scores.scored.items():
        same = (row.scores == plain[sample.position].log_likelihoods).all()
        assert same == (sample.gold_reading == "money")


def test_a_session_writes_the_models_own_note_into_the_prompt(
    tiny_model, tiny_sae, tmp_path, monkeypatch, generated
) -> None:
    class Disagreeing(QuickProbe):
        def detect(self, detector_input):
            return Finding(0.9, [finding("boiled", "metaphorical")])

    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path))
    monkeypatch.setattr(Metaphor, "annotators", ("self-explain",))
    config = SessionConfig(fit_items=60, settings=ONE_BASELINE)
    session = Session(tiny_model, tiny_sae, Metaphor(), Disagreeing, config=config)
    sentence = "The committee boiled the report down to a page."
    (note,) = session.reformulate(sentence, target="boiled").annotations
    assert note.startswith("(Note: So it is ")


def test_a_second_question_is_not_asked_where_a_note_may_hold_its_answer(
    tiny_model, tiny_sae
) -> None:
    task = Metaphor()
    context = with_notes(tiny_model, tiny_sae, SelfExplain(), task)
    samples = make_samples(task, task.items()[:4])
    assert task.second_question(samples[0].item) is not None
    specs = [arm.spec for arm in arms_named(["original", "saetask"])]
    assert score_second_question(context, [], specs, 0) == []
