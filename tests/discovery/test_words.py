from saetask.discovery.controls import word_families
from saetask.discovery.words import FEWEST_PROMPTS, ngram_presence, word_presence


def test_words_and_ngrams_are_those_that_enough_texts_have():
    texts = ["He didn't sell 12 cows."] * FEWEST_PROMPTS + ["He sells rare words."]
    words = word_presence(texts)
    assert words.terms == [".", "12", "cows", "didn't", "he", "sell", "sell (any form)"]
    assert words.presence.toarray()[-1].tolist() == [1, 0, 0, 0, 1, 0, 1]
    pairs = ngram_presence(texts, 2)
    assert "sell 12" in pairs.terms and "he sells" not in pairs.terms


def test_texts_without_words_have_none():
    words = word_presence(["", " "])
    assert words.terms == [] and words.presence.shape == (2, 0)


def test_words_come_first_and_then_ngrams_with_their_names():
    families = word_families(["a red ship"] * 5)
    names = [family.hypothesis(0) for family in families.families]
    assert [(n.id, n.kind) for n in names] == [("word:a", "word"), ("n-gram:a red", "n-gram")]
    assert families.all.terms == ["a", "red", "ship", "a red", "a red ship", "red ship"]
    assert families.all.presence.shape == (5, 6)
