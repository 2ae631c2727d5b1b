"""The command `saetask dictionary falsify`: try to prove features' labels wrong."""

from typing import TYPE_CHECKING, Any

from saetask.cli_flags import (
    declare_endpoint,
    declare_engine,
    declare_insist,
    declare_json,
    declare_model,
    endpoint_of,
    engine_of,
    print_json,
)
from saetask.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def declare_falsify(parser: "ArgumentParser") -> None:
    parser.add_argument("folder", type=str, help="A dictionary folder.")
    parser.add_argument("--features", type=str, required=True, help="Their numbers: 12,40")
    declare_model(parser)
    parser.add_argument(
        "--texts", type=int, default=24, help="Texts of each kind to use for a feature, at most."
    )
    parser.add_argument(
        "--data",
        type=str | None,
        default=None,
        help="Texts to try on (.jsonl with a column text, or .txt); default: the contexts that "
        "the dictionary holds.",
    )
    declare_endpoint(parser, "writer", "to write texts to try the features on too")
    parser.add_argument("--seed", type=int, default=0, help="Seed of texts, tokens, directions.")
    declare_engine(parser)
    declare_insist(parser)
    declare_json(parser)


def falsify(arguments: "Namespace") -> None:
    from saetask import Dictionary
    from saetask.cli_tables import falsification_table, print_table, writing_table
    from saetask.dictionary.falsification import FALSIFICATION, FalsifyConfig, check_config
    from saetask.dictionary.falsification import falsify as falsify_features
    from saetask.dictionary.writer import Writer
    from saetask.engines.opening import open_engine
    from saetask.models import load_model
    from saetask.sae_check import check_sae
    from saetask.saes import load_sae

    features = feature_numbers(arguments.features)
    endpoint = endpoint_of(arguments, "writer")
    writer = None if endpoint is None else Writer(endpoint)
    config = FalsifyConfig(features, arguments.texts, arguments.data, arguments.seed)
    engine = engine_of(arguments)
    engine.check()
    dictionary = Dictionary.load(arguments.folder)
    check_config(dictionary, config)
    model, sae = load_model(arguments.model), load_sae(arguments.sae)
    dictionary.check(model, sae)
    check_sae(model, sae, insist=arguments.insist_on_sae)
    with open_engine(engine, arguments.model, model) as opened:
        found = falsify_features(model, sae, dictionary, config, writer, opened)
    if arguments.json:
        print_json(found)
        return
    print_table(falsification_table(found))
    if writer:
        print_table(writing_table(found))
        print(writer_text(found["writer"]))
    for line in untested_lines(found):
        print(line)
    print(f"{dictionary.folder / FALSIFICATION}: written")


def feature_numbers(text: str) -> tuple[int, ...]:
    """Returns the numbers in a list such as `12,40`, each once.

    Raises:
        UserError: Something in it is no number.
    """
    for part in text.split(","):
        if not part.strip().isdecimal():
            raise UserError(
                f"--features {text}: {part!r} is no feature number; give numbers such as 12,40."
            )
    return tuple(dict.fromkeys(int(part) for part in text.split(",")))


def untested_lines(found: dict[str, Any]) -> list[str]:
    """Returns a line for each test that could not be had, with the reason."""
    return [
        f"feature {entry['feature']}: no {test} test: {tests[test]['reason']}"
        for entry in found["features"]
        for tests in ({**entry, **entry.get("writing", {})},)
        for test in ("injection", "ablation", "paraphrase", "counterexample")
        if "reason" in tests.get(test, {})
    ]


def writer_text(figures: dict[str, Any]) -> str:
    """Returns how the writer fared and what it cost, in a line."""
    return (
        f"writer {figures['model']}: {figures['failed']} of {figures['questions']} questions "
        f"failed; {figures['prompt_tokens']} tokens read, {figures['completion_tokens']} written"
    )
