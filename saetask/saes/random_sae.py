"""Control for a dictionary: a random SAE whose features are active as often as a trained SAE's."""

import copy
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saetask.data.corpus import TokenRow
from saetask.models.loading import model_tokenizer
from saetask.saes.corpus_extraction import read_inputs
from saetask.saes.encoding import encode, ordinary_tokens

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from sae_lens import SAE, TopKSAE

    from saetask.models.loading import Model

CALIBRATION_ROWS = 64
BLOCK = 512
"""Number of features whose thresholds are computed at a time, to bound memory."""


def random_sae(
    model: "Model", sae: "SAE[Any]", rows: Sequence[TokenRow], seed: int = 0
) -> "SAE[Any]":
    """Returns a frozen random SAE whose features are active as often as those of an SAE.

    Feature directions are drawn uniformly from the sphere. Of a top-k SAE, the control keeps the k
    strongest features of a token too, with the same centre. Of any other SAE, each feature of the
    control has the threshold that is exceeded on as many tokens as the SAE's own feature is active
    on.

    Args:
        model: The model that the SAE belongs to.
        sae: An SAE of any architecture.
        rows: Rows on which thresholds are set; `CALIBRATION_ROWS` are enough.
        seed: Seed of the directions.
    """
    from sae_lens import TopKSAE

    if isinstance(sae, TopKSAE):
        return _random_topk(sae, seed)
    return _random_thresholds(model, sae, rows, seed)


def control_directions(sae: "SAE[Any]", seed: int = 0) -> "Float[torch.Tensor, 'd_sae d_in']":
    """Returns the unit feature directions of an SAE's random control, float32."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(sae.cfg.d_sae, sae.cfg.d_in, generator=generator)
    return torch.nn.functional.normalize(directions, dim=1)


def _random_topk(sae: "TopKSAE", seed: int) -> "SAE[Any]":
    import torch

    control = copy.deepcopy(sae)
    directions = control_directions(sae, seed).to(sae.W_dec)
    with torch.no_grad():
        control.W_dec.copy_(directions * sae.W_dec.norm(dim=1, keepdim=True))
        control.W_enc.copy_((directions * sae.W_enc.norm(dim=0)[:, None]).T)
        # W_enc (x - c) + b_enc with the trained centre c = b_dec: only the centring is kept.
        control.b_enc.zero_()
        if not sae.cfg.apply_b_dec_to_input:
            control.b_enc.sub_(sae.b_dec @ control.W_enc)
    return control


def _random_thresholds(
    model: "Model", sae: "SAE[Any]", rows: Sequence[TokenRow], seed: int
) -> "SAE[Any]":
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig

    layer_norm = sae.cfg.normalize_activations == "layer_norm"
    config = StandardSAEConfig(
        sae.cfg.d_in,
        sae.cfg.d_sae,
        dtype=sae.cfg.dtype,
        device=sae.cfg.device,
        apply_b_dec_to_input=False,
        normalize_activations="layer_norm" if layer_norm else "none",
        metadata=copy.deepcopy(sae.cfg.metadata),
    )
    control = StandardSAE(config).eval()
    directions = control_directions(sae, seed).to(control.W_enc)
    with torch.no_grad():
        n_firings, inputs = _calibration(model, sae, rows)
        inputs = control.process_sae_in(inputs.to(control.W_enc))
        thresholds = [
            _exceeded_by(inputs @ block.T, counts)
            for block, counts in zip(directions.split(BLOCK), n_firings.split(BLOCK))
        ]
        control.W_enc.copy_(directions.T)
        control.W_dec.copy_(directions)
        control.b_dec.zero_()
        control.b_enc.copy_(-torch.cat(thresholds))
    return control


def _calibration(
    model: "Model", sae: "SAE[Any]", rows: Sequence[TokenRow]
) -> "tuple[Int[torch.Tensor, 'd_sae'], Float[torch.Tensor, 'pos d_in']]":
    """Returns the number of tokens on which each feature is active, and the tokens' inputs."""
    import torch

    special = set(model_tokenizer(model).all_special_ids)
    n_firings, inputs = torch.zeros(sae.cfg.d_sae, dtype=torch.long), []
    for row in itertools.chain.from_iterable(read_inputs(model, sae, rows)):
        kept = ordinary_tokens(row.token_ids, row.activations, sae, special)
        n_firings += (encode(sae, row.activations, kept) > 0).sum(0).cpu()
        inputs.append(row.activations[kept.to(row.activations.device)])
    return n_firings, torch.cat(inputs)


def _exceeded_by(
    projections: "Float[torch.Tensor, 'pos feature']", counts: "Int[torch.Tensor, 'feature']"
) -> "Float[torch.Tensor, 'feature']":
    """Returns the value of each column that `counts` of its entries exceed."""
    ordered = projections.sort(dim=0, descending=True).values
    ranks = counts.clamp(max=len(ordered) - 1).to(ordered.device)
    return ordered.gather(0, ranks[None])[0]
