"""The Hugging Face hub: its cache is used at once where it cannot be reached, and errors in a line.

huggingface_hub asks an unreachable hub six times, half a minute a file, before it takes the file
from the cache, and has no setting for that. Its offline mode takes the cache without asking.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for the hub's first answer, name resolution included."""


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Puts Hugging Face's libraries into offline mode if the hub does not answer one request.

    Within the context, a file that is in the cache is then taken from there, and another one fails
    at once. The mode is as before afterwards.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode() or hub_answers():
        yield
        return
    # `datasets` has a copy of the constant; it is imported here only if something else needs it.
    flags: list[Any] = [constants, *filter(None, [sys.modules.get("datasets.config")])]
    for module in flags:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module in flags:
            module.HF_HUB_OFFLINE = False


def hub_answers() -> bool:
    """Returns whether the hub, or the mirror that `HF_ENDPOINT` names, answers a single request.

    Any answer counts: what a refusal means is for the request proper to say.
    """
    from huggingface_hub import constants, get_session

    answered = []

    def ask() -> None:
        with suppress(Exception):  # of the resolver, TLS, a proxy, ...
            get_session().head(constants.ENDPOINT, timeout=CONNECT_TIMEOUT)
            answered.append(True)

    # A resolver has a time limit of its own, up to 30 seconds, which only a thread can shorten.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT)
    return bool(answered)


def hub_problem(error: BaseException, what: str) -> str | None:
    """Returns what a failed request to the hub means and how to mend it; None for other errors.

    Args:
        error: What was raised, or has the hub's error among its causes.
        what: What was asked for, such as "model".

    Returns:
        The end of a line that says what could not be loaded.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
    )

    host = urlsplit(constants.ENDPOINT).netloc
    absent = (
        f"it is not in the Hugging Face cache, and {host} cannot be reached; check the name, go "
        f"online, or give a local {what} folder (docs/how-to/offline.md)."
    )
    for kind, reason in (
        (GatedRepoError, "the hub asks for permission; ask for it there, and set HF_TOKEN."),
        (RepositoryNotFoundError, f"the hub has no such {what}; check the name."),
        (RemoteEntryNotFoundError, f"the hub's repository lacks a file of the {what}: {error}"),
        (LocalEntryNotFoundError, absent),
        (ConnectionError, absent),  # of the offline mode, and what `datasets` makes of it
    ):
        if any(isinstance(cause, kind) for cause in _causes(error)):
            return " ".join(reason.split())[:300]
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
