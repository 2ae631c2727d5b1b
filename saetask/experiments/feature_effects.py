"""Effects of features that findings name: their activity, and the effect of ablation on answers.

Features are taken by how often findings name them, not by what the edits do. The effect is that on
the log-odds of the model's answer against the reading that was found, in the unannotated prompt,
beside edits of the same length in random directions at the same tokens.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saetask.data.prompts import Prompt, render_answers
from saetask.experiments.context import ExperimentContext
from saetask.experiments.scoring import SampleResult
from saetask.inference.ranking import likeliest
from saetask.models.loading import model_tokenizer
from saetask.report.figures import FeatureEffect
from saetask.saes.encoding import writes_residual
from saetask.saes.extraction import extract_features
from saetask.saes.interventions import edit_feature, random_directions
from saetask.utils.sign_flips import flip_test

FEATURES = 3
ITEMS = 12
"""Maximum number of items per feature."""
DIRECTIONS = 4


class EffectCase(NamedTuple):
    """An annotated item whose finding names the feature."""

    original: Prompt
    annotated: Prompt
    answer: str
    """The candidate that the model chose for the original prompt."""
    alternative: str
    """The likeliest candidate of the reading that was found."""


def mechanism(
    context: ExperimentContext, results: Sequence[SampleResult], seed: int
) -> list[FeatureEffect]:
    """Returns the effects of the features that the findings name most often.

    Args:
        context: Model, SAE and labels.
        results: Of all arms.
        seed: Seed of the random directions and of the sign flips.
    """
    originals = {o.sample.id: o for o in results if o.arm == "original"}
    annotated = [o for o in results if o.arm == "saetask" and o.written.annotation]
    named = Counter(
        evidence.id for o in annotated for evidence in o.written.misunderstandings[0].features
    )
    chosen = [feature for feature, _ in named.most_common(FEATURES)]
    labels = context.feature_labels.for_display(chosen)
    effects = []
    for feature in chosen:
        cases = [
            case
            for o in annotated
            if any(e.id == feature for e in o.written.misunderstandings[0].features)
            and (case := _case(originals[o.sample.id], o))
        ][:ITEMS]
        if cases:
            effects.append(_effect(context, feature, labels.get(feature, ""), cases, seed))
    return effects


def _case(original: SampleResult, sample_result: SampleResult) -> EffectCase | None:
    """Returns None where no candidate stands for the reading that was found."""
    reading = sample_result.written.misunderstandings[0].reading
    sample = original.sample
    fitting = [c.text for c in sample.candidates if c.reading == reading]
    if not fitting or original.output in fitting:
        return None
    scores = [original.scores[text] for text in fitting]
    alternative = fitting[likeliest(scores, fitting, sample.id)]
    return EffectCase(sample.prompt, sample_result.written.prompt, original.output, alternative)


def _effect(
    context: ExperimentContext, feature: int, label: str, cases: Sequence[EffectCase], seed: int
) -> FeatureEffect:
    model, sae = context.model, context.sae
    prompts = [prompt for case in cases for prompt in (case.original, case.annotated)]
    pooled = extract_features(model, [sae], prompts).features[0].pooled()
    activations = pooled[:, [feature]].toarray()[:, 0].reshape(-1, 2).mean(0)
    effect = FeatureEffect(
        feature=feature,
        label=label,
        n=len(cases),
        before=float(activations[0]),
        after=float(activations[1]),
    )
    if not writes_residual(sae, model.cfg.d_model):
        return effect
    directions = random_directions(sae.W_dec.shape[1], [seed, feature], DIRECTIONS)
    effects = np.stack([_effects(context, feature, case, directions) for case in cases])
    random = effects[:, 2:]
    difference = effects[:, 0] - random.mean(1)
    by_direction = random.mean(0)
    p_values = flip_test(np.stack([difference, -difference], axis=1), seed).p_values
    effect.ablation = float(effects[:, 0].mean())
    effect.random = float(by_direction.min()), float(by_direction.max())
    effect.p = float(p_values.min())
    return effect


def _effects(
    context: ExperimentContext, feature: int, case: EffectCase, directions: Any
) -> np.ndarray:
    """Returns the change in the log-odds of the answer under each edit, `[2 + n_directions]`."""
    tokenizer = model_tokenizer(context.model)
    prompt_ids, answers = render_answers(tokenizer, case.original, (case.answer, case.alternative))
    likelihoods = []
    for answer_ids in answers:
        found = edit_feature(
            context.model,
            context.sae,
            [*prompt_ids, *answer_ids],
            feature,
            directions,
            len(prompt_ids),
        )
        likelihoods.append(found.log_probabilities[:, len(prompt_ids) - 1 :].sum(1))
    log_odds = likelihoods[0] - likelihoods[1]
    return log_odds[1:] - log_odds[0]
