"""One prompt under inspection: what is misread, notes about it, the answers with and without one.

Detection and reformulation of a session are made of this, and the explorer asks further: another
note, or the same prompt with the features of some concepts hidden from the detector.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from saetask.annotation.base import Annotation, annotate
from saetask.annotation.prompt_writer import PromptAnnotator, make_prompt_annotator
from saetask.data.prompts import Prompt
from saetask.data.samples import Sample
from saetask.detection.base import Finding, Misunderstanding
from saetask.detection.calibration import Calibration
from saetask.detection.silence import reason_for_silence
from saetask.experiments.context import ExperimentContext
from saetask.experiments.known_concepts import find_known_concepts
from saetask.experiments.observation import Observation, rank_request
from saetask.experiments.pipeline import FittedPipeline
from saetask.inference.client import RankResponse
from saetask.inference.ranking import likeliest
from saetask.session.results import Answers, Detection, preference_sentence


class CandidateScore(NamedTuple):
    """A candidate answer and what the model makes of it."""

    text: str
    reading: str
    """The reading that it stands for."""
    score: float
    """What candidates are compared by: the log-likelihood in nats, unless ranked otherwise."""
    share: float
    """Its probability among the candidates, by the raw scores."""
    calibrated: float
    """Log-probability among the candidates, the bias taken out."""


class AskedPrompt(NamedTuple):
    """A prompt as it was asked, and the answers to it."""

    prompt: str
    """The last message's content."""
    answers: Answers
    candidates: list[CandidateScore]


class OfferedNote(NamedTuple):
    """A note that an annotator offers for a finding."""

    annotation: Annotation
    chosen: bool
    """Whether it is of the note template that was chosen on the fit split."""


@dataclass(frozen=True)
class Inspection:
    """A prompt that was read and answered, with the pipeline that judges it."""

    context: ExperimentContext
    pipeline: FittedPipeline
    observation: Observation
    text: str
    """The text that was given; a detection's spans count in it."""

    @cached_property
    def finding(self) -> Finding:
        """The finding in the prompt, its spans counted in the content."""
        return self.pipeline.predict(self.observation)

    @property
    def detection(self) -> Detection:
        """The finding with labels, its spans counted in the given text."""
        pipeline, stated = self.pipeline, self.finding.misunderstandings
        asked_about = self.observation.sample.prompt.spans["text"]
        said = _answers(self.observation.sample, self.observation.response, pipeline.bias)
        return Detection(
            self.text,
            answer=said.raw,
            calibrated_answer=said.calibrated,
            failure=self.finding.failure,
            misunderstandings=[m.within(asked_about) for m in self._annotator.labelled(stated)],
            reason=reason_for_silence(pipeline.detector, self.finding),
            preference=preference_sentence(pipeline.raw_answers, pipeline.bias, said),
        )

    def without(self, concepts: Sequence[str]) -> "Inspection":
        """Returns the same prompt with the features of some concepts hidden from the detector.

        The detector stays as it was fitted, and the model's answer as it was given: this shows
        what the finding owes to the concepts. `SessionConfig.without` fits the detector anew.

        Args:
            concepts: Concepts of the dictionary, by id or name, or features (`feature:12`).

        Raises:
            UserError: A concept is unknown.
        """
        struck = find_known_concepts(self.context.feature_labels, concepts)
        features = struck.seen(self.observation.features)
        return replace(self, observation=replace(self.observation, features=features, _pooled={}))

    def written(self) -> "WrittenNote":
        """Returns the prompt with the note of the chosen template, where something is found."""
        prompt, stated = self.observation.sample.prompt, self.finding.misunderstandings
        written = self._annotator.write(prompt, stated)
        return WrittenNote(written.prompt, written.annotation)

    def notes(self) -> list[OfferedNote]:
        """Returns the notes that the task's annotators offer for the most probable finding.

        The one of the chosen template comes first; of equal notes, one is offered.
        """
        if not self.finding.misunderstandings:
            return []
        finding = self.finding.misunderstandings[0]
        with self.context.client.temporary_cache():
            chosen = self.written().annotation
            offered = [] if chosen is None else [chosen]
            for annotator in self.context.annotators:
                template = self.pipeline.template._replace(annotator=annotator)
                offered += self._annotator._replace(template=template).offered(finding)
        return [OfferedNote(note, note == chosen) for note in dict.fromkeys(offered)]

    def ask(self, note: Annotation | None = None) -> AskedPrompt:
        """Asks the model the prompt, with a note in it or as it is.

        Args:
            note: The note; an inline one stands after the finding's span.

        Raises:
            UserError: The prompt with the note is too long.
        """
        sample, pipeline = self.observation.sample, self.pipeline
        if note is None:
            response, bias, prompt = self.observation.response, pipeline.bias, sample.prompt
            return _asked(sample, prompt, response, bias)
        spans = [misunderstanding.span for misunderstanding in self.finding.misunderstandings]
        return self.ask_written(annotate(sample.prompt, note, spans[0] if spans else None))

    def ask_written(self, prompt: Prompt) -> AskedPrompt:
        """Asks the model an annotated prompt of the same item."""
        sample = self.observation.sample
        with self.context.client.temporary_cache():
            (response,) = self.context.client.rank([rank_request(sample, prompt)], "ask")
        return _asked(sample, prompt, response, self.pipeline.note_bias)

    @cached_property
    def _annotator(self) -> PromptAnnotator:
        stated: list[Misunderstanding] = self.finding.misunderstandings
        return make_prompt_annotator(self.pipeline.template, self.context.feature_labels, [stated])


class WrittenNote(NamedTuple):
    """A prompt with its note."""

    prompt: Prompt
    annotation: Annotation | None
    """None where nothing was found: the prompt stays as it is."""


def _asked(
    sample: Sample, prompt: Prompt, response: RankResponse, bias: Calibration
) -> AskedPrompt:
    """Returns the answers to a prompt with the scores of all candidates."""
    shares = np.exp(response.scores - np.logaddexp.reduce(response.scores))
    calibrated = bias.apply(response.scores, sample.readings)
    candidates = [
        CandidateScore(text.strip(), reading, float(score), float(share), float(adjusted))
        for text, reading, score, share, adjusted in zip(
            sample.texts, sample.readings, response.scores, shares, calibrated
        )
    ]
    return AskedPrompt(prompt.content, _answers(sample, response, bias), candidates)


def _answers(sample: Sample, response: RankResponse, bias: Calibration) -> Answers:
    ranked = response.scores, bias.apply(response.scores, sample.readings)
    best = [likeliest(scores, sample.texts, sample.prompt.content) for scores in ranked]
    return Answers(*(sample.texts[number].strip() for number in best))
