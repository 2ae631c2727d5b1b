"""Writes contrasts, concepts made of labelled examples, for `saetask dictionary name`.

    python recipes/make_contrasts.py VUA_TRAIN.jsonl.gz GSM8K_TRAIN.jsonl.gz \
        --exclude SCORED.jsonl ... > contrasts.jsonl
    saetask dictionary name FOLDER --concept-file contrasts.jsonl

Verbs used figuratively, and literally: as many sentences of either kind for each verb, so that no
verb tells them apart. Problems of one operation against problems of the other three: those whose
solution has calculator marks, <<48/2=24>>, of this operation alone. VUA's licence does not let the
dictionary quote its sentences, that of GSM8K does. A sentence is left out if its
letters are those of a text in a file of `--exclude`, or of a built-in item: nothing that results
are reported on, or that is chosen on, is among the examples.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from saetask.data import Item
from saetask.data.items import read_rows
from saetask.dictionary.naming.examples import CLOSES, OPENS, TEXT, WORD
from saetask.errors import one_line_errors
from saetask.plugins import PluginRegistry
from saetask_plugins.tasks.arithmetic import OPERATIONS, template

VERBS = {"verbs used figuratively": 1, "verbs used literally": 0}
"""Label of each kind in VUA."""
MOST_OF_A_VERB = 2
"""Maximum number of sentences of either kind for one verb."""
SHORTEST, LONGEST = 20, 160
"""Characters of a sentence with a verb."""
LONGEST_PROBLEM = 400
MARKS = re.compile(r"<<([^=>]*)=")

Row = dict[str, Any]


def letters(text: str) -> str:
    """Returns the words of a text, without numbers, signs and case."""
    return " ".join(re.findall(r"[^\W\d_]+", text.lower()))


def scored_texts(paths: Iterable[Path]) -> set[str]:
    """Returns the letters of every text in some files, and of every built-in item.

    Two texts that follow each other in a row count as one, too: SVAMP has body and question apart.
    """
    rows = [row for path in paths for _, row in read_rows(path)]
    for name in ("metaphor", "word-problems"):
        rows += [item.question for item in PluginRegistry().get("task", name).items()]
    texts: set[str] = set()
    for row in rows:
        own = [letters(value) for value in row.values() if isinstance(value, str)]
        texts |= {*own, *map(" ".join, pairwise(own))}
    return {text for text in texts if len(text) >= SHORTEST}


def verb_examples(path: Path, excluded: Set[str], limit: int) -> dict[str, list[Row]]:
    """Returns marked sentences of each kind, as many of one as of the other for every verb."""
    found: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for _, row in read_rows(path):
        tokens, place = row["sentence"].split(" "), row["verb_idx"]
        sentence = row["sentence"]
        if not SHORTEST <= len(sentence) <= LONGEST or letters(sentence) in excluded:
            continue
        if tokens[place].isalpha() and not {OPENS, CLOSES} & set(sentence):
            tokens[place] = f"{OPENS}{tokens[place]}{CLOSES}"
            example = {"text": " ".join(tokens), "group": row["verb"].lower()}
            found[example["group"], row["label"]].append(example)
    pairs: dict[str, list[Row]] = {name: [] for name in VERBS}
    verbs = sorted({verb for verb, _ in found})
    for number in np.random.default_rng(0).permutation(len(verbs)):
        kinds = {name: found[verbs[number], label] for name, label in VERBS.items()}
        size = min(MOST_OF_A_VERB, *map(len, kinds.values()))
        for name, examples in kinds.items():
            pairs[name] += examples[:size]
    return {name: examples[:limit] for name, examples in pairs.items()}


def problem_examples(path: Path, excluded: Set[str], limit: int) -> dict[str, list[Row]]:
    """Returns problems whose solution takes one operation alone, one of a template, by operation.

    A solution with an equation that has no calculator mark is left out.
    """
    names = {sign: f"problems of {operation}" for operation, sign in OPERATIONS.items()}
    found: dict[str, list[Row]] = {name: [] for name in names.values()}
    templates: set[str] = set()
    for _, row in read_rows(path):
        marks, text = MARKS.findall(row["answer"]), row["question"].strip()
        used = {sign for mark in marks for sign in mark[1:] if sign in names}
        all_marked = row["answer"].count("=") <= 2 * len(marks)
        if len(used) != 1 or not all_marked or len(text) > LONGEST_PROBLEM:
            continue
        if {OPENS, CLOSES} & set(text) or {letters(text), template(text)} & (excluded | templates):
            continue
        templates.add(template(text))
        found[names[used.pop()]].append({"text": text})
    return {name: examples[:limit] for name, examples in found.items()}


def question_of(task: str, question: Row) -> str:
    """Returns the message in which a task asks about a text."""
    item = Item("question", "question", question)
    return PluginRegistry().get("task", task).prompt(item).content


def contrasts(
    verbs: Path, problems: Path, excluded: Set[str], most_verbs: int, most_problems: int
) -> Iterator[Row]:
    """Yields the rows of the concept file."""
    kinds = {
        "metaphor": (
            question_of("metaphor", {"sentence": TEXT, "target": WORD, "target_start": 0}),
            verb_examples(verbs, excluded, most_verbs),
        ),
        "word-problems": (
            question_of("word-problems", {"question": TEXT}),
            problem_examples(problems, excluded, most_problems),
        ),
    }
    for task, (asked, examples) in kinds.items():
        for name in examples:
            others = [row for other, rows in examples.items() if other != name for row in rows]
            row = {"name": name, "task": task, "asked": asked, "quoted": task != "metaphor"}
            row |= {"examples": examples[name], "others": others}
            check_not_scored(row, excluded)
            yield row


def check_not_scored(row: Row, excluded: Set[str]) -> None:
    """Checks that no example is a scored text.

    Raises:
        AssertionError: One is.
    """
    for example in (*row["examples"], *row["others"]):
        text = example["text"].replace(OPENS, "").replace(CLOSES, "")
        assert letters(text) not in excluded, f"a scored text is an example: {text!r}"


@one_line_errors("make_contrasts")
def main(given: Sequence[str] | None = None) -> int:
    """Prints the concept file and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verbs", type=Path)
    parser.add_argument("problems", type=Path)
    parser.add_argument("--exclude", nargs="+", type=Path, required=True)
    parser.add_argument("--most-verbs", type=int, default=400)
    parser.add_argument("--most-problems", type=int, default=120)
    options = parser.parse_args(given)
    excluded = scored_texts(options.exclude)
    rows = contrasts(
        options.verbs,
        options.problems,
        excluded,
        options.most_verbs,
        options.most_problems,
    )
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
