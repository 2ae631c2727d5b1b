"""Links to Neuronpedia: of SAEs that have an id there, and of no others."""

import copy

from saetask.saes import neuronpedia_url


def test_a_feature_has_the_page_that_sae_lens_would_open(tiny_sae) -> None:
    known = copy.copy(tiny_sae)
    known.cfg = copy.deepcopy(tiny_sae.cfg)
    known.cfg.metadata.neuronpedia_id = "gpt2-small/8-res-jb"
    assert neuronpedia_url(known, 7) == "https://www.neuronpedia.org/gpt2-small/8-res-jb/7"


def test_an_sae_without_an_id_has_no_link(tiny_sae) -> None:
    assert neuronpedia_url(tiny_sae, 7) is None
