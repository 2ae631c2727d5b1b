"""The command `saetask discover`."""

import sys
from argparse import Namespace
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from saetask.cli.commands import Command
from saetask.cli.options import ModelOptions, add_json, open_registry, print_json, require_positive
from saetask.cli.parser import CommandParser, given, take
from saetask.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from saetask.annotation.base import Annotator, WritingAnnotator
    from saetask.discovery.documents import Discovery, DiscoverySummary
    from saetask.plugins import PluginRegistry

MOST_ROWS = 20
NO_GROUPS = (
    "saetask: the log has no groups, so rows that are much alike may stand in both halves; "
    "--group-field names a column of them."
)
DOUBT = "(?)"
"""Behind a name that misleads."""
FIGURES = (
    ("prompts",),
    ("failure\nwith", "without"),
    ("difference", "95 % CI"),
    ("q",),
    ("confirmed", "beyond\nwords"),
)
"""Columns of the table; where there is no room for all, those of a pair become one."""


@dataclass(frozen=True)
class DiscoverOptions:
    """Flags of `saetask discover` beside those of its config."""

    log: str
    """An evaluation log: a run folder of saetask, lm-eval samples, an inspect log, JSONL, CSV."""
    format: str = "auto"
    """Format of the log: an importer (saetask plugins lists them), or auto."""
    limit: int | None = None
    """Number of items to read, from the first on."""
    mend: bool = False
    """Write notes on what is confirmed, and ask the prompts of the other half again with them."""
    annotators: list[str] = field(default_factory=list)
    """Annotators whose notes --mend tries as well, such as self-explain or llm."""
    annotator_options: dict[str, str] = field(default_factory=dict)
    """Options of these annotators, by name; the flag sets one and may be repeated."""
    out: Path | None = None
    """Discovery folder; without it, one below runs/ named after the log and the flags."""


def declare_discover(parser: CommandParser) -> None:
    """Adds the flags of `saetask discover`."""
    from saetask.compute.config import ComputeConfig
    from saetask.data.importers import LogFields
    from saetask.discovery.config import DiscoveryConfig

    flags = {"annotator_options": "--annotator-option"}
    parser.add_fields(DiscoverOptions, positional=("log",), flags=flags)
    parser.add_fields(LogFields)
    parser.add_fields(ModelOptions)
    parser.add_fields(DiscoveryConfig, skip=("cache", "log"))
    parser.add_fields(ComputeConfig)
    add_json(parser)


def discover(arguments: Namespace) -> None:
    """Discovers with what the model of a log fails, and prints and writes what was confirmed."""
    from saetask.compute.config import ComputeConfig, open_executor
    from saetask.data.importers import LogFields, read_log
    from saetask.discovery import DiscoveryConfig
    from saetask.discovery import discover as discover_in
    from saetask.discovery.mend_log import mend_discoveries
    from saetask.discovery.mending import check_mendable
    from saetask.discovery.runner import check_log
    from saetask.utils.files import make_folder

    registry, options = open_registry(arguments), take(arguments, DiscoverOptions)
    if options.limit is not None:
        require_positive(options, "limit")
    compute = take(arguments, ComputeConfig)
    compute.check()
    _check_log(Path(options.log))
    importers = registry.by_name("importer")
    log = read_log(options.log, options.format, take(arguments, LogFields), importers)
    items = list(islice(log, options.limit))
    annotators = _annotators(options, registry)
    if options.mend:
        check_mendable(items)
    folder = options.out or _default_folder(arguments)
    _check_folder(folder, options.log)
    config = replace(take(arguments, DiscoveryConfig), cache=folder / "work", log=options.log)
    check_log(items, config)
    if len({item.group for item in items}) == len(items):
        print(NO_GROUPS, file=sys.stderr)
    make_folder(folder)
    chosen = take(arguments, ModelOptions)
    model, sae = chosen.load()
    with open_executor(compute, chosen.model, model) as executor:
        result = discover_in(items, model, sae, config, executor)
        page = result.save(folder)
        if options.mend:
            journal = folder / "work" / "answers.jsonl"
            mended = mend_discoveries(result, journal, annotators, executor)
            summary = result.summary.model_copy(update={"mended": mended})
            result = replace(result, summary=summary)
            result.save(folder)
            if told := _not_mended(result.summary):
                print(told, file=sys.stderr)
    if arguments.json:
        print_json(result.summary.to_json())
        return
    _print_summary(result.summary)
    print(f"Page: {page}")


def _not_mended(summary: "DiscoverySummary") -> str:
    """Returns how many confirmed discoveries no note was tried on, and why; "" for none."""
    confirmed = sum(found.confirmed for found in summary.discoveries)
    if not confirmed:
        return "saetask: no discovery is confirmed, so there is nothing to mend"
    if not (left := confirmed - len(summary.mended)):
        return ""
    return (
        f"saetask: {left} of {confirmed} confirmed discoveries have too few prompts, with a known "
        "right answer and room for a note, to be mended"
    )


def _annotators(
    options: DiscoverOptions, registry: "PluginRegistry"
) -> "list[Annotator | WritingAnnotator]":
    """Returns the annotators that were named, with their options.

    Raises:
        UserError: They are named without `--mend`, one is unknown, or an option does not fit.
    """
    from saetask.annotation.base import configured

    if (options.annotators or options.annotator_options) and not options.mend:
        raise UserError("--annotators are those whose notes --mend tries; give --mend as well.")
    if options.annotator_options and not options.annotators:
        raise UserError("--annotator-option is for annotators; name them with --annotators.")
    named = [registry.get("annotator", name) for name in options.annotators]
    return configured(named, options.annotator_options) if named else []


def _default_folder(arguments: Namespace) -> Path:
    """Returns the folder of a log; what is found with other flags gets a folder of its own."""
    from saetask.data.importers import LogFields
    from saetask.discovery.config import DiscoveryConfig
    from saetask.utils.files import content_hash

    log = Path(arguments.log).absolute().name
    folder = Path("runs") / f"discover-{log.removesuffix('.gz').rpartition('.')[0] or log}"
    configs = (LogFields, ModelOptions, DiscoveryConfig)
    flags = {}
    for config in configs:
        flags |= given(arguments, config)
    flags |= {name: getattr(arguments, name) for name in ("format", "limit") if name in arguments}
    flags.pop("log", None)
    return folder.with_name(f"{folder.name}-{content_hash(flags)[:8]}") if flags else folder


def _check_log(log: Path) -> None:
    """Checks that a log is not what a discovery wrote.

    Raises:
        UserError: It is.
    """
    from saetask.report.run_folder import DISCOVERIES

    if (log / DISCOVERIES).is_file():
        raise UserError(f"{log} is a discovery; `saetask explore --discovery {log}` shows it.")


def _check_folder(folder: Path, log: str) -> None:
    """Checks that a folder can take a discovery in a log.

    Raises:
        UserError: It is a file or in one, or holds something else.
    """
    from saetask.discovery.documents import SUMMARY
    from saetask.report.run_folder import DISCOVERIES
    from saetask.utils.files import read_json
    from saetask.utils.output_folders import check_output_folder

    check_output_folder(folder, (folder / DISCOVERIES).is_file(), unfinished=("work",))
    summary = folder / SUMMARY
    if summary.is_file() and (other := read_json(summary).get("log")) != log:
        raise UserError(f"--out {folder} holds a discovery in {other}; give another folder.")


def _print_summary(summary: "DiscoverySummary") -> None:
    from saetask.cli.tables import has_room_for, print_table
    from saetask.discovery.sentences import name_misleads, result_sentences
    from saetask.report.numbers import ABSENT

    if summary.discoveries:
        table = _table(summary)
        print_table(table if has_room_for(table) else _table(summary, "\n"))
        if any(name_misleads(found) for found in summary.discoveries[:MOST_ROWS]):
            print(f"{DOUBT}: seldom active on what its name says.")
        if any(found.ci95 is None for found in summary.discoveries[:MOST_ROWS]):
            print(f"{ABSENT}: no interval, as all its prompts fail alike.")
    for sentence in result_sentences(summary):
        print(sentence)


def _table(summary: "DiscoverySummary", between: str | None = None) -> "Table":
    """Returns the discoveries, one a row.

    Args:
        summary: The discoveries.
        between: What stands between figures that belong together, to have them in one column; None
            gives each of them a column.
    """
    from rich.markup import escape

    from saetask.cli.tables import make_table
    from saetask.discovery.sentences import name_misleads

    def columns(pairs: "Sequence[Sequence[str]]") -> list[str]:
        if between is None:
            return [figure for pair in pairs for figure in pair]
        return [between.join(pair) for pair in pairs]

    figures = columns(FIGURES)
    table = make_table("concept or feature", *figures, right=figures)
    for found in summary.discoveries[:MOST_ROWS]:
        name = f"{found.name} {DOUBT}" if name_misleads(found) else found.name
        table.add_row(escape(name), *columns(_figures(found)))
    return table


def _figures(found: "Discovery") -> "list[tuple[str, ...]]":
    """Returns the figures of a discovery as texts, in the order of `FIGURES`."""
    from saetask.report.numbers import ABSENT, percent, points, points_interval

    needs = ABSENT if found.needs_sae is None else ("yes" if found.needs_sae else "no")
    return [
        (str(found.n_with),),
        (percent(found.failure_with), percent(found.failure_without)),
        (points(found.difference), points_interval(found.ci95)),
        (f"{found.q:.2g}",),
        ("yes" if found.confirmed else "no", needs),
    ]


COMMANDS = {
    "discover": Command(
        "say with which concepts a model fails more often, from an evaluation log",
        declare_discover,
        discover,
    ),
}
