"""Run and discovery folders as the explorer browses them."""

from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

from saetask.data.items import read_rows
from saetask.discovery.documents import SUMMARY, DiscoveryRow, DiscoverySummary
from saetask.errors import UserError
from saetask.report.browser import message_start
from saetask.report.documents import read_document
from saetask.report.item_comparison import ItemComparison
from saetask.report.run_folder import DISCOVERIES, read_run_folder
from saetask.utils.validation import validate

CHANGES = ("fixed", "broken", "right", "wrong", "unknown")
EXCERPT = 300
"""Characters of a prompt in a list of items."""


class RunShelf:
    """A run folder: its summary, and its items by pages."""

    def __init__(self, folder: Path) -> None:
        """Reads the folder.

        Raises:
            UserError: It is no run folder, or damaged.
        """
        self._run = read_run_folder(folder)

    def summary(self) -> dict[str, Any]:
        """Returns `summary.json`, and the arms that items are compared in."""
        items = self._run.items
        return {
            "name": self._run.name,
            "baseline": items.baseline,
            "method": items.method,
            "summary": self._run.summary.to_json(),
        }

    def items(self, show: str, words: str, offset: int, limit: int) -> dict[str, Any]:
        """Returns a page of items.

        Args:
            show: A change of the answer (`fixed`, ...), `annotated`, or "" for all.
            words: A text that prompt, answers, notes or names must hold; "" for any.
            offset: Number of items to pass over.
            limit: Maximum number of items.
        """
        found = [
            item
            for item in self._run.items.every
            if _is_shown(item, show) and words.lower() in self._texts[item.id]
        ]
        counts = Counter(item.change for item in self._run.items.every)
        counts["annotated"] = sum(bool(item.annotations) for item in self._run.items.every)
        return {
            "n": len(found),
            "n_all": len(self._run.items.every),
            "counts": dict(counts),
            "items": [_brief(item) for item in found[offset : offset + limit]],
        }

    def item(self, name: str) -> dict[str, Any]:
        """Returns one item in full: its rows of `items.jsonl` in the two arms that are compared.

        `offset` is where the prompt's last message begins, in which spans count; null if unknown.

        Raises:
            UserError: No such item.
        """
        for item in self._run.items.every:
            if item.id == name:
                return {
                    **_brief(item),
                    "offset": message_start(
                        item.before.prompt if item.before else "", item.findings
                    ),
                    "group": item.group,
                    "fold": item.fold,
                    "correct": item.correct,
                    "raw_correct": item.raw_correct,
                    "before": item.before.to_json() if item.before else None,
                    "after": item.after.to_json() if item.after else None,
                }
        raise UserError(f"The run has no item '{name}'.")

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {item.id: _search_text(item) for item in self._run.items.every}


def _is_shown(item: ItemComparison, show: str) -> bool:
    if show == "annotated":
        return bool(item.annotations)
    return show in ("", item.change)


def _brief(item: ItemComparison) -> dict[str, Any]:
    finding = item.findings[0] if item.findings else None
    return {
        "id": item.id,
        "change": item.change,
        "excerpt": (item.before.prompt if item.before else "")[:EXCERPT],
        "misread": finding.text if finding else None,
        "reading": finding.reading if finding else None,
        "probability": finding.probability if finding else None,
    }


def _search_text(item: ItemComparison) -> str:
    """Returns everything in an item that a word can be searched in, in lower case."""
    rows = [row for row in (item.before, item.after) if row]
    texts = [item.id, *(row.prompt for row in rows), *(row.output for row in rows)]
    texts += [note.text for note in item.annotations]
    texts += [concept.name for finding in item.findings for concept in finding.concepts]
    texts += [feature.label for finding in item.findings for feature in finding.features]
    return "\n".join(texts).lower()


def read_discovery(folder: Path) -> dict[str, Any]:
    """Returns the documents of a discovery folder: its summary, and its discoveries.

    Raises:
        UserError: It is no discovery folder, or damaged.
    """
    for name in (SUMMARY, DISCOVERIES):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} holds no {name}; give a folder that `saetask discover` wrote."
            )
    summary = read_document(DiscoverySummary, folder / SUMMARY)
    path = folder / DISCOVERIES
    # The file has no rows where nothing was tested.
    lines = read_rows(path) if summary.discoveries else ()
    rows = [validate(DiscoveryRow, row, f"{path}:{number}").to_json() for number, row in lines]
    return {"name": folder.resolve().name, "summary": summary.to_json(), "discoveries": rows}
