"""Identity of a run (`identity.json`): the content of all that its results depend on.

The config says where model, SAE and dictionary are; this document says what was found there.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from saetask.dictionary.dictionary import Dictionary
from saetask.errors import UserError
from saetask.experiments.context import ExperimentContext, ExperimentSettings
from saetask.models.content import model_content
from saetask.report.documents import Count, Document, Text, read_document
from saetask.saes.loading import sae_fingerprint
from saetask.utils.files import write_json
from saetask.utils.source_code import code_version

IDENTITY = "identity.json"


class ModelParts(Document):
    """Hashes of the parts of the model under test."""

    weights: Text
    """All values of the parameters."""
    dtype: Text
    """Their floating-point type."""
    configuration: Text
    """Configuration, with that of generation."""
    tokenizer: Text
    """Tokenizer."""
    chat_template: Text
    """Chat template."""


class RunIdentity(Document):
    """`identity.json`: hashes of the content that a run was made with."""

    schema_version: Count
    """Version of this document."""
    model: ModelParts
    """The model under test."""
    saes: list[Text]
    """Fingerprint of each SAE, in the order of the config."""
    dictionaries: list[Text | None]
    """Hash of the dictionary of each SAE; null where labels are of the logit lens."""
    plugins: dict[str, Text]
    """Version of saetask, or hash of the source, of each plugin that takes part."""
    settings: dict[str, Any]
    """Numbers of samples and tokens of the steps."""


def run_identity(
    contexts: Sequence[ExperimentContext], annotators: Sequence[Any], settings: ExperimentSettings
) -> RunIdentity:
    """Returns the identity of a run.

    Args:
        contexts: Task, model and SAE; one for each SAE.
        annotators: The annotator plugins.
        settings: Numbers of samples and tokens of the steps.
    """
    first = contexts[0]
    plugins = {
        f"task {first.task.name}": first.task,
        f"detector {first.make_detector().name}": first.make_detector,
        **{f"annotator {annotator.name}": annotator for annotator in annotators},
    }
    return RunIdentity(
        schema_version=1,
        model=ModelParts(**model_content(first.model)._asdict()),
        saes=[sae_fingerprint(context.sae) for context in contexts],
        dictionaries=[_content(context.feature_labels.dictionary) for context in contexts],
        plugins={name: code_version(plugin) for name, plugin in plugins.items()},
        settings=settings_document(settings),
    )


def settings_document(settings: ExperimentSettings) -> dict[str, Any]:
    """Returns settings as JSON values; of a function, the version of its code."""
    values = {each.name: getattr(settings, each.name) for each in fields(settings)}
    return {
        name: code_version(value) if isinstance(value, Callable) else value
        for name, value in values.items()
    }


def claim_identity(folder: Path, identity: RunIdentity, has_answers: bool) -> None:
    """Writes the identity of a run into its folder.

    Args:
        folder: The run folder.
        identity: The identity of the run that is about to start, or to go on.
        has_answers: Whether the folder holds answers of an earlier start.

    Raises:
        UserError: They are of a run with another identity.
    """
    path = folder / IDENTITY
    if has_answers and path.is_file():
        known = read_document(RunIdentity, path)
        if difference := _difference(known, identity):
            raise UserError(
                f"{folder} holds a run that was made with {difference}; choose another --out."
            )
    write_json(path, identity.to_json())


def _difference(known: RunIdentity, found: RunIdentity) -> str:
    """Returns what a run was made with that is another one now; "" if nothing is."""
    before, now = known.to_json(), found.to_json()
    parts = [name for name, value in before["model"].items() if value != now["model"][name]]
    if "dtype" in parts:  # the same weights, rounded otherwise, are not worth a mention
        parts = [name for name in parts if name != "weights"]
    plugins = sorted(
        name
        for name in before["plugins"].keys() | now["plugins"].keys()
        if before["plugins"].get(name) != now["plugins"].get(name)
    )
    differences = []
    if parts:
        words = ", ".join(name.replace("_", " ") for name in parts)
        differences.append(f"another model (other {words})")
    for name, text in (("saes", "another SAE"), ("dictionaries", "another dictionary")):
        if before[name] != now[name]:
            differences.append(f"{text} (other content)")
    if plugins:
        differences.append(f"another version of {', '.join(plugins)}")
    if before["settings"] != now["settings"]:
        differences.append("other settings")
    return " and ".join(differences)


def _content(dictionary: Dictionary | None) -> str | None:
    return None if dictionary is None else dictionary.content_hash()
