"""Compares a recorded run with the expected one: `python -m tests.golden.compare --exact`.

Without `--exact`, floats may differ by what another processor's rounding makes of them.
"""

import argparse
import gzip
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXPECTED = Path(__file__).resolve().parent / "expected"
RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""How far floats may be apart where they need not be equal. Without vector instructions most were
1e-6 of their size apart, and probabilities out of a fit 2e-4."""
TENSOR = 0.02
"""The same for weights, as a share of their size and of their root mean square: an optimiser stops
somewhere near its aim, and they are stored in half precision. A hundredth was seen."""
PROBABILITY = 0.005
"""How far apart probabilities of answers may be: where a calibration separates the right answers
from the others, its slope is wherever the optimiser stops."""
BINS = ("histogram",)
"""Lists of counts: a value at the edge of two bins may be counted in the other one."""
INTERVAL, INTERVAL_BOUND = ("ci95",), 0.005
"""Intervals by resampling, and how far their bounds may be apart: where a few scores change places,
a bound is another resample's value."""
EVIDENCE, ODD_ROWS = ("rest", "concepts"), 0.01
"""What may differ in a share of a file's rows, or in one: a feature at the edge of firing changes
which concept has it."""


def first_difference(expected: Path, found: Path, exact: bool) -> str | None:
    """Returns the first place where a recorded file differs from the expected one, if any does."""
    names = [path.name for path in (expected, found) if not path.is_file()]
    if names:
        where = "not recorded" if expected.is_file() else "not expected"
        return f"{expected.name}: {where}"
    name = expected.name.removesuffix(".gz")
    if name.endswith(".safetensors"):
        return _tensors_difference(expected, found, exact)
    before, after = _read(expected), _read(found)
    if exact and before == after:
        return None
    documents = [_documents(name, content) for content in (before, after)]
    if difference := _documents_difference(name, *documents, exact):
        return difference
    lines = before.count(b"\n"), after.count(b"\n")
    if lines[0] != lines[1] and name.endswith(".jsonl"):
        return f"{name}: {lines[0]} rows != {lines[1]} rows"
    return f"{name}: the same values, in another order or spelling" if exact else None


def _documents_difference(
    name: str, expected: list[Any], found: list[Any], exact: bool
) -> str | None:
    odd = []
    for place, one, other in zip(_places(name), expected, found):
        difference = value_difference(one, other, place, exact)
        if difference and not exact:
            odd.append(difference)
            pair = (without(document, EVIDENCE) for document in (one, other))
            difference = value_difference(*pair, place, exact)
        if difference:
            return difference
    return odd[0] if len(odd) > max(1, ODD_ROWS * len(expected)) else None


def value_difference(expected: Any, found: Any, path: str, exact: bool) -> str | None:
    """Returns the first difference between two JSON values, as `path: expected != found`."""
    parts, others = _parts(expected), _parts(found)
    if parts is None or others is None or type(expected) is not type(found):
        same = _are_same(expected, found) or (not exact and _are_close(expected, found, path))
        return None if same else f"{path}: {json.dumps(expected)} != {json.dumps(found)}"
    for name, part in parts.items():
        if name not in others:
            return f"{path}{name}: missing"
        if difference := value_difference(part, others[name], f"{path}{name}", exact):
            return difference
    new = [name for name in others if name not in parts]
    if new and (exact or isinstance(expected, list)):  # keys of a document may be added
        return f"{path}{new[0]}: new"
    return None


def without(value: Any, keys: tuple[str, ...]) -> Any:
    """Returns a JSON value without some keys, wherever they stand."""
    if isinstance(value, dict):
        return {name: without(v, keys) for name, v in value.items() if name not in keys}
    return [without(v, keys) for v in value] if isinstance(value, list) else value


def _parts(value: Any) -> dict[str, Any] | None:
    """Returns what an object or a list consists of, by the way there; None of anything else."""
    if isinstance(value, dict):
        return {f".{name}": part for name, part in value.items()}
    return {f"[{i}]": part for i, part in enumerate(value)} if isinstance(value, list) else None


def _are_same(expected: Any, found: Any) -> bool:
    """Tells whether two values are of one type and equal; NaN equals itself here."""
    if type(expected) is not type(found):
        return False
    return expected == found or (isinstance(expected, float) and str(expected) == str(found))


def _are_close(expected: Any, found: Any, path: str) -> bool:
    """Tells whether two values are numbers, one of them a float, that are as good as equal."""
    of_list = path.rpartition("[")[0]
    if of_list.endswith(BINS) and type(expected) is type(found) is int:
        return abs(expected - found) <= 1
    if {type(expected), type(found)} not in ({float}, {int, float}):
        return False
    if of_list.endswith(INTERVAL) and abs(expected - found) <= INTERVAL_BOUND:
        return True
    if ".scores." in path and abs(math.exp(expected) - math.exp(found)) <= PROBABILITY:
        return True
    return math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _read(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _documents(name: str, content: bytes) -> list[Any]:
    text = content.decode()
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()]
    return [json.loads(text)] if name.endswith(".json") else list(text.splitlines())


def _places(name: str) -> Iterator[str]:
    """Yields where each document of a file is: a file of lines has rows, from 1."""
    number = 0
    while True:
        number += 1
        yield name if name.endswith(".json") else f"{name} row {number} "


def _tensors_difference(expected: Path, found: Path, exact: bool) -> str | None:
    import torch
    from safetensors.torch import load_file

    before, after = load_file(expected), load_file(found)
    if before.keys() != after.keys():
        return f"{expected.name}: tensors {sorted(before)} != {sorted(after)}"
    for name, one in before.items():
        other, place = after[name], f"{expected.name} {name}"
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            return f"{place}: {list(one.shape)} {one.dtype} != {list(other.shape)} {other.dtype}"
        share = 0.0 if exact else TENSOR
        size = one.double().pow(2).nanmean().sqrt().nan_to_num().item()
        differ = ~torch.isclose(
            one.double(), other.double(), rtol=share, atol=share * size, equal_nan=True
        )
        if differ.any():
            index = differ.nonzero()[0].tolist()
            values = (tensor[tuple(index)].item() for tensor in (one, other))
            return f"{place}{index}: {' != '.join(map(repr, values))}"
    return None


def compare_folders(expected: Path, found: Path, exact: bool) -> list[str]:
    """Returns the first difference of every file in which two recorded parts differ."""
    names = sorted(
        {
            path.relative_to(folder)
            for folder in (expected, found)
            for path in folder.rglob("*")
            if path.is_file()
        }
    )
    found_differences = []
    for name in names:
        difference = first_difference(expected / name, found / name, exact)
        if difference:
            found_differences.append(f"{(Path(expected.name) / name).parent}/{difference}")
    return found_differences


def main() -> int:
    """Records, unless that was done, compares, and prints the first difference of every file."""
    from tests.golden.record import PARTS, chosen_parts, record

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exact", action="store_true", help="Every byte counts.")
    parser.add_argument("--only", default=",".join(PARTS), help="Parts, with commas between them.")
    parser.add_argument("--recorded", type=Path, help="A folder that was recorded already.")
    parser.add_argument("--expected", type=Path, default=EXPECTED, help="What to compare it with.")
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        for part in chosen_parts(arguments.only):
            out = arguments.recorded or Path(temporary)
            if not arguments.recorded:
                record(part, out)
            differences = compare_folders(arguments.expected / part, out / part, arguments.exact)
            print(f"{part}: {'differs' if differences else 'the same'}")
            print("".join(f"  {line}\n" for line in differences), end="")
            failed = failed or bool(differences)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
