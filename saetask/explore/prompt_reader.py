"""Reads, judges and asks prompts for the explorer, with one model and one SAE."""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from saetask.data.prompts import Prompt, as_prompt
from saetask.data.samples import make_unlabelled_sample
from saetask.dictionary.editing import resolve_edit
from saetask.errors import UserError
from saetask.explore.config import ExploreConfig
from saetask.explore.requests import (
    AskRequest,
    CompareRequest,
    DetectRequest,
    ReadRequest,
    SteerRequest,
)
from saetask.plugins import PluginRegistry
from saetask.saes.extraction import read_features
from saetask.session import Inspection, Session, SessionConfig
from saetask.session.documents import (
    asked_document,
    detection_document,
    notes_document,
    steering_document,
)
from saetask.session.reading_document import reading_document
from saetask.session.steering import steer_prompt

if TYPE_CHECKING:
    from saetask.saes.activations import FeatureActivations

KEPT = 16
"""Prompts whose features, answers or answers under an edit are kept."""
MOST_CONTRASTS = 20
STEERED_TOKENS = 24
"""Maximum length of a text that is generated under an edit; five are, three of them controls. Of
a task's question, the candidates are ranked, and the text is one token."""
Value = TypeVar("Value")


class PromptReader:
    """The model, its SAE and a session for each task. For one thread at a time."""

    def __init__(self, config: ExploreConfig, plugins: PluginRegistry) -> None:
        """Loads model, SAE and dictionary, and checks that they belong together.

        Raises:
            UserError: One can not be loaded, or they do not fit.
        """
        self._config, self._plugins = config, plugins
        self._sessions: dict[str, Session] = {}
        self._activations: dict[Hashable, FeatureActivations] = {}
        self._inspections: dict[Hashable, Inspection] = {}
        self._steered: dict[Hashable, dict[str, Any]] = {}
        first = self._session(config.tasks[0])
        self.model, self.sae, self.dictionary = first.model, first.sae, first.dictionary

    def read(self, request: ReadRequest) -> dict[str, Any]:
        """Returns where concepts and features fire in a text; see `reading_document`.

        Raises:
            UserError: The text is blank or too long.
        """
        activations = _kept(
            self._activations,
            request.text,
            lambda: read_features(self.model, self.sae, request.text, chat=True),
        )
        return reading_document(activations, self.dictionary, request.also)

    def detect(self, request: DetectRequest) -> dict[str, Any]:
        """Returns what is misread in a text, the notes on it, and the answers to the prompt.

        Raises:
            UserError: The task can not ask about this text, or a concept is unknown.
        """
        inspection = self._inspection(request)
        shown = inspection.without(request.without) if request.without else inspection
        return {
            "task": request.task,
            "target": request.target,
            "without": request.without,
            "detection": detection_document(shown.detection),
            "notes": notes_document(shown.notes()),
            "asked": asked_document(shown.ask()),
        }

    def ask(self, request: AskRequest) -> dict[str, Any]:
        """Returns the answers to a prompt as it is and with a note.

        Raises:
            UserError: The task can not ask about this text, or the note makes it too long.
        """
        inspection = self._inspection(request)
        before, after = inspection.ask(), inspection.ask(request.note.annotation())
        return {"before": asked_document(before), "after": asked_document(after)}

    def steer(self, request: SteerRequest) -> dict[str, Any]:
        """Returns the answers to a prompt before and after an edit, and after random pushes.

        Raises:
            UserError: Nothing is edited, a concept or feature is unknown, or the task can not ask
                about this text.
        """
        # Asked again after it took too long, it is there.
        return _kept(self._steered, request.model_dump_json(), lambda: self._steer(request))

    def _steer(self, request: SteerRequest) -> dict[str, Any]:
        steered, ablated = request.steered(), request.ablated()
        if not steered and not ablated:
            raise UserError("Nothing is edited; choose a concept or feature to steer or to ablate.")
        prompt, candidates = self._question(request)
        resolved = resolve_edit(self.model, self.sae, ablated, steered, self.dictionary)
        n_tokens = 1 if candidates else STEERED_TOKENS
        found = steer_prompt(self.model, self.sae, prompt, candidates, resolved.edit, n_tokens)
        return steering_document(prompt, request.strength, resolved, found)

    def _question(self, request: SteerRequest) -> tuple[Prompt, tuple[str, ...]]:
        """Returns the prompt that is answered under an edit, and its candidate answers."""
        if request.task is None:
            return as_prompt(request.text), ()
        task = self._session(request.task).task
        item = task.question_from_text(request.text, request.target)
        sample = make_unlabelled_sample(task, item)
        return sample.prompt, sample.texts

    def compare(self, request: CompareRequest) -> dict[str, Any]:
        """Returns features that fire in more of the first texts, and in more of the second.

        Raises:
            UserError: There is no dictionary, or a text is blank or too long.
        """
        if self.dictionary is None:
            raise UserError("This SAE has no dictionary; `saetask dictionary build` makes one.")
        first, second = (
            read_features(self.model, self.sae, list(texts), chat=True)
            for texts in (request.first, request.second)
        )
        return {
            "first": self._contrasts(first, second),
            "second": self._contrasts(second, first),
        }

    def _contrasts(
        self, first: "FeatureActivations", second: "FeatureActivations"
    ) -> list[dict[str, Any]]:
        assert self.dictionary is not None
        found = self.dictionary.contrast(first, second, MOST_CONTRASTS)
        columns = ("name", "name_verdict", "label")
        names = self.dictionary.rows([contrast.feature for contrast in found], columns)
        return [{**vars(contrast), **row} for contrast, row in zip(found, names)]

    def _inspection(self, request: DetectRequest) -> Inspection:
        session = self._session(request.task)
        key = (request.task, request.text, request.target)
        return _kept(self._inspections, key, lambda: session.inspect(request.text, request.target))

    def _session(self, task: str) -> Session:
        if task not in self._config.tasks:
            known = ", ".join(self._config.tasks)
            raise UserError(f"The explorer was started for other tasks ({known}); --tasks adds it.")
        if task not in self._sessions:
            earlier = next(iter(self._sessions.values()), None)
            self._sessions[task] = Session(
                earlier.model if earlier else self._config.model,
                earlier.sae if earlier else self._config.sae,
                task,
                plugins=self._plugins,
                config=SessionConfig(
                    dictionary=self._config.dictionary,
                    allow_sae_mismatch=self._config.allow_sae_mismatch,
                    dtype=self._config.dtype,
                ),
            )
        return self._sessions[task]


def _kept(kept: dict[Any, Value], key: Hashable, make: Callable[[], Value]) -> Value:
    """Returns the value of a key, made if it is not among the last few that were used."""
    value = kept.pop(key, None)
    kept[key] = make() if value is None else value
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return kept[key]


def check_tasks(names: Sequence[str], plugins: PluginRegistry) -> None:
    """Refuses tasks that are unknown or have no items of their own.

    Raises:
        UserError: Such a task, which is named, or none at all.
    """
    if not names:
        raise UserError("--tasks names no task; leave it out for the usual ones.")
    for name in names:
        plugins.get("task", name).items()
