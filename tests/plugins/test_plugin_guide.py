"""The plugin guide's examples: each is a plugin file that loads and does what the guide says."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from saetask.annotation.base import configured
from saetask.data import LogFields, check_prompt, read_log
from saetask.detection import reason_for_silence
from saetask.plugins import PluginRegistry
from saetask.utils.plugin_options import option_help
from tests.helpers.planted_readings import PlantedSample
from tests.helpers.refusals import refusal

GUIDE = Path(__file__).parents[2] / "docs" / "plugins.md"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guide")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    for i, block in enumerate(blocks):
        (folder / f"guide_{i}.py").write_text(block)
    return PluginRegistry(sorted(folder.iterdir()))


def test_the_task_reads_its_items_and_makes_prompts(registry, items_file):
    task = registry.get("task", "opposites")
    given = task.items(items_file({"id": 1, "sentence": "Great.", "ironic": True}))
    for item in [*task.items(), *given]:
        check_prompt(task.name, item, task.prompt(item))
        right = [c for c in task.candidates(item) if task.score(item, c.text).correct]
        assert [c.reading for c in right] == [task.gold_reading(item)]
    path = items_file({"id": 1, "sentence": "Great.", "ironic": "yes"})
    assert refusal(task.items, path).startswith(f"{path}:1: field 'ironic': ")


def test_the_annotators_option_is_validated_and_has_help(registry):
    note = registry.get("annotator", "opposite-note")
    assert option_help(note) == {"tone": "How the note is worded."}
    (firm,) = configured([note], {"tone": "firm"})
    found = SimpleNamespace(reading="ironic")
    assert [a.text for a in firm.candidates(found, {})] == ["(NOTE: THIS IS IRONIC.)"] * 2
    assert "'plain' or 'firm'" in refusal(configured, [note], {"tone": "loud"})


def test_the_detector_finds_what_is_planted_and_says_why_it_finds_nothing(registry):
    make = registry.get("detector", "two-readings")
    sample = PlantedSample()
    detector, findings = sample.fit(make())
    assert sample.auroc(findings) > 0.8
    assert detector.detect(sample.readings[0]).probabilities
    moved = detector.on_features({7: 8, 8: 7}, sample.readings, sample.golds)
    assert moved.feature_ids().shape == detector.feature_ids().shape
    silent = PlantedSample(n_groups=12).silenced()
    detector, findings = silent.fit(make())
    assert "predict nothing" in reason_for_silence(detector, findings[0])


def test_the_labeler_names_the_first_token(registry):
    labeler = registry.get("labeler", "first-promoted")
    assert labeler.label(SimpleNamespace(promoted=["sea", "sail"])).text == "sea"
    assert labeler.label(SimpleNamespace(promoted=[])).text == ""


def test_the_importer_reads_its_log_and_its_faults_are_told_by_line(registry, tmp_path):
    log, importers = tmp_path / "answers.pipes", registry.by_name("importer")
    log.write_text("a|How many?|3|1\nb|How many?|4|no\n")
    first, second = read_log(log, "auto", LogFields(), importers)
    assert (first.prompt.content, first.output, first.correct) == ("How many?", "3", 1.0)
    assert (second.correct, second.group) == (0.0, "a")
    log.write_text("a|How many?|3|1\na|How many?|4|12\n")
    faulty = read_log(log, "auto", LogFields(), importers)
    assert refusal(list, faulty).startswith(f"{log}:2: the score is '12'")
