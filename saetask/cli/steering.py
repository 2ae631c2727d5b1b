"""The command steer: a prompt answered with features or concepts raised or ablated."""

from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from saetask.cli.commands import Command
from saetask.cli.options import (
    MismatchOptions,
    ModelOptions,
    add_json,
    open_registry,
    print_json,
    require_positive,
)
from saetask.cli.parser import CommandParser, take
from saetask.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from saetask.data.prompts import Prompt
    from saetask.dictionary.editing import ResolvedEdit
    from saetask.session.steering import SteeredPrompt


@dataclass(frozen=True)
class SteerOptions:
    """The prompt and the edit of `saetask steer`."""

    prompt: str
    """Text of the prompt."""
    concept: list[str] = field(default_factory=list)
    """Concept to steer, by id or name; may be repeated."""
    feature: list[int] = field(default_factory=list)
    """Features to steer, by number."""
    strength: float = 1.0
    """How much is added, in typical activations: 1 is the mean where a feature fires."""
    ablate: list[str] = field(default_factory=list)
    """Concept, or feature by number, that does not fire; may be repeated."""
    task: str | None = None
    """Task plugin that asks about the prompt; without it, metaphor where a target is given."""
    target: str | None = None
    """The word in question, for a task that asks about a word (its first place)."""
    max_new_tokens: int = 40
    """Maximum length of the generated text, in tokens."""
    seed: int = 0
    """Seed of the random directions."""
    dictionary: Path | None = None
    """Dictionary folder of this SAE; without it, the shipped one if there is one."""


def declare_steer(parser: CommandParser) -> None:
    """Adds the flags of `saetask steer`."""
    repeated = {"concept": "NAME", "ablate": "NAME|N"}
    parser.add_fields(SteerOptions, positional=("prompt",), repeated=repeated)
    parser.add_fields(ModelOptions)
    parser.add_fields(MismatchOptions)
    add_json(parser)


def steer(arguments: Namespace) -> None:
    """Prints a prompt's answers before and after an edit, beside those after random pushes."""
    from saetask.cli.tables import print_table, terminal_width, wrapped
    from saetask.dictionary.dictionary import Dictionary
    from saetask.dictionary.editing import Named, check_strengths, resolve_edit
    from saetask.saes.compatibility import check_sae
    from saetask.session.documents import steering_document
    from saetask.session.steering import steer_prompt
    from saetask.session.steering_conclusion import steering_conclusion

    options = take(arguments, SteerOptions)
    require_positive(options, "max_new_tokens")
    names: list[Named] = [*options.concept, *options.feature]
    steered = dict.fromkeys(names, options.strength)
    ablated: list[Named] = [int(name) if name.isdigit() else name for name in options.ablate]
    if not steered and not ablated:
        raise UserError("Nothing to steer; give --concept NAME, --feature N or --ablate NAME.")
    check_strengths(steered)
    prompt, candidates = _question(arguments, options)
    dictionary = Dictionary.load(options.dictionary) if options.dictionary else None
    model, sae = take(arguments, ModelOptions).load()
    check_sae(model, sae, allow_mismatch=take(arguments, MismatchOptions).allow_sae_mismatch)
    resolved = resolve_edit(model, sae, ablated, steered, dictionary)
    found = steer_prompt(
        model, sae, prompt, candidates, resolved.edit, options.max_new_tokens, options.seed
    )
    if arguments.json:
        print_json(steering_document(prompt, options.strength, resolved, found))
        return
    width = terminal_width()
    print("\n".join(wrapped(line, width) for line in edit_lines(options, resolved, found)))
    for name, text in (
        ("before", found.before.text),
        ("after", found.after.text),
        ("random direction of the same norm", found.random[0].text),
    ):
        print(f"\n{name}:\n{text}")
    print()
    if found.before.log_likelihoods:
        print_table(likelihood_table(found))
    print(wrapped(steering_conclusion(found), width, ""))


def _question(arguments: Namespace, options: SteerOptions) -> "tuple[Prompt, tuple[str, ...]]":
    """Returns the prompt, as a task asks it where one is chosen, and the candidate answers."""
    from saetask.data.prompts import as_prompt
    from saetask.data.samples import make_unlabelled_sample

    if not options.prompt.strip():
        raise UserError('The prompt is empty; give some text, as in saetask steer "She sailed".')
    name = options.task or ("metaphor" if options.target else None)
    if name is None:
        return as_prompt(options.prompt), ()
    task = open_registry(arguments).get("task", name)
    sample = make_unlabelled_sample(task, task.question_from_text(options.prompt, options.target))
    return sample.prompt, sample.texts


def edit_lines(
    options: SteerOptions, resolved: "ResolvedEdit", found: "SteeredPrompt"
) -> list[str]:
    """Returns what is edited, and how far that moves the activation."""
    lines = []
    for name, features in resolved.steered.items():
        typical = ", ".join(f"{f} ({resolved.typical[f]:.2g})" for f in features)
        lines.append(
            f"steered: {name}, by {options.strength:g} times the typical activation of "
            f"{'features' if len(features) > 1 else 'feature'} {typical}"
        )
    lines += [
        f"ablated: {name}, {len(f)} feature{'s' if len(f) > 1 else ''}"
        for name, f in resolved.ablated.items()
    ]
    lines.append(
        f"The activation moves by {found.relative_norm:.0%} of its norm, on average over the "
        "prompt's tokens that the edit reaches."
    )
    return lines


def likelihood_table(found: "SteeredPrompt") -> "Table":
    """Returns the log-likelihood of each candidate, one a row, in nats."""
    from saetask.cli.tables import make_table

    columns = ("before", "after", "random: lowest", "highest")
    table = make_table("answer", *columns, right=columns)
    for candidate, before in found.before.log_likelihoods.items():
        random = [each.log_likelihoods[candidate] for each in found.random]
        values = (before, found.after.log_likelihoods[candidate], min(random), max(random))
        table.add_row(candidate.strip(), *(f"{value:.2f}" for value in values))
    return table


COMMANDS = {
    "steer": Command("answer a prompt with features or concepts raised", declare_steer, steer),
}
