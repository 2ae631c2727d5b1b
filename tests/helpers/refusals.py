"""How tests look at a refusal."""

import pytest

from saetask import UserError


def refusal(call, *args, **options):
    """The error's message, which must be one line."""
    with pytest.raises(UserError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message
