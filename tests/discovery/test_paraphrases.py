"""Prompts in other words: nothing of the text is lost, and what holds code keeps its lines."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt, as_prompt
from saetask.discovery.forms import other_forms
from saetask.discovery.paraphrases import GIVEN, REWRITES, paraphrases, rewritten

BY_NAME = {rewrite.name: rewrite for rewrite in REWRITES}
QUESTION = 'Is "swallowed" used literally?\n"She swallowed the insult."'
ADDED = {"Please", "reply", "to", "this", "I", "need", "an", "answer", "Thank", "you"}


def item(prompt, *given_texts):
    prompt = as_prompt(prompt) if isinstance(prompt, str) else prompt
    return EvaluatedItem("a", prompt, "yes", None, "a", paraphrases=given_texts)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "the question after the text",
            QUESTION,
            '"She swallowed the insult."\nIs "swallowed" used literally?',
        ),
        ("the question after the text", "Which of the following is it?\nA. a\nB. b", None),
        ("the question after the text", "Which one?\nA. a\nB. b\nAnswer:", None),
        ("the question after the text", "Is it so?\nWhy not?", None),
        (
            "the question before the text",
            "Ann has 2 figs.\nHow many?",
            "How many?\nAnn has 2 figs.",
        ),
        ("the question before the text", "Q: So?\nA: Yes.\nQ: How many?", None),
        (
            "the instruction after the text",
            "Solve this problem.\nAnn has 2 figs. How many?",
            "Ann has 2 figs. How many?\nSolve this problem.",
        ),
        ("the instruction after the text", "Solve the problem below.\nAnn has 2 figs.", None),
        ("the instruction after the text", "Ann has 2 figs.\nSolve this.", None),
        ("thanks at the end", "Which one?\nAnswer:", None),
        (
            "curly quotation marks",
            QUESTION,
            "Is “swallowed” used literally?\n“She swallowed the insult.”",
        ),
        ("curly quotation marks", 'A board of 5" by 7".', None),
        ("curly quotation marks", 'print("a")', None),
        ("letters in brackets", "Which?\nA. rice\nB) tea", "Which?\n(A) rice\n(B) tea"),
        ("letters with a colon", "Which?\n(A) rice\nB. tea", "Which?\nA: rice\nB: tea"),
        ("letters in brackets", "Who?\nA. Smith wrote it.", None),
        ("blank lines between lines", "One.\nTwo.\n\nThree.", "One.\n\nTwo.\n\nThree."),
        ("blank lines between lines", "def f():\n    return 1", None),
        ("blank lines between lines", "| a | b |\n| 1 | 2 |", None),
    ],
)
def test_a_rewrite_changes_what_it_is_for_and_nothing_else(name, content, expected):
    assert rewritten(content, BY_NAME[name]) == (content if expected is None else expected)


@given(
    st.lists(st.text(st.characters(categories=["L", "N", "P", "Zs"]))),
    st.sampled_from(REWRITES),
)
def test_no_rewrite_loses_or_changes_a_word_or_a_number(lines, rewrite):
    content = "\n".join(lines)
    words = [re.findall(r"\w+", text) for text in (content, rewritten(content, rewrite))]
    left = sorted(words[1])
    for word in words[0]:
        left.remove(word)
    assert set(left) <= ADDED


@given(st.integers(1, 12), st.integers(0, 99))
def test_paraphrases_differ_and_are_drawn_by_the_seed(n, seed):
    found = paraphrases(item(QUESTION), n, seed)
    texts = [each.prompt.content for each in found]
    assert len(set(texts)) == len(texts) <= n and QUESTION not in texts
    assert found == paraphrases(item(QUESTION), n, seed)
    assert len(texts) == min(n, 6)  # as many rewrites are for such a prompt


def test_other_seeds_draw_other_rewrites():
    drawn = {paraphrases(item(QUESTION), 1, seed)[0].rewrite for seed in range(30)}
    assert len(drawn) > 3


def test_what_the_log_gives_comes_first_and_what_is_the_prompt_itself_is_left_out():
    given_texts = (QUESTION, "What of 'swallowed'?", " ", "What of 'swallowed'?")
    first, second = paraphrases(item(QUESTION, *given_texts), 2, 0)
    assert (first.prompt.content, first.rewrite) == ("What of 'swallowed'?", GIVEN)
    assert second.rewrite in BY_NAME


def test_the_rest_of_the_chat_stays_as_it_is():
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    for form in other_forms(item(Prompt(messages, "It is")), "wording", 9, 0):
        assert form.prompt.messages[0] == messages[0]
        assert form.prompt.answer_prefix == "It is"
