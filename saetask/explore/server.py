"""Starts the explorer: opens the folders, listens, and serves until it is interrupted."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from saetask.dictionary.dictionary import Dictionary, dictionary_folder
from saetask.errors import UserError
from saetask.explore.config import ExploreConfig
from saetask.explore.security import Access
from saetask.plugins import PluginRegistry

if TYPE_CHECKING:
    from saetask.explore.app import Shelves

MISSING = (
    "saetask explore needs FastAPI and uvicorn, which are not installed; "
    'pip install "saetask[explore]" brings them.'
)
MOST_CONNECTIONS = 64


def serve(
    config: ExploreConfig,
    access: Access,
    plugins: PluginRegistry,
    announce: Callable[[str], None],
) -> None:
    """Serves the explorer until it is interrupted.

    Folders and address are checked before anything is loaded; the model is loaded while the page is
    already served.

    Args:
        config: What is shown, and with which model.
        access: Where to listen; port 0 takes a free one.
        plugins: Where tasks are looked up.
        announce: Is told the address of the page, once it can be opened.

    Raises:
        UserError: A package is missing, a folder is damaged, or the address is taken.
    """
    try:
        import uvicorn

        from saetask.explore.app import make_app
        from saetask.explore.model_queue import ModelQueue
        from saetask.explore.model_thread import ModelThread
        from saetask.explore.prompt_reader import PromptReader, check_tasks
        from saetask.explore.security import Guard
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "uvicorn", "starlette"):
            raise
        raise UserError(MISSING) from error

    access.check()
    check_tasks(config.tasks, plugins)
    shelves = open_shelves(config)
    listening = listen(access)
    access = Access(access.host, listening.getsockname()[1], access.token)
    queue = ModelQueue()
    model = ModelThread(config, lambda: PromptReader(config, plugins), queue)
    settings = uvicorn.Config(
        Guard(make_app(shelves, model), access),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    announce(access.address)
    try:
        uvicorn.Server(settings).run(sockets=[listening])
    finally:
        queue.close()


def open_shelves(config: ExploreConfig) -> "Shelves":
    """Opens the folders that are browsed.

    Raises:
        UserError: One is missing or damaged.
    """
    from saetask.explore.app import Shelves
    from saetask.explore.dictionary_shelf import DictionaryShelf
    from saetask.explore.folders import RunShelf, read_discovery

    shipped = dictionary_folder(config.sae)
    folder = config.dictionary or (shipped if shipped.is_dir() else None)
    return Shelves(
        dictionary=folder and DictionaryShelf(Dictionary.load(folder)),
        run=config.run and RunShelf(config.run),
        discovery=config.discovery and read_discovery(config.discovery),
    )


def listen(access: Access) -> socket.socket:
    """Returns a socket that listens where the explorer shall.

    Raises:
        UserError: The address is taken, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((access.host, access.port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        raise UserError(
            f"Cannot listen on {access.host}, port {access.port} ({error}); give another --port, "
            "or --port 0 for a free one."
        ) from error
    return listening
