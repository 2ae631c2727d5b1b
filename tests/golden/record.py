"""Records what the command line does today: `python -m tests.golden.record --out FOLDER`.

Every part runs commands in a process of its own, in a temporary folder, and keeps what they wrote
and printed, less times. `--write` replaces what is expected, for changes that are meant.
"""

import argparse
import contextlib
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.golden.compare import EXPECTED, without
from tests.golden.material import (
    HERE,
    HOOK,
    ROOT,
    make_items_of_other_tasks,
    make_material,
)

ARMS = [
    "original",
    "calibrated",
    "gate-only",
    "gated-placebo",
    "generic",
    "placebo",
    "moved-weights",
    "random-subset",
    "shuffled",
    "self",
    "dense-probe",
    "random-sae",
    "random-sae-2",
    "probe-answer",
    "closed-loop",
    "always",
    "saetask",
    "oracle",
]
VERSIONS = ("sae_lens_version", "sae_lens_training_version")
PAIR = {"model": "model", "sae": "sae"}
DATA = {"metaphor": "metaphors.jsonl", "word-problems": "problems.jsonl"}
FIXED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}
SAME_ROUNDING = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""Makes newer processors take the instructions that every one has had for years."""


class Recorder:
    """Runs commands in a working folder and keeps documents in another."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.folder = folder
        self.out = out
        self.log = (folder / "log.txt").open("w+", encoding="utf-8")
        rounding = SAME_ROUNDING if platform.machine() in ("x86_64", "AMD64") else {}
        settings = {**FIXED, "HF_HOME": str(folder / "hub"), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(HERE / "launch.py")],
            cwd=folder,
            env={**rounding, **os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def command(self, *arguments: str) -> str:
        """Runs `saetask` with arguments; returns what it printed."""
        assert self.process.stdin and self.process.stdout
        started = time.monotonic()
        try:
            print(json.dumps(arguments), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            self.process.wait()
        answer = self.process.stdout.readline()
        code, printed = json.loads(answer) if answer else (self.process.wait(), "")
        if code or not answer:
            self.log.seek(0)
            said = f"saetask {' '.join(arguments)} ended with {code}:\n"
            raise RuntimeError(said + self.log.read()[-3000:])
        seconds = time.monotonic() - started
        print(f"  {' '.join(arguments)}: {seconds:.0f} s", file=sys.stderr)
        return printed

    def close(self) -> None:
        """Ends the process that runs the commands."""
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def settings(self, name: str, document: dict[str, Any]) -> str:
        """Writes a YAML file (JSON is YAML) for a command; returns its name."""
        (self.folder / name).write_text(json.dumps(document), encoding="utf-8")
        return name

    def keep_json(self, name: str, document: Any, omitted: tuple[str, ...] = ()) -> None:
        """Keeps a JSON document, less some of its keys."""
        text = json.dumps(without(document, omitted), indent=1, ensure_ascii=False) + "\n"
        self._keep(name, text.encode())

    def keep_rows(self, name: str, rows: list[Any]) -> None:
        """Keeps rows as JSON lines."""
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        self._keep(name, "".join(lines).encode())

    def keep_printed(self, name: str, *arguments: str) -> None:
        """Keeps the JSON document that a command prints."""
        self.keep_json(name, json.loads(self.command(*arguments, "--json")))

    def keep_table(self, name: str, path: str) -> None:
        """Keeps the rows of a Parquet file, after a row with the types of its columns."""
        from pyarrow import parquet

        table = parquet.read_table(self.folder / path)
        types = {field.name: str(field.type) for field in table.schema}
        self.keep_rows(name, [types, *table.to_pylist()])

    def keep_file(self, name: str, path: str) -> None:
        """Keeps the bytes of a file that a command wrote."""
        self._keep(name, (self.folder / path).read_bytes())

    def read_json(self, path: str) -> Any:
        """Reads a JSON file that a command wrote."""
        return json.loads((self.folder / path).read_text(encoding="utf-8"))

    def run(self, name: str, **settings: Any) -> None:
        """Runs an experiment and keeps its items and its summary, less what took how long."""
        experiment = self.settings(f"{name}.yaml", settings)
        self.command("run", experiment, "--out", f"runs/{name}")
        self.keep_file(f"{name}/items.jsonl", f"runs/{name}/items.jsonl")
        summary = self.read_json(f"runs/{name}/summary.json")
        self.keep_json(f"{name}/summary.json", summary, omitted=("seconds",))

    def _keep(self, name: str, content: bytes) -> None:
        path = self.out / name
        if path.suffix == ".jsonl":
            path = path.with_name(path.name + ".gz")
            content = gzip.compress(content, mtime=0)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def tiny(recorder: Recorder) -> None:
    """Two experiments with every arm that needs nothing more, on the tiny model."""
    make_material(recorder.folder)
    shared = {"arms": ARMS, "builtin_items": False, "folds": 3, **PAIR}
    for task, data in DATA.items():
        recorder.run(task, task=task, data=data, **shared)


SHORT = {"arms": ["original", "saetask"], "builtin_items": False, "folds": 3, **PAIR}


def short_run(recorder: Recorder) -> None:
    """The quickest of the experiments in `variants`."""
    make_material(recorder.folder)
    metaphor = {"task": "metaphor", "data": DATA["metaphor"]}
    recorder.run("uncertainty", **metaphor, detector="uncertainty", **SHORT)


def variants(recorder: Recorder) -> None:
    """Short experiments with the other detectors, annotators, tasks and ways of scoring."""
    make_material(recorder.folder)
    make_items_of_other_tasks(recorder.folder)
    metaphor = {"task": "metaphor", "data": DATA["metaphor"]}
    problems = {"task": "word-problems", "data": DATA["word-problems"]}
    for detector in ("missing-concept", "sense-conflict", "uncertainty"):
        recorder.run(detector, **metaphor, detector=detector, **SHORT)
    notes = {"annotators": ["feature-label", "self-explain"], "unvalidated_labels": True}
    recorder.run("other-annotators", **metaphor, **notes, **SHORT)
    recorder.run("generated", **problems, scoring="generate", seeds=2, **SHORT)
    fitted = {"fit_data": DATA["metaphor"], "max_fit_items": 40}
    recorder.run("fitted-elsewhere", task="metaphor", limit=18, **fitted, **PAIR)
    for task in ("word-sense", "figurative-qa", "multiple-choice"):
        recorder.run(task, task=task, data=f"{task}.jsonl", **SHORT)
    recorder.run("gsm8k", task="gsm8k", data="gsm8k.jsonl", scoring="generate", **SHORT)


CORPUS_SETTINGS = {
    "sources": [{"path": "corpus.jsonl"}],
    "context_size": 48,
    "test_share": 0.2,
    "selection_share": 0.2,
}


def dictionary(recorder: Recorder) -> None:
    """A dictionary of the tiny model's SAE: built, its labels tried, exported and shown."""
    make_material(recorder.folder)
    corpus = recorder.settings("corpus.yaml", CORPUS_SETTINGS)
    pair = ("--model", "model", "--sae", "sae")
    sizes = ("--tokens", "4000", "--sample-rows", "60")
    recorder.command(
        "dictionary", "build", *pair, "--corpus", corpus, *sizes, "--out", "dictionary"
    )
    recorder.keep_json("built.json", recorder.read_json("dictionary/manifest.json"))
    recorder.keep_table("built.jsonl", "dictionary/features.parquet")
    recorder.command("dictionary", "validate", "dictionary", *pair)
    recorder.keep_json("manifest.json", recorder.read_json("dictionary/manifest.json"))
    for table in ("features", "contexts"):
        recorder.keep_table(f"{table}.jsonl", f"dictionary/{table}.parquet")
    recorder.keep_file("rules.safetensors", "dictionary/rules.safetensors")
    recorder.command("dictionary", "export", "dictionary", "--out", "export.jsonl")
    recorder.keep_file("export.jsonl", "export.jsonl")
    recorder.keep_printed("show.json", "dictionary", "show", "dictionary", "1")


def train(recorder: Recorder) -> None:
    """An SAE trained for forty steps on the tiny model's activations."""
    make_material(recorder.folder)
    harvest = {"hook_name": HOOK, "tokens": 4000, "rows_per_shard": 32, "corpus": CORPUS_SETTINGS}
    recipe = {
        "model": "model",
        "harvest": harvest,
        "architecture": "topk",
        "d_sae": 128,
        "options": {"k": 8},
        "samples": 40 * 128,
        "batch_size": 128,
        "warm_up_steps": 5,
        "dead_after_samples": 1000,
        "test_tokens": 800,
        "checkpoint_steps": 16,
    }
    recorder.command("train", recorder.settings("recipe.yaml", recipe), "--out", "trained")
    recorder.keep_file("training.jsonl", "trained/training.jsonl")
    recorder.keep_file("weights.safetensors", "trained/sae_weights.safetensors")
    recorder.keep_json("metrics.json", recorder.read_json("trained/metrics.json"))
    settings = recorder.read_json("trained/cfg.json")
    recorder.keep_json("cfg.json", settings, omitted=VERSIONS)


def default(recorder: Recorder) -> None:
    """The default model and SAE, on thirty items of each task and on single prompts.

    Of the sentences, two in three are metaphors. Were they as many as the literal ones (as the
    built-in sentences are), a calibration that learns nothing would leave both answers equally
    likely, but for rounding.
    """
    make_material(recorder.folder)
    given = {"data": DATA["metaphor"], "builtin_items": False}
    recorder.run("metaphor", task="metaphor", limit=30, **given)
    recorder.run("word-problems", task="word-problems", limit=30)
    sentence, problem = (
        "She swallowed the insult.",
        "A baker packs 84 rolls into bags of 6. How many bags does he fill?",
    )
    for name in ("detect", "reformulate"):
        recorder.keep_printed(f"{name}-metaphor.json", name, sentence, "--target", "swallowed")
        recorder.keep_printed(f"{name}-word-problem.json", name, problem)
    recorder.keep_printed("read.json", "read", sentence)


PARTS: dict[str, Callable[[Recorder], None]] = {
    "tiny": tiny,
    "variants": variants,
    "dictionary": dictionary,
    "train": train,
    "default": default,
}


def chosen_parts(only: str) -> list[str]:
    """Returns the parts that a list with commas names."""
    chosen = only.split(",")
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        sys.exit(f"No part {unknown[0]!r}; there are {', '.join(PARTS)}.")
    return chosen


def record(part: str, out: Path) -> None:
    """Records a part into the folder `out/part`, which is made anew."""
    started = time.monotonic()
    shutil.rmtree(out / part, ignore_errors=True)
    record_with(PARTS[part], out / part)
    print(f"{part}: recorded in {time.monotonic() - started:.0f} s", file=sys.stderr)


def record_with(commands: Callable[[Recorder], None], out: Path) -> None:
    """Runs commands in a process and a temporary folder of their own; keeps documents in `out`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Recorder(Path(folder), out)) as recorder,
    ):
        commands(recorder)


def main() -> None:
    """Records the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="Parts, with commas between them.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="Folder to record into.")
    where.add_argument("--write", action="store_true", help="Replace what is expected.")
    arguments = parser.parse_args()
    for part in chosen_parts(arguments.only):
        record(part, EXPECTED if arguments.write else arguments.out)


if __name__ == "__main__":
    main()
