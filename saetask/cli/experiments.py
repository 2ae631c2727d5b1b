"""The commands on experiments: run, report."""

from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from saetask.cli.commands import Command
from saetask.cli.config_files import read_config
from saetask.cli.options import add_json, open_registry, print_json, print_path
from saetask.cli.parser import CommandParser, given, take
from saetask.cli.struck_concepts import VerdictOptions, with_struck
from saetask.errors import UserError, did_you_mean
from saetask.utils.output_folders import check_no_file

if TYPE_CHECKING:
    from saetask.experiments.config import RunConfig
    from saetask.plugins import PluginRegistry

ALL = "all"
"""Stands for every arm, the optional ones too."""


@dataclass(frozen=True)
class RunOptions:
    """Flags of `saetask run` beside those of its config."""

    experiment: str
    """A task (metaphor, word-problems, ...), or a YAML file with the keys of config.yaml."""
    out: Path | None = None
    """Run folder; without it, one below runs/ named after the config."""


@dataclass(frozen=True)
class ReportOptions:
    """Flags of `saetask report`."""

    run_folder: Path
    """A folder that saetask run wrote."""
    to: Literal["html", "inspect", "lm-eval"] = "html"
    """Format: html, or one arm as a log of inspect_ai or samples of lm-evaluation-harness."""
    out: Path | None = None
    """File to write, for the other formats; html is report.html in the folder."""
    arm: str = "saetask"
    """Arm to write, for the other formats."""


def declare_run(parser: CommandParser) -> None:
    """Adds the flags of `saetask run`."""
    from saetask.compute.config import ComputeConfig
    from saetask.experiments.config import RunConfig

    parser.add_fields(RunOptions, positional=("experiment",))
    flags = {
        "annotator_options": "--annotator-option",
        "template_options": "--template-option",
    }
    parser.add_fields(RunConfig, skip=("task",), flags=flags, repeated={"without": "CONCEPT"})
    parser.add_fields(VerdictOptions)
    parser.add_fields(ComputeConfig)
    add_json(parser)


def run(arguments: Namespace) -> None:
    """Runs an experiment, or resumes it, and prints its arms."""
    from saetask.cli.run_summary import arms_table, conclusion_lines, ranking_line, silence_lines
    from saetask.cli.tables import print_table
    from saetask.compute.config import ComputeConfig
    from saetask.experiments.run import run as run_experiment
    from saetask.report.summary import Summary

    registry, out = open_registry(arguments), take(arguments, RunOptions).out
    config = _run_config(arguments, registry)
    compute = take(arguments, ComputeConfig)
    result = run_experiment(config, plugins=registry, out=out, compute=compute)
    folder, summary = result.folder, result.summary
    if arguments.json:
        print_json(summary)
        return
    figures = Summary.model_validate(summary)
    print_table(arms_table(figures))
    for line in conclusion_lines(figures):
        print(line)
    in_type = f"{summary['n_items']} items in {summary['model']['dtype']}"
    print(f"{in_type}, {summary['seconds']} s. Report: {folder}/report.html")
    if line := ranking_line(summary):
        print(line)
    for line in silence_lines(summary):
        print(line)
    if failed := summary["failed_notes"]:
        print(f"{failed} requests for a note failed; the same command puts them again.")


def _run_config(arguments: Namespace, registry: "PluginRegistry") -> "RunConfig":
    """Returns the config of a task or of a file, with the flags that were given beside it.

    Raises:
        UserError: There is no such task or file, or the file does not fit.
    """
    from saetask.experiments.arms import arm_names
    from saetask.experiments.config import RunConfig

    experiment = take(arguments, RunOptions).experiment
    if Path(experiment).suffix in (".yaml", ".yml"):
        config = read_config(Path(experiment), RunConfig, "Experiment file")
    else:
        config = RunConfig(task=experiment)
    flags = given(arguments, RunConfig)
    for name in ("annotator_options", "template_options"):
        flags[name] = {**getattr(config, name), **flags.get(name, {})}
    config = replace(config, **flags)
    without = with_struck(arguments, config.without, config.dictionary, config.sae)
    config = replace(config, without=without)
    if config.arms == [ALL]:
        config = replace(config, arms=arm_names())
    tasks = [plugin.name for plugin in registry.all() if plugin.kind == "task"]
    if config.task not in tasks:
        hint = did_you_mean(config.task, tasks)
        raise UserError(f"Unknown task '{config.task}'.{hint}")
    return config


def declare_report(parser: CommandParser) -> None:
    """Adds the flags of `saetask report`."""
    parser.add_fields(ReportOptions, positional=("run_folder",))
    add_json(parser)


def report(arguments: Namespace) -> None:
    """Writes the report of a run folder, or an arm in another format, and prints the path.

    Raises:
        UserError: The folder is damaged or a file, or the flags contradict each other.
    """
    options = take(arguments, ReportOptions)
    check_no_file(options.run_folder)
    if options.to == "html":
        from saetask.report import write_report

        if options.out is not None or "arm" in arguments:
            raise UserError(
                "--out and --arm are for the formats of --to; report.html has all arms."
            )
        written = write_report(options.run_folder)
    else:
        from saetask.report.evaluation_formats import write_evaluation

        if options.out is None:
            raise UserError(f"--to {options.to} writes a file; name it with --out.")
        check_no_file(options.out.parent)
        written = write_evaluation(options.run_folder, options.arm, options.to, options.out)
    print_path(written, arguments.json)


COMMANDS = {
    "run": Command("run an experiment: all arms, paired, with a report", declare_run, run),
    "report": Command(
        "write report.html for a run folder, or a log of inspect_ai or lm-eval",
        declare_report,
        report,
    ),
}
