"""The commands on this installation: plugins, doctor, init."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from saetask.cli.commands import Command
from saetask.cli.options import add_json, open_registry, print_json
from saetask.cli.parser import CommandParser, take
from saetask.errors import UserError


@dataclass(frozen=True)
class InitOptions:
    """Flags of `saetask init`."""

    kind: Literal["experiment", "recipe", "task", "detector", "annotator", "labeler", "importer"]
    """Experiment, recipe, task, detector, annotator, labeler or importer."""
    file: Path
    """The file to write; one that exists is refused."""


def plugins(arguments: Namespace) -> None:
    """Prints the plugins that are found."""
    from saetask.cli.tables import plugins_table, print_table

    found = open_registry(arguments).all()
    if arguments.json:
        print_json([{k: v for k, v in p._asdict().items() if k != "value"} for p in found])
    else:
        print_table(plugins_table(found))


def doctor(arguments: Namespace) -> None:
    """Prints versions, hardware and how the default SAE fits the default model.

    Raises:
        UserError: The default model or SAE can not be loaded, or does not fit.
    """
    from saetask.cli.doctor import examine

    findings = examine()
    if arguments.json:
        print_json(findings)
    else:
        for key, value in findings.items():
            print(f"{key:<16} {value}")
    if not findings["ok"]:
        raise UserError(f"The default model or SAE failed its check: {findings['problem']}")


def declare_init(parser: CommandParser) -> None:
    """Adds the flags of `saetask init`."""
    parser.add_fields(InitOptions, positional=("kind", "file"))
    add_json(parser)


def init(arguments: Namespace) -> None:
    """Writes a commented file to start from and prints its path.

    Raises:
        UserError: The file exists, its name does not fit, or it can not be written.
    """
    from saetask.cli.starting_files import PLUGIN_KINDS, starting_text
    from saetask.utils.files import write_text
    from saetask.utils.output_folders import check_no_file

    options = take(arguments, InitOptions)
    suffixes = (".py",) if options.kind in PLUGIN_KINDS else (".yaml", ".yml")
    file, suffix = options.file, suffixes[0]
    try:
        if file.is_dir():  # "" is the current folder
            named = file / f"my_{options.kind}{suffix}"
            raise UserError(f"'{file}' is a folder; give the file to write, such as {named}.")
        if file.suffix not in suffixes:
            raise UserError(
                f"{file}: saetask init {options.kind} writes a {suffix} file; "
                f"give {file.with_suffix(suffix)}."
            )
        check_no_file(file.parent)
        if file.exists():
            raise UserError(f"{file} exists and is left as it is; give another name.")
        write_text(file, starting_text(options.kind).replace("THIS_FILE", str(file)))
    except OSError as error:  # such as a name too long, or a folder of the system's own
        raise UserError(f"{file} cannot be written ({error.strerror}); give another.") from error
    if arguments.json:
        print_json({"file": str(file)})
    else:
        print(f"{file}: written; its first lines say how to use it.")


COMMANDS = {
    "plugins": Command("list tasks, detectors, annotators, labelers, importers", add_json, plugins),
    "init": Command(
        "write a commented experiment, recipe or plugin to start from", declare_init, init
    ),
    "doctor": Command("check versions, hardware and the default model", add_json, doctor),
}
