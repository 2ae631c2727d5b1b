"""The command line: parse, call one function, print.

Results go to stdout, progress and logs to stderr. Exit codes: 0 done, 1 failed, 2 user error.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from saetask.registry import Registry
    from saetask.session import Session


class Command(NamedTuple):
    """A subcommand."""

    summary: str
    declare: "Callable[[ArgumentParser], None]"
    execute: "Callable[[Namespace], None]"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        from saetask import __version__

        print(__version__)
        return 0
    debug = "--debug" in arguments
    try:
        _execute(arguments[0], [a for a in arguments[1:] if a != "--debug"])
    except UserError as error:
        if debug:
            raise
        print(f"saetask: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("saetask: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        print(f"saetask: failed: {error!r} (--debug shows where)", file=sys.stderr)
        return 1
    return 0


def _overview() -> str:
    lines = [f"  {name:<12} {command.summary}" for name, command in COMMANDS.items()]
    usage = "usage: saetask COMMAND ...   (saetask COMMAND --help for its flags)"
    about = "Find what a language model misread in a prompt, write it back, prove that it helps."
    common = "Every command takes --debug (tracebacks) and --plugin FILE.py (a plugin of your own)."
    return "\n".join([usage, "", about, "", *lines, "", common])


def _execute(name: str, arguments: list[str]) -> None:
    from jsonargparse import ArgumentError, ArgumentParser

    if name not in COMMANDS:
        raise UserError(f"Unknown command '{name}'.{did_you_mean(name, COMMANDS)}")
    # Before any of these libraries is imported; what they print is no result of ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    command = COMMANDS[name]
    parser = ArgumentParser(
        prog=f"saetask {name}", description=command.summary, exit_on_error=False
    )
    parser.add_argument("--plugin", type=list[str], default=[], help="Plugin files to load.")
    command.declare(parser)
    if name == "run":
        arguments = _experiment_flags(arguments)
    try:
        parsed = parser.parse_args(arguments)
    except (ArgumentError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"{name}: {line} (saetask {name} --help)") from error
    command.execute(parsed)


def _registry(arguments: "Namespace") -> "Registry":
    from saetask.registry import Registry

    return Registry([Path(path) for path in arguments.plugin])


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def _declare_run(parser: "ArgumentParser") -> None:
    from saetask.run import RunConfig

    parser.usage = "saetask run EXPERIMENT [flags]   (metaphor, word-problems, or a YAML file)"
    parser.add_argument("--config", action="config", help="A YAML file with the flags below.")
    parser.add_class_arguments(RunConfig)
    parser.add_argument("--out", type=str | None, default=None, help="Run folder.")
    _declare_json(parser)


def _declare_json(parser: "ArgumentParser") -> None:
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")


def _experiment_flags(arguments: list[str]) -> list[str]:
    """Turns the positional EXPERIMENT into the flag that it stands for."""
    if not arguments or arguments[0].startswith("-"):
        if "-h" in arguments or "--help" in arguments:
            return arguments
        raise UserError("run: name an experiment first: metaphor, word-problems, or a YAML file.")
    experiment, *rest = arguments
    if Path(experiment).suffix not in (".yaml", ".yml"):
        return ["--task", experiment, *rest]
    if not Path(experiment).is_file():
        raise UserError(f"Experiment file {experiment} does not exist.")
    return ["--config", experiment, *rest]


def _run(arguments: "Namespace") -> None:
    from saetask.cli_tables import arms_table, print_table
    from saetask.run import RunConfig, run

    registry = _registry(arguments)
    fields = {name: getattr(arguments, name) for name in RunConfig.__dataclass_fields__}
    tasks = [plugin.name for plugin in registry.all() if plugin.kind == "task"]
    if fields["task"] not in tasks:
        hint = did_you_mean(fields["task"], tasks)
        raise UserError(f"Unknown experiment '{fields['task']}'.{hint}")
    folder = run(RunConfig(**fields), registry, arguments.out and Path(arguments.out))
    summary = json.loads((folder / "summary.json").read_text())
    if arguments.json:
        _print_json(summary)
    else:
        print_table(arms_table(summary))
        print(f"{summary['n_items']} items, {summary['seconds']} s. Report: {folder}/report.html")


def _declare_train(parser: "ArgumentParser") -> None:
    parser.add_argument("config", type=str, help="A recipe, as in recipes/")
    parser.add_argument("--out", type=str | None, default=None, help="SAE folder to write.")
    _declare_json(parser)


def _train(arguments: "Namespace") -> None:
    from jsonargparse import ArgumentParser

    from saetask.training import TrainConfig, train

    path = Path(arguments.config)
    if not path.is_file():
        raise UserError(f"Recipe {path} does not exist.")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TrainConfig)
    try:
        parsed = parser.instantiate_classes(parser.parse_string(path.read_text()))
    except Exception as error:
        raise UserError(f"Recipe {path}: {' '.join(str(error).split())}") from error
    metrics = train(
        TrainConfig(**vars(parsed)), Path(arguments.out or f"saes/{path.stem}"), path.parent
    )
    _print_json(metrics)


def _declare_session(parser: "ArgumentParser") -> None:
    from saetask.models import DEFAULT_MODEL
    from saetask.saes import DEFAULT_SAE

    parser.add_argument("prompt", type=str, nargs="?", help="The text.")
    parser.add_argument("--model", type=str, default=DEFAULT_MODEL, help="See saetask run.")
    parser.add_argument("--sae", type=str, default=DEFAULT_SAE, help="See saetask run.")
    _declare_json(parser)


def _declare_read(parser: "ArgumentParser") -> None:
    _declare_session(parser)
    parser.add_argument("--top", type=int, default=10, help="How many features to show.")


def _read(arguments: "Namespace") -> None:
    from saetask.activations import read_features
    from saetask.cli_tables import firings_table, print_table
    from saetask.logit_lens import logit_lens_labels
    from saetask.models import load_model
    from saetask.prompts import as_prompt
    from saetask.saes import check_sae, load_sae

    prompt = as_prompt(_prompt(arguments))
    model, sae = load_model(arguments.model), load_sae(arguments.sae)
    check_sae(model, sae)
    activations = read_features(model, sae, [prompt])
    firings = activations.top(arguments.top)
    labels = logit_lens_labels(model, sae, [firing.feature for firing in firings])
    if arguments.json:
        rows = [{**f._asdict(), "label": labels[f.feature]} for f in firings]
        _print_json({"prompt": prompt.content, "features": rows})
    else:
        print_table(firings_table(firings, labels))


def _prompt(arguments: "Namespace") -> str:
    if not arguments.prompt or not arguments.prompt.strip():
        raise UserError('The prompt is empty; give some text, as in saetask read "She sailed".')
    return arguments.prompt


def _declare_detect(parser: "ArgumentParser") -> None:
    _declare_session(parser)
    parser.add_argument(
        "--task",
        type=str | None,
        default=None,
        help="Default: metaphor with --target, else word-problems.",
    )
    parser.add_argument("--target", type=str | None, default=None, help="The word in question.")
    parser.add_argument(
        "--file", type=str | None, default=None, help='JSON lines: {"prompt", "target"?}.'
    )


def _session(arguments: "Namespace", target: str | None) -> "Session":
    from saetask.session import Session

    task = arguments.task or ("metaphor" if target else "word-problems")
    return Session(arguments.model, arguments.sae, task, registry=_registry(arguments))


def _detect(arguments: "Namespace") -> None:
    from saetask.cli_tables import detection_text

    if arguments.file:
        _detect_file(arguments)
        return
    detection = _session(arguments, arguments.target).detect(_prompt(arguments), arguments.target)
    if arguments.json:
        _print_json(_detection_document(detection))
    else:
        print(detection_text(detection))


def _detect_file(arguments: "Namespace") -> None:
    from saetask.tasks import FieldError, read_rows, text_field

    session = None
    for number, row in read_rows(Path(arguments.file)):
        target = row.get("target", arguments.target)
        try:
            text = text_field(row, "prompt")
        except FieldError as error:
            raise UserError(f"{arguments.file}:{number}: field 'prompt': {error}") from error
        session = session or _session(arguments, target)
        print(json.dumps(_detection_document(session.detect(text, target)), ensure_ascii=False))


def _detection_document(detection: Any) -> dict[str, Any]:
    found = [
        {**m._asdict(), "features": [f._asdict() for f in m.features]}
        for m in detection.misunderstandings
    ]
    return {
        "prompt": detection.prompt,
        "answer": detection.answer,
        "failure": detection.failure,
        "misunderstandings": found,
    }


def _reformulate(arguments: "Namespace") -> None:
    from saetask.cli_tables import detection_text

    session = _session(arguments, arguments.target)
    done = session.reformulate(_prompt(arguments), arguments.target)
    if arguments.json:
        document = _detection_document(done.detection)
        answers = {"before": done.before, "after": done.after}
        document |= {"reformulated": done.reformulated, "annotations": done.annotations}
        _print_json({**document, "answers": answers})
    else:
        print(detection_text(done.detection))
        print(f"\nreformulated prompt:\n{done.reformulated}\n")
        print(f"answer before: {done.before}\nanswer after:  {done.after}")


def _declare_report(parser: "ArgumentParser") -> None:
    parser.add_argument("run_folder", type=str, help="A folder that saetask run wrote.")


def _report(arguments: "Namespace") -> None:
    from saetask.report import write_report

    print(write_report(Path(arguments.run_folder)))


def _plugins(arguments: "Namespace") -> None:
    from saetask.cli_tables import plugins_table, print_table

    plugins = _registry(arguments).all()
    if arguments.json:
        _print_json([{k: v for k, v in p._asdict().items() if k != "value"} for p in plugins])
    else:
        print_table(plugins_table(plugins))


def _doctor(arguments: "Namespace") -> None:
    from saetask.doctor import examine

    found = examine()
    if arguments.json:
        _print_json(found)
    else:
        for key, value in found.items():
            print(f"{key:<16} {value}")
    if not found["ok"]:
        raise UserError(f"The default model or SAE failed its check: {found['problem']}")


COMMANDS: dict[str, Command] = {
    "run": Command("run an experiment: all arms, paired, with a report", _declare_run, _run),
    "train": Command("train an SAE from a recipe", _declare_train, _train),
    "read": Command("show the features that a prompt activates", _declare_read, _read),
    "detect": Command("find what is misread in a prompt", _declare_detect, _detect),
    "reformulate": Command(
        "find it, write it into the prompt, ask again", _declare_detect, _reformulate
    ),
    "report": Command("write report.html for a run folder", _declare_report, _report),
    "plugins": Command("list tasks, detectors and annotators", _declare_json, _plugins),
    "doctor": Command("check this installation", _declare_json, _doctor),
}
