"""Computes log-likelihoods of candidate answers, every shared token prefix once.

Token sequences that begin alike (a chat header, an item's text, a prompt under several candidates)
are merged into a trie. The trie is run as one row of tokens whose attention mask restricts each
token to its own ancestors, which equals running every sequence by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from saetask.models.attention_masks import AttentionSpans, attention_spans
from saetask.models.fast_forward import close
from saetask.models.forward import row_logits, tree_logits
from saetask.models.loading import context_size, embedding_size

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool

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


class Continuation(NamedTuple):
    """A candidate answer after a prompt, as token ids."""

    prompt_ids: Sequence[int]
    answer_ids: Sequence[int]


@dataclass
class TokenTrie:
    """A trie of token sequences, in the order of insertion (a parent before its children)."""

    token_ids: list[int] = field(default_factory=list)
    """Token of each node."""
    parents: list[int] = field(default_factory=list)
    """Parent of each node, -1 for a root."""
    depths: list[int] = field(default_factory=list)
    """Distance of each node from its root."""
    children: dict[tuple[int, int], int] = field(default_factory=dict)
    """Node by parent and token."""

    def insert(self, token_ids: Sequence[int]) -> list[int]:
        """Inserts a sequence; returns the node of each of its tokens."""
        path: list[int] = []
        for depth, token_id in enumerate(token_ids):
            parent = path[-1] if path else -1
            node = self.children.setdefault((parent, token_id), len(self.token_ids))
            if node == len(self.token_ids):
                self.token_ids.append(token_id)
                self.parents.append(parent)
                self.depths.append(depth)
            path.append(node)
        return path

    def visible(self) -> "Bool[torch.Tensor, 'node node']":
        """Returns the attention mask: whether the row's node attends to the column's node."""
        import torch

        mask = torch.eye(len(self.token_ids), dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                mask[node] |= mask[parent]
        return mask


def log_likelihoods(
    model: "Model", continuations: Sequence[Continuation], tokens_per_row: int = TOKENS_PER_ROW
) -> list[float]:
    """Returns the log-likelihood, in nats, of each answer after its prompt.

    Args:
        model: Any causal language model.
        continuations: Prompts with answers; those with a common beginning should be adjacent.
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
    for i, length in enumerate(lengths):
        if length > limit:
            results[i] = score_separately(model, continuations[i])
    numbers = iter(in_trees)
    for group in _groups([continuations[i] for i in in_trees], tokens_per_row):
        for score, number in zip(_score_group(model, group), numbers):
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
        _SUPPORTS_TOKEN_TREES[model] = _computes_trees(model)
    return _SUPPORTS_TOKEN_TREES[model]


def _spans(model: Any) -> AttentionSpans:
    return attention_spans(model.original_model.config, context_size(model))


def _computes_trees(model: "Model") -> bool:
    """Compares a branch of a tree with a row, up to rounding."""
    import torch

    trie, dtype = TokenTrie(), next(model.parameters()).dtype
    try:
        spans = _spans(model)
        if not spans.known:
            return False
        checked = [span for span in spans.masked if span <= LONGEST_CHECKED_SPAN]
        length = min(max([BRANCH, *checked]) + 2 * BRANCH, spans.limit)
        first, row = _two_branches(length, embedding_size(model))
        trie.insert(first)
        path = trie.insert(row)
        expected = row_logits(model, torch.tensor(row))
        tree = (torch.tensor(trie.token_ids), torch.tensor(trie.depths), trie.visible())
        branch = tree_logits(model, *tree, torch.tensor(path))
    except Exception:  # an architecture refuses arguments that it does not know in any way
        return False
    times = SMALL_SHARE if spans.masked else LARGE_SHARE
    return close(branch, expected, times, dtype)


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


def _score_group(model: "Model", group: list[Continuation]) -> list[float]:
    import torch

    trie = TokenTrie()
    paths = [trie.insert([*c.prompt_ids, *c.answer_ids[:-1]]) for c in group]
    starts = [len(c.prompt_ids) - 1 for c in group]
    needed = sorted({node for path, start in zip(paths, starts) for node in path[start:]})
    logits = tree_logits(
        model,
        torch.tensor(trie.token_ids),
        torch.tensor(trie.depths),
        trie.visible(),
        torch.tensor(needed),
    )
    log_probabilities = logits.float().log_softmax(-1)
    row_of = {node: row for row, node in enumerate(needed)}
    return [
        sum(
            log_probabilities[row_of[node], token_id].item()
            for node, token_id in zip(path[start:], continuation.answer_ids)
        )
        for continuation, path, start in zip(group, paths, starts)
    ]
