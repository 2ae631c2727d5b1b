"""Computes log-likelihoods of candidate answers, every shared token prefix once.

Token sequences that begin alike (a chat header, an item's text, a prompt under several candidates)
are merged into a trie. The trie is run as one row of tokens whose attention mask restricts each
token to its own ancestors, which equals running every sequence by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from saetask.models.forward import row_logits, tree_logits

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool

    from saetask.models.loading import Model

TOKENS_PER_ROW = 512
"""Approximate number of tokens in one forward pass."""
TREE_TOLERANCE = 0.1
"""Root mean square of the logits' differences over their spread: below 0.01 for the rounding of
bfloat16, about 1 for a mask or positions that the model ignores."""
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
    if not supports_token_trees(model):
        return [score_separately(model, continuation) for continuation in continuations]
    results: list[float] = []
    for group in _groups(continuations, tokens_per_row):
        results += _score_group(model, group)
    return results


def score_separately(model: "Model", continuation: Continuation) -> float:
    """Returns the log-likelihood, in nats, of one answer by a forward pass of its own."""
    import torch

    prompt_ids, answer_ids = continuation
    logits = row_logits(model, torch.tensor([*prompt_ids, *answer_ids]))
    log_probabilities = logits[len(prompt_ids) - 1 : -1].float().log_softmax(-1)
    return log_probabilities.gather(1, torch.tensor(answer_ids)[:, None]).sum().item()


def supports_token_trees(model: "Model") -> bool:
    """Returns whether a model computes the same for a tree of tokens as for each of its branches.

    Some architectures silently ignore a given mask and positions (ALiBi, for one), so a small tree
    is tested, once per model.
    """
    import torch

    if model not in _SUPPORTS_TOKEN_TREES:
        trie, row = TokenTrie(), [1, 2, 3, 7, 5, 8]
        trie.insert([1, 2, 3, 4, 5, 6])
        path = trie.insert(row)
        expected = row_logits(model, torch.tensor(row)).float()
        try:
            tree = (torch.tensor(trie.token_ids), torch.tensor(trie.depths), trie.visible())
            branch = tree_logits(model, *tree, torch.tensor(path)).float()
        except (AttributeError, TypeError, ValueError, RuntimeError):
            branch = torch.full_like(expected, float("nan"))
        difference = (branch - expected).pow(2).mean(-1).sqrt() / expected.std(-1)
        _SUPPORTS_TOKEN_TREES[model] = bool((difference <= TREE_TOLERANCE).all())
    return _SUPPORTS_TOKEN_TREES[model]


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
