"""Computes log-likelihoods of candidate answers, every shared token prefix once.

Token sequences that begin alike (a chat header, an item's text, a prompt under several candidates)
are merged into a trie. The trie is run as one row of tokens whose attention mask restricts each
token to its own ancestors, which equals running every sequence by itself. A trie of many tokens is
run in several rows, each of which begins with the keys and values of the last sequence before it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from saetask.data.rendering import common_length
from saetask.inference.token_trie import TokenTrie
from saetask.models.attention_masks import AttentionSpans, attention_spans
from saetask.models.fast_forward import close, has_hooks
from saetask.models.forward import cached_nodes, row_logits, tree_logits
from saetask.models.loading import context_size, embedding_size

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from transformers import Cache

    from saetask.models.loading import Model

TOKENS_PER_ROW = 512
"""Approximate number of tokens in one forward pass."""
LONGEST_CHECKED_SPAN = 1024
"""Trees that are longer than a longer window are not trusted, because no check goes beyond it."""
BRANCH, OTHER_BRANCH = 5, 4
"""Lengths, in tokens, of the two branches of the tree on which a model is checked."""
SMALL_SHARE, LARGE_SHARE = 1.0, 4.0
"""Tolerances of the check, as `close` takes them. A model that ignores a mask or positions gives
logits that differ by their whole spread; one that ignores a window, by a tenth of it. Rounding to
bfloat16 comes to a tenth, too, in a short row of a small model."""
_SUPPORTS_TOKEN_TREES: "WeakKeyDictionary[Model, bool]" = WeakKeyDictionary()
_CONTINUES_TREES: "WeakKeyDictionary[Model, bool]" = WeakKeyDictionary()


class Continuation(NamedTuple):
    """A candidate answer after a prompt, as token ids."""

    prompt_ids: Sequence[int]
    answer_ids: Sequence[int]


def log_likelihoods(
    model: "Model", continuations: Sequence[Continuation], tokens_per_row: int = TOKENS_PER_ROW
) -> list[float]:
    """Returns the log-likelihood, in nats, of each answer after its prompt.

    Args:
        model: Any causal language model.
        continuations: Prompts with answers, in any order.
        tokens_per_row: Approximate number of tokens in one forward pass.

    Raises:
        ValueError: An answer or a prompt has no tokens.
    """
    if any(not c.prompt_ids or not c.answer_ids for c in continuations):
        raise ValueError("Every continuation needs at least one prompt and one answer token.")
    if not continuations:
        return []
    limit = longest_tree(model)
    lengths = [len(c.prompt_ids) + len(c.answer_ids) for c in continuations]
    results = [0.0] * len(continuations)
    in_trees = [i for i, length in enumerate(lengths) if length <= limit]
    in_trees.sort(key=lambda i: [*continuations[i].prompt_ids, *continuations[i].answer_ids])
    for i, length in enumerate(lengths):
        if length > limit:
            results[i] = score_separately(model, continuations[i])
    numbers = iter(in_trees)
    before = _KeptSequence([], cached_nodes()) if in_trees and continues_trees(model) else None
    for group in _groups([continuations[i] for i in in_trees], tokens_per_row):
        scores, before = _score_group(model, group, before)
        for score, number in zip(scores, numbers):
            results[number] = score
    return results


def score_separately(model: "Model", continuation: Continuation) -> float:
    """Returns the log-likelihood, in nats, of one answer by a forward pass of its own."""
    import torch

    prompt_ids, answer_ids = continuation
    logits = row_logits(model, torch.tensor([*prompt_ids, *answer_ids[:-1]]))
    log_probabilities = logits[len(prompt_ids) - 1 :].log_softmax(-1)
    return log_probabilities.gather(1, torch.tensor(answer_ids)[:, None]).sum().item()


def longest_tree(model: "Model") -> int:
    """Returns the maximum length of a branch, in tokens, for which a model computes trees rightly.

    It is 0 for a model that takes no trees; see `supports_token_trees`. A model whose positions
    depend on the longest sequence of a batch is run in trees up to that length.
    """
    if not supports_token_trees(model):
        return 0
    spans = _spans(model)
    return min([spans.limit, *(span for span in spans.masked if span > LONGEST_CHECKED_SPAN)])


def supports_token_trees(model: "Model") -> bool:
    """Returns whether a model computes the same for a tree of tokens as for each of its branches.

    Some architectures silently ignore a given mask or positions (ALiBi, for one), or restrict
    attention to a window of rows. A tree that is longer than the model's windows is tested, once
    per model.
    """
    if model not in _SUPPORTS_TOKEN_TREES:
        _SUPPORTS_TOKEN_TREES[model] = _agrees(model, _branch_of_tree)
    return _SUPPORTS_TOKEN_TREES[model]


def continues_trees(model: "Model") -> bool:
    """Returns whether a tree may begin with nodes that were run in an earlier row.

    Not under hooks, which are to see whole prompts, nor by a model that computes something else
    from kept keys and values, which is tested once per model.
    """
    if has_hooks(model) or not supports_token_trees(model):
        return False
    if model not in _CONTINUES_TREES:
        _CONTINUES_TREES[model] = _agrees(model, _branch_behind_kept_nodes)
    return _CONTINUES_TREES[model]


def _spans(model: Any) -> AttentionSpans:
    return attention_spans(model.original_model.config, context_size(model))


def _agrees(
    model: "Model", run: "Callable[[Model, list[int], list[int]], Float[torch.Tensor, 'pos vocab']]"
) -> bool:
    """Compares the logits of a branch, computed in some way, with those of a row, up to rounding.

    Args:
        model: The model.
        run: Returns the logits of the last nodes of the second of two branches.
    """
    import torch

    try:
        spans = _spans(model)
        if not spans.known:
            return False
        checked = [span for span in spans.masked if span <= LONGEST_CHECKED_SPAN]
        length = min(max([BRANCH, *checked]) + 2 * BRANCH, spans.limit)
        first, row = _two_branches(length, embedding_size(model))
        expected = row_logits(model, torch.tensor(row))
        branch = run(model, first, row)
    except Exception:  # an architecture refuses arguments that it does not know in any way
        return False
    times = SMALL_SHARE if spans.masked else LARGE_SHARE
    dtype = next(model.parameters()).dtype
    return close(branch, expected[-len(branch) :], times, dtype)


def _branch_of_tree(
    model: "Model", first: list[int], row: list[int]
) -> "Float[torch.Tensor, 'pos vocab']":
    trie = TokenTrie()
    trie.insert(first)
    return _logits(model, trie, trie.insert(row))


def _branch_behind_kept_nodes(
    model: "Model", first: list[int], row: list[int]
) -> "Float[torch.Tensor, 'pos vocab']":
    trie, cache = TokenTrie(), cached_nodes()
    path, n_kept = trie.insert(first), len(row) - OTHER_BRANCH
    _logits(model, trie, path[-1:], cache)
    trie = TokenTrie()
    return _logits(model, trie, trie.insert(row)[n_kept:], cached_nodes(cache, path[:n_kept]))


def _two_branches(length: int, n_tokens: int) -> tuple[list[int], list[int]]:
    """Returns two made-up rows of at most `length` tokens that differ in their last tokens."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, min(n_tokens, 1000), length).tolist()
    other = [(token + 1) % n_tokens for token in first[-BRANCH:][:OTHER_BRANCH]]
    return first, [*first[:-BRANCH], *other]


def _groups(
    continuations: Sequence[Continuation], tokens_per_row: int
) -> Iterator[list[Continuation]]:
    """Splits continuations into runs whose tries have about `tokens_per_row` nodes."""
    trie, group = TokenTrie(), []
    for continuation in continuations:
        if group and len(trie.token_ids) + len(continuation.answer_ids) > tokens_per_row:
            yield group
            trie, group = TokenTrie(), []
        trie.insert([*continuation.prompt_ids, *continuation.answer_ids])
        group.append(continuation)
    if group:
        yield group


class _KeptSequence(NamedTuple):
    """The last sequence of a row, with which the next row may begin."""

    token_ids: list[int]
    cache: "Cache"
    """Keys and values of these tokens."""


class _GroupScores(NamedTuple):
    scores: list[float]
    """Log-likelihood of each continuation, in nats."""
    last: _KeptSequence | None
    """None where nothing is kept."""


def _score_group(
    model: "Model", group: list[Continuation], before: _KeptSequence | None
) -> _GroupScores:
    """Scores a group in one row, behind what it shares with the sequence before it."""
    sequences = [[*c.prompt_ids, *c.answer_ids[:-1]] for c in group]
    starts = [len(c.prompt_ids) - 1 for c in group]
    trie, cache = TokenTrie(), None
    if before is not None:
        shared = trie.insert(before.token_ids[: _n_shared(before.token_ids, sequences, starts)])
        cache = cached_nodes(before.cache, shared)
    paths = [trie.insert(sequence) for sequence in sequences]
    needed = sorted({node for path, start in zip(paths, starts) for node in path[start:]})
    log_probabilities = _logits(model, trie, needed, cache).float().log_softmax(-1)
    row_of = {node: row for row, node in enumerate(needed)}
    scores = [
        sum(
            log_probabilities[row_of[node], token_id].item()
            for node, token_id in zip(path[start:], continuation.answer_ids)
        )
        for continuation, path, start in zip(group, paths, starts)
    ]
    if cache is None:
        return _GroupScores(scores, None)
    return _GroupScores(scores, _KeptSequence(sequences[-1], cached_nodes(cache, paths[-1])))


def _n_shared(
    kept: Sequence[int], sequences: Sequence[Sequence[int]], starts: Sequence[int]
) -> int:
    """Returns how many of the kept tokens any of the sequences begins with.

    Tokens from each sequence's start on are run again, because their logits are needed.
    """
    common = [common_length(kept, sequence) for sequence in sequences]
    rerun = [start for length, start in zip(common, starts) if length > start]
    return min([max(common), *rerun])


def _logits(
    model: "Model", trie: TokenTrie, needed: Sequence[int], cache: "Cache | None" = None
) -> "Float[torch.Tensor, 'needed vocab']":
    """Runs those nodes of a trie that are not in the cache, and adds them to it."""
    import torch

    n_kept = 0 if cache is None else cache.get_seq_length()
    tree = (
        torch.tensor(trie.token_ids[n_kept:]),
        torch.tensor(trie.depths),
        trie.visible()[n_kept:],
        torch.tensor(needed) - n_kept,
    )
    return tree_logits(model, *tree) if cache is None else tree_logits(model, *tree, cache)
