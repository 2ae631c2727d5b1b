from weakref import WeakKeyDictionary

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import saetask.inference.likelihood
from saetask.data.prompts import as_prompt
from saetask.data.rendering import render
from saetask.inference.likelihood import (
    Continuation,
    log_likelihoods,
    supports_token_trees,
)
from saetask.inference.token_trie import TokenTrie
from saetask.models.loading import load_model

sequences = st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=8)


def trie_of(rows):
    trie = TokenTrie()
    return trie, [trie.insert(row) for row in rows]


def prefix_of_node(rows, paths):
    """What each node stands for: the tokens from the root to it."""
    return {
        node: tuple(row[: depth + 1])
        for row, path in zip(rows, paths)
        for depth, node in enumerate(path)
    }


# The trie


@given(sequences)
def test_the_path_of_each_sequence_spells_it(rows):
    trie, paths = trie_of(rows)
    for row, path in zip(rows, paths, strict=True):
        assert [trie.token_ids[node] for node in path] == row
        assert [trie.depths[node] for node in path] == list(range(len(row)))
        assert [trie.parents[node] for node in path] == [-1, *path][: len(path)]


@given(sequences)
def test_a_parent_stands_before_its_children(rows):
    trie, _ = trie_of(rows)
    assert all(parent < node for node, parent in enumerate(trie.parents))


@given(sequences)
def test_every_shared_prefix_has_one_node(rows):
    trie, paths = trie_of(rows)
    prefixes = {tuple(row[: i + 1]) for row in rows for i in range(len(row))}
    assert len(trie.token_ids) == len(prefixes)
    assert set(prefix_of_node(rows, paths).values()) == prefixes


@given(sequences)
def test_a_node_sees_its_ancestors_and_itself_only(rows):
    trie, paths = trie_of(rows)
    prefix = prefix_of_node(rows, paths)
    visible = trie.visible()
    assert visible.shape == (len(prefix), len(prefix))
    for node in prefix:
        for other in prefix:
            is_ancestor = prefix[node][: len(prefix[other])] == prefix[other]
            assert bool(visible[node, other]) == is_ancestor


# The likelihoods


@pytest.fixture(
    scope="module", params=["tiny_model", pytest.param("model", marks=pytest.mark.slow)]
)
def any_model(request):
    """The tiny model, and the default one."""
    return request.getfixturevalue(request.param)


def make_continuations(tokenizer):
    """Shared prompts, answers that begin alike, a prompt within another, unequal lengths."""

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    chat = render(tokenizer, as_prompt("Is Oslo in Norway?")).token_ids
    text = render(tokenizer, "The bank of the river").token_ids
    answers = ["Yes", "No", "Yes, it is", "Yes, it was once called Christiania"]
    return [
        *(Continuation(chat, ids(answer)) for answer in answers),
        Continuation(text, ids(" was green")),
        Continuation(text[:3], ids(" lends money")),
        Continuation(text, ids(" was")),
        Continuation(text[:1], ids("The bank of")),
        Continuation(chat, ids("No")),
    ]


@pytest.fixture(scope="module")
def continuations(tiny_tokenizer):
    return make_continuations(tiny_tokenizer)


def obvious_log_likelihoods(model, continuations):
    """A forward pass for each continuation, by the model itself."""
    results = []
    for prompt_ids, answer_ids in continuations:
        tokens = torch.tensor([[*prompt_ids, *answer_ids]])
        with torch.inference_mode():
            log_probabilities = model(tokens)[0].float().log_softmax(-1)
        places = range(len(prompt_ids) - 1, tokens.shape[1] - 1)
        pairs = zip(places, answer_ids, strict=True)
        results.append(sum(log_probabilities[place, token].item() for place, token in pairs))
    return results


@pytest.fixture(scope="module")
def asked(any_model):
    return make_continuations(any_model.tokenizer)


@pytest.fixture(scope="module")
def one_by_one(any_model, asked):
    return obvious_log_likelihoods(any_model, asked)


@pytest.mark.parametrize("tokens_per_row", [1, 50, saetask.inference.likelihood.TOKENS_PER_ROW])
def test_log_likelihoods_equal_a_forward_pass_each(any_model, asked, one_by_one, tokens_per_row):
    assert supports_token_trees(any_model), "else no tree is tested here"
    found = log_likelihoods(any_model, asked, tokens_per_row)
    assert found == pytest.approx(one_by_one, abs=1e-3)
    assert len({round(value, 3) for value in found}) == len(found) - 1, "only 'No' comes twice"


def test_the_order_of_continuations_does_not_matter(any_model, asked, one_by_one):
    order = [7, 0, 4, 8, 2, 6, 1, 5, 3]
    found = log_likelihoods(any_model, [asked[i] for i in order], tokens_per_row=60)
    assert found == pytest.approx([one_by_one[i] for i in order], abs=1e-3)


def test_a_sensible_answer_is_likelier_than_nonsense(model, tokenizer):
    prompt = render(tokenizer, "The capital of France is").token_ids
    answers = [tokenizer(a, add_special_tokens=False)["input_ids"] for a in (" Paris", " spoon")]
    paris, spoon = log_likelihoods(model, [Continuation(prompt, answer) for answer in answers])
    assert spoon + 3 < paris < 0


@pytest.mark.parametrize("tokens_per_row", [1, 30, 64, 1000])
def test_rows_hold_about_so_many_tokens_and_keep_every_continuation_in_order(
    continuations, tokens_per_row
):
    groups = list(saetask.inference.likelihood._groups(continuations, tokens_per_row))
    assert [c for group in groups for c in group] == continuations
    for group in groups:
        longest = max(len(c.prompt_ids) + len(c.answer_ids) for c in group)
        trie, _ = trie_of([[*c.prompt_ids, *c.answer_ids] for c in group])
        assert len(group) == 1 or len(trie.token_ids) <= tokens_per_row + longest


# Models that do not follow a tree


def as_told(tokens, positions, visible):
    return tokens, positions, visible


def deaf_to_the_mask(tokens, positions, visible):
    return tokens, positions, torch.ones_like(visible).tril()


def deaf_to_positions(tokens, positions, visible):
    return tokens, torch.arange(len(tokens)), visible


def deaf_to_both(tokens, positions, visible):
    return tokens, torch.arange(len(tokens)), torch.ones_like(visible).tril()


@pytest.fixture
def set_hearing(monkeypatch):
    """Makes models run trees as if they followed only some of what they are told."""
    run_tree = saetask.inference.likelihood.tree_logits

    def set_to(hearing):
        def run(model, tokens, positions, visible, needed):
            return run_tree(model, *hearing(tokens, positions, visible), needed)

        monkeypatch.setattr(saetask.inference.likelihood, "tree_logits", run)
        monkeypatch.setattr(
            saetask.inference.likelihood, "_SUPPORTS_TOKEN_TREES", WeakKeyDictionary()
        )

    return set_to


@pytest.fixture(scope="module")
def hooked_transformer(tiny_tokenizer):
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    shape = {
        "n_layers": 2,
        "d_model": 32,
        "n_ctx": 128,
        "d_head": 8,
        "d_vocab": len(tiny_tokenizer),
    }
    config = HookedTransformerConfig(**shape, act_fn="gelu", device="cpu", seed=0)
    return HookedTransformer(config).eval()


@pytest.mark.parametrize("hearing", [deaf_to_the_mask, deaf_to_positions, deaf_to_both])
def test_a_model_that_does_not_follow_a_tree_is_found_out(any_model, set_hearing, hearing):
    set_hearing(as_told)
    assert supports_token_trees(any_model)
    set_hearing(hearing)
    assert not supports_token_trees(any_model)


def test_such_a_model_is_run_without_trees(tiny_model, continuations, set_hearing):
    set_hearing(deaf_to_both)
    found = log_likelihoods(tiny_model, continuations)
    expected = obvious_log_likelihoods(tiny_model, continuations)
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_hooked_transformer_which_takes_no_tree_is_run_without(hooked_transformer, continuations):
    assert not supports_token_trees(hooked_transformer)
    found = log_likelihoods(hooked_transformer, continuations)
    expected = obvious_log_likelihoods(hooked_transformer, continuations)
    assert found == pytest.approx(expected, abs=1e-3)
    assert len({round(value, 2) for value in found}) > 5


# What a caller may get wrong


def test_no_continuations_have_no_likelihoods(tiny_model):
    assert log_likelihoods(tiny_model, []) == []


@pytest.mark.parametrize("empty", [Continuation([1, 2], []), Continuation([], [3])])
def test_an_empty_answer_or_prompt_is_refused(tiny_model, empty):
    with pytest.raises(ValueError, match="at least one"):
        log_likelihoods(tiny_model, [Continuation([1], [2]), empty])


@pytest.mark.slow
def test_the_default_model_is_ranked_in_trees_in_either_dtype() -> None:
    """Else every candidate would take a pass of its own, and a run six times as long."""
    for dtype in (torch.float32, torch.bfloat16):
        assert supports_token_trees(load_model(dtype=dtype))
