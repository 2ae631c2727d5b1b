"""The model behind the queue: loaded in its thread while the page is already there."""

import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from saetask.errors import UserError
from saetask.explore.config import ExploreConfig
from saetask.explore.model_queue import ModelQueue
from saetask.explore.prompt_reader import PromptReader

T = TypeVar("T")


class ModelThread:
    """Runs what needs the model in one thread, which loads it first."""

    def __init__(
        self, config: ExploreConfig, load: Callable[[], PromptReader], queue: ModelQueue
    ) -> None:
        """Begins to load.

        Args:
            config: Names of model, SAE and tasks.
            load: Loads model and SAE.
            queue: The queue, which nothing else uses.
        """
        self._config, self._queue = config, queue
        self._reader: PromptReader | None = None
        self._problem: str | None = None
        self._load = load
        queue.start(self._load_now)

    def _load_now(self) -> None:
        try:
            self._reader = self._load()
            print(f"saetask: {self._config.model} is ready to be asked.", file=sys.stderr)
        except Exception as error:
            if self._queue.closed:  # loading fails once the interpreter ends
                return
            self._problem = str(error) if isinstance(error, UserError) else repr(error)
            print(f"saetask: the model is not loaded: {self._problem}", file=sys.stderr)

    def status(self) -> dict[str, Any]:
        """Returns whether the model is there, and what it is."""
        state = "failed" if self._problem else ("loading" if self._reader is None else "ready")
        return {
            "state": state,
            "problem": self._problem,
            "model": self._config.model,
            "sae": self._config.sae,
            "tasks": list(self._config.tasks),
        }

    async def run(
        self, function: Callable[[PromptReader], T], gone: Coroutine[Any, Any, None] | None = None
    ) -> T:
        """Returns what a function makes of the reader, once it was its turn.

        Args:
            function: What is run with the reader.
            gone: Ends when nobody waits for the result any more.

        Raises:
            UserError: The model could not be loaded.
            QueueFullError: Too many requests wait already.
            TookTooLongError: The result is not there in time.
            AbandonedError: Nobody waits for it any more.
        """

        def call() -> T:
            if self._reader is None:
                raise UserError(f"The model is not loaded: {self._problem}")
            return function(self._reader)

        return await self._queue.run(call, gone)
