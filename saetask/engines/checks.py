"""What is refused of a cluster: an address where nobody answers, a worker that differs."""

from typing import Any

from saetask.engines.worker import Source, differing_versions
from saetask.errors import UserError

CONNECT_SECONDS = 10


def check_address(address: str) -> None:
    """Asks the head node whether it is there: Ray itself would try for minutes.

    Raises:
        UserError: It is no address, or nobody answers there.
    """
    import socket

    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or "/" in host:
        raise UserError(f"--address is '{address}'; it must be auto or HOST:PORT.")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"No Ray cluster answers at {address} ({error}); check the address, or start one "
            "there: ray start --head."
        ) from error


def check_worker(found: dict[str, Any], source: Source, fingerprint: str) -> None:
    """Refuses a worker that would compute something else.

    Args:
        found: What `Worker.start` returned.
        source: What the worker was to load.
        fingerprint: Of the model of this process.

    Raises:
        UserError: Its versions or its weights are others, or it could not load the model.
    """
    name = found["name"]
    if problem := differing_versions(name, found["versions"], source.versions):
        raise UserError(problem)
    if problem := found.get("problem"):
        raise UserError(f"The Ray worker on {name}: {problem}")
    if found["fingerprint"] != fingerprint:
        raise UserError(
            f"The Ray worker on {name} found other weights in {source.spec} than this process has "
            f"({found['fingerprint']}, not {fingerprint}); copy the model to every node."
        )
