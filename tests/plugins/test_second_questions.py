"""Second questions: the same item asked about in another way, which no note answers."""

import re
from dataclasses import replace
from statistics import mean

import pytest

from saetask.data import AsksTwice, Item, numbers_in
from saetask.data.samples import make_samples
from saetask.experiments.note_selection import gold_finding
from saetask.plugins import PluginRegistry
from saetask_plugins.annotators.choice_note import ChoiceNote
from saetask_plugins.annotators.operation_note import OperationNote
from saetask_plugins.annotators.relation_note import RelationNote
from saetask_plugins.annotators.sense_comparison_note import SenseComparisonNote
from saetask_plugins.annotators.sense_note import SenseNote
from saetask_plugins.tasks.figurative_qa import FigurativeQA
from saetask_plugins.tasks.gsm8k import GSM8K
from saetask_plugins.tasks.metaphor import LABELS, Metaphor
from saetask_plugins.tasks.multiple_choice import MultipleChoice
from saetask_plugins.tasks.word_problems import WordProblems
from saetask_plugins.tasks.word_sense import WordSense
from tests.helpers.item_rows import SENTENCE
from tests.helpers.refusals import refusal

SENSES = {"literal": "to go by boat", "metaphorical": "to do well"}


def test_it_is_told_from_the_task_whether_it_asks_twice():
    assert isinstance(Metaphor(), AsksTwice)
    assert all(isinstance(task, AsksTwice) for task in PluginRegistry().by_name("task").values())


@pytest.mark.parametrize("task", [Metaphor(), WordProblems()], ids=lambda task: task.name)
def test_the_second_prompt_shows_the_same_spans_and_asks_something_else(task, sentences, problems):
    for item in (sentences if task.name == "metaphor" else problems)[::5]:
        first, second = task.prompt(item), task.second_question(item).prompt
        assert second.content != first.content
        assert second.spans.keys() == first.spans.keys()
        for name, span in second.spans.items():
            before = first.spans[name]
            assert second.content[slice(*span)] == first.content[slice(*before)]


@pytest.mark.parametrize("task", [Metaphor(), WordProblems()], ids=lambda task: task.name)
def test_the_second_question_does_not_depend_on_the_gold_answer(task, sentences, problems):
    for item in (sentences if task.name == "metaphor" else problems)[::9]:
        for gold in ("literal", "metaphorical", 7.0, None):
            assert task.second_question(replace(item, gold=gold)) == task.second_question(item)


# metaphor


def test_every_embedded_verb_has_two_paraphrases_and_one_of_them_is_right(sentences):
    task = Metaphor()
    for item in sentences:
        candidates = task.second_question(item).candidates
        assert [candidate.reading for candidate in candidates] == list(LABELS)
        right = [c.reading for c in candidates if task.score_second(item, c.text).correct]
        assert right == [item.gold]


def test_paraphrases_are_told_apart_by_neither_length_nor_the_names_of_the_readings(sentences):
    pairs = {item.group: item.question["senses"] for item in sentences}
    texts = [text for senses in pairs.values() for text in senses.values()]
    assert len(set(texts)) == 2 * len(pairs)
    assert not re.search(r"litera|figur|metaphor", " ".join(texts))
    lengths = [(len(s["literal"]), len(s["metaphorical"])) for s in pairs.values()]
    assert all(abs(a - b) <= 3 for a, b in lengths)
    assert abs(mean(a - b for a, b in lengths)) < 0.5


def test_a_paraphrase_does_not_use_the_verb_that_it_explains(sentences):
    for item in sentences:
        for text in item.question["senses"].values():
            assert not re.search(rf"\b{item.group[:5]}", text), (item.group, text)


def test_paraphrases_are_shown_in_no_prompt(sentences):
    for item in sentences[::7]:
        shown = Metaphor().prompt(item).content + Metaphor().second_question(item).prompt.content
        assert not any(text in shown for text in item.question["senses"].values())


def test_no_note_on_the_first_question_holds_a_paraphrase(sentences):
    for item in sentences[::7]:
        (sample,) = make_samples(Metaphor(), [item])
        for finding in gold_finding(sample):
            for note in SenseNote().candidates(finding, {}):
                assert not any(text in note.text for text in item.question["senses"].values())


def test_a_files_own_paraphrases_override_and_unknown_verbs_have_no_second_question(items_file):
    task = Metaphor()
    unknown = {"id": "s3", "sentence": "He danced.", "target": "danced", "target_start": 3}
    rows = [
        SENTENCE,
        {**SENTENCE, "id": "s2", "senses": SENSES},
        {**unknown, "label": "literal", "group": "hop"},
    ]
    known, own, without = task.items(items_file(*rows))
    assert task.second_question(known).candidates[0].text == " to go by boat across the water"
    assert [c.text for c in task.second_question(own).candidates] == [
        " to go by boat",
        " to do well",
    ]
    assert task.second_question(without) is None
    assert not task.score_second(without, "to move to music").correct


@pytest.mark.parametrize(
    "senses",
    [
        [],
        "to go by boat",
        {},
        {"literal": "to go by boat"},
        {**SENSES, "metaphorical": ""},
        {**SENSES, "literal": "  "},
        {**SENSES, "literal": 3},
        {**SENSES, "metaphorical": "To go by boat "},
    ],
)
def test_paraphrases_that_are_missing_empty_or_the_same_are_refused(items_file, senses):
    path = items_file(SENTENCE, {**SENTENCE, "id": "s2", "senses": senses})
    assert refusal(Metaphor().items, path).startswith(f"{path}:2: field 'senses': ")


def test_a_generated_output_is_judged_by_the_paraphrase_that_it_states(items_file):
    (item,) = Metaphor().items(items_file({**SENTENCE, "senses": SENSES}))
    score = Metaphor().score_second(item, 'It means "To go by boat".')
    assert (score.parsed, score.correct) == ("to go by boat", True)
    assert not Metaphor().score_second(item, " to do well").correct
    assert Metaphor().score_second(item, "to walk").parsed is None


def test_a_users_own_sentence_has_no_second_question():
    item = Metaphor().question_from_text("The ship sailed at noon.", "sailed")
    assert Metaphor().second_question(item) is None


# word problems


def test_a_word_problem_is_asked_for_its_number_which_is_generated(problems):
    second = WordProblems().second_question(problems[0])
    assert second.candidates is None
    assert "Answer with a number." in second.prompt.content
    assert second.prompt.answer_prefix == "Answer:"


@pytest.mark.parametrize(
    ("output", "parsed", "correct"),
    [
        (" 5", "5", True),
        (" 5 figs, since 7 - 2 = 4", "5", True),
        (" $5.00", "5", True),
        (" 7 - 2 = 5", "7", False),
        (" five", None, False),
        ("", None, False),
    ],
)
def test_the_first_number_of_the_output_is_judged(output, parsed, correct):
    item = Item("x", "g", {"question": "Ann has 7 figs and eats 2. How many are left?"}, 5.0)
    score = WordProblems().score_second(item, output)
    assert (score.parsed, score.correct) == (parsed, correct)
    assert not WordProblems().score_second(replace(item, gold=None), output).correct


def test_no_note_on_the_operation_holds_a_number_that_is_not_in_the_problem(problems):
    for item in problems[::50]:
        (sample,) = make_samples(WordProblems(), [item])
        for finding in gold_finding(sample):
            notes = OperationNote().candidates(finding, {})
            assert notes
            given = set(numbers_in(sample.prompt.content))
            assert all(set(numbers_in(note.text)) <= given for note in notes)


def test_a_note_on_two_numbers_ends_as_the_right_candidate_begins(problems):
    item = problems[0]
    (sample,) = make_samples(WordProblems(), [item])
    assert len(set(numbers_in(sample.prompt.content))) == 2
    notes = OperationNote().candidates(gold_finding(sample)[0], {})
    (right,) = [text for text, good in zip(sample.texts, sample.correct, strict=True) if good]
    beginning = right.partition(" =")[0].strip()
    assert any(note.text.endswith(f"The equation begins: {beginning}") for note in notes)


# problems in several steps

STEPS = {"id": "g1", "question": "Ann has 3 bags of 4 figs and eats 2. How many?", "answer": 10}


def stated(item, task, annotators):
    """Returns the notes that state the right reading of an item."""
    (sample,) = make_samples(task, [item])
    return [
        note.text
        for finding in gold_finding(sample)
        for annotator in annotators
        for note in annotator.candidates(finding, {})
    ]


def test_the_first_operation_is_asked_for_where_the_last_is_another(items_file):
    task = GSM8K()
    (item,) = task.items(items_file({**STEPS, "operations": ["multiplication", "subtraction"]}))
    second = task.second_question(item)
    assert second.prompt.spans.keys() == task.prompt(item).spans.keys()
    right = [c.reading for c in second.candidates if task.score_second(item, c.text).correct]
    assert right == ["multiplication"]
    for text in stated(item, task, [OperationNote(), RelationNote()]):
        assert not re.search(r"multipl|groups|\*", text)


@pytest.mark.parametrize("operations", [[], ["addition"], ["addition", "division", "addition"]])
def test_no_operation_is_asked_for_that_the_note_states(items_file, operations):
    (item,) = GSM8K().items(items_file({**STEPS, "operations": operations}))
    assert GSM8K().second_question(item) is None
    assert not GSM8K().score_second(item, "subtraction").correct


# figures of speech


def figures(items_file, n=40):
    return FigurativeQA().items(
        items_file(
            *(
                {
                    "id": f"f{number}",
                    "phrase": "The pillow was as soft as a rock.",
                    "endings": ["The pillow was soft.", "The pillow was not soft."],
                    "label": 1,
                    "group": str(number),
                }
                for number in range(n)
            )
        )
    )


def test_whether_a_figure_denies_does_not_tell_whether_an_ending_is_what_it_means(items_file):
    task, right = FigurativeQA(), []
    for item in figures(items_file):
        second = task.second_question(item)
        asked = next(e for e in reversed(item.question["endings"]) if e in second.prompt.content)
        (answer,) = [c.text for c in second.candidates if task.score_second(item, c.text).correct]
        assert answer == (" yes" if "not" in asked else " no")
        assert second.prompt.content[slice(*second.prompt.spans["text"])] == item.question["phrase"]
        right.append(answer)
    assert 10 < right.count(" yes") < 30  # all are denied


def test_an_ending_is_drawn_by_the_id_and_not_by_the_gold_answer(items_file):
    for item in figures(items_file, 9):
        for gold in (0, 1, None):
            changed = replace(item, gold=gold)
            assert FigurativeQA().second_question(changed) == FigurativeQA().second_question(item)
    assert not FigurativeQA().score_second(replace(item, gold=None), " no").correct


# choices


def test_choices_are_asked_for_without_letters_and_in_other_places(items_file):
    task = MultipleChoice()
    choices = ["rice", "tea", "a boat"]
    row = {"id": "m1", "prompt": "Which is a drink?", "choices": choices, "label": 1}
    (item,) = task.items(items_file(row))
    second = task.second_question(item)
    assert second.prompt.content == "Which is a drink?\n- tea\n- a boat\n- rice"
    listed = [line.removeprefix("- ") for line in second.prompt.content.splitlines()[1:]]
    assert all(one != other for one, other in zip(listed, choices))
    assert [c.text for c in second.candidates if task.score_second(item, c.text).correct] == [
        " tea"
    ]
    for text in stated(item, task, [ChoiceNote()]):
        assert not any(choice in text.split(" ") for choice in ("rice", "tea", "boat"))


# senses

BANK = {
    "id": "w1",
    "word": "bank",
    "sentence1": "He sat on the bank.",
    "sentence2": "The bank lent money.",
    "target1": "bank",
    "target2": "bank",
    "start1": 14,
    "start2": 4,
    "label": "different",
}
MEANINGS = ["sloping land beside water", "a house that lends money"]


def test_a_word_is_asked_for_its_meaning_where_the_file_says_it(items_file):
    task = WordSense()
    rows = [BANK, {**BANK, "id": "w2", "senses": MEANINGS, "sense": 1}]
    without, item = task.items(items_file(*rows))
    assert task.second_question(without) is None
    second = task.second_question(item)
    assert second.prompt.spans.keys() == task.prompt(item).spans.keys()
    right = [c.text for c in second.candidates if task.score_second(item, c.text).correct]
    assert right == [" a house that lends money"]
    assert len({candidate.reading for candidate in second.candidates}) == 1
    for text in stated(item, task, [SenseComparisonNote()]):
        assert not any(meaning in text for meaning in MEANINGS)
    assert task.second_question(replace(item, gold=None)) == second
    assert not task.score_second(replace(item, gold=None), right[0]).correct


@pytest.mark.parametrize(
    "given",
    [
        {"senses": MEANINGS},
        {"sense": 1},
        {"senses": MEANINGS, "sense": 2},
        {"senses": MEANINGS[:1], "sense": 0},
        {"senses": [MEANINGS[0], f"{MEANINGS[0]} "], "sense": 0},
    ],
)
def test_meanings_that_do_not_fit_are_refused(items_file, given):
    path = items_file({**BANK, **given})
    assert refusal(WordSense().items, path).startswith(f"{path}:1: ")
