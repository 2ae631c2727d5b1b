"""A made-up task for experiments on a tiny model: what a word says of a thing's warmth."""

import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from saetask.annotation import Annotation
from saetask.data import Candidate, Item, Prompt, Score, SecondQuestion, Span
from saetask.data.folds import Fold, all_samples
from saetask.data.samples import Sample, make_samples
from saetask.detection.baselines import baselines, dense_probe
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.experiments.arms import ARMS
from saetask.experiments.context import ExperimentContext, ExperimentSettings
from saetask.experiments.control_detectors import RANDOM_SAES
from saetask.experiments.fold import FoldState, fit_fold
from saetask.experiments.note_selection import NoteScores, score_notes
from saetask.experiments.observation import Observation, observe
from saetask.experiments.pipeline import FittedPipeline, fit_pipeline
from saetask.inference.client import ModelClient, RankResponse
from saetask.inference.requests import GenerateRequest
from saetask.plugins import PluginRegistry, hookimpl
from tests.helpers.every_arm import EVERY_ARM
from tests.helpers.probe_choices import FEW_CHOICES

SENTINEL = "Xyzzy-7731"
WORDS = {"warm": ["hot", "boiling"], "cold": ["icy", "frozen"]}
THINGS = ["soup", "tea", "lake", "road", "bath", "wind", "milk", "rain", "hall", "bread", "pond"]
THINGS += ["stone", "air", "room", "sand"]
SETTINGS = ExperimentSettings(self_note_tokens=4, make_baselines=lambda: baselines(FEW_CHOICES))
ONE_BASELINE = replace(SETTINGS, make_baselines=lambda: [dense_probe(FEW_CHOICES)])
"""Settings of experiments in which the other baselines are of no interest."""
NO_BASELINE = replace(SETTINGS, make_baselines=list)


class Touch:
    """Is the thing warm or cold? The word that says so is the target."""

    name = "touch"
    readings = ("warm", "cold")
    annotators = ("touch-note",)

    def __init__(self, mute=()):
        self.mute = set(mute)
        """Groups whose items have no candidates."""

    def items(self, data=None):
        return [
            Item(
                f"{thing}-{word}",
                thing,
                {"sentence": f"The {thing} in the house was {word} today.", "word": word},
                (SENTINEL, reading),
            )
            for thing in THINGS
            for reading, words in WORDS.items()
            for word in words
        ]

    def prompt(self, item):
        sentence, word = item.question["sentence"], item.question["word"]
        start = sentence.index(word)
        spans = {"text": Span(0, len(sentence)), "target": Span(start, start + len(word))}
        return Prompt([{"role": "user", "content": sentence}], "It was", spans)

    def candidates(self, item):
        if item.group in self.mute:
            return None
        return [Candidate(" warm", "warm"), Candidate(" cold", "cold")]

    def score(self, item, output):
        words = [word for word in output.lower().split() if word in self.readings]
        parsed = words[0] if words else None
        return Score(parsed, parsed is not None and parsed == item.gold[1])

    def gold_reading(self, item):
        return None if item.group in self.mute else item.gold[1]

    def question_from_text(self, text, target):
        return Item("text", "text", {"sentence": text, "word": target})


class TouchNote:
    """Says warm or cold after the sentence or inside it."""

    name = "touch-note"

    def __init__(self):
        self.seen = []

    def candidates(self, misunderstanding, labels):
        self.seen.append((misunderstanding, dict(labels)))
        text = f"(that is {misunderstanding.reading})"
        return [Annotation(text, "end", self.name), Annotation(text, "inline", self.name)]


class TouchTwice(Touch):
    """Asks, too, whether one would touch it; nothing is asked of things that are `untouched`."""

    def __init__(self, mute=(), untouched=(), generated=False):
        super().__init__(mute)
        self.untouched, self.generated = untouched, generated

    def second_question(self, item):
        if item.group in self.untouched:
            return None
        lead, first = "Would you touch it?\n", self.prompt(item)
        spans = {name: span.shifted(len(lead)) for name, span in first.spans.items()}
        prompt = Prompt([{"role": "user", "content": lead + first.content}], "I would", spans)
        candidates = [Candidate(" not", "warm"), Candidate(" yes", "cold")]
        return SecondQuestion(prompt, None if self.generated else candidates)

    def score_second(self, item, output):
        return Score(output.strip(), output == {"warm": " not", "cold": " yes"}[item.gold[1]])


def make_folds_in_turn(samples, n_folds=3):
    """Returns folds by group, in turn."""
    groups = sorted({sample.group for sample in samples})
    fold_of = {group: i % n_folds for i, group in enumerate(groups)}
    return [
        Fold(
            [sample for sample in samples if fold_of[sample.group] != fold],
            [sample for sample in samples if fold_of[sample.group] == fold],
        )
        for fold in range(n_folds)
    ]


def make_context(
    model, sae, detector, task=None, annotator=None, client=None, settings=ONE_BASELINE
):
    """Returns a context for the task, with one annotator and labels of the logit lens."""
    return ExperimentContext(
        task or Touch(),
        model,
        sae,
        detector,
        [annotator or TouchNote()],
        client or ModelClient(model),
        FeatureLabels(model, sae),
        settings=settings,
    )


class StubClient:
    """Answers at random without any model, equal requests equally, and remembers all requests."""

    def __init__(self):
        self.requests = []
        self.stored = {}

    def rank(self, requests, title="rank"):
        requests = list(requests)
        self.requests += requests
        return [self.response(request) for request in requests]

    def generate(self, requests, title="generate"):
        requests = list(requests)
        self.requests += requests
        return [self.text(request) for request in requests]

    def response(self, request):
        """Returns the response to a request for scores, without counting it as sent."""
        generator = np.random.default_rng(_number(request))
        return RankResponse(generator.normal(size=len(request.candidates)))

    def text(self, request):
        """Returns the text generated on request, without counting it as sent."""
        return f"I say {_number(request)}.\nAnd more."

    def n_generated(self):
        return sum(isinstance(request, GenerateRequest) for request in self.requests)

    def stored_reply(self, key):
        return self.stored.get(key)

    def store(self, answers):
        self.stored |= answers

    @contextmanager
    def temporary_cache(self):
        yield


def _number(request):
    return zlib.crc32(repr((request.prompt.messages, request[1])).encode())


@dataclass
class Lab:
    """What the first of two folds is fitted on: read by a tiny model, answered by a stub."""

    context: ExperimentContext
    folds: list[Fold]
    observations: dict[Sample, Observation]
    note_scores: NoteScores
    fixed_notes: dict[str, NoteScores]

    @property
    def samples(self) -> list[Sample]:
        return all_samples(self.folds)

    @property
    def fold(self) -> Fold:
        return self.folds[0]

    def observed(self, samples) -> list[Observation]:
        return [self.observations[sample] for sample in samples]

    def fit_pipeline(self, **changes) -> FittedPipeline:
        """Returns the pipeline of the first fold; changes are of the context's fields."""
        context = replace(self.context, **changes)
        train = self.observed(self.fold.train)
        return fit_pipeline(context, train, [], self.note_scores, train)

    def fit_fold(self, seed=0, controls=tuple(EVERY_ARM), **changes) -> FoldState:
        """Returns the state of the first fold; changes are of the context's fields."""
        context, observed = replace(self.context, **changes), [self.observations]
        notes = self.note_scores, self.fixed_notes
        return fit_fold([context], 0, self.fold, observed, *notes, controls, seed)


def make_lab(model, sae, detector, task=None, annotator=None, n_items=32, settings=ONE_BASELINE):
    """Returns two folds that are read through a tiny model and answered by a stub."""
    task = task or Touch()
    samples = make_samples(task, task.items()[:n_items])
    context = make_context(model, sae, detector, task, annotator, StubClient(), settings)
    observations = dict(zip(samples, observe(context, samples, range(len(RANDOM_SAES)))))
    folds = make_folds_in_turn(samples, 2)
    fit_splits = [fold.train for fold in folds]
    fixed = {
        arm.spec.name: score_notes(replace(context, annotators=[arm.notes]), fit_splits, 0)
        for arm in ARMS
        if arm.notes
    }
    return Lab(context, folds, observations, score_notes(context, fit_splits, 0), fixed)


@hookimpl
def saetask_annotators():
    return [TouchNote()]


def touch_plugins():
    """Returns the installed plugins and this file's annotator."""
    return PluginRegistry([Path(__file__)])
