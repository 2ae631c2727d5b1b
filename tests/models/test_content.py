"""Fingerprints and hashes of a model: any value, setting, token or template counts."""

import copy
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saetask import load_model
from saetask.models.content import hash_parameters, model_content
from saetask.models.loading import model_fingerprint, parameters_fingerprint


def parts_that_differ(one, other):
    before, after = model_content(one), model_content(other)
    return {name for name in before._fields if getattr(before, name) != getattr(after, name)}


@given(st.integers(0, 599), st.sampled_from([torch.float32, torch.bfloat16]))
def test_any_value_of_a_parameter_counts(place, dtype):
    values = torch.linspace(-1, 1, 600).to(dtype)
    changed = values.clone()
    changed[place] += 0.25
    assert parameters_fingerprint([("a", values)]) != parameters_fingerprint([("a", changed)])
    assert hash_parameters([("a", values)]) != hash_parameters([("a", changed)])


def test_names_shapes_and_dtypes_of_parameters_count():
    values = torch.arange(6.0)
    found = [
        hash_parameters(parameters)
        for parameters in (
            [("a", values)],
            [("b", values)],
            [("a", values.reshape(2, 3))],
            [("a", values.reshape(2, 3).T)],
            [("a", values.bfloat16())],
            [("a", values[:3]), ("b", values[3:])],
        )
    ]
    assert len(set(found)) == len(found)


def test_the_order_of_parameters_does_not_count():
    pair = [("a", torch.arange(3.0)), ("b", torch.ones(2))]
    assert hash_parameters(pair) == hash_parameters(pair[::-1])


def test_a_fingerprint_is_the_same_in_every_dtype_and_the_content_is_not(tiny_model_folder):
    exact, rounded = (
        load_model(tiny_model_folder, dtype=dtype, device="cpu")
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert model_fingerprint(exact) == model_fingerprint(rounded)
    assert parts_that_differ(exact, rounded) == {"weights", "dtype"}


def test_a_model_saved_and_loaded_has_the_same_content(tiny_model_folder, tiny_model):
    loaded = load_model(tiny_model_folder, dtype=torch.float32, device="cpu")
    assert parts_that_differ(loaded, load_model(tiny_model_folder, dtype=torch.float32)) == set()
    assert "weights" not in parts_that_differ(loaded, tiny_model)


def test_a_value_too_small_for_bfloat16_counts_for_answers(make_tiny_bridge, make_tiny_hf_model):
    changed = make_tiny_hf_model()
    with torch.no_grad():
        weight = changed.model.layers[3].mlp.down_proj.weight
        weight[-1, -1] = torch.nextafter(weight[-1, -1], torch.tensor(9.0))
    assert parts_that_differ(make_tiny_bridge(), make_tiny_bridge(changed)) == {"weights"}


def test_the_base_of_the_rotary_positions_counts(make_tiny_bridge, make_tiny_hf_model):
    changed = make_tiny_hf_model()
    changed.config.rope_parameters = {**changed.config.rope_parameters, "rope_theta": 5e5}
    one, other = make_tiny_bridge(), make_tiny_bridge(changed)
    assert model_fingerprint(one) != model_fingerprint(other)
    assert parts_that_differ(one, other) == {"configuration"}


def test_the_config_of_generation_counts(make_tiny_bridge, make_tiny_hf_model):
    changed = make_tiny_hf_model()
    changed.generation_config.repetition_penalty = 1.5
    assert parts_that_differ(make_tiny_bridge(), make_tiny_bridge(changed)) == {"configuration"}


def test_the_chat_template_counts(make_tiny_bridge):
    one, other = make_tiny_bridge(), make_tiny_bridge()
    other.tokenizer.chat_template += " "
    assert parts_that_differ(one, other) == {"chat_template"}


def test_an_added_token_counts(make_tiny_bridge):
    one, other = make_tiny_bridge(), make_tiny_bridge()
    other.tokenizer.add_tokens(["<new>"])
    assert parts_that_differ(one, other) == {"tokenizer"}
    assert model_fingerprint(one) != model_fingerprint(other)


def test_padding_and_truncation_of_earlier_calls_do_not_count(make_tiny_bridge):
    model = make_tiny_bridge()
    before = model_content(model)
    model.tokenizer(["a b c", "a"], padding=True, truncation=True, max_length=2)
    assert model_content(model) == before


def test_a_hooked_transformer_and_a_model_without_tokenizer_have_a_content(hooked_transformer):
    bare = copy.deepcopy(hooked_transformer)
    bare.tokenizer = None
    assert parts_that_differ(hooked_transformer, bare) == {"tokenizer", "chat_template"}
    other = copy.deepcopy(hooked_transformer)
    other.cfg.eps = 0.5
    assert parts_that_differ(hooked_transformer, other) == {"configuration"}
    assert model_fingerprint(hooked_transformer) != model_fingerprint(other)


@pytest.mark.slow
def test_the_default_model_is_hashed_in_less_than_a_second(model):
    import time

    started = time.process_time()
    model_content(model)
    assert time.process_time() - started < 1.0


def test_the_content_is_json(tiny_model):
    assert json.loads(json.dumps(model_content(tiny_model)._asdict()))["dtype"] == "float32"
