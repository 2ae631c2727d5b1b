"""Effects of named features: on unlike items, in float32 whatever the run's type, corrected."""

import torch

from saetask.annotation.prompt_writer import ArmPrompt
from saetask.data import Score
from saetask.data.rendering import render_answers
from saetask.data.samples import make_samples
from saetask.detection import Evidence, Misunderstanding
from saetask.experiments.feature_effects import (
    ITEMS,
    _cases_by_feature,
    _editable,
    draw_cases,
    mechanism,
)
from saetask.experiments.scoring import SampleResult
from saetask.models import precision
from saetask.models.gradients import log_odds_gradient
from saetask.models.loading import load_model
from saetask.saes.metrics import read_reconstruction_inputs
from saetask.utils.statistics import holm
from tests.conftest import TINY_HOOK
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import Touch, TouchNote, make_context

FEATURES = [3, 20, 41]


def evidence(features):
    return [Evidence(feature, "", 1.0, 0.5) for feature in features]


def outcomes(n_items=24, features=FEATURES):
    """Items that were answered "cold" and found to mean "warm", with the features named."""
    results = []
    for number, sample in enumerate(make_samples(Touch(), Touch().items()[:n_items])):
        span = sample.prompt.spans["target"]
        named = evidence(features[: 1 + number % len(features)])
        finding = Misunderstanding("test", span, "word", "warm", 0.9, named)
        note = TouchNote().candidates(finding, {})[0]
        changed = sample.prompt.with_content(f"{sample.prompt.content}\n{note.text}")
        scores = {" warm": -1.0, " cold": -0.5}
        for arm, written in (
            ("original", ArmPrompt(sample.prompt, None, [])),
            ("saetask", ArmPrompt(changed, note, [finding])),
        ):
            answer = " cold", Score("cold", False), scores
            results.append(SampleResult(sample, 0, arm, written, *answer, *answer))
    return results


def test_effects_do_not_depend_on_the_type_of_the_run(half_folder, tiny_sae) -> None:
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        model = load_model(half_folder, dtype=dtype, device="cpu")
        effects = mechanism(make_context(model, tiny_sae, QuickProbe), outcomes(), seed=0)
        assert next(model.parameters()).dtype == dtype
        found[dtype] = [effect.to_json() for effect in effects or []]
    assert found[torch.float32] == found[torch.bfloat16]
    assert [effect["feature"] for effect in found[torch.float32]] == FEATURES


def test_ranks_are_among_other_features_and_corrected_over_the_run(tiny_model, tiny_sae) -> None:
    effects = mechanism(make_context(tiny_model, tiny_sae, QuickProbe), outcomes(), seed=0)
    assert effects is not None and [effect.n for effect in effects] == [ITEMS, ITEMS, 8]
    p_values = {}
    for effect in effects:
        assert effect.random and effect.rank and effect.n_controls and effect.ablation
        assert effect.n_controls < tiny_sae.cfg.d_sae and effect.random[0] <= effect.random[1]
        assert (abs(effect.ablation) > max(map(abs, effect.random))) == (effect.rank == 1)
        p_values[str(effect.feature)] = effect.rank / (1 + effect.n_controls)
    assert [effect.p for effect in effects] == list(p_values.values())
    assert [effect.holm_p for effect in effects] == list(holm(p_values).values())


def test_texts_are_read_as_any_other_reading_of_them(tiny_model, tiny_sae) -> None:
    case = _cases_by_feature(outcomes())[3][0]
    found = _editable(make_context(tiny_model, tiny_sae, QuickProbe), case)
    rendered = render_answers(tiny_model.tokenizer, case.sample.prompt, (" cold", " warm"))
    expected = read_reconstruction_inputs(tiny_model, tiny_sae, rendered.prompt_ids)
    torch.testing.assert_close(found.inputs.inputs, expected.inputs)
    assert torch.equal(found.inputs.kept, expected.kept)
    answers = rendered.answers[0], rendered.answers[1]
    gradient = log_odds_gradient(tiny_model, rendered.prompt_ids, answers, TINY_HOOK)
    torch.testing.assert_close(found.gradient, gradient)


def test_an_sae_that_does_not_write_to_the_residual_stream_has_no_effects(
    tiny_model, make_tiny_sae
) -> None:
    sae = make_tiny_sae(hook_name="blocks.2.attn.hook_z")
    found = mechanism(make_context(tiny_model, sae, QuickProbe), outcomes(features=[3]), seed=0)
    (effect,) = found or []
    assert not {"ablation", "random", "rank", "n_controls", "p", "holm_p"} & effect.to_json().keys()
    assert effect.before > 0


def test_items_are_drawn_from_all_groups_before_a_group_has_two() -> None:
    cases = _cases_by_feature(outcomes(n_items=32))[3]
    groups = [case.sample.group for case in cases]
    assert len(groups) == 4 * len(set(groups)), "four near-duplicates a group"
    n_groups = len(set(groups))
    drawn = [case.sample.group for case in draw_cases(cases, seed=0, maximum=n_groups + 2)]
    assert set(drawn[:n_groups]) == set(groups) and len(drawn) == n_groups + 2
    other = [case.sample.id for case in draw_cases(cases, seed=1)]
    assert other != [case.sample.id for case in draw_cases(cases, seed=0)]


def test_items_whose_answer_stands_are_no_cases() -> None:
    results = [r._replace(output=" warm") if r.arm == "original" else r for r in outcomes()]
    assert _cases_by_feature(results) == {feature: [] for feature in FEATURES}


def test_a_model_that_is_too_large_is_left_out_with_a_word(
    half_folder, tiny_sae, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(precision, "MOST_PARAMETERS", 1000)
    model = load_model(half_folder, dtype=torch.bfloat16, device="cpu")
    assert mechanism(make_context(model, tiny_sae, QuickProbe), outcomes(), seed=0) is None
    assert "--dtype float32" in capsys.readouterr().err


def test_findings_without_features_have_no_effects(tiny_model, tiny_sae) -> None:
    results = [r for r in outcomes() if r.arm == "original"]
    assert mechanism(make_context(tiny_model, tiny_sae, QuickProbe), results, seed=0) == []
