"""An explorer without a model: what it reads and finds is planted."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI

from saetask.data.prompts import Span
from saetask.data.rendering import RenderedPrompt
from saetask.detection import ConceptEvidence, ConceptToken, Misunderstanding
from saetask.dictionary import Dictionary
from saetask.discovery.documents import write_discovery
from saetask.errors import UserError
from saetask.explore.app import Shelves, make_app
from saetask.explore.config import ExploreConfig
from saetask.explore.dictionary_shelf import DictionaryShelf
from saetask.explore.folders import RunShelf, read_discovery
from saetask.explore.model_queue import ModelQueue
from saetask.explore.model_thread import ModelThread
from saetask.saes.activations import FeatureActivations
from saetask.session import Detection
from saetask.session.documents import detection_document
from saetask.session.reading_document import reading_document
from tests.helpers import planted_discovery
from tests.helpers.run_folders import raw_rows, summary, with_raw, write_run

HOSTILE = (
    '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\u202e${window.hit=1} ✓ "\'`'
)


def planted_activations(text: str, d_sae: int) -> FeatureActivations:
    """Returns activations of a text by words: each fires one feature, the longer the stronger."""
    spans = [Span(*match.span()) for match in re.finditer(r"\s*\S+", text)]
    words = [text[span.start : span.end].strip() for span in spans]
    prompt = RenderedPrompt(text, list(range(len(spans))), spans, {"text": Span(0, len(text))})
    return FeatureActivations(
        [prompt],
        d_sae,
        np.arange(len(words) + 1),
        np.array([sum(map(ord, word)) % d_sae for word in words], np.int32),
        np.array([len(word) for word in words], np.float32),
    )


def planted_finding(text: str, target: str, without: list[str]) -> Misunderstanding:
    start = max(text.find(target), 0)
    token = ConceptToken(start, start + len(target), target, 3.0)
    concepts = [
        ConceptEvidence(
            "on:noun.food", f"food {HOSTILE}", 2.0, "validated", "literal", [token], [3], [HOSTILE]
        ),
        ConceptEvidence("on:noun.act", "acts", -0.5, "not confirmed", "metaphorical", [], [4], []),
    ]
    kept = [concept for concept in concepts if concept.id not in without]
    odds = sum(concept.contribution for concept in kept) + 0.25
    return Misunderstanding(
        "planted", Span(start, start + len(target)), target, "literal", 0.9, [], odds, 0.25, kept
    )


class PlantedReader:
    """In place of `saetask.explore.prompt_reader.PromptReader`."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary

    def read(self, request: Any) -> dict[str, Any]:
        activations = planted_activations(request.text, len(self.dictionary))
        return reading_document(activations, self.dictionary, request.also)

    def detect(self, request: Any) -> dict[str, Any]:
        if request.target is None:
            raise UserError("The metaphor task needs the verb in question: add --target WORD.")
        found = planted_finding(request.text, request.target, request.without)
        detection = Detection(request.text, "metaphorical", "metaphorical", 0.9, [found])
        note = {"text": f"Note: {HOSTILE}", "placement": "end", "annotator": "planted"}
        return {
            "task": request.task,
            "target": request.target,
            "without": request.without,
            "detection": detection_document(detection),
            "notes": [{**note, "chosen": True}],
            "asked": self._asked(request.text, "metaphorical"),
        }

    def ask(self, request: Any) -> dict[str, Any]:
        after = f"{request.text}\n{request.note.text}"
        return {
            "before": self._asked(request.text, "metaphorical"),
            "after": self._asked(after, "literal"),
        }

    def steer(self, request: Any) -> dict[str, Any]:
        """Answers as asked for: the stronger, the less literal; random pushes change nothing."""
        names = [str(name) for name in [*request.steered(), *request.ablated()]]
        if not names:
            raise UserError("Nothing is edited; choose a concept or feature.")
        if "on:noun.nothing" in names:
            raise UserError("There is no concept 'on:noun.nothing'.")

        def answers(text: str, odds: float) -> dict[str, Any]:
            ranked = {" literal": -1.0 - odds, " metaphorical": -1.0}
            return {"text": text, "log_likelihoods": ranked if request.task else {}}

        return {
            "prompt": request.text,
            "strength": request.strength,
            "steered": {str(name): [3] for name in request.steered()},
            "ablated": {str(name): [4] for name in request.ablated()},
            "typical_activations": {"3": 2.0},
            "relative_norm": 0.25,
            "before": answers("plain", 0.0),
            "after": answers(f"edited {HOSTILE}", request.strength),
            "random": [answers("pushed", 0.0)] * 3,
        }

    def compare(self, request: Any) -> dict[str, Any]:
        return {"first": [], "second": []}

    def _asked(self, prompt: str, answer: str) -> dict[str, Any]:
        shares = {"literal": 0.3, "metaphorical": 0.7}
        if answer == "literal":
            shares = {"literal": 0.8, "metaphorical": 0.2}
        candidates = [
            {"text": n, "reading": n, "score": float(np.log(p)), "share": p, "calibrated": -1.0}
            for n, p in shares.items()
        ]
        return {
            "prompt": prompt,
            "answer": answer,
            "calibrated_answer": answer,
            "candidates": candidates,
        }


def planted_app(folder: Path, queue: ModelQueue) -> FastAPI:
    """Returns an explorer whose dictionary, run and discovery lie in a folder."""
    dictionary = Dictionary.load(folder / "dictionary")
    run = write_run(folder / "run", with_raw(summary()), raw_rows(HOSTILE) + raw_rows(item=HOSTILE))
    found = planted_discovery.row(planted_discovery.discovery(), planted_discovery.shown())
    found = found.model_copy(update={"name": HOSTILE})
    (folder / "discovery").mkdir(exist_ok=True)
    write_discovery(
        folder / "discovery", planted_discovery.summary(planted_discovery.discovery()), [found]
    )
    shelves = Shelves(
        DictionaryShelf(dictionary), RunShelf(run), read_discovery(folder / "discovery")
    )
    model = ModelThread(ExploreConfig(), lambda: PlantedReader(dictionary), queue)  # pyright: ignore
    return make_app(shelves, model)
