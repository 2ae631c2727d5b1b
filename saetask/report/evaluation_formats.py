"""One arm of a run in the formats of inspect_ai and lm-evaluation-harness.

Both get what the model said and what it said after the arm's offset, as two scores: `raw` and
`calibrated`. Older runs, whose rows have no raw answers, have the second alone.
"""

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from saetask.errors import UserError
from saetask.report.items import ItemRecord, read_item_records
from saetask.report.summary import Summary, read_summary
from saetask.utils.files import atomic_path, json_text, write_text

if TYPE_CHECKING:
    from inspect_ai.log import (  # pyright: ignore[reportMissingImports]
        EvalLog,
        EvalSample,
        EvalScore,
    )

Format = Literal["inspect", "lm-eval"]


class ArmRecords(NamedTuple):
    """One arm of a run."""

    summary: Summary
    arm: str
    records: list[ItemRecord]
    targets: Mapping[str, str]
    """The right answer, by item, where some arm gave it: rows hold no gold answers."""
    created: str
    """When the rows were written, as ISO 8601 with the time zone."""


def write_evaluation(folder: Path, arm: str, to: Format, out: Path) -> Path:
    """Writes one arm of a run as a file of another evaluation program.

    Args:
        folder: A run folder.
        arm: Name of the arm.
        to: `inspect`: a log of inspect_ai, which must be installed; `lm-eval`: the samples that
            lm-evaluation-harness writes with `--log_samples`.
        out: The file; `.eval` or `.json` for inspect, `.jsonl` for lm-eval.

    Returns:
        `out`.

    Raises:
        UserError: The run is damaged or has no such arm, `out` exists or has another suffix, or
            inspect_ai is not installed.
    """
    suffixes, write = FORMATS[to]
    if out.suffix not in suffixes:
        raise UserError(f"{out}: files of {to} end in {' or '.join(suffixes)}; name one like that.")
    if out.exists():
        raise UserError(f"{out} exists and is left as it is; give another name.")
    write(_read_arm(folder, arm), out)
    return out


def _read_arm(folder: Path, arm: str) -> ArmRecords:
    path = folder / "items.jsonl"
    summary = read_summary(folder / "summary.json")
    if arm not in summary.arms:
        raise UserError(
            f"{folder} has no arm '{arm}'; name one with --arm: {', '.join(summary.arms)}."
        )
    records, targets = [], {}
    for _, record in read_item_records(path):
        if record.seed != summary.seed:
            continue
        if record.arm == arm:
            records.append(record)
        if record.correct:
            targets.setdefault(record.id, record.output)
        if record.raw_correct and record.raw_output is not None:
            targets.setdefault(record.id, record.raw_output)
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    return ArmRecords(summary, arm, records, targets, written.isoformat(timespec="seconds"))


def _scores(record: ItemRecord) -> dict[str, tuple[str, bool]]:
    """Returns the answers of a row with whether they are right, what the model said first."""
    scores = {}
    if record.raw_output is not None and record.raw_correct is not None:
        scores["raw"] = (record.raw_output, record.raw_correct)
    return {**scores, "calibrated": (record.output, record.correct)}


def _said(record: ItemRecord) -> str:
    return record.output if record.raw_output is None else record.raw_output


def _write_lm_eval_samples(run: ArmRecords, out: Path) -> None:
    lines = (json_text(_sample_row(run, record)) for record in run.records)
    write_text(out, "".join(f"{line}\n" for line in lines))


def _sample_row(run: ArmRecords, record: ItemRecord) -> dict[str, Any]:
    """Returns a row as lm-evaluation-harness writes it, hashes included."""
    likelihoods = record.raw_scores or record.scores
    doc = {"id": record.id, "group": record.group, "arm": run.arm, "prompt": record.prompt}
    if likelihoods:
        arguments = [[record.prompt, answer] for answer in likelihoods]
        best = max(likelihoods, key=likelihoods.__getitem__)
        responses = [[[value, str(answer == best)]] for answer, value in likelihoods.items()]
    else:
        arguments, responses = [[record.prompt, {}]], [[_said(record)]]
    target = run.targets.get(record.id, "").strip()
    figures = {f"acc_{name}": float(right) for name, (_, right) in _scores(record).items()}
    return {
        "doc_id": record.id,
        "doc": doc,
        "target": target,
        "arguments": arguments,
        "resps": responses,
        "filtered_resps": [response[0] for response in responses],
        "filter": "none",
        "metrics": list(figures),
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(record.prompt),
        "target_hash": _hash(target),
        **figures,
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _write_inspect_log(run: ArmRecords, out: Path) -> None:
    try:
        from inspect_ai.log import write_eval_log  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise UserError(
            'Logs of inspect_ai are written by inspect_ai: pip install "saetask[evals]"'
        ) from None
    log = _inspect_log(run)
    with atomic_path(out) as temporary:
        write_eval_log(log, str(temporary))


def _inspect_log(run: ArmRecords) -> "EvalLog":
    from inspect_ai.log import (  # pyright: ignore[reportMissingImports]
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalResults,
        EvalSpec,
    )

    summary, n = run.summary, len(run.records)
    about = {"arm": run.arm, "sae": summary.sae.name, "seed": summary.seed, "run": summary.scoring}
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=run.created,
            task=summary.experiment,
            dataset=EvalDataset(name=summary.experiment, samples=n),
            model=summary.model.name,
            config=EvalConfig(),
            metadata=about,
        ),
        results=EvalResults(
            total_samples=n, completed_samples=n, scores=[*_inspect_results(run.records)]
        ),
        samples=[_inspect_sample(run, record) for record in run.records],
    )


def _inspect_results(records: list[ItemRecord]) -> "Iterable[EvalScore]":
    """Yields the accuracy by each of the two scores."""
    from inspect_ai.log import EvalMetric, EvalScore  # pyright: ignore[reportMissingImports]

    for name in dict.fromkeys(name for record in records for name in _scores(record)):
        right = [_scores(record)[name][1] for record in records]
        accuracy = EvalMetric(name="accuracy", value=sum(right) / len(right))
        yield EvalScore(name=name, scorer=name, metrics={"accuracy": accuracy})


def _inspect_sample(run: ArmRecords, record: ItemRecord) -> "EvalSample":
    from inspect_ai.log import EvalSample  # pyright: ignore[reportMissingImports]
    from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
        ChatMessageAssistant,
        ChatMessageUser,
        ModelOutput,
    )
    from inspect_ai.scorer import Score  # pyright: ignore[reportMissingImports]

    said, model = _said(record), run.summary.model.name
    row = record.to_json()
    kept = ("group", "fold", "parsed", "annotations", "misunderstandings")
    return EvalSample(
        id=record.id,
        epoch=1,
        input=record.prompt,
        choices=[*(record.raw_scores or record.scores)] or None,
        target=run.targets.get(record.id, ""),
        messages=[
            ChatMessageUser(content=record.prompt, source="input"),
            ChatMessageAssistant(content=said, source="generate", model=model),
        ],
        output=ModelOutput.from_content(model, said),
        scores={
            name: Score(value="C" if right else "I", answer=answer)
            for name, (answer, right) in _scores(record).items()
        },
        metadata={name: row[name] for name in kept if name in row},
    )


FORMATS: Mapping[str, tuple[tuple[str, ...], Callable[[ArmRecords, Path], None]]] = {
    "inspect": ((".eval", ".json"), _write_inspect_log),
    "lm-eval": ((".jsonl",), _write_lm_eval_samples),
}
"""Suffixes of the files of each format, and what writes them."""
