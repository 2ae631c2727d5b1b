from collections import Counter

import numpy as np

from benchmarks import discovery_power
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
    assert discovery_power.main(["--page", str(ROOT / "docs" / "discovery_power.json")]) == 0
    committed = (ROOT / "docs" / "discovery.md").read_text(encoding="utf-8")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == committed
