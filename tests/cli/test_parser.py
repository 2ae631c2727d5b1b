"""Flags from the fields of dataclasses."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from saetask.cli.parser import CommandParser, given, take
from saetask.errors import UserError


@dataclass(frozen=True)
class Options:
    """A bit of everything."""

    text: str = ""
    """The text."""
    fit_data: Path | None = None
    """A file."""
    names: list[str] = field(default_factory=lambda: ["a", "b"])
    """Some names."""
    features: tuple[int, ...] = ()
    """Some numbers."""
    way: Literal["rank", "generate"] = "rank"
    """A choice."""
    share: float = 0.5
    """A share, of 100 %."""
    folds: int = 5
    """A number."""
    loud: bool = False
    """A switch."""
    careful: bool = True
    """A switch that is on."""
    options: dict[str, str] = field(default_factory=dict)
    """Options."""
    without: list[str] = field(default_factory=list)
    """Texts that may have commas."""


def parse(*words):
    parser = CommandParser(prog="saetask try")
    parser.add_fields(
        Options, ("text",), flags={"options": "--option"}, repeated={"without": "CONCEPT"}
    )
    return parser.parse_args(list(words))


def test_a_repeated_flag_takes_a_text_with_commas_each_time() -> None:
    parsed = parse("--without", "near food (tea, soup)", "--without", "rock")
    assert take(parsed, Options).without == ["near food (tea, soup)", "rock"]
    assert take(parse(), Options).without == []


def test_without_flags_every_field_has_its_default() -> None:
    assert given(parse(), Options) == {}
    assert take(parse(), Options) == Options()


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["--fit-data", "a_b-c"], {"fit_data": Path("a_b-c")}),
        (["--fit_data", "a"], {"fit_data": Path("a")}),
        (["--names", "x,y-z, w,x"], {"names": ["x", "y-z", "w"]}),
        (["--features", "12, 3,12"], {"features": (12, 3)}),
        (["--way", "generate"], {"way": "generate"}),
        (["--share", "0.25"], {"share": 0.25}),
        (["--folds", "5"], {"folds": 5}),
        (["--folds", "-5"], {"folds": -5}),
        (["--loud"], {"loud": True}),
        (["--careful", "false"], {"careful": False}),
        (["--option", "a=b=c", "--option", "d="], {"options": {"a": "b=c", "d": ""}}),
        (["some text"], {"text": "some text"}),
        (["--folds", "5", "text"], {"folds": 5, "text": "text"}),
        (["text", "--folds", "5"], {"folds": 5, "text": "text"}),
        (["--", "--folds"], {"text": "--folds"}),
        (["--folds", "5", "--", "--odd_a-b"], {"folds": 5, "text": "--odd_a-b"}),
        (["-1"], {"text": "-1"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_become_fields(words, fields) -> None:
    assert given(parse(*words), Options) == fields
    assert take(parse(*words), Options) == Options(**fields)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foldz", "3"], "unrecognized argument '--foldz'. Did you mean '--folds'?"),
        (["--fold", "3"], "unrecognized argument '--fold'. Did you mean '--folds'?"),
        (["--foldz=3"], "Did you mean '--folds'?"),
        (["text", "more"], "unrecognized argument 'more'."),
        (["--folds", "3.5"], "--folds: '3.5' is no whole number"),
        (["--folds"], "--folds: expected one argument"),
        (["--features", "12,"], "--features: '' is no whole number"),
        (["--features", "1;2"], "--features: '1;2' is no whole number"),
        (["--features", ""], "--features: '' is no whole number"),
        (["--way", "rnak"], "--way: unknown value 'rnak'. Did you mean 'rank'?"),
        (["--careful", "maybe"], "'maybe' must be true or false"),
        (["--option", "a"], "'a' must be NAME=VALUE"),
        (["--option", "=a"], "'=a' must be NAME=VALUE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_that_names_the_command_and_its_help(words, message) -> None:
    with pytest.raises(UserError) as raised:
        parse(*words)
    line = str(raised.value)
    assert message in line and "\n" not in line
    assert line.startswith("try: ") and line.endswith(" (saetask try --help)")


@dataclass(frozen=True)
class Required:
    """A text that must be given, and a number."""

    text: str
    """The text."""
    folds: int = 5
    """A number."""


@pytest.mark.parametrize("words", [["--odd"], ["-odd"], ["--folds", "3", "--odd"]], ids=" ".join)
@pytest.mark.parametrize("config", [Options, Required])
def test_a_text_taken_for_a_flag_is_named_with_the_hyphens_to_put_before_it(config, words) -> None:
    parser = CommandParser(prog="saetask try")
    parser.add_fields(config, ("text",))
    with pytest.raises(UserError) as raised:
        parser.parse_args(words)
    line = str(raised.value)
    assert f"unrecognized argument '{words[-1]}'." in line
    assert f"If it is the TEXT, put -- before it: 'saetask try -- {words[-1]}'" in line
    assert parser.parse_args([*words[:-1], "--", words[-1]]).text == words[-1]


def test_a_misspelt_flag_beside_the_text_is_not_taken_for_a_text() -> None:
    parser = CommandParser(prog="saetask try")
    parser.add_fields(Options, ("text",))
    with pytest.raises(UserError) as raised:
        parser.parse_args(["text", "--foldz", "3"])
    assert "stands after --" not in str(raised.value)


def test_a_missing_text_without_such_a_word_is_what_is_named() -> None:
    parser = CommandParser(prog="saetask try")
    parser.add_fields(Required, ("text",))
    for words in ([], ["--folds", "3"], ["--folds", "-3"]):
        with pytest.raises(UserError, match="required: TEXT"):
            parser.parse_args(words)


def test_the_help_tells_types_and_defaults(capsys) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    lines = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert {
        "TEXT The text.",
        "--fit-data PATH A file.",
        "--names NAME,... Some names (default: a,b).",
        "--features N,... Some numbers.",
        "--way {rank,generate} A choice (default: rank).",
        "--share X A share, of 100 % (default: 0.5).",
        "--folds N A number (default: 5).",
        "--loud A switch.",
        "--careful {true,false} A switch that is on (default: true).",
        "--option NAME=VALUE Options.",
    } <= lines
