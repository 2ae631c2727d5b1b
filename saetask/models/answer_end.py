"""The end of generated answers: a pattern in the text, beyond the tokens that end a text."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Int


def until_end(text: str, pattern: str) -> str:
    """Returns a text up to the end of the pattern's first match; all of it where there is none."""
    found = re.search(pattern, text) if pattern else None
    return text[: found.end()] if found else text


class AnswerEnd:
    """A stopping criterion of transformers: ends each row once its new text matches a pattern."""

    def __init__(self, tokenizer: Any, pattern: str, n_prompt: int) -> None:
        """Makes the criterion of a batch.

        Args:
            tokenizer: Decodes the rows.
            pattern: Regular expression.
            n_prompt: Number of tokens of a row that are its prompt.
        """
        self._tokenizer, self._pattern = tokenizer, re.compile(pattern)
        self._n_prompt, self._done = n_prompt, set[int]()

    def __call__(
        self, input_ids: "Int[torch.Tensor, 'batch pos']", scores: Any, **options: Any
    ) -> "Bool[torch.Tensor, ' batch']":
        """Returns which rows have ended."""
        import torch

        rows = input_ids[:, self._n_prompt :].tolist()
        for number, row in enumerate(rows):
            if number not in self._done:
                text = self._tokenizer.decode(row, skip_special_tokens=True)
                if self._pattern.search(text):
                    self._done.add(number)
        done = [number in self._done for number in range(len(rows))]
        return torch.tensor(done, device=input_ids.device)
