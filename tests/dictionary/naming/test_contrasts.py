"""Contrasts choose features on some groups of examples and are tried on others."""

import pytest

from saetask import UserError
from saetask.dictionary.naming.contrasts import contrast_concepts
from saetask.dictionary.naming.user_concepts import UserConcept
from tests.helpers.words import SEA

WITH = [f"The old {word} sea was there at {n}." for n, word in enumerate(["x", "y"] * 6)]
WITHOUT = [f"The old {word} road was there at {n}." for n, word in enumerate(["x", "y"] * 6)]
ASKED = 'What is "{word}" here? {text}'


def marked(texts: list[str], word: str) -> list[dict[str, str]]:
    return [
        {"text": text.replace(word, f"«{word}»"), "group": str(number // 2)}
        for number, text in enumerate(texts)
    ]


def test_sentences_give_the_features_that_tell_them_apart(tiny_model, word_sae) -> None:
    concept = UserConcept(name="the sea", examples=WITH, others=WITHOUT)
    (tried,) = contrast_concepts([concept], tiny_model, word_sae)
    assert tried.concept.id == "contrast:the sea" and tried.concept.subject == "contrast"
    assert tried.concept.features == (SEA,)
    assert tried.auroc == 1.0 and tried.concept.verdict == "validated"
    assert tried.concept.words == ("sea",)
    assert all("«sea»" in context for context in tried.concept.examples)
    (unquoted,) = contrast_concepts(
        [concept.model_copy(update={"quoted": False})], tiny_model, word_sae
    )
    assert tried.concept.examples
    assert unquoted.concept == tried.concept._replace(examples=())


@pytest.mark.parametrize("asked", ["", ASKED])
def test_a_marked_word_gives_a_concept_of_the_word_and_one_of_the_sentence(
    tiny_model, word_sae, asked
) -> None:
    """`the` stands in every sentence: only what is marked differs on the word itself."""
    on = {"examples": marked(WITH, "sea"), "others": marked(WITHOUT, "road")}
    elsewhere = {"examples": marked(WITH, "was"), "others": marked(WITHOUT, "was")}
    concept = UserConcept(name="waters", asked=asked, **on)
    on_word, in_sentence = contrast_concepts([concept], tiny_model, word_sae)
    assert (on_word.concept.id, on_word.concept.name) == ("contrast:on:waters", "waters")
    assert in_sentence.concept.id == "contrast:in:waters"
    assert in_sentence.concept.name == "sentences with waters"
    assert on_word.concept.features == in_sentence.concept.features == (SEA,)
    with pytest.raises(UserError, match="no feature fires in more"):
        contrast_concepts([UserConcept(name="none", **elsewhere)], tiny_model, word_sae)


def test_sentences_that_no_feature_tells_apart_are_refused(tiny_model, word_sae) -> None:
    concept = UserConcept(name="nothing", examples=WITH, others=WITH)
    with pytest.raises(UserError, match=r"no feature fires in more|do not leave"):
        contrast_concepts([concept], tiny_model, word_sae)


def test_groups_that_leave_a_half_without_examples_are_refused(tiny_model, word_sae) -> None:
    examples = [{"text": text, "group": "one"} for text in WITH]
    concept = UserConcept(name="one group", examples=examples, others=WITHOUT)
    with pytest.raises(UserError, match="groups do not leave"):
        contrast_concepts([concept], tiny_model, word_sae)


def test_what_holds_in_the_choosing_half_alone_is_not_confirmed(tiny_model, word_sae) -> None:
    """Groups are dealt out in turn: every second example, and other, tells the opposite."""
    pairs = list(zip(WITH, WITHOUT))
    examples = [pair[number % 2] for number, pair in enumerate(pairs)]
    others = [pair[1 - number % 2] for number, pair in enumerate(pairs)]
    concept = UserConcept(name="by halves", examples=examples, others=others)
    (tried,) = contrast_concepts([concept], tiny_model, word_sae)
    assert tried.auroc == 0.0 and tried.concept.verdict == "not confirmed"
