"""The commands on this installation: plugins, doctor."""

from argparse import Namespace

from saetask.cli.commands import Command
from saetask.cli.options import add_json, open_registry, print_json
from saetask.errors import UserError


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


COMMANDS = {
    "plugins": Command("list tasks, detectors, annotators, labelers, importers", add_json, plugins),
    "doctor": Command("check versions, hardware and the default model", add_json, doctor),
}
