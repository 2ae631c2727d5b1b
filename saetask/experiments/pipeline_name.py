"""The name of a fitted pipeline's folder: a hash of everything that the fit depends on."""

from collections.abc import Sequence
from typing import Any

from saetask.annotation.generated_notes import GeneratedNotes
from saetask.data.prompts import Span
from saetask.data.tasks import Item
from saetask.detection.base import Misunderstanding
from saetask.experiments.context import ExperimentContext
from saetask.models.content import chat_template_hash
from saetask.models.loading import model_fingerprint
from saetask.saes.loading import sae_fingerprint
from saetask.utils.files import content_hash
from saetask.utils.source_code import code_version, is_built_in


def pipeline_name(
    context: ExperimentContext,
    items: Sequence[Item] | None,
    fit_items: int,
    options: Sequence[Any],
) -> str:
    """Returns the name of a pipeline: its task and a hash.

    Args:
        context: Model, SAE, task and plugins.
        items: The items that it is fitted on; None stands for the task's own.
        fit_items: How many of them, at most.
        options: What else the fit depends on, as JSON values.
    """
    task = context.task
    detector = context.make_detector().name
    fingerprints = [
        model_fingerprint(context.model),
        chat_template_hash(context.model),
        sae_fingerprint(context.sae),
    ]
    code = [code_version(task), code_version(context.make_detector)]
    sizes = [fit_items, context.settings.note_samples]
    known = [code, detector, fingerprints, _templates(context, detector), sizes, *options]
    concepts = context.known_concepts
    if concepts.struck:
        known.append(["without", list(concepts.struck)])
    if used := [*concepts.concepts, *concepts.named_features]:
        known.append([concept._asdict() for concept in used])
    if items is not None or not is_built_in(task):
        listed = task.items() if items is None else items
        known.append([[item.id, item.group, item.question, item.gold] for item in listed])
    return f"{task.name}-{content_hash(known)}"


def _templates(context: ExperimentContext, detector: str) -> list[Any]:
    """Returns an example of each note template, by annotator.

    A pipeline keeps the number of its template, which means nothing once templates differ.
    """
    example = Misunderstanding(detector, Span(0, 4), "word", context.task.readings[0], 1.0, [])
    return [
        [annotator.name, *annotator.candidates(example, {})]
        for annotator in context.annotators
        if not isinstance(annotator, GeneratedNotes)
    ]
