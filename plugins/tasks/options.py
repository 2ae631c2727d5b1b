"""Which of several options an output states."""

from collections.abc import Sequence


def stated_option(output: str, options: Sequence[str]) -> int | None:
    """Returns the number of the option that an output states, by text, whatever the case.

    An output that is an option states it. In a longer one the first to occur counts, and the
    longest where several begin together.
    """
    text, texts = output.strip().lower(), [option.strip().lower() for option in options]
    if text in texts:
        return texts.index(text)
    found = [
        (text.find(option), -len(option), i) for i, option in enumerate(texts) if option in text
    ]
    return min(found)[2] if found else None
