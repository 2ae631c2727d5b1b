"""The command line: parse, call one function, print.

Results go to stdout, progress and logs to stderr. Exit codes: 0 done, 1 failed, 2 user error.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from saetask.cli import dictionary as cli_dictionary
from saetask.cli import dictionary as cli_falsify
from saetask.cli.options import (
    compute_of,
    declare_allow_mismatch,
    declare_compute,
    declare_json,
    declare_option,
    options_of,
    print_json,
    read_config,
    registry_of,
)
from saetask.cli.prompts import declare_detect, declare_read, detect, read, reformulate
from saetask.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_FLAG = re.compile(r"--[a-z][a-z_-]*")


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
        from importlib.metadata import version

        print(version("saetask"))
        return 0
    if len(arguments) > 1 and " ".join(arguments[:2]) in COMMANDS:
        arguments[:2] = [" ".join(arguments[:2])]
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
    lines = [f"  {name:<20} {command.summary}" for name, command in COMMANDS.items()]
    usage = "usage: saetask COMMAND ...   (saetask COMMAND --help for its flags)"
    about = "Find what a language model misread in a prompt, write it back, prove that it helps."
    common = "Every command takes --debug (tracebacks) and --plugin FILE.py (a plugin of your own)."
    return "\n".join([usage, "", about, "", *lines, "", common])


def _execute(name: str, arguments: list[str]) -> None:
    from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

    if name not in COMMANDS:
        raise UserError(f"Unknown command '{name}'.{did_you_mean(name, COMMANDS)}")
    # Before any of these libraries is imported; what they print is no result of ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    command = COMMANDS[name]
    parser = ArgumentParser(
        prog=f"saetask {name}", description=command.summary, exit_on_error=False
    )
    parser.add_argument(
        "--plugin", action="append", type=str, default=[], help="A plugin file; may be repeated."
    )
    command.declare(parser)
    if name == "run":
        arguments = _experiment_flags(arguments)
    if "-h" in arguments or "--help" in arguments:
        print(_FLAG.sub(lambda flag: flag[0].replace("_", "-"), parser.format_help()))
        return
    try:
        parsed = parser.parse_args([_with_underscores(argument) for argument in arguments])
    except (ArgumentError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"{name}: {line} (saetask {name} --help)") from error
    command.execute(parsed)


def _with_underscores(argument: str) -> str:
    """Spells a flag as the field of the config that it sets."""
    flag, equals, value = argument.partition("=")
    return (
        flag.replace("-", "_").replace("__", "--", 1) + equals + value
        if _FLAG.fullmatch(flag)
        else argument
    )


def _declare_run(parser: "ArgumentParser") -> None:
    from saetask.experiments.run import RunConfig

    parser.usage = "saetask run EXPERIMENT [flags]   (metaphor, word-problems, or a YAML file)"
    parser.add_argument("--config", action="config", help="A YAML file with the flags below.")
    parser.add_class_arguments(RunConfig, skip={"allow_sae_mismatch"})
    declare_allow_mismatch(parser)
    declare_option(parser, "annotator")
    declare_compute(parser)
    parser.add_argument("--out", type=str | None, default=None, help="Run folder.")
    declare_json(parser)


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
    from saetask.cli.tables import arms_table, print_table
    from saetask.experiments.config import RunConfig
    from saetask.experiments.run import run

    registry = registry_of(arguments)
    fields = {name: getattr(arguments, name) for name in RunConfig.__dataclass_fields__}
    given = options_of(arguments, "annotator")
    fields["annotator_options"] = {**fields["annotator_options"], **given}
    tasks = [plugin.name for plugin in registry.all() if plugin.kind == "task"]
    if fields["task"] not in tasks:
        hint = did_you_mean(fields["task"], tasks)
        raise UserError(f"Unknown experiment '{fields['task']}'.{hint}")
    out = arguments.out and Path(arguments.out)
    compute = compute_of(arguments)
    result = run(RunConfig(**fields), plugins=registry, out=out, compute=compute)
    folder, summary = result.folder, result.summary
    if arguments.json:
        print_json(summary)
    else:
        print_table(arms_table(summary))
        print(f"{summary['n_items']} items, {summary['seconds']} s. Report: {folder}/report.html")
        if failed := summary["failed_notes"]:
            print(f"{failed} requests for a note failed; the same command puts them again.")


def _declare_train(parser: "ArgumentParser") -> None:
    parser.add_argument("config", type=str, help="A recipe, as in recipes/")
    parser.add_argument("--out", type=str | None, default=None, help="SAE folder to write.")
    declare_compute(parser)
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="Processes that train together; more than one needs --engine ray.",
    )
    declare_json(parser)


def _train(arguments: "Namespace") -> None:
    from saetask.training.config import TrainConfig
    from saetask.training.runner import train

    path = Path(arguments.config)
    config = read_config(path, TrainConfig, "Recipe")
    out = Path(arguments.out or f"saes/{path.stem}")
    print_json(train(config, out, path.parent, compute_of(arguments), arguments.workers))


def _declare_report(parser: "ArgumentParser") -> None:
    parser.add_argument("run_folder", type=str, help="A folder that saetask run wrote.")


def _report(arguments: "Namespace") -> None:
    from saetask.report import write_report

    print(write_report(Path(arguments.run_folder)))


def _plugins(arguments: "Namespace") -> None:
    from saetask.cli.tables import plugins_table, print_table

    plugins = registry_of(arguments).all()
    if arguments.json:
        print_json([{k: v for k, v in p._asdict().items() if k != "value"} for p in plugins])
    else:
        print_table(plugins_table(plugins))


def _doctor(arguments: "Namespace") -> None:
    from saetask.cli.doctor import examine

    found = examine()
    if arguments.json:
        print_json(found)
    else:
        for key, value in found.items():
            print(f"{key:<16} {value}")
    if not found["ok"]:
        raise UserError(f"The default model or SAE failed its check: {found['problem']}")


COMMANDS: dict[str, Command] = {
    "run": Command("run an experiment: all arms, paired, with a report", _declare_run, _run),
    "train": Command("train an SAE from a recipe", _declare_train, _train),
    "read": Command("show the features that a prompt activates", declare_read, read),
    "detect": Command("find what is misread in a prompt", declare_detect, detect),
    "reformulate": Command(
        "find it, write it into the prompt, ask again", declare_detect, reformulate
    ),
    "dictionary build": Command(
        "find what each feature is about", cli_dictionary.declare_build, cli_dictionary.build
    ),
    "dictionary validate": Command(
        "try its labels on unseen text", cli_dictionary.declare_validate, cli_dictionary.validate
    ),
    "dictionary falsify": Command(
        "try to prove its labels wrong", cli_falsify.declare_falsify, cli_falsify.falsify
    ),
    "dictionary show": Command("show a feature", cli_dictionary.declare_show, cli_dictionary.show),
    "dictionary search": Command(
        "search labels", cli_dictionary.declare_search, cli_dictionary.search
    ),
    "dictionary export": Command(
        "write it as Neuronpedia JSONL", cli_dictionary.declare_export, cli_dictionary.export
    ),
    "report": Command("write report.html for a run folder", _declare_report, _report),
    "plugins": Command("list tasks, detectors and annotators", declare_json, _plugins),
    "doctor": Command("check this installation", declare_json, _doctor),
}
