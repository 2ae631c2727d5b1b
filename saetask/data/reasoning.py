"""What a model thinks aloud before it answers, which is no part of the answer."""

import re

_THOUGHT = re.compile(
    r"(?:<think(?:ing)?>|\A)(?:(?!<think).)*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE
)
"""A closed block; chat templates may put its opening mark in the prompt."""


def without_reasoning(output: str) -> str:
    """Returns an output without its closed `<think>` blocks; one that is not closed stays."""
    return _THOUGHT.sub(" ", output)
