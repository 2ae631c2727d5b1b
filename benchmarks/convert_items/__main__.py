"""Converts public data sets to saetask's item format, one JSON object a line.

    python -m benchmarks.convert_items moh-x SRC.jsonl.gz OUT.jsonl
    python -m benchmarks.convert_items vua SRC.jsonl.gz OUT.jsonl
    python -m benchmarks.convert_items addsub SRC.jsonl.gz OUT.jsonl
    python -m benchmarks.convert_items svamp SRC.jsonl.gz OUT.jsonl
    python -m benchmarks.convert_items svamp-steps SRC.jsonl.gz OUT.jsonl
    python -m benchmarks.convert_items one-step ADDSUB.jsonl.gz SVAMP.jsonl.gz OUT.jsonl
    python -m benchmarks.convert_items fig-qa SRC.jsonl.gz OUT.jsonl
    python -m benchmarks.convert_items wic SRC.jsonl.gz OUT.jsonl
    python -m benchmarks.convert_items gsm8k SRC.jsonl.gz OUT.jsonl

Rows of MOH-X and VUA: {"sentence", "verb", "verb_idx", "label"}; of AddSub: {"question", "answer",
"id"}; of SVAMP: {"ID", "Body", "Question", "Answer"}; of Fig-QA: {"startphrase", "ending1",
"ending2", "labels", "valid", "qid"}; of WiC: {"word", "s1", "s2", "idx1", "idx2", "same_sense"};
of GSM8K: {"question", "answer"}. svamp-steps makes items of the task gsm8k of all rows of SVAMP, by
"Equation". A row that does not fit is an error. Word problems of AddSub and
SVAMP that one operation on two numbers does not solve, and invalid rows of Fig-QA, are left out
and counted on stderr.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.command_line import command_parser
from benchmarks.convert_items.addsub import addsub_item
from benchmarks.convert_items.fig_qa import fig_qa_item
from benchmarks.convert_items.gsm8k import gsm8k_item
from benchmarks.convert_items.moh_x import moh_x_item
from benchmarks.convert_items.rows import Convert, FieldError, LeftOutError, Row
from benchmarks.convert_items.svamp import svamp_item, svamp_steps_item
from benchmarks.convert_items.vua import vua_item
from benchmarks.convert_items.wic import wic_item
from saetask.data.items import read_rows
from saetask.errors import UserError, one_line_errors

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


@one_line_errors("convert_items")
def main() -> int:
    """Runs the command line; returns the exit code."""
    parser = command_parser("python -m benchmarks.convert_items", __doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("sources", nargs="+", type=Path, metavar="SRC")
    parser.add_argument("out", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    sources = KINDS[arguments.kind]
    if len(arguments.sources) != len(sources):
        parser.error(f"{arguments.kind} takes {len(sources)} SRC, then OUT")
    pairs = zip(arguments.sources, sources)
    write_items(arguments.out, (item for pair in pairs for item in items_of(*pair)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
