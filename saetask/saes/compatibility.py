"""Checks that an SAE belongs to a model, layer and processing, and says what is wrong."""

import sys
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError
from saetask.models.hooks import resolve_hook_name
from saetask.models.loading import model_name
from saetask.saes.encoding import input_hook, output_hook
from saetask.saes.fit import SAEFigures, made_for, measure_fit
from saetask.saes.training_origin import TrainingOrigin, training_origin

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models.loading import Model


def check_sae(model: "Model", sae: "SAE[Any]", allow_mismatch: bool = False) -> SAEFigures:
    """Checks that an SAE belongs to this model, layer and processing.

    Probe texts are reconstructed as the SAE's metadata says and, for comparison, at the other
    layers, with the input rescaled or centred, and with BOS handled the other way. An SAE is
    refused only if another use fits better beyond the spread between the texts, if it reconstructs
    them worse than their mean does, or no better than with their dimensions shuffled. If its
    metadata says that `saetask train` made it for these weights and this hook point, it is warned
    about at most.

    Args:
        model: The model to run.
        sae: The SAE to check.
        allow_mismatch: Accept an SAE that does not fit, with a warning on stderr.

    Returns:
        The figures measured.

    Raises:
        UserError: The SAE names no hook point or one the model lacks, its `d_in` is not the
            activation's width, a reconstruction is not a number, or its figures say that it was
            made for something else.
    """
    _check_hook_points(model, sae)
    origin = training_origin(sae)
    changes = origin.differences(model, sae) if origin else []
    trusted = origin is not None and not changes
    fit = measure_fit(model, sae, search=not trusted)
    about = f"The SAE (made for {made_for(sae)} at {input_hook(sae)})"
    note = f" It was trained by saetask for {'; '.join(changes)}." if changes else ""
    if trusted and (fit.misfit or fit.weak):
        _warn(undertrained(fit.figures, origin))
    elif fit.misfit:
        message = f"{about} does not fit {model_name(model)}: {fit.figures}; {fit.misfit}"
        if not allow_mismatch:
            raise UserError(
                f"{message}.{note} Choose a matching --sae, mend its cfg.json, or give "
                "--allow-sae-mismatch."
            )
        _warn(f"{message}.{note} Going on, as told.")
    elif fit.weak:
        _warn(
            f"{about} reconstructs little of {model_name(model)}: {fit.figures}; no other layer, "
            "scale or BOS handling fits better, so it is undertrained, or made for a similar "
            f"model.{note}"
        )
    elif changes:
        _warn(f"{about} fits {model_name(model)} ({fit.figures}), but was not made for it.{note}")
    return fit.figures


def fit_after_training(model: "Model", sae: "SAE[Any]") -> dict[str, Any]:
    """Checks an SAE that was just trained, and warns on stderr of what a later use will meet.

    Returns:
        The figures on the probe texts and, as `warning`, what was found; None if nothing.
    """
    try:
        fit = measure_fit(model, sae)
    except UserError as error:
        _warn(str(error))
        return {"warning": str(error)}
    # It was made for this model: where it reconstructs little, no other use is what is wrong.
    found = undertrained(fit.figures, training_origin(sae)) if fit.weak else fit.misfit
    if found:
        _warn(f"the check of the trained SAE: {found}")
    return {**fit.figures._asdict(), "warning": found or None}


def undertrained(figures: SAEFigures, origin: "TrainingOrigin | None") -> str:
    """Returns a warning about an SAE that saetask trained for the very model it is used with."""
    held_out = f" ({origin.fvu:.2f} on held-out text)" if origin else ""
    return (
        "The SAE is undertrained, though it was trained for this model and hook point: "
        f"{figures}{held_out}. Train it on more activations (samples and harvest.tokens in its "
        "recipe) or with more features."
    )


def _warn(message: str) -> None:
    print(f"saetask: warning: {message}", file=sys.stderr)


def _check_hook_points(model: "Model", sae: "SAE[Any]") -> None:
    if not input_hook(sae):
        raise UserError("The SAE's cfg.json names no hook point (metadata.hook_name); add it.")
    for name in (input_hook(sae), output_hook(sae)):
        try:
            resolve_hook_name(model, name)
        except UserError as error:
            raise UserError(f"{error} The SAE was made for {made_for(sae)}.") from error
