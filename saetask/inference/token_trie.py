"""A trie of token sequences, and which of its nodes attend to which."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool


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
