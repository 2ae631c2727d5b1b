"""Fitting on the fit split: the model's bias, the detector, and the wording of annotations."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.activations import FeatureActivations
from saetask.answers import Ask, Asker
from saetask.arms import Writer, gold_finding
from saetask.calibration import Calibration, ScoredItem, calibration_or, fit_calibration
from saetask.detection import Detector, Finding, Misunderstanding, Reading
from saetask.dictionary.meanings import Meanings
from saetask.engines.engine import Engine
from saetask.errors import UserError
from saetask.models import model_tokenizer
from saetask.notes import Noted, ask_ahead
from saetask.prompts import renders
from saetask.reading import Together
from saetask.reformulation import Annotator
from saetask.study import Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from sae_lens import SAE

    from saetask.models import Model
    from saetask.prompts import Prompt
    from saetask.tasks import Task

STYLE_ITEMS = 40
"""Fit items on which the wordings are tried."""


@dataclass(frozen=True)
class Apparatus:
    """What prompts are asked, read and annotated with."""

    task: "Task"
    model: "Model"
    sae: "SAE[Any]"
    make_detector: "Callable[[], Detector]"
    annotators: Sequence[Annotator]
    asker: Asker
    meanings: Meanings
    engine: Engine | None = None
    """Where prompts are read; None reads them here."""


class Material(NamedTuple):
    """What was read of every question, in their order."""

    features: FeatureActivations
    raw: Sequence[Mapping[str, np.ndarray]]
    """Mean raw activations by region."""
    random: FeatureActivations | None = None
    """Read through a frozen random dictionary instead."""

    @classmethod
    def of(cls, read: Together) -> "Material":
        """Takes what was read through the SAE, and through the random dictionary if it was."""
        features, *random = read.features
        return cls(features, read.raw, *random)


class Fitted(NamedTuple):
    """What was learnt on a fit split."""

    original: Calibration
    """Of the unannotated prompts' answers."""
    annotated: Calibration
    """Of the answers to prompts with the right reading in the chosen wording."""
    detector: Detector
    findings: dict[int, Finding]
    """In the fit split's prompts, each judged with its group held out."""
    learnt_from: list[int]
    """The fit split's prompts whose right reading is known, then the borrowed ones."""
    annotator: Annotator
    wording: int
    selection: dict[str, Any]
    """What was chosen, and how the alternatives scored."""


class Trials(NamedTuple):
    """Fit items asked with the right reading in every wording."""

    styles: list[tuple[Annotator, int]]
    scored: dict[tuple[int, int], ScoredItem]
    """By style and item."""

    def of(self, style: int, items: Collection[int]) -> list[ScoredItem]:
        """Returns those of some items in one style."""
        return [row for (s, i), row in self.scored.items() if s == style and i in items]


def as_ask(question: Question, prompt: "Prompt") -> Ask:
    """Returns what is asked of the model: a prompt with the question's candidates."""
    return Ask(prompt, question.texts)


def scored_item(asker: Asker, question: Question, prompt: "Prompt") -> ScoredItem:
    """Returns the question's candidates as the model, already asked, scored them."""
    scores = asker.scores(as_ask(question, prompt)) if question.candidates else np.empty(0)
    return ScoredItem(scores, question.readings, question.correct)


def make_reading(
    apparatus: Apparatus,
    questions: Sequence[Question],
    i: int,
    material: Material,
    fitted: Calibration,
) -> Reading:
    """Returns what a detector may see of a question that was read, and asked if not borrowed."""
    prompt, borrowed = questions[i].prompt, questions[i].borrowed
    scores = dict.fromkeys(apparatus.task.readings, -np.inf)
    if not borrowed:
        scored = scored_item(apparatus.asker, questions[i], prompt)
        scores = reading_scores(scored, fitted, apparatus.task.readings)
    features, raw = material.features[i], material.raw[i]
    return Reading(features, prompt.content, prompt.spans, scores, raw, borrowed)


def reading_scores(
    scored: ScoredItem, calibration: Calibration, readings: Sequence[str]
) -> dict[str, float]:
    """Returns the model's log-probability of each reading: its candidates' together."""
    found = dict.fromkeys(readings, -np.inf)
    if len(scored.scores):
        for reading, value in zip(
            scored.readings, calibration.apply(scored.scores, scored.readings)
        ):
            found[reading] = float(np.logaddexp(found[reading], value))
    return found


def try_wordings(
    apparatus: Apparatus, questions: Sequence[Question], pool: Sequence[int], seed: int
) -> Trials:
    """Asks a sample of fit items with every wording of the right reading.

    Placements that the model's chat template refuses (a system message, often) are left out. Where
    a language model wrote no note, the prompt is asked as it is, so that all wordings are compared
    on the same items.
    """
    pool = [i for i in pool if questions[i].gold_reading is not None]
    chosen = sorted(np.random.default_rng(seed).permutation(pool)[:STYLE_ITEMS].tolist())
    tokenizer = model_tokenizer(apparatus.model)
    findings = {i: gold_finding(questions[i].prompt, questions[i].gold_reading) for i in chosen}
    for annotator in apparatus.annotators:
        ask_ahead(annotator, (Noted(finding[0], {}) for finding in findings.values()))
    written: dict[tuple[str, int, int], Prompt] = {}
    for i, finding in findings.items():
        for annotator in apparatus.annotators:
            for number in range(len(annotator.candidates(finding[0], {}))):
                arm = Writer(annotator, number, {}).write(questions[i].prompt, finding)
                if arm.annotation and renders(tokenizer, arm.prompt):
                    written[annotator.name, number, i] = arm.prompt
    names = sorted({(name, number) for name, number, _ in written})
    by_name = {annotator.name: annotator for annotator in apparatus.annotators}
    asks = [as_ask(questions[i], prompt) for (_, _, i), prompt in written.items()]
    apparatus.asker.ask(asks, "wordings")
    scored: dict[tuple[int, int], ScoredItem] = {}
    for style, (name, number) in enumerate(names):
        for i in chosen:
            prompt = written.get((name, number, i)) or questions[i].prompt
            scored[style, i] = scored_item(apparatus.asker, questions[i], prompt)
    # Without candidates to rank, nothing says which wording is best: the first one is taken.
    styles = [(by_name[name], number) for name, number in names] or [(apparatus.annotators[0], 0)]
    return Trials(styles, scored)


def choose_wording(trials: Trials, fit: set[int]) -> tuple[int, list[dict[str, Any]]]:
    """Returns the wording under which the fit items' right answers are most likely.

    A wording that none of them was asked in has no loss, and is taken only if no other has any.
    """
    losses = []
    for style, (annotator, number) in enumerate(trials.styles):
        rows = trials.of(style, fit)
        calibration = fit_calibration(rows)
        right = [
            np.exp(calibration.apply(row.scores, row.readings))[row.correct].sum() for row in rows
        ]
        loss = float(-np.log(np.maximum(right, 1e-9)).mean()) if rows else None
        losses.append({"annotator": annotator.name, "wording": number, "fit_loss": loss})
    return best_wordings(losses)[0], losses


def best_wordings(losses: Sequence[Mapping[str, Any]]) -> list[int]:
    """Returns the numbers of the wordings, the lowest loss first; those without one come last."""
    found = [entry["fit_loss"] for entry in losses]
    return sorted(range(len(found)), key=lambda i: np.inf if found[i] is None else found[i])


def fit(
    apparatus: Apparatus,
    questions: Sequence[Question],
    chosen: Sequence[int],
    material: Material,
    trials: Trials,
    borrowed: Sequence[int] = (),
) -> Fitted:
    """Fits on the chosen questions, which were asked and read before.

    A detector that borrows learns from the borrowed ones, too, which were only read.

    Raises:
        UserError: The detector can not be fitted on them, or its findings lack probabilities.
    """
    asker = apparatus.asker
    original = fit_calibration(
        [scored_item(asker, questions[i], questions[i].prompt) for i in chosen]
    )
    known = [i for i in chosen if questions[i].gold_reading is not None]
    detector = apparatus.make_detector()
    learnt_from = [*known, *(borrowed if getattr(detector, "borrows", False) else ())]
    readings = [make_reading(apparatus, questions, i, material, original) for i in learnt_from]
    golds = [questions[i].gold_reading or "" for i in learnt_from]
    findings = detector.fit(readings, golds, [questions[i].item.group for i in learnt_from])
    if not all(finding.probabilities for finding in findings):
        raise UserError(
            f"Detector '{detector.name}' returns findings without probabilities of the readings, "
            "which several arms are made from; fill in `probabilities` of each saetask.Finding."
        )
    style, losses = choose_wording(trials, set(chosen))
    annotator, wording = trials.styles[style]
    annotated = calibration_or(trials.of(style, set(chosen)), original)
    selection = {
        "n_fit": len(known),
        "n_borrowed": len(learnt_from) - len(known),
        "annotator": annotator.name,
        "wording": wording,
        "wordings": losses,
        "detector": detector.summary(),
    }
    own = dict(zip(known, findings))
    return Fitted(original, annotated, detector, own, learnt_from, annotator, wording, selection)


def fit_loss(fitted: Fitted, questions: Sequence[Question]) -> float:
    """Returns the mean negative log-probability of the right reading, groups held out, in nats."""
    chances = [
        finding.probabilities.get(questions[i].gold_reading or "", 0.0)
        for i, finding in fitted.findings.items()
    ]
    return float(-np.log(np.maximum(chances, 1e-9)).mean())


def features_of(found: Sequence[Misunderstanding]) -> list[int]:
    """Returns the features that findings name, ascending."""
    return sorted({evidence.id for misread in found for evidence in misread.features})


def labelled(
    found: Sequence[Misunderstanding], labels: Mapping[int, str]
) -> list[Misunderstanding]:
    """Returns findings with their features' labels filled in."""
    return [
        m._replace(features=[f._replace(label=labels.get(f.id, "")) for f in m.features])
        for m in found
    ]
