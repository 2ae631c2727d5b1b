"""The null: where the gold answers are permuted over the items, nothing is gained and found.

To end within minutes it tries fewer settings of the probe (`QuickProbe`), one note template, and a
third of the sentences.
"""

from dataclasses import replace

import numpy as np
import pytest

from saetask.data.folds import ItemSet, SplitConfig, make_folds
from saetask.data.samples import make_samples
from saetask.detection.baselines import dense_probe
from saetask.experiments import runner
from saetask.experiments.arms import arms_named
from saetask.experiments.context import ExperimentSettings, make_context
from saetask.experiments.metrics import summarise
from saetask.experiments.observation import observe
from saetask.inference.client import ModelClient
from saetask_plugins.annotators.sense_note import SenseNote
from saetask_plugins.tasks.metaphor import Metaphor
from tests.helpers.probe_choices import FEW_CHOICES, QuickProbe

SEEDS = range(20)
ARMS = ("original", "gate-only", "gated-placebo", "shuffled", "dense-probe", "saetask")
EVERY_GROUP = 3
"""Every third verb is taken, 150 sentences: all of them would take three times as long."""


class OneNote(SenseNote):
    """The first note alone, after the sentence: few prompts are to be answered."""

    def candidates(self, misunderstanding, labels):
        return super().candidates(misunderstanding, labels)[:1]


@pytest.fixture(scope="module")
def items(sentences):
    groups = sorted({item.group for item in sentences})[::EVERY_GROUP]
    return [item for item in sentences if item.group in groups]


@pytest.fixture(scope="module")
def summaries(model, default_sae, items):
    """The figures of twenty experiments, each with other labels and folds."""
    settings = ExperimentSettings(make_baselines=lambda: [dense_probe(FEW_CHOICES)])
    task, client = Metaphor(), ModelClient(model)
    parts = task, model, default_sae, QuickProbe, [OneNote()], client
    context = make_context(*parts, None, False, settings=settings)
    read = {o.sample.id: o for o in observe(context, make_samples(task, items))}
    arms = arms_named(ARMS)

    def observe_again(context, samples, random_saes, generate):
        return [replace(read[sample.id], sample=sample) for sample in samples]

    found = []
    with pytest.MonkeyPatch.context() as patch:
        # Nothing that is read or answered depends on a label: it is computed once.
        patch.setattr(runner, "observe", observe_again)
        patch.setattr(runner, "score_second_question", lambda *arguments: [])
        for seed in SEEDS:
            golds = np.random.default_rng(seed).permutation([item.gold for item in items])
            permuted = [replace(item, gold=str(gold)) for item, gold in zip(items, golds)]
            folds = make_folds(task, ItemSet(permuted, "permuted"), SplitConfig(seed=seed))
            # The same samples are asked with notes under every seed.
            result = runner.run_experiment([context], folds, arms, False, 0)
            found.append(summarise(result, result.arms, seed))
    return found


def gains(summaries, arm="saetask"):
    return [figures.arms[arm].difference for figures in summaries]


def test_the_mean_gain_over_permuted_labels_is_zero(summaries):
    for arm in ARMS[1:]:
        assert abs(np.mean(gains(summaries, arm))) <= 0.01, (arm, gains(summaries, arm))


def test_next_to_no_gain_is_significant(summaries):
    p_values = [figures.arms["saetask"].holm_p for figures in summaries]
    assert sum(p < 0.05 for p in p_values) <= 1, p_values


def test_next_to_nothing_is_found(summaries, items):
    found = [figures.arms["saetask"].annotated / len(items) for figures in summaries]
    assert np.mean(found) < 0.05, found


def test_the_original_prompt_is_answered_by_chance_and_not_below_it(summaries):
    accuracies = [figures.arms["original"].accuracy for figures in summaries]
    error = np.std(accuracies) / np.sqrt(len(SEEDS))
    assert np.mean(accuracies) == pytest.approx(0.5, abs=3 * error), accuracies
