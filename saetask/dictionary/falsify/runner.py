"""Trying to prove what a dictionary says of features wrong.

Tokens are injected, features edited, and new texts written by a language model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import TokenRow
from saetask.dictionary.falsify.ablation import (
    HORIZON,
    AblationResult,
    ablation_finding,
    compare_effects,
    edit_effects,
)
from saetask.dictionary.falsify.base import FEWEST_TEXTS, FalsifyConfig, SkippedTest, corrected
from saetask.dictionary.falsify.generated_tests import described_writing, try_writing
from saetask.dictionary.falsify.injection import (
    LONGEST_INJECTION,
    N_PIECES,
    ControlTokens,
    InjectionResult,
    Piece,
    injection_finding,
    injection_test,
    pieces_of,
)
from saetask.dictionary.falsify.text_pool import (
    OTHERS_PER_TEXT,
    ROW_TOKENS,
    TextPool,
    context_rows,
    drawn,
    file_rows,
    read_pool,
    row_maxima,
)
from saetask.dictionary.falsify.text_requests import Writer
from saetask.dictionary.label.tables import median_activation
from saetask.errors import UserError
from saetask.models.loading import context_size, model_tokenizer
from saetask.saes.corpus_extraction import extract_token_activations
from saetask.saes.interventions import N_DIRECTIONS, random_directions
from saetask.utils.files import write_json

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.dictionary.dictionary import Card, Dictionary
    from saetask.models.loading import Model

FALSIFICATION = "falsification.json"
SCHEMA_VERSION = 1
NO_CONTEXTS = "no contexts"


@dataclass(frozen=True)
class Attempt:
    """What was tried on one feature."""

    feature: int
    label: str
    injection: InjectionResult | SkippedTest
    ablation: AblationResult | SkippedTest


def check_config(dictionary: "Dictionary", config: FalsifyConfig) -> None:
    """Refuses what can not be tried, before any model is loaded.

    Raises:
        UserError: No or too few texts, an unknown feature, or none that ever fired.
    """
    if config.texts < FEWEST_TEXTS:
        raise UserError(f"--texts is {config.texts}; with fewer than {FEWEST_TEXTS} nothing shows.")
    if config.data is not None and not Path(config.data).is_file():
        raise UserError(f"--data {config.data} does not exist; give a .jsonl or .txt file.")
    cards = [dictionary.feature(feature) for feature in config.features]
    if all(card.is_dead for card in cards):
        shown = ", ".join(str(feature) for feature in config.features)
        raise UserError(
            f"No contexts in {dictionary.folder} for any of --features {shown}: they never fired "
            "when it was built; choose others (saetask dictionary search)."
        )


def falsify(
    model: "Model",
    sae: "SAE[Any]",
    dictionary: "Dictionary",
    config: FalsifyConfig,
    writer: Writer | None = None,
    engine: Executor | None = None,
) -> dict[str, Any]:
    """Tries to prove features wrong, and writes what came of it to `falsification.json`.

    The p-values of each test are corrected over the features tested (Benjamini & Hochberg 1995).

    Args:
        model: The model that the dictionary was built with.
        sae: The SAE that it describes; see `check_sae`.
        dictionary: The dictionary.
        config: What to try.
        writer: Who writes texts to try features on; None leaves those tests out.
        engine: Where texts are read and features edited; None does so here.

    Returns:
        The document written: settings, fingerprints, and one entry a feature.

    Raises:
        UserError: Another model or SAE, nothing to try, no text on which to try it, or a writer
            that can not be reached.
    """
    from tqdm import tqdm

    dictionary.check(model, sae)
    check_config(dictionary, config)
    engine = engine or LocalExecutor(model)
    cards = [dictionary.feature(feature) for feature in config.features]
    rows = _rows(model, dictionary, config)
    pool = read_pool(model, sae, rows, config.features, config.texts, engine)
    # The writer first: whether it can be reached is known at once, the rest takes long.
    written = writer and try_writing(writer, model, sae, dictionary, pool, config, engine)
    found = engine.map(partial(_attempt, sae, pool, config), enumerate(cards))
    attempts = list(tqdm(found, total=len(cards), desc="falsify"))
    if not (written and written.tested):
        _refuse_if_untested(attempts, len(pool.rows))
    manifest = dictionary.manifest
    document = {
        "schema_version": SCHEMA_VERSION,
        "model": manifest["model"],
        "sae": manifest["sae"],
        "settings": {
            **asdict(config),
            "pieces": N_PIECES,
            "directions": N_DIRECTIONS,
            "horizon": HORIZON,
            "texts_read": len(pool.rows),
        },
        "features": described(attempts),
    }
    if written:
        document["writer"] = written.figures
        for entry, found in zip(document["features"], described_writing(written.attempts)):
            entry["writing"] = found
    write_json(dictionary.folder / FALSIFICATION, document)
    return document


def _refuse_if_untested(attempts: Sequence[Attempt], n_rows: int) -> None:
    reasons = [
        f"feature {attempt.feature}: {part.reason}"
        for attempt in attempts
        for part in (attempt.injection, attempt.ablation)
        if isinstance(part, SkippedTest)
    ]
    if len(reasons) == 2 * len(attempts):
        raise UserError(
            f"No feature could be tried on the {n_rows} texts read ({reasons[0]}; {reasons[1]}); "
            "give more texts with --data."
        )


def described(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Returns attempts as plain data, with corrected p-values and what they say."""
    entries: list[dict[str, Any]] = [{"feature": a.feature, "label": a.label} for a in attempts]
    tests = {
        "injection": ([a.injection for a in attempts], _described_injection),
        "ablation": ([a.ablation for a in attempts], _described_ablation),
    }
    for name, (results, describe) in tests.items():
        for entry, found, q_value in zip(entries, results, corrected(results)):
            if isinstance(found, SkippedTest):
                entry[name] = {"finding": NO_CONTEXTS, "reason": found.reason}
            else:
                entry[name] = {**describe(found, q_value), "q_value": q_value}
    return entries


def _described_injection(found: InjectionResult, q_value: float) -> dict[str, Any]:
    return {
        "finding": injection_finding(found, q_value),
        "n_texts": found.n_texts,
        "best": found.best.strategy,
        "p_value": found.p_value,
        "strategies": [way._asdict() for way in found.strategies],
    }


def _described_ablation(found: AblationResult, q_value: float) -> dict[str, Any]:
    figures = {**found._asdict(), "random_range": list(found.random_range)}
    return {"finding": ablation_finding(found, q_value), **figures}


def _rows(model: "Model", dictionary: "Dictionary", config: FalsifyConfig) -> Iterator[TokenRow]:
    tokenizer = model_tokenizer(model)
    longest = min(ROW_TOKENS, context_size(model) - LONGEST_INJECTION)
    if config.data is not None:
        return file_rows(Path(config.data), tokenizer, longest)
    n_others = OTHERS_PER_TEXT * config.texts
    rows = context_rows(dictionary, config.features, tokenizer, n_others, config.seed)
    return (row for row in rows if len(row.token_ids) <= longest)


def _attempt(
    sae: "SAE[Any]",
    pool: TextPool,
    config: FalsifyConfig,
    model: "Model",
    column_and_card: "tuple[int, Card]",
) -> Attempt:
    """Tries one feature; its tests share nothing with those of another."""
    column, card = column_and_card
    return Attempt(
        config.features[column],
        card.label,
        _try_injection(model, sae, pool, column, card, config),
        _try_ablation(model, sae, pool, column, config),
    )


def _try_injection(
    model: "Model",
    sae: "SAE[Any]",
    pool: TextPool,
    column: int,
    card: "Card",
    config: FalsifyConfig,
) -> InjectionResult | SkippedTest:
    tokenizer = model_tokenizer(model)
    feature = config.features[column]
    pieces: list[Piece] = pieces_of(card.row, tokenizer)
    if card.is_dead or not pieces:
        return SkippedTest("it never fired" if card.is_dead else "no token of its own to inject")
    silent = pool.silent(column)
    if len(silent) < FEWEST_TEXTS:
        return SkippedTest(
            f"silent in {len(silent)} of {len(pool.rows)} texts, {FEWEST_TEXTS} needed"
        )
    allowed = ~pool.often[column]
    allowed[[*tokenizer.all_special_ids, *(i for piece in pieces for i in piece.token_ids)]] = False
    controls = ControlTokens(pool.counts, allowed)
    if not len(controls.token_ids):
        return SkippedTest("it fires often on every token that occurs")
    seed = [config.seed, feature, 0]

    def maxima(rows: list[list[int]]) -> np.ndarray:
        read = extract_token_activations(model, [sae], [TokenRow("", "", row) for row in rows])[0]
        return row_maxima(read, [feature])[:, 0]

    texts = [row.token_ids for row in drawn(silent, config.texts, seed)]
    n_fixed = 0 if tokenizer.bos_token_id is None else 1
    natural = median_activation(card.row)
    return injection_test(maxima, texts, pieces, controls, natural, n_fixed, seed)


def _try_ablation(
    model: "Model",
    sae: "SAE[Any]",
    pool: TextPool,
    column: int,
    config: FalsifyConfig,
) -> AblationResult | SkippedTest:
    feature = config.features[column]
    seed = [config.seed, feature, 1]
    directions = random_directions(sae.W_dec.shape[1], seed)
    texts = drawn(pool.firing(column), config.texts, seed)
    found = [edit_effects(model, sae, row.token_ids, feature, directions) for row in texts]
    effects = [effect for effect in found if effect is not None]
    if len(effects) < FEWEST_TEXTS:
        return SkippedTest(
            f"fires in {len(effects)} of {len(pool.rows)} texts, {FEWEST_TEXTS} needed"
        )
    return compare_effects(np.array(effects), config.seed)
