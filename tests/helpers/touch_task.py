"""A made-up task for experiments on a tiny model: what a word says of a thing's warmth."""

import zlib
from typing import NamedTuple

import numpy as np

from saetask import Annotation, Candidate, Item, Prompt, Score, SecondQuestion, Span
from saetask.data.samples import Fold, Study, make_samples
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.experiments.context import ExperimentContext, Material, as_ask
from saetask.experiments.note_selection import Trials, try_wordings
from saetask.experiments.runner import _read
from saetask.inference.client import Asker

SENTINEL = "Xyzzy-7731"
WORDS = {"warm": ["hot", "boiling"], "cold": ["icy", "frozen"]}
THINGS = ["soup", "tea", "lake", "road", "bath", "wind", "milk", "rain", "hall", "bread", "pond"]
THINGS += ["stone", "air", "room", "sand"]


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
        raise NotImplementedError


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


def folds_of(items, n_folds=3):
    """Returns folds by group, in turn."""
    groups = sorted({item.group for item in items})
    fold_of = {group: i % n_folds for i, group in enumerate(groups)}
    numbers = [fold_of[item.group] for item in items]
    return [
        Fold(
            [i for i, n in enumerate(numbers) if n != fold],
            [i for i, n in enumerate(numbers) if n == fold],
        )
        for fold in range(n_folds)
    ]


def make_apparatus(model, sae, detector, task=None, note=None, asker=None):
    """Returns an apparatus for the task, with one annotator and labels of the logit lens."""
    asker = asker or Asker(model)
    annotators = [note or TouchNote()]
    return ExperimentContext(
        task or Touch(), model, sae, detector, annotators, asker, FeatureLabels(model, sae)
    )


class StubAsker:
    """Answers at random, the same question always in the same way, without any model."""

    def __init__(self):
        self.asked = []

    def ask(self, samples, title):
        self.asked += samples

    def scores(self, sample):
        assert sample in self.asked
        return np.random.default_rng(self._number(sample)).normal(size=len(sample.candidates))

    def output(self, sample):
        assert sample in self.asked
        return f"I say {self._number(sample)}.\nAnd more."

    def _number(self, sample):
        return zlib.crc32(repr((sample.prompt.messages, sample.candidates)).encode())


class Lab(NamedTuple):
    """What a fold's plan is made from."""

    context: ExperimentContext
    study: Study
    material: Material
    trials: Trials


def make_lab(model, sae, detector, task=None, note=None, n_items=32):
    """Returns a study of two folds, read through a tiny model and asked of a stub."""
    task = task or Touch()
    items = task.items()[:n_items]
    study = Study(make_samples(task, items), folds_of(items, 2))
    asker = StubAsker()
    context = make_apparatus(model, sae, detector, task, note, asker)
    asked = [sample for sample in study.samples if sample.candidates]
    asker.ask([as_ask(sample, sample.prompt) for sample in asked], "")
    pool = [i for i, sample in enumerate(study.samples) if sample.candidates]
    trials = try_wordings(context, study.samples, pool, 0)
    return Lab(context, study, _read(context, study.samples, 0), trials)
