"""Asking the model: candidates ranked by likelihood, or answers generated; nothing asked twice."""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.prompts import Prompt, render
from saetask.errors import UserError
from saetask.inference.likelihood import Continuation, log_likelihoods
from saetask.models.forward import generate_texts
from saetask.models.loading import context_size, model_tokenizer
from saetask.utils.files import content_hash, user_error_on_failed_write

if TYPE_CHECKING:
    from saetask.models.loading import Model

PROMPTS_PER_CHUNK = 32
MAX_NEW_TOKENS = 64


class Ask(NamedTuple):
    """A prompt with the answers to rank, or none for a generated answer."""

    prompt: Prompt
    candidates: tuple[str, ...] = ()
    max_new_tokens: int = MAX_NEW_TOKENS
    """Length of a generated answer, at most."""


def answer(model: "Model", questions: Sequence[Ask]) -> list[list[float] | str]:
    """Asks a model: log-likelihoods of the candidates, or the generated text where there are none.

    Raises:
        UserError: A prompt is too long or a candidate has no tokens.
    """
    tokenizer, limit = model_tokenizer(model), context_size(model)
    prompts = [render(tokenizer, q.prompt, limit).token_ids for q in questions]
    ranked = [i for i, q in enumerate(questions) if q.candidates]
    free = [i for i, q in enumerate(questions) if not q.candidates]
    answers: list[list[float] | str] = [""] * len(questions)
    continuations = []
    for i in ranked:
        for candidate in questions[i].candidates:
            answer_ids = tokenizer(candidate, add_special_tokens=False)["input_ids"]
            if not answer_ids:
                content = questions[i].prompt.content[:60]
                raise UserError(
                    f"The candidate answer {candidate!r} has no tokens; give the item "
                    f"{content!r} another."
                )
            continuations.append(Continuation(prompts[i], answer_ids))
    found = iter(log_likelihoods(model, continuations))
    for i in ranked:
        answers[i] = [next(found) for _ in questions[i].candidates]
    for length in {questions[i].max_new_tokens for i in free}:
        same = [i for i in free if questions[i].max_new_tokens == length]
        texts = generate_texts(model, [prompts[i] for i in same], length)
        for i, text in zip(same, texts):
            answers[i] = text
    return answers


class Asker:
    """Asks a model, keeping each answer in memory and, if there is a journal, on disk.

    The journal is a JSONL file that grows as answers come in, so a killed run goes on from there.
    Its lines are whole chunks: prompts are scored in the same company again, to the same bit.
    """

    def __init__(
        self, model: "Model", journal: Path | None = None, engine: Executor | None = None
    ) -> None:
        """Takes the model, the journal's file, and who asks the model (None: this process)."""
        self._engine = engine or LocalExecutor(model)
        self._journal = journal
        self._known: dict[str, list[float] | str] = {}
        self._lock = threading.Lock()
        if journal is not None and journal.is_file():
            self._known = _read_journal(journal)

    def ask(self, questions: Iterable[Ask], title: str) -> None:
        """Asks whatever is not yet known; questions on one item should stand side by side.

        Raises:
            UserError: A prompt is too long or a candidate has no tokens.
        """
        from tqdm import tqdm

        new = {_key(q): q for q in questions if _key(q) not in self._known}
        keys, pending = list(new), list(new.values())
        starts = range(0, len(pending), PROMPTS_PER_CHUNK)
        chunks = [pending[start : start + PROMPTS_PER_CHUNK] for start in starts]
        with tqdm(total=len(pending), unit="prompt", desc=title, disable=len(pending) < 2) as bar:
            for start, answers in zip(starts, self._engine.map(answer, chunks)):
                self.keep(dict(zip(keys[start:], answers)))
                bar.update(len(answers))

    def scores(self, question: Ask) -> np.ndarray:
        """Returns the log-likelihoods of a question's candidates, `[n_candidates]`."""
        return np.array(self._known[_key(question)], dtype=float)

    def output(self, question: Ask) -> str:
        """Returns the generated answer to a question without candidates."""
        return str(self._known[_key(question)])

    def reply(self, key: str) -> str | None:
        """Returns a reply that was kept under a key of its own; None if there is none."""
        found = self._known.get(key)
        return found if isinstance(found, str) else None

    def keep(self, answers: Mapping[str, list[float] | str]) -> None:
        """Keeps answers by key, those of other language models too; may be called from threads.

        Raises:
            UserError: The journal can not be written, or its disk is full.
        """
        with self._lock:
            self._known.update(answers)
            if self._journal is not None:
                with user_error_on_failed_write(self._journal):
                    self._journal.parent.mkdir(parents=True, exist_ok=True)
                    with self._journal.open("a", encoding="utf-8") as file:
                        file.write("\n" + json.dumps(answers))

    @contextmanager
    def in_passing(self) -> Iterator[None]:
        """Forgets at the end what was asked within, unless a journal keeps it.

        A stream of prompts takes no more memory than one of them. Not for several threads.
        """
        n_before = len(self._known)
        try:
            yield
        finally:
            while self._journal is None and len(self._known) > n_before:
                self._known.popitem()  # the newest


def _read_journal(path: Path) -> dict[str, list[float] | str]:
    """Returns the answers of a journal, and takes off a last line that was cut short."""
    known: dict[str, list[float] | str] = {}
    content = path.read_bytes()
    before, _, last = content.rpartition(b"\n")
    for line in before.splitlines():
        known |= _answers_of(line) or {}
    newest = _answers_of(last)
    if newest is None and last[:1] in (b"", b"{"):  # of nothing else than a journal
        with user_error_on_failed_write(path):
            os.truncate(path, len(before))
    return known | (newest or {})


def _answers_of(line: bytes) -> dict[str, list[float] | str] | None:
    """Returns what stands on a line; None where it is damaged."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _key(question: Ask) -> str:
    prompt = question.prompt
    messages = [dict(message) for message in prompt.messages]
    limits = [] if question.max_new_tokens == MAX_NEW_TOKENS else [question.max_new_tokens]
    return content_hash([messages, prompt.answer_prefix, question.candidates, *limits])
