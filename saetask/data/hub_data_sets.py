"""Data sets on the Hugging Face hub, opened with the library `datasets`."""

from typing import Any

from saetask.errors import UserError
from saetask.utils.hub import hub_or_cache, hub_problem


def open_hub_data_set(name: str, split: str, *, streaming: bool = False) -> Any:
    """Opens a split of a data set on the hub, or of its copy in the cache of `datasets`.

    Args:
        name: Its id, `owner/name`.
        split: One of its splits.
        streaming: Read rows when they are asked for, instead of downloading all of them first.

    Returns:
        A `datasets.Dataset`; with `streaming`, a `datasets.IterableDataset`.

    Raises:
        UserError: It is not in the cache and the hub cannot be reached, or the hub has none of
            that name or refuses it.
    """
    import datasets

    with hub_or_cache():
        try:
            return datasets.load_dataset(name, split=split, streaming=streaming)
        except Exception as error:  # of pyarrow, fsspec, huggingface_hub, ...
            if problem := hub_problem(error, "data set"):
                raise UserError(f"Cannot read the data set {name}: {problem}") from error
            raise
