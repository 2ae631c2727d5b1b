"""A check of the installation: versions, hardware, cache, and whether the defaults work."""

from typing import Any

from saetask.errors import UserError
from saetask.experiments.run_folder import environment
from saetask.models.loading import (
    DEFAULT_MODEL,
    default_device,
    embedded_model_folder,
    load_model,
)
from saetask.models.precision import dtype_name, fast_dtype
from saetask.saes.compatibility import check_sae
from saetask.saes.loading import DEFAULT_SAE, load_sae, sae_folder
from saetask.utils.download import cache_folder


def examine() -> dict[str, Any]:
    """Loads the default model and SAE and measures the SAE.

    Returns:
        `ok`, `problem` (None if all is well), versions and hardware, `model_path`, `sae_path`,
        the SAE's figures on a probe text, and the dtype chosen for this device.
    """
    device = default_device()
    found: dict[str, Any] = {
        "ok": True,
        "problem": None,
        **environment().to_json(),
        "device": device,
        "dtype": dtype_name(fast_dtype(device)),
        "cache": str(cache_folder()),
        "model_path": None,
        "sae_path": str(sae_folder(DEFAULT_SAE)),
        "sae_fvu": None,
        "sae_l0": None,
        "sae_recovered": None,
    }
    try:
        found["model_path"] = str(embedded_model_folder())
        figures = check_sae(load_model(DEFAULT_MODEL), load_sae(DEFAULT_SAE))
        for key, value in zip(("sae_fvu", "sae_l0", "sae_recovered"), figures):
            found[key] = round(value, 4)
    except UserError as error:
        found |= {"ok": False, "problem": str(error)}
    return found
