import json
from dataclasses import replace

import numpy as np
import pytest

from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import as_prompt
from saetask.discovery import DiscoveryConfig, discover, log_reading, write_discovery
from saetask.discovery import reading as reading_module
from saetask.discovery.documents import DiscoveryRow, DiscoverySummary
from saetask.discovery.paraphrases import REWRITES
from saetask.discovery.slices import Slice
from saetask.experiments.known_concepts import KnownConcepts
from saetask.saes import extraction
from saetask.saes.concepts import Concept
from tests.helpers.refusals import refusal
from tests.helpers.words import NOUNS, SEA

SHIP = NOUNS.index("ship")
CONFIG = DiscoveryConfig(allow_sae_mismatch=True, n_permuted=5)
N = 160


def make_items(failing=("sea", "ship"), high=0.9, low=0.1):
    """Prompts of two nouns each; those with one of some nouns fail more often."""
    generator = np.random.default_rng(0)
    items = []
    for number in range(N):
        nouns = generator.choice(NOUNS, 2, replace=False)
        text = f"Look at the {nouns[0]} and the {nouns[1]} of the {number} men."
        failed = generator.random() < (high if set(nouns) & set(failing) else low)
        items.append(
            EvaluatedItem(f"i{number}", as_prompt(text), "yes", 1.0 - failed, f"g{number // 2}")
        )
    return items


@pytest.fixture(scope="module")
def water():
    """A concept of the two nouns, in the place of a dictionary's concepts."""
    concept = Concept("on:water", "water", "on", (SEA, SHIP), (1.0, 1.0), "validated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            log_reading, "find_known_concepts", lambda labels: KnownConcepts((concept,), ())
        )
        yield concept


@pytest.fixture(scope="module")
def result(water, tiny_model, word_sae):
    return discover(make_items(), tiny_model, word_sae, CONFIG)


def test_a_planted_concept_is_confirmed_with_its_figures(result):
    first = result.summary.discoveries[0]
    assert (first.concept, first.kind, first.confirmed) == ("on:water", "concept", True)
    half = result.halves.confirmation
    present, failed = result.presence[half, 0], result.failures[half]
    assert first.n_with == present.sum()
    assert first.failure_with == pytest.approx(failed[present].mean())
    assert first.difference > 0.3 and first.ci95[0] > 0.1
    texts = [item.prompt.content for item in result.items]
    has = np.array([any(f" {noun} " in text for noun in ("sea", "ship")) for text in texts])
    np.testing.assert_array_equal(result.presence[:, 0], has)


def test_two_words_of_one_concept_need_no_sae(result):
    """Both are among the words that the rule learns, so words alone tell the slice."""
    first = result.summary.discoveries[0]
    assert first.needs_sae is False
    assert all("sea" in words or "ship" in words for words in first.words)


def test_prompts_are_shown_with_the_tokens_on_which_the_concept_is_active(result):
    row = result.rows[0]
    assert row.shown_examples and row.shown_near_misses
    for shown in (*row.shown_examples, *row.shown_near_misses):
        assert shown.tokens
        for token in shown.tokens:
            assert shown.text[token.start : token.end] == token.text
            assert token.text.strip() in ("sea", "ship")
    assert all(shown.failure == 1 for shown in row.shown_examples)
    assert [shown.id for shown in row.shown_examples] == row.examples


def test_controls_stand_beside_it(result):
    controls = result.summary.controls
    assert controls.permuted.n_permutations == 5 and controls.permuted.mean_confirmed <= 1
    assert controls.words.n_confirmed == len(controls.words.confirmed)
    assert "random-sae" in controls.to_json()


def test_no_group_is_in_both_halves(result):
    groups = [{result.items[i].group for i in half} for half in result.halves]
    assert not groups[0] & groups[1]


def test_documents_are_read_back_as_they_were_written(result, tmp_path):
    write_discovery(tmp_path, result.summary, result.rows)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert DiscoverySummary.model_validate_json(json.dumps(summary)) == result.summary
    rows = [json.loads(line) for line in (tmp_path / "discoveries.jsonl").open()]
    assert [DiscoveryRow.model_validate_json(json.dumps(row)) for row in rows] == result.rows


def test_slices_hold_every_prompt_of_a_discovery_and_are_read_back(result, tmp_path):
    result.save(tmp_path)
    rows = (tmp_path / "slices.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Slice.model_validate_json(row) for row in rows] == result.slices()
    first, found = result.slices()[0], result.summary.discoveries[0]
    present = np.flatnonzero(result.presence[:, 0])
    assert [each.id for each in first.prompts] == [result.items[i].id for i in present]
    assert [each.text for each in first.prompts] == [
        result.items[i].prompt.content for i in present
    ]
    assert [each.failure for each in first.prompts] == result.failures[present].tolist()
    assert min(each.presence for each in first.prompts) > first.threshold
    confirming = [each for each in first.prompts if each.half == "confirmation"]
    assert len(confirming) == found.n_with
    failed = np.mean([each.failure for each in confirming])
    assert failed == pytest.approx(found.failure_with)
    assert f"{found.n_with} prompts" in first.sentence and first.controls == result.summary.controls


def test_other_programs_read_the_slices(result, tmp_path):
    import datasets
    import pandas

    result.save(tmp_path)
    file, slices = tmp_path / "slices.jsonl", result.slices()
    table = pandas.read_json(file, lines=True)
    assert table["n_with"].tolist() == [each.n_with for each in slices]
    prompts = pandas.json_normalize(table.to_dict("records"), "prompts", ["concept", "q"])
    assert len(prompts) == sum(len(each.prompts) for each in slices)
    rows = datasets.Dataset.from_json(str(file), cache_dir=str(tmp_path / "cache"))
    assert [row["sentence"] for row in rows] == [each.sentence for each in slices]
    assert [row["prompts"][0]["id"] for row in rows] == [each.prompts[0].id for each in slices]


def test_failures_that_nothing_raises_lead_to_no_discovery(water, tiny_model, word_sae):
    items = make_items(high=0.4, low=0.4)
    found = discover(items, tiny_model, word_sae, CONFIG)
    assert not any(each.confirmed for each in found.summary.discoveries)
    assert all(each.needs_sae is None for each in found.summary.discoveries)


def test_a_discovery_that_was_stopped_goes_on_from_what_was_read(
    result, water, tiny_model, word_sae, tmp_path, monkeypatch
):
    monkeypatch.setattr(extraction, "TOKENS_PER_BATCH", 200)
    config = replace(CONFIG, cache=tmp_path)
    assert discover(make_items(), tiny_model, word_sae, config).summary == result.summary
    parts = sorted(tmp_path.glob("*.safetensors"))
    assert len(parts) > 4
    parts[0].unlink()
    parts[1].write_bytes(b"half a file")
    read = []
    real = reading_module.extract_in_batches

    def counted(model, saes, rendered, executor, batches):
        read.extend(batches)
        return real(model, saes, rendered, executor, batches)

    monkeypatch.setattr(reading_module, "extract_in_batches", counted)
    assert discover(make_items(), tiny_model, word_sae, config).summary == result.summary
    assert len(read) <= 2 * reading_module.BATCHES_PER_PART


def test_a_prompt_that_is_too_long_is_left_out_and_counted(
    result, water, tiny_model, word_sae, tmp_path
):
    items = make_items()
    long = [replace(items[0], id="long", group="long", prompt=as_prompt("sea " * 500)), *items]
    found = discover(long, tiny_model, word_sae, CONFIG)
    assert (found.summary.n_items, found.summary.n_too_long) == (N, 1)
    assert [item.id for item in found.items] == [item.id for item in items]
    page = found.save(tmp_path).read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert "1 longer than the model&#39;s context" in page
    assert any("left out: 1 longer" in sentence for sentence in found.sentences())


def test_disagreement_stands_in_for_failure(water, tiny_model, word_sae):
    items = [
        replace(item, correct=None, samples=("yes" if item.correct else "no",))
        for item in make_items()
    ]
    config = replace(CONFIG, by="disagreement")
    found = discover(items, tiny_model, word_sae, config)
    assert found.summary.by == "disagreement" and found.summary.gold is None
    assert found.summary.discoveries[0].concept == "on:water"


def test_disagreement_is_told_beside_gold_and_found_without_it(water, tiny_model, word_sae):
    """Answers are wrong exactly where they disagree, or at random: what is found is the same."""
    config = replace(CONFIG, by="disagreement")
    disagreeing = [
        replace(item, samples=("yes" if item.correct else "no",)) for item in make_items()
    ]
    order = np.random.default_rng(1).permutation(N)
    at_random = [
        replace(item, correct=disagreeing[i].correct) for item, i in zip(disagreeing, order)
    ]
    told, chance = (
        discover(items, tiny_model, word_sae, config).summary for items in (disagreeing, at_random)
    )
    assert told.gold.n == N and told.gold.auroc == 1
    assert 0.3 < chance.gold.auroc < 0.7
    first, other = told.discoveries[0], chance.discoveries[0]
    assert first.gold.difference == pytest.approx(first.difference) and first.gold.p < 0.01
    assert other.gold.p > 0.01
    assert first.model_copy(update={"gold": None}) == other.model_copy(update={"gold": None})


def test_bad_logs_are_refused_in_one_line(water, tiny_model, word_sae):
    items = make_items()
    empty = [*items[:-1], replace(items[-1], prompt=as_prompt(" "))]
    assert "Item 'i159': The prompt is empty" in refusal(
        discover, empty, tiny_model, word_sae, CONFIG
    )
    long = [replace(item, prompt=f"{item.id} " * 500) for item in items]
    assert "All 160 prompts are longer" in refusal(discover, long, tiny_model, word_sae, CONFIG)
    one_group = [replace(item, group="g") for item in items]
    assert "of 1 groups" in refusal(discover, one_group, tiny_model, word_sae, CONFIG)


def test_other_words_stand_in_for_several_answers_and_draws_are_told_beside_them(
    water, tiny_model, word_sae
):
    items = [replace(item, choices=("yes", "no"), target="yes") for item in make_items()]
    config = replace(CONFIG, by="disagreement", samples=3, vary="wording", temperature=0.1)
    found = discover(items, tiny_model, word_sae, config)
    summary = found.summary
    assert (summary.vary, summary.n_reordered, summary.drawn.n) == ("wording", 0, N)
    assert {change.change for change in summary.changed} <= {each.name for each in REWRITES}
    assert sum(change.n for change in summary.changed) == 3 * N
    assert summary.drawn.disagreement == pytest.approx(summary.failure_rate)
    assert summary.drawn.auroc is not None and summary.drawn.ci95 is not None
    said = " ".join(found.sentences())
    assert "prompts in other words" in said and "Other words change the answer" in said
    assert "Control: of as many answers drawn to the unchanged prompts" in said
