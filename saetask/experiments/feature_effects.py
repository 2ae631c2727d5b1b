"""Effects of features that findings name: their activity, and the effect of ablation on answers.

Features are taken by how often findings name them, not by what the edits do. The effect is that on
the log-odds of the model's answer against the reading that was found, in the unannotated prompt,
to first order, ranked among edits of the same norm at the same tokens along the directions of other
features that are active there. It is measured in float32 whatever the run's type, because effects
of a few hundredths of a nat are rounding noise in bfloat16. With the default SAE, whose features
have 10 to 30 % of the activation's norm, first-order effects on one text correlate with those of
the full edits by 0.94 to 0.997 over the controls, with a slope of 0.96 to 1.08.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from saetask.data.rendering import render_answers
from saetask.data.samples import Sample
from saetask.experiments.context import ExperimentContext
from saetask.experiments.scoring import SampleResult
from saetask.inference.ranking import likeliest
from saetask.models.gradients import log_odds_gradient
from saetask.models.hooks import capture
from saetask.models.loading import model_tokenizer
from saetask.models.precision import fits_in_float32, in_float32
from saetask.report.figures import FeatureEffect
from saetask.saes.direction_effects import EditableText, editable_text, removal_effects
from saetask.saes.encoding import input_hook, output_hook, writes_residual
from saetask.saes.extraction import extract_features
from saetask.saes.metrics import reconstruction_inputs
from saetask.utils.statistics import holm

FEATURES = 3
ITEMS = 12
"""Maximum number of items per feature."""


class EffectCase(NamedTuple):
    """An annotated item whose finding names the feature."""

    sample: Sample
    annotated: SampleResult
    answer: str
    """The candidate that the model chose for the original prompt."""
    alternative: str
    """The likeliest candidate of the reading that was found."""


def mechanism(
    context: ExperimentContext, results: Sequence[SampleResult], seed: int
) -> list[FeatureEffect] | None:
    """Returns the effects of the features that the findings name most often.

    None, with a warning, if the model is too large to be converted to float32.

    Args:
        context: Model, SAE and labels.
        results: Of all arms.
        seed: Seed of the draw of items.
    """
    named = _cases_by_feature(results)
    drawn = {feature: draw_cases(cases, seed) for feature, cases in named.items() if cases}
    if not drawn:
        return []
    if not fits_in_float32(context.model):
        print(
            "saetask: warning: effects of features are not measured, because the model is too large"
            " to be converted to float32; --dtype float32 runs all of it in that type.",
            file=sys.stderr,
        )
        return None
    labels = context.feature_labels.for_display(list(drawn))
    with in_float32(context.model):
        effects = _effects(context, drawn)
    for effect in effects:
        effect.label = labels.get(effect.feature, "")
    corrected = holm({str(e.feature): e.p for e in effects if e.p is not None})
    for effect in effects:
        if (p := corrected.get(str(effect.feature))) is not None:
            effect.holm_p = p
    return effects


def _cases_by_feature(results: Sequence[SampleResult]) -> dict[int, list[EffectCase]]:
    """Returns the cases of the features that findings name most often."""
    originals = {o.sample.id: o for o in results if o.arm == "original"}
    annotated = [o for o in results if o.arm == "saetask" and o.written.annotation]
    named = Counter(feature for o in annotated for feature in _features(o))
    return {
        feature: [
            case
            for o in annotated
            if feature in _features(o) and (case := _case(originals[o.sample.id], o))
        ]
        for feature, _ in named.most_common(FEATURES)
    }


def _features(result: SampleResult) -> list[int]:
    return [evidence.id for evidence in result.written.misunderstandings[0].features]


def _case(original: SampleResult, annotated: SampleResult) -> EffectCase | None:
    """Returns None where no candidate stands for the reading that was found."""
    reading = annotated.written.misunderstandings[0].reading
    sample = original.sample
    fitting = [c.text for c in sample.candidates if c.reading == reading]
    if not fitting or original.output in fitting:
        return None
    scores = [original.scores[text] for text in fitting]
    alternative = fitting[likeliest(scores, fitting, sample.id)]
    return EffectCase(sample, annotated, original.output, alternative)


def draw_cases(cases: Sequence[EffectCase], seed: int, maximum: int = ITEMS) -> list[EffectCase]:
    """Draws cases from as many groups as there are; a second of a group comes after the others.

    Items of one group may be near-duplicates.
    """
    order = [cases[i] for i in np.random.default_rng(seed).permutation(len(cases))]
    seen: Counter[str] = Counter()
    turns = []
    for case in order:
        turns.append(seen[case.sample.group])
        seen[case.sample.group] += 1
    return [order[i] for i in np.argsort(turns, kind="stable")[:maximum]]


def _effects(context: ExperimentContext, drawn: dict[int, list[EffectCase]]) -> list[FeatureEffect]:
    """Measures the features' activations and effects; each text is read once for all features."""
    model, sae = context.model, context.sae
    cases = _distinct(case for several in drawn.values() for case in several)
    prompts = [p for case in cases for p in (case.sample.prompt, case.annotated.written.prompt)]
    pooled = extract_features(model, [sae], prompts).features[0].pooled()
    place = {case.sample: number for number, case in enumerate(cases)}
    writes = writes_residual(sae, model.cfg.d_model)
    texts = [_editable(context, case) for case in cases] if writes else []
    effects = []
    for feature, several in drawn.items():
        chosen = [place[case.sample] for case in several]
        activations = pooled[:, [feature]].toarray()[:, 0].reshape(-1, 2)[chosen].mean(0)
        before, after = activations.tolist()
        effect = FeatureEffect(
            feature=feature, label="", n=len(several), before=before, after=after
        )
        if writes:
            found = removal_effects(sae, [texts[i] for i in chosen], feature)
            effect.ablation, effect.n_controls = found.feature, len(found.controls)
            effect.rank, effect.p = found.rank, found.p
            if len(found.controls):
                effect.random = float(found.controls.min()), float(found.controls.max())
        effects.append(effect)
    return effects


def _distinct(cases: Iterable[EffectCase]) -> list[EffectCase]:
    """Returns one case of each sample: a sample has one finding, whichever feature is looked at."""
    return list({case.sample: case for case in cases}.values())


def _editable(context: ExperimentContext, case: EffectCase) -> EditableText:
    """Returns a case's original prompt with the gradient of the log-odds of the answer."""
    model, sae = context.model, context.sae
    rendered = render_answers(
        model_tokenizer(model), case.sample.prompt, (case.answer, case.alternative)
    )
    prompt_ids, (answer, alternative) = rendered
    hook_name = input_hook(sae)
    with capture(model, hook_name) as read:  # in the same pass
        gradient = log_odds_gradient(model, prompt_ids, (answer, alternative), output_hook(sae))
    activations = {hook_name: read[0].detach()[:, : len(prompt_ids)]}
    inputs = reconstruction_inputs(model, sae, prompt_ids, activations, (hook_name, hook_name))
    return editable_text(sae, inputs, gradient)
