"""Other forms in which a prompt can be asked: another order of its choices, or other words."""

from typing import Literal, NamedTuple

from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt
from saetask.discovery.choice_orders import other_orders
from saetask.discovery.paraphrases import paraphrases

Vary = Literal["order", "wording"]
ANOTHER_ORDER = "choices in another order"


class Form(NamedTuple):
    """A prompt in another form."""

    prompt: Prompt
    change: str
    """What was changed, in a few words."""
    meant: tuple[str, ...]
    """Which of the original choices each choice of the item stands for in it."""


def other_forms(item: EvaluatedItem, vary: Vary, n: int, seed: int) -> list[Form]:
    """Returns a prompt in other forms, each another one; none where it has none.

    Args:
        item: An item whose prompt is a chat.
        vary: What is changed.
        n: Maximum number of forms.
        seed: Seed of their draw.
    """
    assert isinstance(item.prompt, Prompt)  # see `check_askable`
    if vary == "wording":
        worded = paraphrases(item, n, seed)
        return [Form(each.prompt, each.rewrite, item.choices) for each in worded]
    orders = other_orders(item.prompt, item.choices, n, seed) if item.choices else []
    return [Form(each.prompt, ANOTHER_ORDER, each.meant) for each in orders]
