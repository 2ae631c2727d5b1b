"""Tables and lines that the command line prints for people."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from saetask.dictionary.manifest import Naming
    from saetask.plugins import Plugin
    from saetask.saes.activations import Firing


BETWEEN = 3
"""Columns of the terminal between those of a table."""
WIDEST = 10_000
"""Columns that a table is measured in, to know how many it needs."""


def terminal_width() -> int | None:
    """Returns the columns that output is to fit: the terminal's, or `COLUMNS` where that is set.

    It is None for a file or a pipe, where a row is a line, whatever its length.
    """
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal or "COLUMNS" in os.environ else None


def wrapped(text: str, width: int | None, indent: str = "  ") -> str:
    """Wraps a line at blanks, further lines indented; None leaves it as it is."""
    if width is None:
        return text
    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def print_table(table: "Table") -> None:
    """Prints a table to stdout, one line a row when stdout is a file or a pipe.

    On a terminal, what has no room is wrapped, texts before figures. Where `NO_COLOR` is set,
    nothing is coloured.
    """
    from rich.console import Console

    width = terminal_width()
    console = Console(width=width)
    if width is None:
        console = Console(width=_width(table, console))
    elif _width_of_figures(table, console) > width:
        for column in table.columns:
            column.no_wrap = False
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def has_room_for(table: "Table") -> bool:
    """Returns whether a table fits the terminal; true when stdout is a file or a pipe."""
    from rich.console import Console

    width = terminal_width()
    return width is None or _width(table, Console(width=width)) <= width


def _width(table: "Table", console: "Console") -> int:
    """Returns the width of a table in which nothing is wrapped."""
    return console.measure(table, options=console.options.update(width=WIDEST)).maximum


def _width_of_figures(table: "Table", console: "Console") -> int:
    """Returns the width of a table in which texts are wrapped after every word."""
    options, width = console.options.update(width=WIDEST), 0
    for column in table.columns:
        cells = [console.measure(cell, options=options) for cell in (column.header, *column.cells)]
        width += max(cell.maximum if column.no_wrap else cell.minimum for cell in cells)
    return width + BETWEEN * len(table.columns)


def make_table(*columns: str, right: Sequence[str] = ()) -> "Table":
    """Returns an empty table; the columns named in `right` are aligned there."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for column in columns:  # texts are wrapped before figures are, and nothing is cut off
        is_figure = column in right
        justify = "right" if is_figure else "left"
        table.add_column(column, justify=justify, no_wrap=is_figure, overflow="fold")
    return table


def firings_table(
    firings: "Sequence[Firing]", labels: Mapping[int, str], both: bool = True
) -> "Table":
    """Returns the strongest firings, one a row.

    Args:
        firings: The firings, with the names of their features where these have one.
        labels: The label of each feature.
        both: Where any has a name, show names and labels; else the name, or the label without one.
    """
    from rich.markup import escape

    named = any(firing.name for firing in firings)
    columns = ["label"] if not named else ["name", "label"] if both else ["name or label"]
    table = make_table("feature", "activation", "token", *columns, right=("feature", "activation"))
    for firing in firings:
        name, label = firing.name, labels[firing.feature]
        texts = [name, label] if len(columns) == 2 else [name or label]
        row = [
            str(firing.feature),
            f"{firing.value:.2f}",
            *map(escape, [repr(firing.text), *texts]),
        ]
        table.add_row(*row)
    return table


def plugins_table(plugins: "Sequence[Plugin]") -> "Table":
    """Returns the plugins, one a row."""
    table = make_table("kind", "name", "from", "what it is")
    for plugin in plugins:
        table.add_row(plugin.kind, plugin.name, plugin.source, plugin.summary)
    return table


def validation_table(validation: Mapping[str, Any]) -> "Table":
    """Returns the validation figures of a dictionary and its controls, one a row."""
    figures = ("tested", "validated", "share", "chosen", "of them", "coverage", "rare", "dead")
    table = make_table("dictionary", *figures, right=figures)
    for name, found in {"this SAE": validation, **validation["controls"]}.items():
        verdicts = found["verdicts"]
        table.add_row(
            name,
            str(found["n_tested"]),
            str(verdicts["validated"]),
            f"{found['validated_share']:.1%}",
            str(found["n_chosen"]),
            f"{found['chosen_validated_share']:.1%}",
            f"{found['coverage']:.1%}",
            str(verdicts["too rare"]),
            str(verdicts["dead"]),
        )
    return table


def naming_table(naming: "Naming") -> "Table":
    """Returns how the names of a dictionary and of its control do on unseen documents.

    Of concepts, the number of validated ones and of all.
    """
    columns = ("live", "named", "valid", "weak", "coverage", "precision", "recall", "concepts")
    table = make_table("dictionary", *columns, right=columns)
    for name, figures in {"this SAE": naming, **naming.controls}.items():
        table.add_row(
            name,
            str(figures.n_live),
            f"{figures.named_share:.1%}",
            f"{figures.validated_share:.1%}",
            f"{figures.weak_share:.1%}",
            f"{figures.coverage:.1%}",
            f"{figures.mean_precision:.2f}",
            f"{figures.mean_recall:.2f}",
            f"{figures.n_concepts_validated}/{figures.n_concepts}",
        )
    return table


def falsification_table(found: Mapping[str, Any]) -> "Table":
    """Returns the results of injected tokens and of edits, one feature a row.

    Shares of firing texts are those of the strategy with the strongest evidence against the label;
    effects are in nats a token.
    """
    injected = ("own tokens", "random tokens", "q (tokens)")
    edited = ("ablated", "amplified", "random", "q (edits)")
    figures = ("feature", *injected, *edited)
    table = make_table("feature", "tokens", *injected, "edits", *edited, "label", right=figures)
    for entry in found["features"]:
        tokens, edits = entry["injection"], entry["ablation"]
        row = [str(entry["feature"]), tokens["finding"]]
        if "best" in tokens:
            best = next(w for w in tokens["strategies"] if w["strategy"] == tokens["best"])
            shares = (best["injected_share"], best["control_share"])
            row += [*(f"{share:.0%}" for share in shares), f"{tokens['q_value']:.2g}"]
        else:
            row += [""] * len(injected)
        row.append(edits["finding"])
        if "q_value" in edits:
            row += [f"{edits[name]:+.3f}" for name in ("ablated", "amplified", "random")]
            row.append(f"{edits['q_value']:.2g}")
        else:
            row += [""] * len(edited)
        table.add_row(*row, entry["label"][:40])
    return table


def writing_table(found: Mapping[str, Any]) -> "Table":
    """Returns the results on texts written by a language model, one feature a row.

    Shares are of texts in which the feature fires: paraphrases of texts where it does and of texts
    where it is silent; texts written to fit the label and to resemble those.
    """
    rewritten = ("its texts", "others", "words kept", "q (paraphrases)")
    written = ("fitting", "resembling", "q (pairs)")
    right = ("feature", *rewritten, *written)
    table = make_table("feature", "paraphrases", *rewritten, "label", *written, "", right=right)
    for entry in found["features"]:
        row = [str(entry["feature"])]
        for test, shares in (
            ("paraphrase", ("firing_share", "silent_share", "kept_words")),
            ("counterexample", ("fitting_share", "resembling_share")),
        ):
            result = entry["writing"][test]
            row.append(result["finding"])
            if "q_value" in result:
                row += [*(f"{result[name]:.0%}" for name in shares), f"{result['q_value']:.2g}"]
            else:
                row += [""] * (len(shares) + 1)
        table.add_row(*row, entry["label"][:40])
    return table


def judge_text(validation: Mapping[str, Any]) -> str:
    """Returns the judge's figures and the number of labels without a judgement, a line each."""
    lines = []
    if judge := validation["judge"]:
        for name, found in {"this SAE": validation, **validation["controls"]}.items():
            figures = found["judge"]
            scores = (
                f"{score} " + ("-" if figures[key] is None else f"{figures[key]:.3f}")
                for score, key in (
                    ("detection", "detection_accuracy"),
                    ("fuzzing", "fuzzing_accuracy"),
                )
            )
            lines.append(
                f"judge {judge['model']} on {name}: {', '.join(scores)} (balanced accuracy); "
                f"{figures['failed']} of {figures['questions']} questions failed"
            )
    if missing := validation["verdicts"]["not judged"]:
        hint = "" if judge else "; they have no rule to try: give --judge MODEL"
        lines.append(f"{missing} labels not judged{hint}")
    return "".join(f"{line}\n" for line in lines)


def untested_lines(falsification: Mapping[str, Any]) -> list[str]:
    """Returns a line for each test that was not possible, with the reason."""
    return [
        f"feature {entry['feature']}: no {test} test: {tests[test]['reason']}"
        for entry in falsification["features"]
        for tests in ({**entry, **entry.get("writing", {})},)
        for test in ("injection", "ablation", "paraphrase", "counterexample")
        if "reason" in tests.get(test, {})
    ]


def writer_text(figures: Mapping[str, Any]) -> str:
    """Returns how many questions the writer failed and how many tokens it cost, in a line."""
    return (
        f"writer {figures['model']}: {figures['failed']} of {figures['questions']} questions "
        f"failed; {figures['prompt_tokens']} tokens read, {figures['completion_tokens']} written"
    )
