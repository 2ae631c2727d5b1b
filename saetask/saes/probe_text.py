"""The probe texts on which an SAE is compared with a model, and how they are read."""

import itertools
from typing import TYPE_CHECKING, Any

from saetask.data.rendering import render
from saetask.models.loading import context_size, model_tokenizer

if TYPE_CHECKING:
    from saetask.models.loading import Model

PROBE_TOKENS = 48
"""Maximum number of tokens read of each probe text, without BOS."""
PROBE_TEXTS = (
    # prose
    "The harbour was quiet when the ferry came in. Anna counted twelve crates on the quay, wrote "
    "the number down, and asked the captain how long the crossing had taken. He shrugged: with "
    "the wind behind them, two hours; against it, nobody could say. Prices in the town had "
    "doubled since spring, and most of the shops along the water now opened only at noon.",
    # dialogue
    '"You said you would be home by six," Mira began. "I know. The train stopped outside the city '
    'for an hour, and my phone was dead." "Again?" She laughed in spite of herself. "Well, there '
    'is soup on the stove. Sit down and tell me what your sister wanted." "Money, of course."',
    # code
    'def average(values):\n    """Return the mean of a list of numbers."""\n    total = 0.0\n'
    "    for value in values:\n        total += value\n    if not values:\n"
    '        raise ValueError("no values given")\n    return total / len(values)\n',
    # figures
    "Sales rose from 1,240 units in March to 1,815 in April, an increase of 46 percent. The "
    "northern branch sold 620 of them at 14.50 each; the southern branch sold the rest at 13.75. "
    "If costs stay at 9.20 a unit, the profit for the quarter will be close to 25,000.",
    # exposition
    "When water freezes, its molecules arrange themselves in an open lattice that takes more room "
    "than the liquid did, which is why ice floats. Lakes therefore freeze from the top down, and "
    "the layer of ice slows the loss of heat from below. Fish survive the winter in deeper water.",
    # instructions
    "How to repot a plant:\n1. Water it well the day before.\n2. Choose a pot two centimetres "
    "wider than the old one.\n3. Loosen the roots gently and shake off the old soil.\n4. Fill the "
    "gap with fresh compost, press it down, and water again.\nKeep it out of direct sun.",
    # another language
    "Le marché du village se tient chaque jeudi sur la place de l'église. Les paysans y vendent "
    "des légumes, du fromage et parfois quelques poules. En hiver, il fait froid et peu de gens "
    "viennent, mais le boulanger allume un feu près de la fontaine et offre du vin chaud.",
    # a letter
    "Dear Mr Osei, thank you for your letter of last week. I am sorry that the committee could "
    "not accept your proposal this year. We received far more applications than we had expected, "
    "and the budget allowed us to support only five of them. I hope that you will try again.",
)
"""Texts of several kinds: an SAE's error differs between them, and that spread is what decides
whether a difference means anything. They were written for this purpose."""


def probe_rows(model: "Model", bos: bool) -> list[list[int]]:
    """Returns the token rows of the probe texts: one a text, of equal length, cut alike.

    A text of too few tokens is continued by the next ones.

    Args:
        model: The model, whose tokenizer and context size are used.
        bos: Whether the rows begin with BOS, if the tokenizer has one.
    """
    tokenizer: Any = model_tokenizer(model)
    start: list[int] = (
        [tokenizer.bos_token_id] if bos and tokenizer.bos_token_id is not None else []
    )
    texts = [render(tokenizer, text, bos=False).token_ids for text in PROBE_TEXTS]
    n_tokens = min(PROBE_TOKENS, context_size(model) - 1)
    following = [itertools.chain(*texts[first:], *texts[:first]) for first in range(len(texts))]
    return [[*start, *itertools.islice(tokens, n_tokens)] for tokens in following]
