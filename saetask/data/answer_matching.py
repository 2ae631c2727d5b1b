"""Whether a written answer is the right one, where nothing but the right answer's text is known."""

import re

from saetask.data.numbers import last_number, numbers_in, same_number, stated_number
from saetask.data.reasoning import without_reasoning

_WORD = re.compile(r"\w+")


def matches_target(output: str, target: str) -> bool:
    """Returns whether an output gives the right answer.

    A target that is one number, or states one (`#### 72`), is compared with the number that the
    output states (`stated_number`), or with its last one if it states none. Any other target must
    be the whole output, its beginning, or its last words, without regard to case.

    Args:
        output: What a model wrote; what it thought aloud is passed over.
        target: The right answer.
    """
    answer = without_reasoning(output)
    right = stated_number(target)
    if right is None and not re.search(r"[^\W\d_]", target) and len(numbers_in(target)) == 1:
        right = numbers_in(target)[0]
    if right is not None:
        stated = stated_number(answer)
        return same_number(last_number(answer) if stated is None else stated, right)
    wanted, said = (_WORD.findall(text.casefold()) for text in (target, answer))
    return bool(wanted) and wanted in (said[: len(wanted)], said[-len(wanted) :])
