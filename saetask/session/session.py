"""A session: features, misunderstandings and annotation of one prompt at a time."""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.annotation.base import configured
from saetask.data.answerability import check_candidates
from saetask.data.chat_template import TemplateSettings, set_template
from saetask.data.prompts import Prompt
from saetask.data.samples import make_samples, make_unlabelled_sample
from saetask.data.tasks import Item, Task, check_items
from saetask.detection.base import Detector
from saetask.dictionary.dictionary import Dictionary
from saetask.errors import UserError
from saetask.experiments.context import (
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
from saetask.models.loading import (
    DEFAULT_MODEL,
    load_model,
    model_tokenizer,
)
from saetask.plugins import PluginRegistry
from saetask.saes.activations import FeatureActivations
from saetask.saes.compatibility import check_sae
from saetask.saes.extraction import extract_features_from_passes, read_features
from saetask.saes.loading import DEFAULT_SAE, assets_folder, load_sae
from saetask.session.config import SessionConfig, checked_config
from saetask.session.inspection import Inspection
from saetask.session.results import Detection, Reformulation
from saetask.utils.download import cache_folder

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


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
        plugins, self._config = plugins or PluginRegistry(), checked_config(config)
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
            without=self._config.without,
        )
        self._pipeline: FittedPipeline | None = None

    @property
    def dictionary(self) -> Dictionary | None:
        """The dictionary of the SAE's features; None where there is none."""
        return self._context.feature_labels.dictionary

    def read(self, *prompts: str | Prompt, chat: bool = True) -> FeatureActivations:
        """Extracts the feature activations of prompts.

        Args:
            *prompts: Chats, or strings.
            chat: Take strings as the user's message of a chat, in the model's chat template, as
                the prompts of tasks are. False takes them as running text, as `read_features` does
                by default: the same sentence then has other activations.

        Returns:
            The activations; where a dictionary is at hand, with the labels and names in it.
        """
        activations = read_features(self.model, self.sae, prompts, chat=chat)
        named = self.dictionary
        if named is None:
            return activations
        return activations.with_labels(named.names(), named.concept_names())

    def inspect(self, text: str, target: str | None = None) -> Inspection:
        """Reads a text in the task's question about it, and has the model answer.

        Args:
            text: A sentence, a word problem: what the task is about.
            target: The word in question, where the task has one.

        Returns:
            What is found, and what else can be asked about it.

        Raises:
            UserError: The task can not ask about this text.
        """
        with self._context.client.temporary_cache():
            pipeline, observation = self._pipeline_for_use(), self._observe(text, target)
            return Inspection(self._context, pipeline, observation, text)

    def detect(self, text: str, target: str | None = None) -> Detection:
        """Returns the misunderstandings in a text, when the task's question is asked about it.

        Args:
            text: A sentence, a word problem: what the task is about.
            target: The word in question, where the task has one.

        Raises:
            UserError: The task can not ask about this text.
        """
        return self.inspect(text, target).detection

    def reformulate(self, text: str, target: str | None = None) -> Reformulation:
        """Detects, writes the finding into the prompt, and asks again; see `detect`."""
        with self._context.client.temporary_cache():
            inspection = self.inspect(text, target)
            written, before = inspection.written(), inspection.ask().answers
            after, notes = before, []
            if written.annotation is not None:
                notes = [written.annotation.text]
                after = inspection.ask_written(written.prompt).answers
            return Reformulation(
                inspection.detection,
                written.prompt.text,
                notes,
                before=before.raw,
                after=after.raw,
                calibrated_before=before.calibrated,
                calibrated_after=after.calibrated,
                messages=written.prompt.messages,
            )

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
        (observation,) = make_observations(
            self._context, [sample], extracted, {sample: responses[0]}
        )
        return observation

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
        note_scores = score_notes(self._context, [samples], seed=0)
        return fit_pipeline(self._context, observations, [], note_scores, observations)
