"""Firings in which features with a plain meaning are planted, and evidence made of them."""

import numpy as np

from saetask.dictionary.collect.contexts import ActivationIndex, SplitActivations
from saetask.saes.activations import TokenActivations

D_SAE = 5
SEA, SHIP, SILENT, RARE, ALWAYS = range(D_SAE)
"""Features: on the word 'sea', on the word 'ship', never, in three rows only, on every token."""
NEAREST = np.array([SHIP, SEA, SEA, SEA, SEA])
PROMOTED = {feature: [" promoted"] for feature in range(D_SAE)}
WORDS = ("the", "a", "red", "old", "house", "walked", "to", "was", "and", "on", "for", "with")


def planted_firings(tokenizer, seed: int, n_rows: int = 150) -> ActivationIndex:
    """Rows of 14 words; 'sea' and 'ship' occur once or twice in most. All firings are strong."""

    def token(word: str) -> int:
        return tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0]

    generator = np.random.default_rng(seed)
    ids, indptr, features, values = [], [0], [], []
    words, sea, ship = [token(word) for word in WORDS], token("sea"), token("ship")
    for number in range(n_rows):
        row = generator.choice(words, 14)
        row[generator.choice(14, 3, replace=False)] = generator.choice([sea, ship, words[0]], 3)
        for place, word in enumerate(row):
            fires = {SEA: word == sea, SHIP: word == ship, RARE: number < 3 and place == 5}
            firing = [*(feature for feature, active in fires.items() if active), ALWAYS]
            features += firing
            values += list(generator.uniform(1, 9, len(firing)))
            indptr.append(len(features))
        ids.append(row)
    return ActivationIndex(
        TokenActivations(
            np.concatenate(ids).astype(np.int32),
            np.cumsum([0, *(len(row) for row in ids)]),
            np.arange(n_rows, dtype=np.uint64),
            np.array(indptr),
            np.array(features, np.int32),
            np.array(values, np.float32),
            D_SAE,
        ),
        np.ones(D_SAE, np.float32),
        NEAREST,
    )


def split_activations(tokenizer, seeds=(0, 1, 2), n_rows: int = 150) -> SplitActivations:
    """Returns planted firings for each split."""
    return SplitActivations(*(planted_firings(tokenizer, seed, n_rows) for seed in seeds))
