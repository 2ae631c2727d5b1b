"""One prompt at a time: read it, find what is misread, mend it and ask again."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.annotation.base import configured
from saetask.annotation.generated_notes import WrittenNotes, noting
from saetask.annotation.prompt_writer import ArmPrompt, Writer
from saetask.data.prompts import Prompt, Span, as_prompt
from saetask.data.samples import Sample, make_samples
from saetask.detection.base import Finding, Misunderstanding
from saetask.detection.calibration import Calibration
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.experiments.context import (
    ExperimentContext,
    Material,
    as_ask,
    features_of,
    labelled,
    make_reading,
    scored_item,
)
from saetask.experiments.note_selection import try_wordings
from saetask.experiments.pipeline import fit
from saetask.inference.client import Asker
from saetask.models.loading import DEFAULT_MODEL, load_model, model_fingerprint
from saetask.plugins import PluginRegistry
from saetask.saes.activations import FeatureActivations
from saetask.saes.compatibility import check_sae
from saetask.saes.extraction import extract_features, extract_features_from_passes, read_features
from saetask.saes.loading import DEFAULT_SAE, assets_folder, load_sae, sae_fingerprint
from saetask.utils.download import cache_folder
from saetask.utils.files import atomic_path, content_hash, write_json

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

FIT_ITEMS = 1000
"""Built-in items, at most, that a session is fitted on."""


class Detection(NamedTuple):
    """What was found in one prompt."""

    prompt: str
    """The text that was given; spans count in it."""
    answer: str
    """The model's answer to it."""
    failure: float
    """Calibrated probability that this answer is wrong."""
    misunderstandings: list[Misunderstanding]


class Reformulation(NamedTuple):
    """A prompt, mended."""

    detection: Detection
    reformulated: str
    """The prompt with its annotation; the same prompt where nothing was found."""
    annotations: list[str]
    before: str
    after: str


class _Fit(NamedTuple):
    """What detecting and rewriting need, fitted on a task's built-in items."""

    original: Calibration
    annotated: Calibration
    detector: Any
    annotator: str
    wording: int


class Session:
    """Reads, detects and reformulates prompts of one task, with a model and an SAE at hand.

    The detector is fitted on the task's built-in items when it is first needed, and kept in the
    cache folder for this model, SAE and task; for the defaults, saetask ships the fit.
    """

    def __init__(
        self,
        model: "str | Path | Model" = DEFAULT_MODEL,
        sae: "str | Path | SAE[Any]" = DEFAULT_SAE,
        task: str = "metaphor",
        detector: str = "failure-probe",
        registry: PluginRegistry | None = None,
        journal: Path | None = None,
        allow_sae_mismatch: bool = False,
        dictionary: Path | None = None,
        unvalidated_labels: bool = False,
    ) -> None:
        """Loads what is not yet loaded, and checks that the SAE fits the model.

        Args:
            model: As `load_model` takes it.
            sae: As `load_sae` takes it.
            task: Name of a task plugin.
            detector: Name of a detector plugin.
            registry: The plugins; None takes those of the installed packages.
            journal: Answers are kept in this file and not asked for again: a run's
                `answers.jsonl`, for example. Without one, each prompt's are forgotten after it.
            insist_on_sae: Go on with an SAE that `check_sae` refuses for its figures.
            dictionary: A dictionary folder of this SAE; None takes the shipped one, if there is.
            unvalidated_labels: Let annotations use labels that were not validated, too.

        Raises:
            UserError: A name is unknown or the SAE does not belong to the model.
        """
        registry = registry or PluginRegistry()
        self.task = registry.get("task", task)
        names = [name for name in self.task.annotators if name != "feature-label"]
        annotators = [registry.get("annotator", name) for name in names]
        make_detector = registry.get("detector", detector)
        self.model, self.sae = load_model(model), load_sae(sae)
        check_sae(self.model, self.sae, allow_mismatch=allow_sae_mismatch)
        meanings = find_feature_labels(self.model, self.sae, dictionary, unvalidated_labels)
        asker = Asker(self.model, journal)
        at_hand = [noting(annotator, asker) for annotator in configured(annotators, {})]
        self._apparatus = ExperimentContext(
            self.task, self.model, self.sae, make_detector, at_hand, asker, meanings
        )
        self._fit: _Fit | None = None

    def read(self, *prompts: str | Prompt) -> FeatureActivations:
        """Reads prompts; a string is read as the user's message of a chat."""
        chats = [as_prompt(p) if isinstance(p, str) else p for p in prompts]
        return read_features(self.model, self.sae, chats)

    def detect(self, text: str, target: str | None = None) -> Detection:
        """Asks the task's question about a text and finds what is misread in it.

        Args:
            text: A sentence, a word problem: what the task is about.
            target: The word in question, where the task has one.
        """
        sample = self._question(text, target)
        with self._apparatus.asker.in_passing():
            return self._detection(text, sample, self._find(sample))

    def reformulate(self, text: str, target: str | None = None) -> Reformulation:
        """Detects, writes the finding into the prompt, and asks again; see `detect`."""
        with self._apparatus.asker.in_passing():
            return self._reformulation(text, self._question(text, target))

    def _reformulation(self, text: str, sample: Sample) -> Reformulation:
        finding = self._find(sample)
        detection = self._detection(text, sample, finding)
        fitted = self._fitted()
        written = self._write(sample, finding.misunderstandings)
        if written.annotation is None:
            content = written.prompt.text
            return Reformulation(detection, content, [], detection.answer, detection.answer)
        after = self._answer(sample, written.prompt, fitted.annotated)
        notes = [written.annotation.text]
        return Reformulation(detection, written.prompt.text, notes, detection.answer, after)

    def _question(self, text: str, target: str | None) -> Sample:
        item = self.task.question_from_text(text, target)
        candidates = self.task.candidates(item) or []
        return Sample(
            item, self.task.prompt(item), candidates, np.zeros(len(candidates), bool), None
        )

    def _find(self, sample: Sample) -> Finding:
        fitted, asker = self._fitted(), self._apparatus.asker
        asked = as_ask(sample, sample.prompt)
        read = extract_features_from_passes(
            lambda: asker.ask([asked], "ask"), self.model, [self.sae], sample.prompt
        )
        reading = make_reading(self._apparatus, [sample], 0, Material.of(read), fitted.original)
        finding = fitted.detector.detect(reading)
        found = finding.misunderstandings
        shown = self._apparatus.meanings.shown(features_of(found))
        return finding._replace(misunderstandings=labelled(found, shown))

    def _detection(self, text: str, sample: Sample, finding: Finding) -> Detection:
        """Counts the finding's spans in the given text instead of in the whole message."""
        start = sample.prompt.spans["text"].start
        found = [m._replace(span=m.span.shifted(-start)) for m in finding.misunderstandings]
        answer = self._answer(sample, sample.prompt, self._fitted().original)
        return Detection(text, answer, finding.failure, found)

    def _answer(self, sample: Sample, prompt: Prompt, calibration: Calibration) -> str:
        asker = self._apparatus.asker
        asker.ask([as_ask(sample, prompt)], "ask")
        scored = scored_item(asker, sample, prompt)
        values = calibration.apply(scored.scores, scored.readings)
        return sample.texts[int(values.argmax())].strip()

    def _write(self, sample: Sample, findings: list[Misunderstanding]) -> ArmPrompt:
        fitted = self._fitted()
        by_name = {annotator.name: annotator for annotator in self._apparatus.annotators}
        labels = self._apparatus.meanings.trusted(features_of(findings))
        writer = Writer(by_name[fitted.annotator], fitted.wording, labels)
        return writer.write(sample.prompt, findings)

    def fit(self, parent: Path) -> Path:
        """Fits on the task's built-in items and keeps the fit in a folder of its own.

        Args:
            parent: The cache's `fits`, or that of the assets.

        Returns:
            The fit's folder.
        """
        self._fit = self._make_fit()
        folder = parent / self._fit_name()
        _save_fit(folder, self._fit)
        return folder

    def _fitted(self) -> _Fit:
        """Returns the fit: from memory, as shipped, from the cache, or made now."""
        kept = cache_folder() / "fits"
        for parent in (assets_folder() / "fits", kept):
            self._fit = self._fit or _load_fit(parent / self._fit_name(), self._apparatus)
        if self._fit is None:
            self.fit(kept)
        assert self._fit is not None
        return self._fit

    def _fit_name(self) -> str:
        fingerprints = [model_fingerprint(self.model), sae_fingerprint(self.sae)]
        detector = self._apparatus.make_detector().name
        # A fit keeps the number of a wording, which means nothing once the wordings are others.
        example = Misunderstanding(detector, Span(0, 4), "word", self.task.readings[0], 1.0, [])
        wordings = [
            [annotator.name, *annotator.candidates(example, {})]
            for annotator in self._apparatus.annotators
            if not isinstance(annotator, WrittenNotes)
        ]
        known = [version("saetask"), detector, *fingerprints, wordings]
        return f"{self.task.name}-{content_hash(known)}"

    def _make_fit(self) -> _Fit:
        """Fits on the built-in items."""
        context = self._apparatus
        items = self.task.items()
        chosen = np.random.default_rng(0).permutation(len(items))[:FIT_ITEMS]
        samples = make_samples(self.task, [items[i] for i in sorted(chosen)])
        asker = context.asker
        asker.ask((as_ask(q, q.prompt) for q in samples if q.candidates), "fit: ask")
        read = extract_features(self.model, [self.sae], [q.prompt for q in samples])
        material = Material.of(read)
        everything = range(len(samples))
        trials = try_wordings(context, samples, everything, seed=0)
        fitted = fit(context, samples, everything, material, trials)
        name, wording = fitted.annotator.name, fitted.wording
        return _Fit(fitted.original, fitted.annotated, fitted.detector, name, wording)


def _save_fit(folder: Path, fitted: _Fit) -> None:
    from safetensors.numpy import save_file

    state = fitted.detector.state_dict()
    arrays = {k: np.ascontiguousarray(v) for k, v in state.items() if isinstance(v, np.ndarray)}
    values = {k: v for k, v in state.items() if k not in arrays}
    document = {
        "original": fitted.original._asdict(),
        "annotated": fitted.annotated._asdict(),
        "detector": values,
        "annotator": fitted.annotator,
        "wording": fitted.wording,
    }
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        save_file(arrays, temporary / "detector.safetensors")
        write_json(temporary / "fit.json", document)


def _load_fit(folder: Path, context: ExperimentContext) -> _Fit | None:
    """Loads a kept fit; returns None where there is none or it can not be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        document = json.loads((folder / "fit.json").read_text())
        arrays = load_file(folder / "detector.safetensors")
        detector = context.make_detector()
        detector.load_state_dict({**document["detector"], **arrays})
        original, annotated = (Calibration(**document[k]) for k in ("original", "annotated"))
        return _Fit(original, annotated, detector, document["annotator"], document["wording"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
