import numpy as np
from scipy.sparse import csr_matrix

from saetask.discovery.search import Log
from saetask.discovery.splitting import split
from saetask.discovery.words_alone import beyond_words

N, N_WORDS = 1200, 60


def drawn(words_tell):
    """A concept that forty words share; it fails where it is present, or where its word is 0."""
    generator = np.random.default_rng(0)
    words = (generator.random((N, N_WORDS)) < 0.03).astype(np.float32)
    if words_tell:
        concept = words[:, 0] > 0
        concept[:300] |= generator.random(300) < 0.02
    else:
        concept = generator.random(N) < 0.25
        words[:, 0] = np.where(generator.random(N) < 0.1, concept, words[:, 0])
    failures = (generator.random(N) < np.where(concept, 0.7, 0.2)).astype(float)
    halves = split(failures, [str(i) for i in range(N)], 0.5, 0)
    log = Log(failures, np.empty((N, 0)), np.arange(N), halves)
    return words, concept[:, None], log


def test_a_word_needs_no_sae_and_what_no_word_tells_does():
    terms = [f"word{i}" for i in range(N_WORDS)]
    for words_tell in (True, False):
        words, concept, log = drawn(words_tell)
        nothing = np.empty((N, 0), dtype=bool)
        (found,) = beyond_words(concept, terms, csr_matrix(words), nothing, log, 0, 199)
        assert (found.p_value <= 0.05) == (not words_tell)
        assert found.words[0] == "word0"


def test_a_word_that_was_confirmed_is_given():
    _, concept, log = drawn(False)
    no_words = csr_matrix((N, 0), dtype=np.float32)
    (free,) = beyond_words(concept, [], no_words, np.empty((N, 0), bool), log, 0, 99)
    (given,) = beyond_words(concept, [], no_words, concept, log, 0, 99)
    assert free.p_value == 0.01 and given.p_value == 1 and free.words == []
