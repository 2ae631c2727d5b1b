from collections import Counter

import numpy as np
import pytest

from benchmarks import discovery_power, power_chart
from benchmarks.pages import ROOT
from benchmarks.planted_failures import (
    MOST_OF_A_VERB,
    VERBS_OF_LOSS,
    balanced,
    drawn_prompts,
    lemmas,
    make_plants,
)

VERBS = ("gave", "sold", "lost", "spent", "donated", "wasted", "paid", "lent", "dropped", "traded")


def make_texts(n=400):
    """A third has a verb of loss, most often `gave`."""
    generator = np.random.default_rng(0)
    shares = np.array([0.4, *[0.6 / 9] * 9])
    return [
        f"She {generator.choice(VERBS, p=shares) if i % 3 == 0 else 'saw'} the {i} books there."
        for i in range(n)
    ]


def test_no_verb_has_more_than_its_share_of_the_planted_prompts():
    texts = make_texts()
    kept = balanced(texts, np.random.default_rng(0))
    verbs = [lemmas(texts[i]) & VERBS_OF_LOSS for i in kept]
    counts = Counter(verb for each in verbs for verb in each)
    n_planted = sum(map(bool, verbs))
    assert n_planted > 50 and max(counts.values()) <= MOST_OF_A_VERB * n_planted
    others = [i for i in range(400) if i % 3]
    assert set(others) <= set(kept.tolist())


def test_plants_are_where_they_say():
    texts = make_texts()
    plants = {plant.kind: plant for plant in make_plants(texts, np.arange(400))}
    assert plants["concept"].planted.tolist() == [i % 3 == 0 for i in range(400)]
    assert plants["length"].planted.sum() == 100 and plants["length"].planted[-1]
    assert not plants["nothing"].planted.any()
    word = plants["word"].description.split("'")[1]
    assert plants["word"].planted.tolist() == [word in lemmas(text) for text in texts]


def test_drawn_prompts_have_the_share_that_is_asked_for():
    planted = np.arange(300) < 100
    for n, share, expected in ((80, 0.25, 20), (300, 0.25, 75), (300, 0.5, 100)):
        drawn = drawn_prompts(planted, n, share, np.random.default_rng(0))
        assert planted[drawn].sum() == expected
        assert len(set(drawn.tolist())) == len(drawn)


def test_the_page_is_that_of_the_committed_document(tmp_path, monkeypatch):
    monkeypatch.setattr(discovery_power, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(power_chart, "PICTURE", tmp_path / "curve.svg")
    assert discovery_power.main(["--page", str(ROOT / "docs" / "discovery_power.json")]) == 0
    committed = (ROOT / "docs" / "discovery.md").read_text(encoding="utf-8")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == committed
    picture = (ROOT / "docs" / "discovery_power.svg").read_text(encoding="utf-8")
    assert (tmp_path / "curve.svg").read_text(encoding="utf-8") == picture


def test_the_curve_has_every_figure_at_its_place():
    rows = [
        {"arm": arm, "n": n, "difference": difference, "found": found}
        for arm, found in (
            ("concepts", 1.0),
            ("words", 0.0),
            ("random", 0.0),
            ("word classes", 0.5),
        )
        for n in (100, 1000, 10000)
        for difference in (0.1, 0.2, 0.4)
    ]
    chart = power_chart.power_chart({"results": {"concept": rows}})
    assert [panel.title for panel in chart.panels] == [
        "20 points more failures",
        "40 points more failures",
    ]
    best, none, half, _ = chart.panels[0].lines
    assert {point.y for point in best.points} == {power_chart.TOP}
    assert {point.y for point in none.points} == {power_chart.TOP + power_chart.HEIGHT}
    assert {point.y for point in half.points} == {power_chart.TOP + power_chart.HEIGHT / 2}
    first, middle, last = (point.x for point in best.points)
    assert middle - first == pytest.approx(last - middle)  # tenfold each
    assert "concepts 100 % of 100, 100 % of 1,000" in chart.description
