"""Runs all tests of features of a dictionary and writes `falsification.json`."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import TokenRow
from saetask.dictionary.falsify.ablation import HORIZON
from saetask.dictionary.falsify.base import (
    MIN_TEXTS,
    FalsifyConfig,
    FeatureUnderTest,
    SkippedTest,
)
from saetask.dictionary.falsify.document import (
    FALSIFICATION,
    SCHEMA_VERSION,
    Falsification,
    FalsificationSettings,
)
from saetask.dictionary.falsify.feature_tests import (
    FeatureTests,
    describe_tests,
    run_feature_tests,
)
from saetask.dictionary.falsify.generated_tests import (
    describe_generated_text_tests,
    run_generated_text_tests,
)
from saetask.dictionary.falsify.injection import LONGEST_INJECTION, N_TRIGGERS
from saetask.dictionary.falsify.text_pool import (
    OTHERS_PER_TEXT,
    ROW_TOKENS,
    context_rows,
    file_rows,
    read_text_pool,
)
from saetask.dictionary.falsify.text_requests import Writer
from saetask.errors import UserError
from saetask.models.loading import context_size, model_tokenizer
from saetask.saes.interventions import N_DIRECTIONS
from saetask.utils.progress import counted

if TYPE_CHECKING:
    from saetask.dictionary.dictionary import Dictionary
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


def check_config(dictionary: "Dictionary", config: FalsifyConfig) -> None:
    """Refuses tests that can not be run, before any model is loaded.

    Raises:
        UserError: No or too few texts, an unknown feature, or none that ever fired.
    """
    if config.texts < MIN_TEXTS:
        raise UserError(
            f"--texts is {config.texts}; it must be {MIN_TEXTS} or more for a significant result."
        )
    if config.data is not None and not Path(config.data).is_file():
        raise UserError(f"--data {config.data} does not exist; give a .jsonl or .txt file.")
    cards = [dictionary.feature(feature) for feature in config.features]
    if all(card.is_dead for card in cards):
        features = ", ".join(str(feature) for feature in config.features)
        raise UserError(
            f"No contexts in {dictionary.folder} for any of --features {features}: they never "
            "fired when it was built; choose others (saetask dictionary search)."
        )


def falsify(
    model: "Model",
    sae: "SAE[Any]",
    dictionary: "Dictionary",
    config: FalsifyConfig,
    writer: Writer | None = None,
    executor: Executor | None = None,
) -> Falsification:
    """Tests features of a dictionary, and writes the results to `falsification.json`.

    The p-values of each test are corrected over the features tested (Benjamini & Hochberg 1995).

    Args:
        model: The model that the dictionary was built with.
        sae: The SAE that it describes; see `check_sae`.
        dictionary: The dictionary.
        config: The features, and the texts to test them on.
        writer: A language model that writes texts; None leaves out the tests on such texts.
        executor: Reads texts and edits features; None does so in this process.

    Returns:
        The document written: settings, fingerprints, and one entry for each feature.

    Raises:
        UserError: Another model or SAE, no feature or text to test, or a writer that can not be
            reached.
    """
    dictionary.check(model, sae)
    check_config(dictionary, config)
    executor = executor or LocalExecutor(model)
    cards = [dictionary.feature(feature) for feature in config.features]
    features = [FeatureUnderTest(column, card) for column, card in enumerate(cards)]
    rows = _rows(model, dictionary, config)
    pool = read_text_pool(model, sae, rows, config.features, config.texts, executor)
    # The writer first: an unreachable one is noticed at once, the rest takes long.
    generated = writer and run_generated_text_tests(
        writer, model, sae, dictionary, pool, config, executor
    )
    results = executor.map(partial(run_feature_tests, sae, pool, config), features)
    tests = list(counted(results, len(features), "falsify", "feature"))
    if not (generated and generated.any_completed):
        _refuse_if_all_skipped(tests, len(pool.rows))
    entries, figures = describe_tests(tests), {}
    if generated:
        figures = {"writer": generated.figures}
        entries = [
            entry.model_copy(update={"writing": writing})
            for entry, writing in zip(entries, describe_generated_text_tests(generated.tests))
        ]
    document = Falsification(
        schema_version=SCHEMA_VERSION,
        model=dictionary.manifest.model,
        sae=dictionary.manifest.sae,
        settings=_settings(config, len(pool.rows)),
        features=entries,
        **figures,
    )
    document.write(dictionary.folder / FALSIFICATION)
    return document


def _settings(config: FalsifyConfig, n_texts: int) -> FalsificationSettings:
    return FalsificationSettings(
        features=list(config.features),
        texts=config.texts,
        data=config.data,
        seed=config.seed,
        pieces=N_TRIGGERS,
        directions=N_DIRECTIONS,
        horizon=HORIZON,
        texts_read=n_texts,
    )


def _refuse_if_all_skipped(tests: Sequence[FeatureTests], n_rows: int) -> None:
    reasons = [
        f"feature {each.feature}: {test.reason}"
        for each in tests
        for test in (each.injection, each.ablation)
        if isinstance(test, SkippedTest)
    ]
    if len(reasons) == 2 * len(tests):
        raise UserError(
            f"No feature could be tried on the {n_rows} texts read ({reasons[0]}; {reasons[1]}); "
            "give more texts with --data."
        )


def _rows(model: "Model", dictionary: "Dictionary", config: FalsifyConfig) -> Iterator[TokenRow]:
    """Yields the texts: of the data file, else the dictionary's own contexts."""
    tokenizer = model_tokenizer(model)
    longest = min(ROW_TOKENS, context_size(model) - LONGEST_INJECTION)
    if config.data is not None:
        return file_rows(Path(config.data), tokenizer, longest)
    n_others = OTHERS_PER_TEXT * config.texts
    rows = context_rows(dictionary, config.features, tokenizer, n_others, config.seed)
    return (row for row in rows if len(row.token_ids) <= longest)
