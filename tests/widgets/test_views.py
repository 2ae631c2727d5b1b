"""Widgets: what they show follows what is chosen, and the objects themselves stay the fallback."""

import sys

import pytest

from saetask import widgets
from saetask.dictionary import Dictionary
from saetask.dictionary.dictionary import dictionary_folder
from saetask.report.view_modules import es_module
from saetask.saes.loading import DEFAULT_SAE
from saetask.session import Detection, Reformulation
from tests.helpers.planted_evidence import SENTENCE, planted_finding
from tests.helpers.planted_explorer import planted_activations
from tests.helpers.refusals import refusal

pytest.importorskip("anywidget")
DETECTION = Detection(SENTENCE, "metaphorical", "metaphorical", 0.999, [planted_finding()])


@pytest.fixture(scope="module")
def dictionary():
    return Dictionary.load(dictionary_folder(DEFAULT_SAE))


def test_tokens_hold_whatever_is_chosen(dictionary) -> None:
    widget = widgets.tokens(planted_activations(SENTENCE, len(dictionary)), dictionary)
    assert widget.view == "sae-tokens" and "".join(widget.documents[0]["pieces"]) == SENTENCE
    widget.chosen = "feature:7"  # which fires nowhere in the sentence
    listed = {row["id"]: row for row in widget.documents[0]["features"]}
    assert {"feature:7", *listed["feature:7"]["near"]} <= set(listed)
    assert "no concept or feature" in refusal(lambda: setattr(widget, "chosen", "feature:99999999"))
    assert widget.chosen == "feature:7"


def test_a_card_follows_its_neighbours(dictionary) -> None:
    widget = widgets.card(dictionary, 12)
    assert widget.documents[0]["row"]["feature"] == 12
    widget.chosen = widget.documents[0]["near"]["direction"][0]["id"]
    assert f"feature:{widget.documents[0]['row']['feature']}" == widget.chosen != "feature:12"
    widget.chosen = "on:noun.food"
    assert widget.documents[0]["features"]
    assert "no concept 'x'" in refusal(lambda: widgets.card(dictionary, "x"))


@pytest.mark.parametrize("found", [DETECTION, Reformulation(DETECTION, "anew", [], *"abcd")])
def test_a_finding_is_shown_with_the_answers(found) -> None:
    widget = widgets.finding(found)
    assert widget.documents[0]["finding"]["log_odds"] == pytest.approx(1.11)
    assert any("the model says: metaphorical" in line for line in widget.about)
    told = []
    widget.observe(lambda change: told.append(change["new"]), "chosen")
    widget.chosen = "on:speech"
    assert told == ["on:speech"]


def test_without_widgets_a_notebook_shows_the_plain_html() -> None:
    shown = widgets.finding(DETECTION)._repr_mimebundle_()
    assert shown is not None and shown[0]["text/html"] == DETECTION._repr_html_()
    assert "application/vnd.jupyter.widget-view+json" in shown[0]


def test_several_prompts_are_refused() -> None:
    one = planted_activations(SENTENCE, 8)
    assert "take activations[0]" in refusal(lambda: widgets.tokens(_twice(one)))


def _twice(one):
    import numpy as np

    ends = np.concatenate([one.indptr, one.indptr[1:] + one.indptr[-1]])
    firings = np.tile(one.features, 2), np.tile(one.values, 2)
    return type(one)([*one.prompts, *one.prompts], one.d_sae, ends, *firings)


def test_what_is_missing_is_named(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "saetask.widgets.view_widget", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    assert 'pip install "saetask[notebook]"' in refusal(lambda: widgets.finding(DETECTION))


def test_the_module_is_the_views_own_code_and_asks_nothing_of_the_web() -> None:
    module = es_module("widget.js")
    assert module.endswith('export default modules["widget.js"];\n')
    assert "sae-tokens" in module and "import " not in module.replace("// ", "")
