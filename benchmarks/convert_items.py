"""Converts public data sets to saetask's item format, one JSON object a line.

    python benchmarks/convert_items.py moh-x SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py vua SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py addsub SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py svamp SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py svamp-steps SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py one-step ADDSUB.jsonl.gz SVAMP.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py fig-qa SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py wic SRC.jsonl.gz OUT.jsonl
    python benchmarks/convert_items.py gsm8k SRC.jsonl.gz OUT.jsonl

Rows of MOH-X and VUA: {"sentence", "verb", "verb_idx", "label"}; of AddSub: {"question", "answer",
"id"}; of SVAMP: {"ID", "Body", "Question", "Answer"}; of Fig-QA: {"startphrase", "ending1",
"ending2", "labels", "valid", "qid"}; of WiC: {"word", "s1", "s2", "idx1", "idx2", "same_sense"};
of GSM8K: {"question", "answer"}. svamp-steps makes items of the task gsm8k of all rows of SVAMP, by
"Equation". A row that does not fit is an error. Word problems of AddSub and
SVAMP that one operation on two numbers does not solve, and invalid rows of Fig-QA, are left out
and counted on stderr.
"""

import argparse
import ast
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from saetask import UserError
from saetask.data.items import Name, Text, read_rows
from saetask.data.numbers import last_number, numbers_in, same_number
from saetask.utils.validation import first_problem

LABELS = ("literal", "metaphorical")

Row = dict[str, Any]
Convert = Callable[[Row, int], Row]
"""Makes an item of a row and its line number, or raises `LeftOutError`."""

OPERATIONS = {
    ast.Add: "addition",
    ast.Sub: "subtraction",
    ast.Mult: "multiplication",
    ast.Div: "division",
}


class LeftOutError(Exception):
    """A row that is sound but becomes no item; the message says why."""


class FieldError(Exception):
    """A field of a source row does not fit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def field(row: Row, name: str, kind: Any) -> Any:
    """Returns a field, validated as a type that pydantic knows.

    Raises:
        FieldError: It is missing or of another kind.
    """
    try:
        adapter = TypeAdapter(kind, config=ConfigDict(strict=True))
        return adapter.validate_python(row.get(name))
    except ValidationError as error:
        raise FieldError(name, first_problem(error).reason) from error


def index_below(length: int) -> Any:
    """Returns the type of an index into a sequence of a given length."""
    return Annotated[int, Field(ge=0, lt=length)]


def moh_x_item(row: Row, number: int) -> Row:
    """Converts a row of MOH-X, which has no ids of its own."""
    return {"id": f"moh-x-{number}", **_verb_in_sentence(row)}


def vua_item(row: Row, number: int) -> Row:
    """Converts a row of VUA; a sentence may stand there twice, so the line is part of the id."""
    source = f"{field(row, 'txt_id', Text)}-{field(row, 'sen_ix', Text)}"
    return {"id": f"vua-{source}-{number}", **_verb_in_sentence(row)}


def _verb_in_sentence(row: Row) -> Row:
    place = _token(row, "sentence", "verb_idx")
    return {
        "sentence": row["sentence"],
        "target": place.text,
        "target_start": place.start,
        "label": LABELS[field(row, "label", index_below(len(LABELS)))],
        "group": field(row, "verb", Text).lower(),
    }


class Token(NamedTuple):
    """A token of a sentence whose tokens stand a blank apart."""

    text: str
    start: int


def _token(row: Row, sentence: str, index: str) -> Token:
    tokens = field(row, sentence, Text).split(" ")
    place = field(row, index, index_below(len(tokens)))
    if not tokens[place].strip():
        raise FieldError(index, f"token {place} is empty and can not be the target.")
    return Token(tokens[place], sum(len(token) + 1 for token in tokens[:place]))


def addsub_item(row: Row, number: int) -> Row:
    """Converts a row of AddSub."""
    question = field(row, "question", Text)
    return _one_step(
        {
            "id": f"addsub-{field(row, 'id', Name)}",
            "question": question,
            "answer": _answer(row, "answer"),
            "group": template(question),
        }
    )


def svamp_item(row: Row, number: int) -> Row:
    """Converts a row of SVAMP, which asks several questions about one body."""
    return _one_step(_svamp_problem(row))


def svamp_steps_item(row: Row, number: int) -> Row:
    """Converts a row of SVAMP to an item of gsm8k, with the operations of its equation."""
    operations = _operations([field(row, "Equation", Text)])
    problem = _svamp_problem(row)
    return {**problem, "operations": operations} if operations else problem


def _svamp_problem(row: Row) -> Row:
    body, question = field(row, "Body", Text).strip(), field(row, "Question", Text).strip()
    joint = " " if body[-1] in ".?!" else ", "
    return {
        "id": f"svamp-{field(row, 'ID', Text)}",
        "question": f"{body}{joint}{question}",
        "answer": _answer(row, "Answer"),
        "group": template(body),
    }


def _answer(row: Row, name: str) -> float:
    value = row.get(name)
    if isinstance(value, str):
        found = numbers_in(value)
        if len(found) != 1 or re.search(r"[^\W\d_]", value):
            raise FieldError(name, f"expected a number, found {value!r}.")
        value = found[0]
    value = field({name: value}, name, FiniteFloat)
    return int(value) if value.is_integer() else value


def template(text: str) -> str:
    """Names a text by its set of words, without numbers and capitalised words.

    The order is left out as well, because SVAMP's variations change the order of sentences.
    """
    words = {word for word in re.findall(r"[A-Za-z]+", text) if word[0].islower()}
    return " ".join(sorted(words)) or text


def _one_step(item: Row) -> Row:
    """Returns a problem that one operation on two numbers solves."""
    numbers = numbers_in(item["question"])
    if len(numbers) != 2:
        raise LeftOutError("not exactly two numbers in digits")
    low, high = sorted(numbers, key=abs)
    results = [low + high, abs(high - low), low * high, *([high / low] if low else [])]
    if not any(same_number(result, item["answer"]) for result in results):
        raise LeftOutError("the answer is none of a + b, |a - b|, a * b, a / b (larger by smaller)")
    return item


def fig_qa_item(row: Row, number: int) -> Row:
    """Converts a row of Fig-QA; two rows, with opposite phrases, share a `qid`."""
    label = str(row.get("labels"))
    if label not in ("0", "1"):
        raise FieldError("labels", f"expected 0 or 1, found {row.get('labels')!r}.")
    if str(row.get("valid")) != "1":
        raise LeftOutError("marked as not valid")
    return {
        "id": f"fig-qa-{number}",
        "phrase": field(row, "startphrase", Text),
        "endings": [field(row, "ending1", Text), field(row, "ending2", Text)],
        "label": int(label),
        "group": f"fig-qa-{field(row, 'qid', Text)}",
    }


def wic_item(row: Row, number: int) -> Row:
    """Converts a row of WiC."""
    word, same = field(row, "word", Text), row.get("same_sense")
    if not isinstance(same, bool):
        raise FieldError("same_sense", f"expected true or false, found {same!r}.")
    first, second = _token(row, "s1", "idx1"), _token(row, "s2", "idx2")
    return {
        "id": f"wic-{number}",
        "word": word,
        "sentence1": row["s1"],
        "sentence2": row["s2"],
        "start1": first.start,
        "start2": second.start,
        "target1": first.text,
        "target2": second.text,
        "label": "same" if same else "different",
        "group": word.lower(),
    }


def gsm8k_item(row: Row, number: int) -> Row:
    """Converts a row of GSM8K, with the operations of its solution where all can be told."""
    question, solution = field(row, "question", Text), field(row, "answer", Text)
    _, mark, end = solution.rpartition("####")
    answer = last_number(end)
    if not mark or answer is None:
        raise FieldError("answer", "expected a solution that ends with #### and a number.")
    item = {
        "id": f"gsm8k-{number}",
        "question": question,
        "answer": int(answer) if answer.is_integer() else answer,
        "group": template(question),
    }
    operations = _operations(re.findall(r"<<(.*?)>>", solution))
    return {**item, "operations": operations} if operations else item


def _operations(calculations: list[str]) -> list[str]:
    """Returns the operations of calculations such as `12*(2+3)=60`, in the order of reckoning.

    Returns none where one of them is no such calculation.
    """
    found: list[str] = []
    for calculation in calculations:
        try:
            expression = ast.parse(calculation.partition("=")[0].strip(), mode="eval").body
            found += _reckoned(expression)
        except (SyntaxError, KeyError):
            return []
    return found


def _reckoned(node: ast.AST) -> list[str]:
    """Returns the operations below a node of an expression, operands first."""
    if isinstance(node, ast.BinOp):
        operands = [*_reckoned(node.left), *_reckoned(node.right)]
        return [*operands, OPERATIONS[type(node.op)]]
    return _reckoned(node.operand) if isinstance(node, ast.UnaryOp) else []


KINDS: dict[str, list[Convert]] = {
    "moh-x": [moh_x_item],
    "vua": [vua_item],
    "addsub": [addsub_item],
    "svamp": [svamp_item],
    "svamp-steps": [svamp_steps_item],
    "one-step": [addsub_item, svamp_item],
    "fig-qa": [fig_qa_item],
    "wic": [wic_item],
    "gsm8k": [gsm8k_item],
}
"""How the rows of each source become items."""


def items_of(path: Path, convert: Convert) -> Iterator[Row]:
    """Yields the items of a source file and says on stderr what was left out.

    Raises:
        UserError: The file can not be read or a row does not fit; file, line and field are named.
    """
    reasons: Counter[str] = Counter()
    kept = 0
    for number, row in read_rows(path):
        try:
            item = convert(row, number)
        except FieldError as error:
            raise UserError(f"{path}:{number}: field '{error.field}': {error}") from error
        except LeftOutError as reason:
            reasons[str(reason)] += 1
            continue
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
