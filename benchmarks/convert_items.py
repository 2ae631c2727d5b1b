"""Converts public data sets to saetask's item format, one JSON object a line.

    python benchmarks/convert_items.py moh-x SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py vua SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py addsub SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py svamp SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py one-step ADDSUB.jsonl.gz SVAMP.jsonl.gz OUT.jsonl

Rows of MOH-X and VUA: {"sentence", "verb", "verb_idx", "label"}; of AddSub: {"question", "answer",
"id"}; of SVAMP: {"ID", "Body", "Question", "Answer"}. A row that does not fit is an error. Word
problems that one operation on two numbers does not solve are left out and counted on stderr.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from saetask import FieldError, UserError
from saetask.tasks import number_field, read_rows, text_field

LABELS = {0: "literal", 1: "metaphorical"}
NUMBER = r"\d[\d,]*(?:\.\d+)?"
TOLERANCE = 1e-4

Row = dict[str, Any]
Convert = Callable[[Row, int], Row]
"""Makes an item of a row and its line number."""


def moh_x_item(row: Row, number: int) -> Row:
    """Converts a row of MOH-X, which has no ids of its own."""
    return {"id": f"moh-x-{number}", **_verb_in_sentence(row)}


def vua_item(row: Row, number: int) -> Row:
    """Converts a row of VUA; a sentence may stand there twice, so the line is part of the id."""
    source = f"{text_field(row, 'txt_id')}-{text_field(row, 'sen_ix')}"
    return {"id": f"vua-{source}-{number}", **_verb_in_sentence(row)}


def _verb_in_sentence(row: Row) -> Row:
    sentence = text_field(row, "sentence")
    tokens = sentence.split(" ")
    index, label = row.get("verb_idx"), row.get("label")
    if type(index) is not int or not 0 <= index < len(tokens):
        raise FieldError("verb_idx", f"expected 0 to {len(tokens) - 1}, found {index!r}.")
    target = tokens[index]
    if not target.strip():
        raise FieldError("verb_idx", f"token {index} is empty and can not be the target.")
    if type(label) is not int or label not in LABELS:
        raise FieldError("label", f"expected 0 or 1, found {label!r}.")
    return {
        "sentence": sentence,
        "target": target,
        "target_start": sum(len(token) + 1 for token in tokens[:index]),
        "label": LABELS[label],
        "group": text_field(row, "verb").lower(),
    }


def addsub_item(row: Row, number: int) -> Row:
    """Converts a row of AddSub."""
    question = text_field(row, "question")
    return {
        "id": f"addsub-{text_field(row, 'id')}",
        "question": question,
        "answer": _answer(row, "answer"),
        "group": template(question),
    }


def svamp_item(row: Row, number: int) -> Row:
    """Converts a row of SVAMP, which asks several questions about one body."""
    body, question = text_field(row, "Body").strip(), text_field(row, "Question").strip()
    joint = " " if body[-1] in ".?!" else ", "
    return {
        "id": f"svamp-{text_field(row, 'ID')}",
        "question": f"{body}{joint}{question}",
        "answer": _answer(row, "Answer"),
        "group": template(body),
    }


def _answer(row: Row, name: str) -> float:
    value = row.get(name)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            raise FieldError(name, f"expected a number, found {value!r}.") from error
    value = number_field({name: value}, name)
    return int(value) if value.is_integer() else value


def template(text: str) -> str:
    """Names a text by its set of words, without numbers and capitalised words.

    The order is left out as well, because SVAMP's variations change the order of sentences.
    """
    words = {word for word in re.findall(r"[A-Za-z]+", text) if word[0].islower()}
    return " ".join(sorted(words)) or text


def not_one_step(item: Row) -> str | None:
    """Returns why one operation on two numbers does not solve a problem; None where it does."""
    numbers = [float(text.replace(",", "")) for text in re.findall(NUMBER, item["question"])]
    if len(numbers) != 2:
        return "not exactly two numbers in digits"
    low, high = sorted(numbers)
    results = [low + high, high - low, low * high, *([high / low] if low else [])]
    answer = item["answer"]
    if all(abs(result - answer) > TOLERANCE * max(1.0, abs(answer)) for result in results):
        return "the answer is none of a + b, |a - b|, a * b, a / b (larger by smaller)"
    return None


class Source(NamedTuple):
    """How the rows of a data set become items."""

    convert: Convert
    one_step: bool
    """Word problems of which the one-step ones are kept."""


MOH_X, VUA = Source(moh_x_item, False), Source(vua_item, False)
ADDSUB, SVAMP = Source(addsub_item, True), Source(svamp_item, True)
KINDS = {
    "moh-x": [MOH_X],
    "vua": [VUA],
    "addsub": [ADDSUB],
    "svamp": [SVAMP],
    "one-step": [ADDSUB, SVAMP],
}


def items_of(path: Path, source: Source) -> Iterator[Row]:
    """Yields the items of a source file and says on stderr what was left out.

    Raises:
        UserError: The file can not be read or a row does not fit; file, line and field are named.
    """
    reasons: Counter[str] = Counter()
    kept = 0
    for number, row in read_rows(path):
        try:
            item = source.convert(row, number)
        except FieldError as error:
            raise UserError(f"{path}:{number}: field '{error.field}': {error}") from error
        reason = not_one_step(item) if source.one_step else None
        if reason:
            reasons[reason] += 1
        else:
            kept += 1
            yield item
    print(f"{path.name}: {kept} items of {kept + reasons.total()} rows", file=sys.stderr)
    for reason, count in reasons.most_common():
        print(f"{path.name}: left out {count}: {reason}", file=sys.stderr)


def write_items(path: Path, items: Iterable[Row]) -> None:
    """Writes items, once all of them are known to be right."""
    text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("sources", nargs="+", type=Path, metavar="SRC")
    parser.add_argument("out", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    sources = KINDS[arguments.kind]
    if len(arguments.sources) != len(sources):
        parser.error(f"{arguments.kind} takes {len(sources)} SRC, then OUT")
    try:
        pairs = zip(arguments.sources, sources)
        write_items(arguments.out, (item for pair in pairs for item in items_of(*pair)))
    except UserError as error:
        print(f"convert_items: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
