"""Where a run's gain comes from: templates with and without a trap, items unlike all other groups'.

    python benchmarks/run_slices.py RUN_DIR

Prints JSON: for each slice of the run's items, accuracy of `original` and `saetask`, and the
answers fixed and broken. An item's likeness is the largest share of words (Jaccard index) that it
has in common with an item of another group, which folds may have put on the other side.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from saetask.plugins import PluginRegistry

RECIPE = Path(__file__).parents[1] / "recipes" / "word_problems.jsonl"
LIKENESS = (0.8, 0.6, 0.4)


def text_words(task, item) -> frozenset[str]:
    """Returns the words of an item's text."""
    prompt = task.prompt(item)
    span = prompt.spans["text"]
    return frozenset(re.findall(r"[a-z]+", prompt.content[span.start : span.end].lower()))


def main(folder: Path) -> None:
    """Prints the slices of one run."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    correct: dict[str, dict[str, bool]] = {}
    for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        correct.setdefault(row["id"], {})[row["arm"]] = row["correct"]
    task = PluginRegistry().get("task", config["task"])
    items = [i for i in task.items(config["data"] and Path(config["data"])) if i.id in correct]
    words = {item.id: text_words(task, item) for item in items}
    traps = {t["id"]: t["trap"] for t in map(json.loads, RECIPE.read_text("utf-8").splitlines())}

    def likeness(item) -> float:
        mine = words[item.id]
        others = (words[other.id] for other in items if other.group != item.group)
        return max(len(mine & other) / len(mine | other) for other in others)

    def slice_figures(belongs: Callable) -> dict[str, float]:
        chosen = [correct[item.id] for item in items if belongs(item)]
        return {
            "n": len(chosen),
            "original": sum(arms["original"] for arms in chosen) / max(len(chosen), 1),
            "saetask": sum(arms["saetask"] for arms in chosen) / max(len(chosen), 1),
            "fixed": sum(arms["saetask"] and not arms["original"] for arms in chosen),
            "broken": sum(arms["original"] and not arms["saetask"] for arms in chosen),
        }

    alike = {item.id: likeness(item) for item in items}
    found = {"all": slice_figures(lambda item: True)}
    if items[0].group in traps:
        found["no trap"] = slice_figures(lambda item: traps[item.group] == "none")
        found["trap"] = slice_figures(lambda item: traps[item.group] != "none")
    for share in LIKENESS:
        found[f"likeness < {share}"] = slice_figures(lambda item, s=share: alike[item.id] < s)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
