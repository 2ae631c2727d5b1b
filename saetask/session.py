"""A session: features, misunderstandings and annotation of one prompt at a time."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.annotation.base import configured
from saetask.annotation.prompt_writer import make_prompt_annotator
from saetask.data.answerability import check_candidates
from saetask.data.chat_template import TemplateSettings, set_template
from saetask.data.prompts import Prompt
from saetask.data.samples import Sample, make_samples, make_unlabelled_sample
from saetask.data.tasks import Item, Task, check_items
from saetask.detection.base import Detector, Finding, Misunderstanding, reason_for_silence
from saetask.detection.calibration import Calibration
from saetask.errors import UserError
from saetask.experiments.context import (
    DEFAULT_SETTINGS,
    ExperimentSettings,
    make_context,
    task_annotators,
    task_detector,
)
from saetask.experiments.note_selection import score_notes
from saetask.experiments.observation import (
    Observation,
    make_observations,
    observe,
    rank_request,
)
from saetask.experiments.pipeline import (
    FittedPipeline,
    fit_pipeline,
    load_pipeline,
    save_pipeline,
)
from saetask.experiments.pipeline_name import pipeline_name
from saetask.experiments.run_inputs import item_list
from saetask.inference.client import ModelClient, RankResponse
from saetask.inference.ranking import Ranking, likeliest
from saetask.models.loading import (
    DEFAULT_MODEL,
    load_model,
    model_tokenizer,
)
from saetask.models.precision import Dtype
from saetask.plugins import PluginRegistry
from saetask.saes.activations import FeatureActivations
from saetask.saes.compatibility import check_sae
from saetask.saes.extraction import extract_features_from_passes, read_features
from saetask.saes.loading import DEFAULT_SAE, assets_folder, load_sae
from saetask.utils.download import cache_folder
from saetask.utils.validation import typed

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


class Detection(NamedTuple):
    """Result of detection in one prompt."""

    prompt: str
    """The text that was given; spans count in it."""
    answer: str
    """The model's answer to it."""
    failure: float
    """Calibrated probability that this answer is wrong."""
    misunderstandings: list[Misunderstanding]
    reason: str = ""
    """Why there is no misunderstanding, where there is none."""


class Reformulation(NamedTuple):
    """A prompt with the finding in it written back as a note, and both answers."""

    detection: Detection
    reformulated: str
    """The prompt with its annotation; the same prompt where nothing was found."""
    annotations: list[str]
    before: str
    after: str


@dataclass(frozen=True)
class SessionConfig:
    """Options of a session that most users leave alone."""

    journal: Path | None = None
    """Answers are stored in this file and not computed again: a run's `answers.jsonl`, for example.
    Without one, each prompt's are dropped after it."""
    dictionary: Path | None = None
    """A dictionary folder of this SAE; None takes the shipped one, if there is one."""
    unvalidated_labels: bool = False
    """Use labels in annotations even if they are not validated."""
    allow_sae_mismatch: bool = False
    """Use an SAE even if `check_sae` would refuse it for its figures."""
    ranking: Ranking = "likelihood"
    """What candidate answers are compared by."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the model's chat template, such as `{"enable_thinking": False}`."""
    date: datetime.date | None = None
    """The date that a chat template is told; None takes today's when the session is opened."""
    dtype: Dtype = "auto"
    """Floating-point type that the model is loaded in; `auto` goes by `SAETASK_DTYPE`, else by the
    processor."""
    fit_items: int = 1000
    """Maximum number of items that a session is fitted on."""
    settings: ExperimentSettings = DEFAULT_SETTINGS


class Session:
    """Reads, detects and reformulates prompts of one task, with one model and one SAE.

    The pipeline is fitted on the task's built-in items, or on those given, when it is first needed.
    It is kept in the cache folder for this model, SAE, task and items; for the defaults, saetask
    ships it.
    """

    def __init__(
        self,
        model: "str | Path | Model" = DEFAULT_MODEL,
        sae: "str | Path | SAE[Any]" = DEFAULT_SAE,
        task: str | Task = "metaphor",
        detector: str | Callable[[], Detector] = "failure-probe",
        data: str | Path | Sequence[Item] | None = None,
        plugins: PluginRegistry | None = None,
        config: SessionConfig | None = None,
    ) -> None:
        """Loads what is not yet loaded, and checks that the SAE fits the model.

        Args:
            model: As `load_model` takes it.
            sae: As `load_sae` takes it.
            task: A task, or the name of a task plugin.
            detector: A detector class, or the name of a detector plugin.
            data: Items to fit on, or a file of them in the task's format; None takes the task's
                built-in items.
            plugins: Where names are looked up; None takes the plugins of the installed packages.
            config: Further options.

        Raises:
            UserError: A name is unknown, an argument is something else, or the SAE does not belong
                to the model.
        """
        plugins, self._config = plugins or PluginRegistry(), _checked(config)
        self.task: Task = plugins.resolve("task", task)
        make_detector: Callable[[], Detector] = plugins.resolve("detector", detector)
        annotators = configured(task_annotators(self.task, plugins), {})
        self._items = self._load_items(data)
        make_detector = task_detector(self.task, self._items or [], make_detector)
        self.model, self.sae = load_model(model, dtype=self._config.dtype), load_sae(sae)
        check_sae(self.model, self.sae, allow_mismatch=self._config.allow_sae_mismatch)
        day = self._config.date or datetime.date.today()
        told = TemplateSettings(self._config.template_options, day)
        set_template(model_tokenizer(self.model), told)
        self._context = make_context(
            self.task,
            self.model,
            self.sae,
            make_detector,
            annotators,
            ModelClient(self.model, self._config.journal, ranking=self._config.ranking),
            self._config.dictionary,
            self._config.unvalidated_labels,
            settings=self._config.settings,
        )
        self._pipeline: FittedPipeline | None = None

    def read(self, *prompts: str | Prompt, chat: bool = True) -> FeatureActivations:
        """Extracts the feature activations of prompts.

        Args:
            *prompts: Chats, or strings.
            chat: Take strings as the user's message of a chat, in the model's chat template, as
                the prompts of tasks are. False takes them as running text, as `read_features` does
                by default: the same sentence then has other activations.

        Returns:
            The activations; where a dictionary is at hand, with its labels (see `to_pandas`).
        """
        activations = read_features(self.model, self.sae, prompts, chat=chat)
        dictionary = self._context.feature_labels.dictionary
        return activations.with_labels(dictionary.names()) if dictionary else activations

    def detect(self, text: str, target: str | None = None) -> Detection:
        """Returns the misunderstandings in a text, when the task's question is asked about it.

        Args:
            text: A sentence, a word problem: what the task is about.
            target: The word in question, where the task has one.

        Raises:
            UserError: The task can not ask about this text.
        """
        with self._context.client.temporary_cache():
            observation = self._observe(text, target)
            return self._detection(text, observation, self._pipeline_for_use().predict(observation))

    def reformulate(self, text: str, target: str | None = None) -> Reformulation:
        """Detects, writes the finding into the prompt, and asks again; see `detect`."""
        with self._context.client.temporary_cache():
            pipeline, observation = self._pipeline_for_use(), self._observe(text, target)
            finding = pipeline.predict(observation)
            detection = self._detection(text, observation, finding)
            stated = finding.misunderstandings
            annotator = make_prompt_annotator(
                pipeline.template, self._context.feature_labels, [stated]
            )
            sample = observation.sample
            written = annotator.write(sample.prompt, stated)
            if written.annotation is None:
                before = detection.answer
                return Reformulation(detection, written.prompt.text, [], before, before)
            (response,) = self._context.client.rank([rank_request(sample, written.prompt)], "ask")
            after = _answer(sample, response, pipeline.note_bias)
            notes = [written.annotation.text]
            return Reformulation(detection, written.prompt.text, notes, detection.answer, after)

    def fit(self, parent: Path) -> Path:
        """Fits the pipeline and saves it.

        Args:
            parent: The folder in which it gets a folder of its own.

        Returns:
            The pipeline's folder.

        Raises:
            UserError: There are no items to fit on, or too few.
        """
        self._pipeline = self._fit()
        folder = parent / self.pipeline_name()
        save_pipeline(folder, self._pipeline)
        return folder

    def _load_items(self, data: str | Path | Sequence[Item] | None) -> list[Item] | None:
        """Returns the items to fit on; None stands for the task's built-in ones."""
        if data is None:
            return None
        if isinstance(data, str | Path):
            return self.task.items(Path(data))
        return check_items(item_list(data, "data"), f"the items given to the task {self.task.name}")

    def _observe(self, text: str, target: str | None) -> Observation:
        """Reads a prompt in the forward pass that ranks its candidates."""
        item = self.task.question_from_text(text, target)
        sample = make_unlabelled_sample(self.task, item)
        if not sample.candidates:
            raise UserError(
                f"The task {self.task.name} has no candidate answers for this text; only "
                "saetask run with --scoring generate can ask about it."
            )
        responses: list[RankResponse] = []

        def ask() -> None:
            responses.extend(self._context.client.rank([rank_request(sample)], "ask"))

        extracted = extract_features_from_passes(ask, self.model, [self.sae], sample.prompt)
        (observation,) = make_observations([sample], extracted, {sample: responses[0]})
        return observation

    def _detection(self, text: str, observation: Observation, finding: Finding) -> Detection:
        """Returns the finding with labels, its spans counted in the given text."""
        pipeline, stated = self._pipeline_for_use(), finding.misunderstandings
        labels = make_prompt_annotator(pipeline.template, self._context.feature_labels, [stated])
        start = observation.sample.prompt.spans["text"].start
        shown = [m._replace(span=m.span.shifted(-start)) for m in labels.labelled(stated)]
        answer = _answer(observation.sample, observation.response, pipeline.bias)
        reason = reason_for_silence(pipeline.detector, finding)
        return Detection(text, answer, finding.failure, shown, reason)

    def _pipeline_for_use(self) -> FittedPipeline:
        """Returns the pipeline: from memory, as shipped, from the cache, or fitted now."""
        cached = cache_folder() / "fits"
        for parent in (assets_folder() / "fits", cached):
            if self._pipeline is None:
                self._pipeline = load_pipeline(parent / self.pipeline_name(), self._context)
        if self._pipeline is None:
            self.fit(cached)
        assert self._pipeline is not None
        return self._pipeline

    def pipeline_name(self) -> str:
        """Returns the folder name of the pipeline: a hash of everything that it depends on."""
        config = self._config
        options: list[Any] = [self._dictionary_content()]
        if config.ranking != "likelihood" or config.template_options:
            options.append([config.ranking, dict(config.template_options)])
        return pipeline_name(self._context, self._items, config.fit_items, options)

    def _dictionary_content(self) -> str | None:
        """Returns a hash of the labels that note templates may quote, where they were chosen."""
        dictionary = self._context.feature_labels.dictionary
        if self._config.dictionary is None or dictionary is None:
            return None  # the shipped one, or none
        return f"{dictionary.content_hash()} {self._config.unvalidated_labels}"

    def _fit(self) -> FittedPipeline:
        items = self.task.items() if self._items is None else self._items
        chosen = np.random.default_rng(0).permutation(len(items))[: self._config.fit_items]
        samples = make_samples(self.task, [items[i] for i in sorted(chosen)])
        check_candidates(self.task, samples, f"the items to fit the task {self.task.name} on")
        observations = observe(self._context, samples)
        note_scores = score_notes(self._context, samples, seed=0)
        return fit_pipeline(self._context, observations, [], note_scores, observations)


def _checked(config: SessionConfig | None) -> SessionConfig:
    """Returns a session's options with values of the types of their fields."""
    if config is None:
        return SessionConfig()
    if not isinstance(config, SessionConfig):
        raise UserError(
            "config must be a saetask.session.SessionConfig, not an object of the type "
            f"{type(config).__name__}."
        )
    return typed(SessionConfig, vars(config), "of a session")


def _answer(sample: Sample, response: RankResponse, bias: Calibration) -> str:
    """Returns the likeliest candidate once a bias is removed."""
    values = bias.apply(response.scores, sample.readings)
    return sample.texts[likeliest(values, sample.texts, sample.prompt.content)].strip()
