"""A search for the SAE that reads best, on data that no result is reported on.

    python -m benchmarks.sae_search SEARCH.yaml WORK_FOLDER [--out FILE.json]

`SEARCH.yaml` (see `recipes/sae_search.yaml`) has a recipe, the SAEs that differ from it, and the
data to choose on. The activations of all layers are harvested in one pass; each SAE is trained on
them by saetask's own trainer, and measured: reconstruction and cross-entropy on the corpus's
selection split, k-sparse probing (`benchmarks.sparse_probing`) on the data to choose on, and how
much of its features' firings are on one token. What is finished is skipped by the next start.

Prints the table as Markdown; `--out` gets it as JSON.
"""

import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.command_line import command_parser
from benchmarks.probe_inputs import labelled_prompts
from benchmarks.sae_figures import sae_quality, same_direction_share
from benchmarks.sparse_probing import probe_all
from saetask.cli.config_files import read_config
from saetask.data.corpus import token_rows
from saetask.errors import one_line_errors
from saetask.models.loading import load_model, model_device, model_name, model_tokenizer
from saetask.saes.loading import load_sae
from saetask.saes.metrics import cross_entropy_recovered
from saetask.training import TrainConfig
from saetask.training.activation_store import ActivationShards
from saetask.training.harvest import harvest_hooks
from saetask.training.recipe import check_recipe
from saetask.training.trainer import TrainingJob, fit_and_save
from saetask.utils.files import content_hash, write_json
from saetask.utils.journal import Journal

if TYPE_CHECKING:
    from saetask.models.loading import Model

KS = (1, 2, 4, 8)
LOSS_ROWS = 24


@dataclass(frozen=True)
class ProbingData:
    """Items of a task to choose on."""

    name: str
    task: str
    data: str | None = None
    """A file of items, beside the search's; None takes the task's built-in ones."""
    limit: int | None = None
    """Number of items to draw."""


@dataclass(frozen=True)
class Candidate:
    """An SAE of the search: what differs from the recipe."""

    layer: int
    architecture: str
    d_sae: int
    options: dict[str, Any]
    unigram_relief: float = 0.0
    seed: int = 0

    @property
    def name(self) -> str:
        """A name that tells it from the others."""
        parts = [f"layer{self.layer}", self.architecture, self.d_sae]
        parts += [f"{key}{value}" for key, value in self.options.items()]
        parts += [f"relief{self.unigram_relief:g}"] * bool(self.unigram_relief)
        return re.sub(r"[^\w.-]+", "_", "-".join(map(str, [*parts, f"seed{self.seed}"])))


@dataclass(frozen=True)
class SearchConfig:
    """A search."""

    recipe: TrainConfig
    """What all SAEs share; `{layer}` in `harvest.hook_name` is replaced."""
    saes: list[Candidate] = field(default_factory=list)
    probing: list[ProbingData] = field(default_factory=list)

    def hook_name(self, layer: int) -> str:
        """Returns the hook point of a layer."""
        return self.recipe.harvest.hook_name.replace("{layer}", str(layer))

    def recipe_of(self, sae: Candidate) -> TrainConfig:
        """Returns the recipe of one SAE."""
        hook_name = self.hook_name(sae.layer)
        changes = {k: v for k, v in asdict(sae).items() if k != "layer"}
        return replace(
            self.recipe, harvest=replace(self.recipe.harvest, hook_name=hook_name), **changes
        )


class Search(NamedTuple):
    """A search that runs."""

    config: SearchConfig
    model: "Model"
    base: Path
    """Folder that relative paths are taken from."""
    work: Path


def run(search: Search) -> list[dict[str, Any]]:
    """Trains and measures what is missing; returns a row for every SAE, in the search's order."""
    config = search.config
    for sae in config.saes:
        check_recipe(config.recipe_of(sae))
    train = _harvest(search, "train", config.recipe.harvest.tokens)
    held_out = _harvest(search, "selection", config.recipe.test_tokens)
    folders = {sae.name: _train(search, sae, train[sae.layer]) for sae in config.saes}
    journal = Journal(search.work / "figures.jsonl")
    _measure_quality(search, folders, held_out, journal)
    _probe(search, folders, journal)
    return [
        {
            "name": sae.name,
            **asdict(sae),
            **journal[f"{folders[sae.name].name} quality"],
            "same_direction": _seed_stability(sae, folders),
            "probing": {
                data.name: journal[_probing_key(folders[sae.name], data)] for data in config.probing
            },
        }
        for sae in config.saes
    ]


def _harvest(search: Search, split: Any, tokens: int) -> dict[int, ActivationShards]:
    """Harvests all layers of the search in one pass; returns the shards of each."""
    config = replace(search.config.recipe.harvest, split=split, tokens=tokens)
    layers = {search.config.hook_name(sae.layer): sae.layer for sae in search.config.saes}
    folders = {hook: search.work / "harvest" / split / hook for hook in layers}
    found = harvest_hooks(search.model, config, folders, search.base)
    return {layers[hook]: shards for hook, shards in found.items()}


def _train(search: Search, sae: Candidate, shards: ActivationShards) -> Path:
    """Trains an SAE unless it is there; returns its folder, whose name has its recipe's hash."""
    recipe = search.config.recipe_of(sae)
    identity = content_hash({**asdict(recipe), "harvest": shards.manifest["identity"]})
    out = (search.work / f"{sae.name}-{identity[:8]}").resolve()
    if not (out / "cfg.json").is_file():
        print(f"sae_search: {sae.name}", file=sys.stderr)
        device = "cuda" if model_device(search.model).type == "cuda" else "cpu"
        n_shards = len(shards.shards)
        name = model_name(search.model)
        fit_and_save(
            TrainingJob(recipe, out, name, shards.manifest["identity"], n_shards, device), shards
        )
    return out


def _measure_quality(
    search: Search,
    folders: Mapping[str, Path],
    held_out: Mapping[int, ActivationShards],
    journal: Journal,
) -> None:
    """Measures how SAEs reconstruct the selection split, as far as the journal does not say."""
    tokenizer = model_tokenizer(search.model)
    rows = token_rows(search.config.recipe.harvest.corpus, tokenizer, "selection", search.base)
    texts = [list(row.token_ids) for row in itertools.islice(rows, LOSS_ROWS)]
    for candidate in search.config.saes:
        folder = folders[candidate.name]
        key = f"{folder.name} quality"
        if key not in journal:
            sae = load_sae(folder)
            quality = sae_quality(sae, held_out[candidate.layer])
            quality["cross_entropy_recovered"] = cross_entropy_recovered(search.model, sae, texts)
            journal.add(key, quality)


def _probe(search: Search, folders: Mapping[str, Path], journal: Journal) -> None:
    """Probes SAEs on the data to choose on, as far as the journal does not say."""
    tokenizer = model_tokenizer(search.model)
    for data in search.config.probing:
        keys = {name: _probing_key(folder, data) for name, folder in folders.items()}
        saes = {name: load_sae(folders[name]) for name, key in keys.items() if key not in journal}
        if not saes:
            continue
        path = search.base / data.data if data.data else None
        prompts = labelled_prompts(data.task, tokenizer, path, data.limit)
        probed = probe_all(search.model, prompts, saes, ks=KS)
        found = {
            keys[name]: {**own, "neurons": probed["neurons"][own["hook_name"]]}
            for name, own in probed["saes"].items()
        }
        journal.add_together(found)


def _probing_key(folder: Path, data: ProbingData) -> str:
    return f"{folder.name} {data.name} {data.limit}"


def _seed_stability(sae: Candidate, folders: Mapping[str, Path]) -> float | None:
    """Returns the share of an SAE's features that another seed finds too; None without one."""
    own = replace(sae, seed=0).name.removesuffix("0")
    twins = [f for name, f in folders.items() if name.startswith(own) and name != sae.name]
    if not twins:
        return None
    one, other = (load_sae(folder) for folder in (folders[sae.name], twins[0]))
    return same_direction_share(one, other)


def _described(recipe: TrainConfig) -> dict[str, Any]:
    """Returns what all SAEs of a search share, without the places of files."""
    return {
        "model": Path(recipe.model).name,
        "tokens": recipe.harvest.tokens,
        "samples": recipe.samples,
        "sources": {Path(s.path).name: s.share for s in recipe.harvest.corpus.sources},
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as a Markdown table."""
    names = [*rows[0]["probing"]] if rows else []
    head = ["SAE", "MSE", "FVU", "L0", "dead", "CE", "unigram", "other seed", *names]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [
            row["name"],
            f"{row['normalised_mse']:.3f}",
            f"{row['fvu']:.3f}",
            f"{row['l0']:.0f} ({row['sparsity']:.2%})",
            f"{row['dead_share']:.1%}",
            f"{row['cross_entropy_recovered']:.3f}",
            f"{row['unigram_share']:.2f}",
            "" if row["same_direction"] is None else f"{row['same_direction']:.2f}",
        ]
        for name in names:
            areas = [
                " ".join(f"{row['probing'][name][kind][str(k)]['value']:.2f}" for k in KS)
                for kind in ("auroc", "neurons", "random")
            ]
            cells.append(" / ".join(areas))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


@one_line_errors("sae_search")
def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("python -m benchmarks.sae_search", __doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(given)
    config = read_config(options.config, SearchConfig, "Search")
    model = load_model(config.recipe.model)
    rows = run(Search(config, model, options.config.parent, options.work))
    if options.out:
        write_json(options.out, {**_described(config.recipe), "saes": rows})
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
