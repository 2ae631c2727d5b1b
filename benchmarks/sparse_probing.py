"""How well a task's readings are told from k inputs alone: SAE features, neurons, random features.

    python -m benchmarks.sparse_probing TASK [--data ITEMS.jsonl] [--limit N] [--saes FOLDER ...]
        [--hooks HOOK ...] [--ks 1 2 4 8 16] [--out FILE]

k-sparse probing (Gurnee et al. 2023, arXiv 2305.01610; as in SAEBench, Karvonen et al. 2025, arXiv
2503.09532). In each of five folds that share no group, each reading is told from the rest: of all
inputs, the k are taken whose class means differ most, in standard deviations within the classes,
on the training part; a logistic regression on these k is fitted there, too. Inputs are, of each
part of the prompt that the task names (`target` and `text`, say) side by side,

- of an SAE, log(1 + largest activation over its tokens) of every feature, and the same of a frozen
  random SAE (`saetask.saes.random_sae`) that is as sparse;
- of a hook point (that of each SAE, and those of `--hooks`), the mean over its tokens of every
  dimension: the neurons.

Prints JSON: the area under the curve (mean over the readings; scores are ranks within their fold;
`--repeats` ways of splitting are taken together), and its difference from that of the neurons at
the same hook point, with intervals over resampled groups. `all` stands for a probe on all inputs.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.command_line import command_parser
from benchmarks.k_sparse_probes import REPEATS, probe_scores
from benchmarks.probe_inputs import LabelledPrompts, labelled_prompts, random_controls, read_inputs
from saetask.errors import one_line_errors
from saetask.models.loading import load_model, model_tokenizer
from saetask.saes.encoding import input_hook
from saetask.saes.loading import load_sae
from saetask.utils.auroc import Auroc, macro_auroc
from saetask.utils.files import write_json
from saetask.utils.progress import stage

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models.loading import Model

KS = (1, 2, 4, 8, 16)
N_RESAMPLES = 500


def probe_all(
    model: "Model",
    data: LabelledPrompts,
    saes: "Mapping[str, SAE[Any]]",
    hooks: Sequence[str] = (),
    ks: Sequence[int | None] = (*KS, None),
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Returns the areas of SAEs, their random controls and the neurons, by k.

    Args:
        model: The model to run.
        data: The prompts.
        saes: SAEs by name.
        hooks: Further hook points whose neurons are probed.
        ks: Numbers of inputs; None stands for all of them.
        repeats: Number of ways of splitting into folds.
    """
    hooks = list(dict.fromkeys([*hooks, *map(input_hook, saes.values())]))
    controls = {f"random {name}": c for name, c in random_controls(model, data, saes).items()}
    inputs = read_inputs(model, data, hooks, {**saes, **controls})
    labels, groups = data.readings * repeats, data.groups * repeats
    scores = {}
    with stage("probe", len(inputs)) as advance:
        for name, own in inputs.items():
            scores[name] = probe_scores(own, data.readings, data.groups, ks, repeats)
            advance(1)

    def areas(name: str, minus: str | None = None) -> dict[str, Any]:
        by_k = {}
        for k in ks:
            other = None if minus is None else scores[minus][k]
            area = macro_auroc(labels, scores[name][k], groups, 0, N_RESAMPLES, other)
            by_k["all" if k is None else str(k)] = _rounded(area)
        return by_k

    document: dict[str, Any] = {"n": len(data.readings), "groups": len(set(data.groups))}
    document["neurons"] = {hook: areas(hook) for hook in hooks}
    document["saes"] = {}
    for name, sae in saes.items():
        hook = input_hook(sae)
        document["saes"][name] = {
            "hook_name": hook,
            "auroc": areas(name),
            "minus_neurons": areas(name, hook),
            "random": areas(f"random {name}"),
            "minus_random": areas(name, f"random {name}"),
        }
    return document


def _rounded(area: Auroc | None) -> dict[str, Any] | None:
    if area is None:
        return None
    interval = None if area.ci95 is None else [round(end, 4) for end in area.ci95]
    return {"value": round(area.value, 4), "ci95": interval}


@one_line_errors("sparse_probing")
def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("python -m benchmarks.sparse_probing", __doc__)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, help="items; without it, the task's built-in ones")
    parser.add_argument("--limit", type=int, help="number of items to draw")
    parser.add_argument("--saes", nargs="*", default=[], help="SAE folders or aliases")
    parser.add_argument("--hooks", nargs="*", default=[], help="further hook points")
    parser.add_argument("--ks", nargs="*", type=int, default=list(KS))
    parser.add_argument("--repeats", type=int, default=REPEATS, help="ways of splitting (3)")
    parser.add_argument("--out", type=Path, help="write the document there, too")
    options = parser.parse_args(given)
    model = load_model()
    data = labelled_prompts(options.task, model_tokenizer(model), options.data, options.limit)
    saes = {Path(folder).name: load_sae(folder) for folder in options.saes}
    ks = [*options.ks, None]
    found = probe_all(model, data, saes, options.hooks, ks, options.repeats)
    document = {"task": options.task, "data": options.data and options.data.name, **found}
    if options.out:
        write_json(options.out, document)
    print(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
