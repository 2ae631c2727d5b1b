"""Inputs of a run: its config, and the task, items, model and SAE that were passed as objects."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.data.folds import Fold, ItemSet, add_auxiliary_samples, make_folds
from saetask.data.tasks import Item, Task
from saetask.errors import UserError, did_you_mean
from saetask.experiments.config import RunConfig
from saetask.models.loading import (
    check_model,
    default_device,
    load_model,
    model_fingerprint,
    model_name,
)
from saetask.models.precision import dtype_name, fast_dtype, model_dtype
from saetask.plugins import PluginRegistry
from saetask.saes.loading import check_is_sae, load_sae, sae_fingerprint
from saetask.utils.files import content_hash
from saetask.utils.validation import typed

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


@dataclass(frozen=True)
class RunInputs:
    """A run's config and task, and what was passed as an object instead of by name."""

    config: RunConfig
    task: Task
    items: Sequence[Item] | None = None
    """Items to test; None takes those that the config names."""
    fit_items: Sequence[Item] | None = None
    """Items to fit on; None takes those that the config names, if any."""
    model: "Model | None" = None
    """A model at hand; None loads the one that the config names."""
    sae: "SAE[Any] | None" = None
    """An SAE at hand; None loads the one that the config names."""

    def with_dtype(self) -> "RunInputs":
        """Returns the inputs with the type that `auto` stands for, here and now, in the config."""
        if self.config.dtype != "auto":
            return self
        if self.model is None:
            dtype = dtype_name(fast_dtype(default_device()))
        else:
            dtype = model_dtype(self.model)
        return replace(self, config=replace(self.config, dtype=dtype))

    def load_model(self) -> "Model":
        """Returns the model, loaded if it is not at hand."""
        named = self.config.model if self.model is None else self.model
        return load_model(named, dtype=self.config.dtype)

    def load_sae(self) -> "SAE[Any]":
        """Returns the SAE, loaded if it is not at hand."""
        return load_sae(self.config.sae) if self.sae is None else self.sae

    def folds(self, seed: int) -> list[Fold]:
        """Returns the folds of one repetition.

        Raises:
            UserError: A file does not fit, or there is too little to fit on.
        """
        config = self.config
        tested = self._item_set(self.items, config.data)
        separate = None
        if self.fit_items is not None or config.fit_data is not None:
            separate = self._item_set(self.fit_items, config.fit_data)
        generate = config.scoring == "generate"
        folds = make_folds(self.task, tested, config.split(seed), separate, generate)
        built_in = self.items is None and config.data is None
        if built_in or not config.builtin_items:
            return folds
        return add_auxiliary_samples(self.task, folds, config.max_fit_items, seed)

    def identity(self) -> str:
        """Returns a hash of the config, of its data files, and of what was passed as an object."""
        files = (self.config.data, self.config.fit_data)
        config = asdict(self.config)
        del config["date"]  # a run that goes on another day is told the date of its first
        for name in ("without", "answer_tokens"):
            if not config[name]:
                del config[name]  # runs that are older than these options go on
        parts: list[Any] = [config]
        parts.append([path.read_bytes().hex() for path in files if path is not None])
        for items in (self.items, self.fit_items):
            if items is not None:
                parts.append([[i.id, i.group, repr(i.question), repr(i.gold)] for i in items])
        if self.model is not None:
            parts.append([model_name(self.model), model_fingerprint(self.model)])
        if self.sae is not None:
            parts.append([str(self.sae.cfg.metadata.hook_name), sae_fingerprint(self.sae)])
        return content_hash(parts)[:8]

    def _item_set(self, items: Sequence[Item] | None, path: Path | None) -> ItemSet:
        if items is not None:
            return ItemSet(list(items), f"the items given to the task {self.task.name}")
        if path is not None:
            return ItemSet(self.task.items(path), str(path), path)
        return ItemSet(self.task.items(), f"the task {self.task.name}")


def resolve_inputs(
    experiment: RunConfig | Task | str, options: Mapping[str, Any], plugins: PluginRegistry
) -> RunInputs:
    """Returns the inputs of a run.

    Args:
        experiment: A config, a task, or the name of a task plugin.
        options: Fields of `RunConfig`, or of `RunInputs`; a `model` or `sae` may be either.
        plugins: Where names are looked up.

    Raises:
        UserError: An option or a name is unknown.
    """
    named, objects = dict(options), {}
    for name in ("items", "fit_items"):
        if (given := named.pop(name, None)) is not None:
            objects[name] = item_list(given, name)
    for name, check, label in (
        ("model", check_model, lambda model: str(model.cfg.model_name)),
        ("sae", check_is_sae, lambda sae: f"an SAE object at {sae.cfg.metadata.hook_name}"),
    ):
        given = named.pop(name, None)
        if isinstance(given, str | Path):
            named[name] = str(given)
        elif given is not None:
            check(given)
            objects[name], named[name] = given, label(given)
    known = [field.name for field in fields(RunConfig)]
    for name in named:
        if name not in known:
            raise UserError(f"A run has no option '{name}'.{did_you_mean(name, known)}")
    for name in ("data", "fit_data", "dictionary"):
        if isinstance(named.get(name), str | Path):
            named[name] = Path(named[name]).expanduser()
    if isinstance(experiment, RunConfig):
        config = _typed({**vars(experiment), **named})
        return RunInputs(config, plugins.get("task", config.task), **objects)
    task: Task = plugins.resolve("task", experiment)
    return RunInputs(_typed({"task": task.name, **named}), task, **objects)


def _typed(values: Mapping[str, Any]) -> RunConfig:
    """Returns a config with its values converted to the types of its fields; see `typed`."""
    return typed(RunConfig, values, "of a run")


def item_list(items: object, name: str) -> list[Item]:
    """Returns items that were passed as objects as a list.

    Args:
        items: A list or any other iterable of items.
        name: The argument that they were passed as.

    Raises:
        UserError: Something is no item, or there are none.
    """
    wanted = f"{name} must be a list of saetask.data.Item objects"
    if isinstance(items, Item | str | Mapping) or not isinstance(items, Iterable):
        raise UserError(f"{wanted}, not an object of the type {type(items).__name__}.")
    listed = list(items)
    for item in listed:
        if not isinstance(item, Item):
            raise UserError(f"{wanted}; one of them is {' '.join(repr(item).split()):.60}.")
    if not listed:
        raise UserError(f"{name} has no items; give one or more, or leave it out.")
    return listed
