"""The command that trains an SAE."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from saetask.cli.commands import Command
from saetask.cli.config_files import read_config
from saetask.cli.options import add_json, print_json
from saetask.cli.parser import CommandParser, take


@dataclass(frozen=True)
class TrainOptions:
    """Flags of `saetask train`."""

    config: Path
    """A recipe, as in recipes/: a YAML file."""
    out: Path | None = None
    """SAE folder to write; without it, one below saes/ named after the recipe."""
    workers: int = 1
    """Processes that train together; more than one needs --engine ray."""


def declare_train(parser: CommandParser) -> None:
    """Adds the flags of `saetask train`."""
    from saetask.compute.config import ComputeConfig

    parser.add_fields(TrainOptions, positional=("config",))
    parser.add_fields(ComputeConfig)
    add_json(parser)


def train(arguments: Namespace) -> None:
    """Trains an SAE, or resumes training it, and prints its metrics."""
    from saetask.compute.config import ComputeConfig
    from saetask.training.config import TrainConfig
    from saetask.training.runner import train as train_sae

    options = take(arguments, TrainOptions)
    recipe = read_config(options.config, TrainConfig, "Recipe")
    out = options.out or Path("saes") / options.config.stem
    compute = take(arguments, ComputeConfig)
    print_json(train_sae(recipe, out, options.config.parent, compute, options.workers))


COMMANDS = {"train": Command("train an SAE from a recipe", declare_train, train)}
