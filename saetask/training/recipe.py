"""Checks of a training recipe, made before a model is loaded or anything is written."""

import dataclasses
import math
from operator import attrgetter
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    get_args,
    get_origin,
    get_type_hints,
)

from saetask.errors import UserError, did_you_mean
from saetask.training.config import (
    ARCHITECTURES,
    INITIAL_DECODERS,
    RELIEVABLE_ARCHITECTURES,
    TrainConfig,
)

if TYPE_CHECKING:
    from sae_lens import TrainingSAEConfig


class Range(NamedTuple):
    """Values that a number of a recipe may have."""

    kind: type[int] | type[float]
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    """Whether `low` itself is excluded."""

    def accepts(self, value: object) -> bool:
        """Returns whether a value is a number of this kind and in the range; a boolean is none."""
        kinds = int if self.kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
            return False
        return self.low <= value <= self.high and not (self.open_low and value == self.low)

    def __str__(self) -> str:
        name = "a whole number" if self.kind is int else "a number"
        if self.low == -math.inf:
            return name
        if self.high == math.inf:
            return f"{name} {'above' if self.open_low else 'of at least'} {self.low:g}"
        return f"{name} {'above' if self.open_low else 'from'} {self.low:g} to {self.high:g}"


AT_LEAST_1, AT_LEAST_0 = Range(int, 1), Range(int, 0)
POSITIVE, NOT_NEGATIVE = Range(float, 0, open_low=True), Range(float, 0)
RANGES = {
    "harvest.tokens": AT_LEAST_1,
    "harvest.rows_per_batch": AT_LEAST_1,
    "harvest.rows_per_shard": AT_LEAST_1,
    "harvest.norm_limit": POSITIVE,
    "harvest.corpus.context_size": Range(int, 2),
    "harvest.corpus.min_tokens": AT_LEAST_1,
    "harvest.corpus.rows_per_document": AT_LEAST_1,
    "harvest.corpus.test_share": Range(float, 0, 1, open_low=True),
    "harvest.corpus.selection_share": Range(float, 0, 1),
    "harvest.corpus.seed": AT_LEAST_0,
    "d_sae": AT_LEAST_1,
    "samples": AT_LEAST_1,
    "batch_size": AT_LEAST_1,
    "lr": POSITIVE,
    "warm_up_steps": AT_LEAST_0,
    "decay_share": Range(float, 0, 0.75),  # the warm-up may take the first quarter
    "dead_after_samples": AT_LEAST_1,
    "unigram_relief": NOT_NEGATIVE,
    "relieved_share": Range(float, 0, 1, open_low=True),
    "test_tokens": AT_LEAST_1,
    "checkpoint_steps": AT_LEAST_1,
    "seed": AT_LEAST_0,
}
"""Range of each number of a recipe, by key."""
OPTION_RANGES = {
    "aux_loss_coefficient": NOT_NEGATIVE,
    "topk_threshold_lr": NOT_NEGATIVE,
    "jumprelu_init_threshold": NOT_NEGATIVE,
    "jumprelu_bandwidth": POSITIVE,
    "l0_coefficient": NOT_NEGATIVE,
    "l0_warm_up_steps": AT_LEAST_0,
    "jumprelu_tanh_scale": POSITIVE,
    "target_l0": POSITIVE,
    "l1_coefficient": NOT_NEGATIVE,
    "lp_norm": POSITIVE,
    "l1_warm_up_steps": AT_LEAST_0,
    "pre_act_loss_coefficient": NOT_NEGATIVE,
}
"""Range of each number among the options of the architectures, by key."""


def check_recipe(config: TrainConfig) -> None:
    """Checks the values of a recipe, one by one and against each other.

    Raises:
        UserError: A value has the wrong type, is out of its range or contradicts another one.
    """
    for key, allowed in RANGES.items():
        _check(key, attrgetter(key)(config), allowed)
    for number, source in enumerate(config.harvest.corpus.sources):
        _check(f"harvest.corpus.sources.{number}.share", source.share, POSITIVE)
    for key, known in (("architecture", ARCHITECTURES), ("initial_decoder", INITIAL_DECODERS)):
        if (value := getattr(config, key)) not in known:
            hint = did_you_mean(str(value), known)
            raise UserError(f"Recipe key '{key}': unknown {key.replace('_', ' ')} '{value}'.{hint}")
    for key in ("harvest.tokens", "samples"):
        if (value := attrgetter(key)(config)) < config.batch_size:
            raise UserError(
                f"Recipe key '{key}' is {value}, less than one batch (batch_size is "
                f"{config.batch_size}); raise {key} or lower batch_size."
            )
    if config.harvest.split != "train":
        raise UserError(
            f"Recipe key 'harvest.split' is '{config.harvest.split}'; leave it out: an SAE is "
            "trained on the train split and measured on the test split."
        )
    corpus = config.harvest.corpus
    if corpus.test_share + corpus.selection_share >= 1:
        raise UserError(
            "Recipe keys 'harvest.corpus.test_share' and 'selection_share' are "
            f"{corpus.test_share:g} and {corpus.selection_share:g}; no document is left to train."
        )
    if config.unigram_relief and config.architecture not in RELIEVABLE_ARCHITECTURES:
        raise UserError(
            f"Recipe key 'unigram_relief' can not be had with '{config.architecture}'; leave it "
            f"out, or take one of {', '.join(RELIEVABLE_ARCHITECTURES)}."
        )
    _check_options(config)


def _check(key: str, value: object, allowed: Range) -> None:
    if not allowed.accepts(value):
        raise UserError(f"Recipe key '{key}' is {value!r:.60}; it must be {allowed}.")


def _check_options(config: TrainConfig) -> None:
    """Checks the options of the architecture by name, type and range."""
    defaults = architecture_options(config.architecture)
    choices = _choices(config.architecture)
    for key in config.options:
        if key not in defaults:
            raise UserError(
                f"Recipe key 'options': unknown option '{key}' of architecture "
                f"'{config.architecture}'.{did_you_mean(key, defaults)}"
            )
    values = {**defaults, **config.options}
    for key, value in config.options.items():
        if key in OPTION_RANGES and not (value is None and defaults[key] is None):
            _check(f"options.{key}", value, OPTION_RANGES[key])
        if isinstance(defaults[key], bool) and not isinstance(value, bool):
            raise UserError(
                f"Recipe key 'options.{key}' is {value!r:.60}; it must be true or false."
            )
        if key in choices and value not in choices[key]:
            raise UserError(
                f"Recipe key 'options.{key}': unknown value '{value}'."
                f"{did_you_mean(str(value), choices[key])}"
            )
    if "k" in values:
        kind = int if config.architecture == "topk" else float
        _check("options.k", values["k"], Range(kind, 1, config.d_sae))
    if "matryoshka_widths" in values:
        _check_widths(values["matryoshka_widths"], config.d_sae)
    make_sae_config(config, d_in=1)  # what SAE-Lens refuses is refused before a model is loaded


def _check_widths(widths: Any, d_sae: int) -> None:
    whole = isinstance(widths, list | tuple) and all(
        Range(int, 1, d_sae).accepts(w) for w in widths
    )
    if not whole or not widths or list(widths) != sorted(set(widths)):
        raise UserError(
            f"Recipe key 'options.matryoshka_widths' is {widths!r:.60}; it must be a list of "
            f"ascending whole numbers from 1 to d_sae ({d_sae})."
        )


def architecture_options(architecture: str) -> dict[str, Any]:
    """Returns the default of each option of an architecture; None where it has none."""
    from sae_lens import TrainingSAE, TrainingSAEConfig

    shared = {field.name for field in dataclasses.fields(TrainingSAEConfig)} - {"decoder_init_norm"}
    found = TrainingSAE.get_sae_config_class_for_architecture(architecture)
    return {
        field.name: None if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(found)
        if field.name not in shared
    }


def _choices(architecture: str) -> dict[str, tuple[str, ...]]:
    """Returns the values of each option of an architecture that is one of several words."""
    from sae_lens import TrainingSAE

    hints = get_type_hints(TrainingSAE.get_sae_config_class_for_architecture(architecture))
    return {key: get_args(hint) for key, hint in hints.items() if get_origin(hint) is Literal}


def make_sae_config(config: TrainConfig, d_in: int) -> "TrainingSAEConfig":
    """Returns SAE-Lens's config of a recipe's SAE.

    Raises:
        UserError: SAE-Lens refuses the options.
    """
    from sae_lens import TrainingSAE

    config_class: Any = TrainingSAE.get_sae_config_class_for_architecture(config.architecture)
    try:
        return config_class(
            d_in=d_in, d_sae=config.d_sae, apply_b_dec_to_input=True, **config.options
        )
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"Recipe key 'options' of architecture '{config.architecture}': {reason}."
        ) from error
