"""Discovery on planted truth: what is found of it, and what is found that is not there.

    python -m benchmarks.discovery_power --texts FILE [--field text] [--prompts 5000] [--work DIR]
        [--sizes 200 500 ...] [--differences 0.05 0.1 ...] [--seeds 200] [--out FILE]
    python -m benchmarks.discovery_power --page FILE

Texts of a JSONL file are read once as running text through the default SAE and through a random
dictionary. Then failures are drawn: each prompt fails with `BASE`, and with the difference more
where the plant is (see `planted_failures`). For each plant, size, difference and seed, the search
of `saetask discover` is made with

- `concepts`: concepts, then features, of the SAE (what `saetask discover` does),
- `features`: features alone,
- `words`: words and n-grams,
- `random`: random groups and features of a random dictionary,
- `word classes`: the classes and lists of words that concepts are named after, without any model:
  what one would find who had thought of them.

Of the confirmed hypotheses it is counted, the same for every arm, how often one is *found* whose
prompts have the plant at least `ENRICHED` times as often as all prompts have it, how often such a
one is also *named* after the plant (concept plant: see `NAMES_OF_LOSS`), which share of their
prompts is planted (*precision*), which share of them is *false*: where it is present, the true
probability of failure, given the confounders, is not higher; and how many of them are said to need
the SAE.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.command_line import command_parser
from benchmarks.pages import ROOT, environment
from benchmarks.planted_failures import (
    NAMES_OF_LOSS,
    PLANTS,
    Plant,
    balanced,
    drawn_prompts,
    make_plants,
)
from benchmarks.power_chart import write_chart
from benchmarks.power_texts import Texts, read_texts, texts_of
from benchmarks.real_discoveries import DOCUMENT
from saetask.discovery.controls import word_families
from saetask.discovery.hypotheses import Family
from saetask.discovery.score_tests import residuals
from saetask.discovery.search import Found, Log, chosen_hypotheses, search
from saetask.discovery.splitting import Halves
from saetask.discovery.words_alone import compare_with_words
from saetask.errors import UserError, one_line_errors
from saetask.report.numbers import points, points_interval
from saetask.utils.files import read_json, write_json, write_text
from saetask.utils.progress import stage

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

BASE, SHARE, Q = 0.25, 0.25, 0.05
SIZES, DIFFERENCES = (100, 250, 500, 1000, 2000, 5000), (0.05, 0.1, 0.2, 0.3, 0.4)
LOGS_AT_A_TIME = 20
"""Draws of failures that share prompts and halves."""
ENRICHED = 2.0
NO_DIFFERENCE = 0.005
"""A true difference up to this counts as none."""
N_PERMUTATIONS = 499
PAGE = ROOT / "docs" / "discovery.md"


class Draw(NamedTuple):
    """Prompts, their halves, and the true probabilities of failure."""

    places: "Int64[np.ndarray, ' n']"
    logs: list[Log]
    rates: "Float64[np.ndarray, ' n']"
    planted: "Float64[np.ndarray, ' n']"


def draw(texts: Texts, plant: Plant, n: int, difference: float, seed: int, n_logs: int) -> Draw:
    """Draws prompts, halves, and the failures of several logs."""
    generator = np.random.default_rng([seed, n])
    share = SHARE if plant.kind == "concept" else float(plant.planted.mean())
    places = drawn_prompts(plant.planted, n, share, generator)
    planted = plant.planted[places]
    rates = BASE + difference * planted
    halves = Halves(*map(np.sort, np.array_split(generator.permutation(len(places)), 2)))
    given, groups = texts.confounders[places], np.arange(len(places))
    logs = [
        Log((generator.random(len(places)) < rates).astype(float), given, groups, halves)
        for _ in range(n_logs)
    ]
    return Draw(places, logs, rates, planted.astype(float))


def figures(
    texts: Texts, arm: str, plant: Plant, n: int, difference: float, n_seeds: int
) -> dict[str, Any]:
    """Returns what an arm finds of a plant, over draws of prompts and failures."""
    counts: list[dict[str, float]] = []
    precisions: list[float] = []
    needing: list[bool] = []
    size = 0
    for seed in range(-(-n_seeds // LOGS_AT_A_TIME)):
        n_logs = min(LOGS_AT_A_TIME, n_seeds - seed * LOGS_AT_A_TIME)
        drawn = draw(texts, plant, n, difference, seed, n_logs)
        size = len(drawn.places)
        families = [family.rows(drawn.places) for family in texts.arms[arm]]
        for log, found in zip(drawn.logs, search(families, drawn.logs, seed, N_PERMUTATIONS)):
            one = _counted(families, drawn, log, found)
            counts.append(one.counts)
            precisions += one.precisions
            if arm == "concepts" and plant.kind in ("concept", "word") and one.precisions:
                needing += _needing(texts, drawn, log, found)
    document: dict[str, Any] = {"arm": arm, "n": size, "difference": difference}
    document |= {name: float(np.mean([each[name] for each in counts])) for name in counts[0]}
    document["precision"] = float(np.mean(precisions)) if precisions else None
    document["needs_sae"] = float(np.mean(needing)) if needing else None
    return document


class _Counted(NamedTuple):
    counts: dict[str, float]
    precisions: list[float]


def _counted(families: Sequence[Family], drawn: Draw, log: Log, found: Found) -> _Counted:
    """Judges what was confirmed in one log by the planted truth."""
    confirmed = np.flatnonzero(found.confirmed(Q))
    half = log.halves.confirmation
    presence = found.presence[half][:, confirmed].astype(float)
    left = residuals(presence, log.adjusted(half).basis)
    true = left.T @ drawn.rates[half] / np.maximum((left**2).sum(0), 1e-9)
    precisions = presence.T @ drawn.planted[half] / np.maximum(presence.sum(0), 1)
    base = drawn.planted[half].mean()
    found_it = (precisions >= ENRICHED * base) & (base > 0)
    names = chosen_hypotheses(families, [found.choices[i] for i in confirmed])
    named = [any(word in f"{each.id} {each.name}" for word in NAMES_OF_LOSS) for each in names]
    counts = {
        "chosen": float(len(found.choices)),
        "confirmed": float(len(confirmed)),
        "any": float(len(confirmed) > 0),
        "found": float(found_it.any()),
        "named": float((found_it & np.array(named, dtype=bool)).any()) if names else 0.0,
        "false_discoveries": float(np.mean(true <= NO_DIFFERENCE)) if names else 0.0,
    }
    return _Counted(counts, precisions.tolist())


def _needing(texts: Texts, drawn: Draw, log: Log, found: Found) -> list[bool]:
    """Returns whether each confirmed hypothesis tells what words do not."""
    by_words = [
        search([f.rows(drawn.places) for f in texts.arms[arm]], [log], 0, N_PERMUTATIONS)[0]
        for arm in ("words", "word classes")
    ]
    words = texts.words.all
    words = words._replace(presence=words.presence[drawn.places])
    beyond = compare_with_words(found, by_words, words, log, Q, 0, N_PERMUTATIONS)
    return [each.needs_sae for each in beyond if each.needs_sae is not None]


def measure(
    texts: Texts, sizes: Sequence[int], differences: Sequence[float], n_seeds: int, n_null: int
) -> dict[str, Any]:
    """Returns the figures of every plant, arm, size and difference."""
    kept = balanced(texts.texts, np.random.default_rng(0))
    texts = Texts(
        [texts.texts[i] for i in kept],
        {arm: [f.rows(kept) for f in families] for arm, families in texts.arms.items()},
        word_families([texts.texts[i] for i in kept]),
        texts.confounders[kept],
        texts.n_tokens[kept],
    )
    texts.arms["words"] = texts.words.families
    plants = make_plants(texts.texts, texts.n_tokens)
    sizes = sorted({min(n, len(texts.texts)) for n in sizes})
    cases = [
        (plant, n, difference, arm)
        for plant in plants
        for n in sizes
        for difference in (differences if plant.kind != "nothing" else (0.0,))
        for arm in texts.arms
    ]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in PLANTS}
    with stage("discovery", len(cases), unit="case") as advance:
        for plant, n, difference, arm in cases:
            seeds = n_null if plant.kind == "nothing" else n_seeds
            rows[plant.kind].append(figures(texts, arm, plant, n, difference, seeds))
            advance(1)
    return {
        "n_texts": len(texts.texts),
        "base_rate": BASE,
        "q": Q,
        "n_seeds": {"planted": n_seeds, "nothing": n_null},
        "plants": {plant.kind: plant.description for plant in plants},
        "results": rows,
    }


def write_page(document: dict[str, Any]) -> None:
    """Writes the page of the documentation, and its picture."""
    pages = environment()
    pages.filters.update(zip=zip, points=points, points_interval=points_interval)
    template = pages.get_template("discovery.md.jinja")
    real = read_json(DOCUMENT)
    write_text(PAGE, template.render(document=document, percent=_percent, dict=dict, real=real))
    write_chart(document)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


@one_line_errors("discovery_power")
def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("python -m benchmarks.discovery_power", __doc__)
    parser.add_argument("--texts", type=Path, help="JSONL file, which may be compressed by gzip")
    parser.add_argument("--field", default="text", help="its field that holds the text")
    parser.add_argument("--prompts", type=int, default=5000, help="largest number of texts to read")
    parser.add_argument("--work", type=Path, help="folder that keeps what was read")
    parser.add_argument("--sizes", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--differences", nargs="*", type=float, default=list(DIFFERENCES))
    parser.add_argument("--seeds", type=int, default=40, help="draws of planted failures")
    parser.add_argument("--null-seeds", type=int, default=200, help="draws without a plant")
    parser.add_argument("--out", type=Path, help="write the document there, too")
    parser.add_argument("--page", type=Path, help="write the page from such a document")
    options = parser.parse_args(given)
    if options.page:
        write_page(json.loads(options.page.read_text(encoding="utf-8")))
        return 0
    if options.texts is None:
        raise UserError("Give texts with --texts, or a document with --page.")
    texts = read_texts(texts_of(options.texts, options.field, options.prompts), options.work)
    found = measure(texts, options.sizes, options.differences, options.seeds, options.null_seeds)
    document = {"texts": options.texts.name, **found}
    if options.out:
        write_json(options.out, document)
    print(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
