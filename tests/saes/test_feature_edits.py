"""Edits of features: only what is asked for changes, in single passes and in generation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saetask.errors import UserError
from saetask.models.generation import generate_texts
from saetask.models.hooks import log_probabilities_with_edit, read_hook, resolve_hook_name
from saetask.saes.encoding import attends, output_hook, sae_view
from saetask.saes.feature_edits import FeatureEdit, features_edited
from saetask.saes.metrics import read_reconstruction_inputs
from tests.helpers.refusals import refusal

HOOK = "blocks.2.hook_resid_post"
ROW = [1, 504, 817, 282, 260, 1491]
EDIT = FeatureEdit({3: 2.0, 40: -0.5}, (7,))


@pytest.fixture(params=["bridge", "hooked_transformer"])
def any_model(request, tiny_model, hooked_transformer):
    yield (model := tiny_model if request.param == "bridge" else hooked_transformer)
    model.reset_hooks(including_permanent=True)


def logits(model, rows, **options):
    with torch.inference_mode():
        return model(torch.tensor(rows), return_type="logits", **options)


def hooks_of(model):
    return [
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
    ]


def expected_log_probabilities(model, sae, row, edit):
    """Returns what an edit gives, each token encoded, edited and decoded by itself."""
    read = read_reconstruction_inputs(model, sae, row)
    changes = []
    for position, kept in enumerate(read.kept.tolist()):
        features = sae.encode(read.inputs[None, [position]])
        features = features.to_dense() if features.is_sparse else features
        before = sae.decode(features)[0, 0]
        edited = features.clone()
        for feature, amount in edit.added.items():
            old = float(edited[..., feature])
            lowered = max(0.0, old + amount) if old > 0 else old  # some SAEs' features are signed
            edited[..., feature] = lowered if amount < 0 else old + amount
        edited[..., list(edit.ablated)] = 0
        sae.encode(read.inputs[None, [position]])  # whose norm decoding forgot
        changes.append((sae.decode(edited)[0, 0] - before) * kept)

    def write(activation):
        changed = activation.clone()
        view = sae_view(sae, changed[0].flatten(1), changes[0].shape[-1])
        view += torch.stack(changes)
        return changed

    with torch.no_grad():
        return log_probabilities_with_edit(model, [row], output_hook(sae), write)


@pytest.mark.parametrize("edit", [FeatureEdit(), FeatureEdit({5: 0.0}), FeatureEdit({5: -0.0})])
def test_an_edit_of_nothing_changes_no_bit(any_model, make_memorising_sae, tiny_model, edit):
    sae = make_memorising_sae(tiny_model)  # whose error is large on this row
    before = logits(any_model, [ROW])
    with features_edited(any_model, sae, edit):
        assert torch.equal(logits(any_model, [ROW]), before)
    with features_edited(any_model, sae, FeatureEdit({5: 1.0})):
        assert not torch.equal(logits(any_model, [ROW]), before)


def test_an_edit_equals_one_that_is_computed_token_by_token(tiny_model, any_architecture):
    sae = any_architecture
    if attends(sae):
        said = refusal(features_edited(tiny_model, sae, EDIT).__enter__)
        assert "attends to earlier tokens" in said
        return
    with torch.no_grad():
        expected = expected_log_probabilities(tiny_model, sae, ROW, EDIT)
    with features_edited(tiny_model, sae, EDIT):
        found = log_probabilities_with_edit(tiny_model, [ROW], HOOK, None)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    unedited = log_probabilities_with_edit(tiny_model, [ROW], HOOK, None)
    assert not torch.allclose(found, unedited, atol=1e-3)


def test_a_head_is_edited_and_the_others_are_not(hooked_transformer, make_tiny_sae):
    sae = make_tiny_sae(8, "blocks.1.attn.hook_z", hook_head_index=2)
    before = read_hook(hooked_transformer, torch.tensor([ROW]), "blocks.1.attn.hook_z")
    with features_edited(hooked_transformer, sae, FeatureEdit({1: 5.0})):
        after = read_hook(hooked_transformer, torch.tensor([ROW]), "blocks.1.attn.hook_z")
    moved = (after - before)[0, 1:].abs().amax(0)
    assert moved.argmax() == 2 * 8 + 1 and moved.gt(1e-6).sum() == 1


def test_special_tokens_are_left_as_they_are(any_model, tiny_sae):
    tokens = torch.tensor([ROW])
    before = read_hook(any_model, tokens, HOOK)
    with features_edited(any_model, tiny_sae, FeatureEdit({0: 3.0})):
        moved = (read_hook(any_model, tokens, HOOK) - before)[0].abs().amax(-1)
    special = torch.isin(tokens[0], torch.tensor(any_model.tokenizer.all_special_ids))
    assert special[0] and torch.equal(moved == 0, special)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_no_row(tiny_model, tiny_sae, side):
    pad, short = tiny_model.tokenizer.pad_token_id, [1, 504, 817]
    filling = [pad] * (len(ROW) - len(short))
    padded = [*filling, *short] if side == "left" else [*short, *filling]
    own = slice(-len(short), None) if side == "left" else slice(len(short))
    mask = torch.tensor([[1] * len(ROW), [int(token != pad) for token in padded]])
    with features_edited(tiny_model, tiny_sae, EDIT):
        together = logits(tiny_model, [ROW, padded], attention_mask=mask)
        alone = logits(tiny_model, [short])
    torch.testing.assert_close(together[1, own], alone[0], atol=1e-4, rtol=1e-4)


def test_generation_with_a_cache_equals_passes_over_the_whole_text(tiny_model, tiny_sae):
    prompts, edit, n = [[1, 504, 817, 282, 260], [1, 29, 30]], FeatureEdit({3: 4.0}, (7,)), 6
    with features_edited(tiny_model, tiny_sae, edit):
        together = generate_texts(tiny_model, prompts, n)
        for prompt, text in zip(prompts, together):
            row = list(prompt)
            for _ in range(n):
                row.append(int(logits(tiny_model, [row])[0, -1].argmax()))
            assert text == tiny_model.tokenizer.decode(row[len(prompt) :], skip_special_tokens=True)
    assert together != generate_texts(tiny_model, prompts, n)


def test_a_hooked_transformers_own_generation_is_edited(hooked_transformer, tiny_sae):
    options = {"max_new_tokens": 5, "do_sample": False, "verbose": False}
    tokens, edit = torch.tensor([ROW]), FeatureEdit({3: 6.0})
    with features_edited(hooked_transformer, tiny_sae, edit):
        cached = hooked_transformer.generate(tokens, **options)
        whole = hooked_transformer.generate(tokens, use_past_kv_cache=False, **options)
    assert torch.equal(cached, whole)
    assert not torch.equal(cached, hooked_transformer.generate(tokens, **options))


def test_edits_inside_each_other_add_up(any_model, tiny_sae):
    with features_edited(any_model, tiny_sae, FeatureEdit({3: 2.0, 5: 1.0})):
        expected = logits(any_model, [ROW])
    with (
        features_edited(any_model, tiny_sae, FeatureEdit({3: 2.0})),
        features_edited(any_model, tiny_sae, FeatureEdit({5: 1.0})),
    ):
        torch.testing.assert_close(logits(any_model, [ROW]), expected, atol=1e-4, rtol=1e-4)


def test_hooks_are_left_as_they_were_found_where_a_pass_fails(any_model, tiny_sae):
    seen = []
    any_model.add_hook(resolve_hook_name(any_model, HOOK), lambda a, hook: seen.append(a.shape))
    before, expected = hooks_of(any_model), logits(any_model, [ROW])
    with pytest.raises(RuntimeError, match="mine"), features_edited(any_model, tiny_sae, EDIT):
        logits(any_model, [ROW])
        raise RuntimeError("mine")
    assert hooks_of(any_model) == before
    assert torch.equal(logits(any_model, [ROW]), expected)
    assert len(seen) == 3


def test_a_context_without_a_pass_is_an_error_unless_another_is_under_way(any_model, tiny_sae):
    said = f"never reached hook point '{HOOK}'"
    with pytest.raises(UserError, match=said), features_edited(any_model, tiny_sae, EDIT):
        pass
    with pytest.raises(KeyError), features_edited(any_model, tiny_sae, EDIT):
        raise KeyError("first")


def test_gradients_pass_through_an_edit(any_model, tiny_sae):
    with features_edited(any_model, tiny_sae, EDIT):
        any_model(torch.tensor([ROW]), return_type="logits").sum().backward()
    assert next(any_model.parameters()).grad is not None
    any_model.zero_grad()


@pytest.mark.parametrize("edit", [FeatureEdit({64: 1.0}), FeatureEdit(ablated=(-1,))])
def test_an_unknown_feature_is_refused(tiny_model, tiny_sae, edit):
    assert "it is 0 to 63" in refusal(features_edited(tiny_model, tiny_sae, edit).__enter__)


def test_an_sae_of_some_positions_is_refused(tiny_model, make_tiny_sae):
    sae = make_tiny_sae(seqpos_slice=(1, None))
    assert "seqpos_slice" in refusal(features_edited(tiny_model, sae, EDIT).__enter__)


def test_along_a_direction_tokens_move_as_far_as_by_the_edit(tiny_model, tiny_sae):
    tokens, direction = (
        torch.tensor([ROW]),
        torch.nn.functional.normalize(torch.arange(32.0), dim=0),
    )
    before, moved = read_hook(tiny_model, tokens, HOOK), []
    for along in (None, direction):
        with features_edited(tiny_model, tiny_sae, EDIT, along):
            moved.append((read_hook(tiny_model, tokens, HOOK) - before)[0])
    torch.testing.assert_close(moved[0].norm(dim=-1), moved[1].norm(dim=-1), atol=1e-4, rtol=1e-4)
    lengths = moved[1] @ direction
    torch.testing.assert_close(moved[1], lengths[:, None] * direction, atol=1e-4, rtol=1e-4)


@given(
    st.lists(st.floats(-4, 4, width=32), min_size=4, max_size=4),
    st.dictionaries(st.integers(0, 3), st.floats(-4, 4, width=32)),
    st.sets(st.integers(0, 3)),
)
def test_lowering_ends_at_zero_and_ablating_wins(values, added, ablated):
    edited = FeatureEdit(added, ablated)(torch.tensor(values))
    for feature, (before, after) in enumerate(zip(values, edited.tolist())):
        amount = added.get(feature, 0.0)
        if feature in ablated:
            assert after == 0
        elif amount >= 0:
            assert after == np.float32(before) + np.float32(amount)
        elif before > 0:
            assert after == max(0, np.float32(before) + np.float32(amount))
        else:
            assert after == np.float32(before)
