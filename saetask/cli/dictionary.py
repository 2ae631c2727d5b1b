"""The commands `saetask dictionary ...`: build, validate, show, search, export."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.cli.options import (
    compute_of,
    declare_allow_mismatch,
    declare_compute,
    declare_endpoint,
    declare_json,
    declare_model,
    declare_option,
    endpoint_of,
    options_of,
    print_json,
    read_config,
    registry_of,
)
from saetask.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from saetask.data.corpus import CorpusConfig
    from saetask.dictionary.evaluate.judge import Judge

TEST_SHARE = 0.1
"""Share of documents for the selection and for the test split, where the corpus is one file."""


def declare_build(parser: "ArgumentParser") -> None:
    declare_model(parser)
    parser.add_argument("--corpus", type=str, required=True, help="Text file, hub id, or YAML.")
    parser.add_argument("--tokens", type=int, default=500_000, help="Build tokens to read.")
    parser.add_argument(
        "--sample_rows",
        type=int,
        default=1024,
        help="Rows of each split in which every firing is kept, to make and try labels on.",
    )
    parser.add_argument("--labeler", type=str, default="keywords", help="A labeler plugin.")
    declare_option(parser, "labeler")
    parser.add_argument("--seed", type=int, default=0, help="Seed of examples and controls.")
    parser.add_argument("--out", type=str, required=True, help="Dictionary folder to write.")
    declare_compute(parser)
    declare_allow_mismatch(parser)
    declare_json(parser)


def build(arguments: "Namespace") -> None:
    from saetask.compute.config import open_executor
    from saetask.dictionary.collect.corpus_pass import BuildConfig, read_corpus
    from saetask.dictionary.label.base import configured
    from saetask.dictionary.label.build import build as build_dictionary
    from saetask.dictionary.store import MANIFEST
    from saetask.models.loading import load_model
    from saetask.saes.compatibility import check_sae
    from saetask.saes.loading import load_sae

    for name in ("tokens", "sample_rows"):
        if getattr(arguments, name) < 1:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} is {getattr(arguments, name)}; it must be 1 or more.")
    engine = compute_of(arguments)
    engine.check()
    corpus, base = _corpus(arguments.corpus)
    labeler = registry_of(arguments).get("labeler", arguments.labeler)
    labeler = configured(labeler, options_of(arguments, "labeler"))
    config = BuildConfig(corpus, arguments.tokens, arguments.sample_rows, arguments.seed)
    model, sae = load_model(arguments.model), load_sae(arguments.sae)
    check_sae(model, sae, allow_mismatch=arguments.allow_sae_mismatch)
    out = Path(arguments.out)
    with open_executor(engine, arguments.model, model) as opened:  # labelling needs no workers
        found = read_corpus(model, sae, config, out, base, opened)
    folder = build_dictionary(model, sae, config, labeler, out, base, found)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if arguments.json:
        print_json(manifest)
    else:
        labels = manifest["labels"]
        failed = f", {labels['failed']} failed" if labels["failed"] else ""
        made = f"{labels['labelled']} of {manifest['n_features']} features labelled{failed}"
        print(f"{folder}: {made}; next: saetask dictionary validate {folder}")


def declare_validate(parser: "ArgumentParser") -> None:
    parser.add_argument("folder", type=str, help="A dictionary folder, its work/ still there.")
    declare_model(parser)
    declare_endpoint(parser, "judge", "to judge labels too")
    parser.add_argument(
        "--judge_features", type=int, default=200, help="Features to judge, drawn at random."
    )
    parser.add_argument(
        "--shuffled_model",
        type=str | None,
        default=None,
        help="A validated dictionary of the model with shuffled weights, as another control.",
    )
    declare_option(parser, "labeler")
    declare_json(parser)


def validate(arguments: "Namespace") -> None:
    from saetask.cli.tables import judge_text, print_table, validation_table
    from saetask.dictionary.evaluate.validation import validate as validate_dictionary
    from saetask.dictionary.label.base import configured, is_in_words
    from saetask.dictionary.store import read_manifest
    from saetask.models.loading import load_model
    from saetask.saes.loading import load_sae

    folder, judge = Path(arguments.folder), _judge(arguments)
    manifest = read_manifest(folder)
    labeler = registry_of(arguments).get("labeler", manifest.labeler)
    if judge or not is_in_words(labeler):  # else it has nothing to label
        options = {**manifest.labels.options, **options_of(arguments, "labeler")}
        labeler = configured(labeler, options)
    model, sae = load_model(arguments.model), load_sae(arguments.sae)
    shuffled = arguments.shuffled_model and Path(arguments.shuffled_model)
    found = validate_dictionary(model, sae, labeler, folder, judge, shuffled).to_dict()
    if arguments.json:
        print_json(found)
    else:
        print_table(validation_table(found))
        print(judge_text(found), end="")


def _judge(arguments: "Namespace") -> "Judge | None":
    from saetask.dictionary.evaluate.judge import Judge

    if arguments.judge_features < 1:
        raise UserError(f"--judge-features is {arguments.judge_features}; it must be 1 or more.")
    endpoint = endpoint_of(arguments, "judge")
    return None if endpoint is None else Judge(endpoint, arguments.judge_features)


def declare_show(parser: "ArgumentParser") -> None:
    parser.add_argument("folder", type=str, help="A dictionary folder.")
    parser.add_argument("feature", type=int, help="Its number.")
    declare_json(parser)


def show(arguments: "Namespace") -> None:
    from saetask import Dictionary

    card = Dictionary.load(arguments.folder).feature(arguments.feature)
    if arguments.json:
        print_json({**card.row, "contexts": card.contexts})
    else:
        print(card.text())


def declare_search(parser: "ArgumentParser") -> None:
    parser.add_argument("folder", type=str, help="A dictionary folder.")
    parser.add_argument("text", type=str, help="Words to look for in labels.")
    parser.add_argument("--limit", type=int, default=10, help="How many features at most.")
    declare_json(parser)


def search(arguments: "Namespace") -> None:
    from saetask import Dictionary

    dictionary = Dictionary.load(arguments.folder)
    found = {i: dictionary.labels[i] for i in dictionary.search(arguments.text, arguments.limit)}
    if arguments.json:
        print_json([{"feature": feature, "label": label} for feature, label in found.items()])
    else:
        print("\n".join(f"{feature:>6}  {label}" for feature, label in found.items()))


def declare_export(parser: "ArgumentParser") -> None:
    parser.add_argument("folder", type=str, help="A dictionary folder.")
    parser.add_argument("--out", type=str, required=True, help="A .jsonl file to write.")


def export(arguments: "Namespace") -> None:
    from saetask.dictionary.export import export_neuronpedia

    print(export_neuronpedia(Path(arguments.folder), Path(arguments.out)))


def _corpus(spec: str) -> "tuple[CorpusConfig, Path]":
    """Returns the corpus that a YAML file describes, or one of a single source."""
    from saetask.data.corpus import CorpusConfig, Source

    path = Path(spec)
    if path.suffix in (".yaml", ".yml"):
        return read_config(path, CorpusConfig, "Corpus file"), path.parent
    config = CorpusConfig([Source(spec)], test_share=TEST_SHARE, selection_share=TEST_SHARE)
    return config, Path()


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
    declare_compute(parser)
    declare_allow_mismatch(parser)
    declare_json(parser)


def falsify(arguments: "Namespace") -> None:
    from saetask import Dictionary
    from saetask.cli.tables import falsification_table, print_table, writing_table
    from saetask.compute.config import open_executor
    from saetask.dictionary.falsify.base import FalsifyConfig
    from saetask.dictionary.falsify.document import FALSIFICATION
    from saetask.dictionary.falsify.runner import check_config
    from saetask.dictionary.falsify.runner import falsify as falsify_features
    from saetask.dictionary.falsify.text_requests import Writer
    from saetask.models.loading import load_model
    from saetask.saes.compatibility import check_sae
    from saetask.saes.loading import load_sae

    features = feature_numbers(arguments.features)
    endpoint = endpoint_of(arguments, "writer")
    writer = None if endpoint is None else Writer(endpoint)
    config = FalsifyConfig(features, arguments.texts, arguments.data, arguments.seed)
    engine = compute_of(arguments)
    engine.check()
    dictionary = Dictionary.load(arguments.folder)
    check_config(dictionary, config)
    model, sae = load_model(arguments.model), load_sae(arguments.sae)
    dictionary.check(model, sae)
    check_sae(model, sae, allow_mismatch=arguments.allow_sae_mismatch)
    with open_executor(engine, arguments.model, model) as opened:
        found = falsify_features(model, sae, dictionary, config, writer, opened).to_dict()
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
