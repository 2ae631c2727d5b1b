"""The splits: nothing that is tested was fitted on, not even a near-duplicate of it."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saetask import Candidate, Item, Prompt, Score, Span, UserError, read_items
from saetask.data.samples import FEWEST_FIT_ITEMS, add_auxiliary_samples, make_folds, make_samples

few = settings(max_examples=40, deadline=None)


class Letters:
    """A task whose items are a list of groups: item `i` belongs to group `groups[i]`.

    Each group has both readings, unless `golds` says which reading each item has.
    """

    name = "letters"
    readings = ("a", "b")
    annotators = ()

    def __init__(self, groups=(), golds=None):
        self.groups = list(groups)
        self.golds = golds or ["ab"[(i + i // 10) % 2] for i in range(len(self.groups))]

    def items(self, data=None):
        if data is not None:
            return read_items(data, lambda row: Item(row["id"], row["group"], {}, row["gold"]))
        rows = enumerate(zip(self.groups, self.golds))
        return [Item(str(i), group, {}, gold) for i, (group, gold) in rows]

    def prompt(self, item):
        return Prompt([{"role": "user", "content": item.id}], spans={"text": Span(0, 1)})

    def candidates(self, item):
        return None if item.group == "mute" else [Candidate(" a", "a"), Candidate(" b", "b")]

    def score(self, item, output):
        return Score(output, output.strip() == item.gold)

    def gold_reading(self, item):
        return item.gold

    def question_from_text(self, text, target):
        raise NotImplementedError


def split(groups, *, golds=None, fit_data=None, limit=None, folds=5, max_fit_items=800, seed=0):
    return make_folds(Letters(groups, golds), None, fit_data, limit, folds, max_fit_items, seed)


def groups_of(study, numbers):
    return {study.samples[i].item.group for i in numbers}


def ids(study):
    return [sample.item.id for sample in study.samples]


@pytest.fixture(scope="module")
def fit_file(tmp_path_factory):
    """Returns a function that writes a fit file with the given groups and readings."""
    path = tmp_path_factory.mktemp("fit") / "fit.jsonl"

    def write(groups, golds="ab"):
        rows = [
            {"id": f"fit-{i}", "group": g, "gold": golds[i % len(golds)]}
            for i, g in enumerate(groups)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


# every group letter stands often enough for each fold's fit split to be large enough
group_lists = st.lists(st.sampled_from("abcdefghij"), min_size=20, max_size=90).map(
    lambda drawn: drawn + list("abcdefghij") * 5
)


@few
@given(group_lists, st.integers(2, 12), st.integers(0, 5))
def test_no_group_stands_on_both_sides_of_a_fold_and_every_item_is_tested_once(
    groups, n_folds, seed
):
    study = split(groups, folds=n_folds, seed=seed)
    assert len(study.folds) == min(n_folds, 10)
    for fold in study.folds:
        assert not groups_of(study, fold.fit) & groups_of(study, fold.test)
        assert sorted([*fold.fit, *fold.test]) == list(range(len(groups)))
    tested = Counter(i for fold in study.folds for i in fold.test)
    assert tested == Counter(range(len(groups)))


@few
@given(groups=group_lists, limit=st.integers(1, 150), seed=st.integers(0, 5))
def test_a_limit_keeps_whole_groups_but_for_one_and_the_items_order(fit_file, groups, limit, seed):
    study = split(groups, fit_data=fit_file(["x"] * FEWEST_FIT_ITEMS), limit=limit, seed=seed)
    tested = [study.samples[i].item for i in study.folds[0].test]
    everything, kept = Counter(groups), Counter(item.group for item in tested)
    assert len(tested) == min(limit, len(groups))
    assert sum(0 < kept[group] < everything[group] for group in everything) <= 1
    numbers = [int(item.id) for item in tested]
    assert numbers == sorted(numbers)


def test_a_limit_and_the_folds_are_the_same_for_a_seed_and_others_for_another():
    groups = [f"g{i // 4}" for i in range(200)]
    first, again = split(groups, limit=60, seed=3), split(groups, limit=60, seed=3)
    assert ids(first) == ids(again)
    assert first.folds == again.folds
    assert ids(first) != ids(split(groups, limit=60, seed=4))
    assert split(groups, seed=3).folds != split(groups, seed=4).folds


def test_a_limit_beyond_the_number_of_items_keeps_all():
    groups = [f"g{i // 4}" for i in range(60)]
    assert ids(split(groups, limit=60)) == ids(split(groups, limit=999)) == ids(split(groups))


@few
@given(
    groups=group_lists,
    drawn=st.lists(st.sampled_from("abcxyz"), min_size=30, max_size=90),
)
def test_a_fit_file_gives_one_fold_without_the_groups_that_are_tested(fit_file, groups, drawn):
    # xyz are groups of the fit file alone; a, b and c occur in both
    fit_groups = drawn + list("xyz") * FEWEST_FIT_ITEMS
    study = split(groups, fit_data=fit_file(fit_groups))
    (fold,) = study.folds
    assert groups_of(study, fold.fit) == {"x", "y", "z"}
    assert len(fold.fit) == sum(group in "xyz" for group in fit_groups)
    assert [study.samples[i].item.id for i in fold.test] == [str(i) for i in range(len(groups))]
    assert all(study.samples[i].item.id.startswith("fit-") for i in fold.fit)
    assert sorted([*fold.fit, *fold.test]) == list(range(len(study.samples)))


def test_max_fit_items_bounds_the_fit_file_alone(fit_file):
    groups = [f"g{i // 4}" for i in range(60)]
    study = split(groups, fit_data=fit_file([f"x{i // 4}" for i in range(200)]), max_fit_items=40)
    assert (len(study.folds[0].fit), len(study.folds[0].test)) == (40, 60)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_fit_file_is_drawn_evenly_over_the_readings(fit_file, seed):
    path = fit_file([f"x{i // 4}" for i in range(200)], golds="abbb")
    study = split(["a", "b"] * 20, fit_data=path, max_fit_items=80, seed=seed)
    golds = Counter(study.samples[i].gold_reading for i in study.folds[0].fit)
    assert golds == {"a": 40, "b": 40}
    again = split(["a", "b"] * 20, fit_data=path, max_fit_items=80, seed=seed)
    assert ids(again) == ids(study)
    assert ids(split(["a", "b"] * 20, fit_data=path, max_fit_items=80, seed=7)) != ids(study)


def test_a_limit_bounds_the_tested_items_alone(fit_file):
    fit = fit_file([f"g{i // 4}" for i in range(200)])
    study = split([f"g{i // 4}" for i in range(60)], fit_data=fit, limit=12)
    (fold,) = study.folds
    assert len(fold.test) == 12
    assert len(fold.fit) == 200 - 4 * len(groups_of(study, fold.test))


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        (["a"] * 100, "one group"),
        (["a"], "one group"),
        (list("abcdefghij"), f"needs {FEWEST_FIT_ITEMS} at least"),
        (["a"] * 90 + ["b"] * (FEWEST_FIT_ITEMS - 1), f"has {FEWEST_FIT_ITEMS - 1} items"),
    ],
)
def test_too_few_items_or_groups_to_hold_out_are_a_user_error(groups, reason):
    with pytest.raises(UserError, match=reason) as raised:
        split(groups)
    assert "\n" not in str(raised.value)


def test_just_enough_items_are_no_error():
    study = split(["a"] * 30 + ["b"] * FEWEST_FIT_ITEMS)
    assert sorted(len(fold.fit) for fold in study.folds) == [FEWEST_FIT_ITEMS, 30]


@few
@given(st.lists(st.sampled_from(["a", "b", None]), min_size=9, max_size=9), st.integers(2, 6))
def test_a_fold_fits_on_two_readings_at_least_or_is_refused(golds, n_folds):
    groups = [f"g{i // 5}" for i in range(45)]
    of_items = [golds[i // 5] for i in range(45)]  # each group has one reading, or none
    kinds = Counter(gold for gold in golds if gold)
    try:
        study = split(groups, golds=of_items, folds=n_folds)
    except UserError as error:
        # A reading of more groups than are ever held out together is always left in the fit split.
        assert min(kinds["a"], kinds["b"]) <= math.ceil(9 / n_folds)
        expected = "The fit split of fold" if len(kinds) == 2 else "The task letters"
        assert str(error).startswith(expected)
        return
    for fold in study.folds:
        assert {of_items[i] for i in fold.fit} >= {"a", "b"}


@pytest.mark.parametrize(
    ("golds", "reason"),
    [
        (["a"] * 60, "The task letters knows only the reading 'a';"),
        (["a", None] * 30, "The task letters knows only the reading 'a';"),
        ([None] * 60, "The task letters knows no item's right reading;"),
    ],
)
def test_items_of_one_reading_or_none_are_a_user_error_that_says_which(golds, reason):
    with pytest.raises(UserError, match=reason) as raised:
        split([f"g{i // 4}" for i in range(60)], golds=golds)
    assert "Give items of another reading" in str(raised.value) and "\n" not in str(raised.value)


def test_a_fold_that_holds_out_all_items_of_a_reading_is_a_user_error_that_names_it():
    groups = [f"g{i // 5}" for i in range(60)]
    golds = ["a" if group == "g7" else "b" for group in groups]
    with pytest.raises(UserError, match=r"fold \d of task letters knows only the reading 'b'"):
        split(groups, golds=golds)


def test_a_fit_file_of_one_reading_is_a_user_error_that_names_it(fit_file):
    path = fit_file([f"x{i // 4}" for i in range(200)], golds="b")
    with pytest.raises(UserError, match="knows only the reading 'b'") as raised:
        split([f"g{i // 4}" for i in range(60)], fit_data=path)
    assert str(path) in str(raised.value)


def test_tested_items_may_be_of_one_reading_where_a_fit_file_has_more(fit_file):
    path = fit_file([f"x{i // 4}" for i in range(200)])
    study = split([f"g{i // 4}" for i in range(60)], golds=["a"] * 60, fit_data=path)
    assert len(study.folds[0].test) == 60


def test_a_limit_that_leaves_too_few_items_is_a_user_error():
    with pytest.raises(UserError, match="--limit"):
        split([f"g{i // 4}" for i in range(200)], limit=16)


def test_a_fit_file_whose_groups_are_all_tested_is_a_user_error_that_names_it(fit_file):
    path = fit_file(["a"] * 100)
    with pytest.raises(UserError, match="has 0 items") as raised:
        split(["a", "b"] * 20, fit_data=path)
    assert str(path) in str(raised.value)


def test_items_without_any_answer_to_rank_are_a_user_error_that_names_the_flag():
    task = Letters(["mute"] * 60)
    options = {"fit_data": None, "limit": None, "n_folds": 5, "max_fit_items": 800, "seed": 0}
    with pytest.raises(UserError, match="add --scoring generate") as raised:
        make_folds(task, None, **options)
    assert "\n" not in str(raised.value)
    task.groups = [*["mute"] * 30, *["a"] * 30]
    assert len(make_folds(task, None, **options).samples) == 60  # some can be ranked
    task.groups = [f"mute{i // 6}" for i in range(60)]
    task.candidates = lambda item: None
    assert len(make_folds(task, None, **options, generate=True).samples) == 60


def test_questions_hold_what_scoring_says_of_each_candidate():
    first, second, mute = make_samples(
        Letters(), [*Letters(["x", "x"]).items(), Item("2", "mute", {}, None)]
    )
    assert first.correct.tolist() == [True, False]
    assert second.correct.tolist() == [False, True]
    assert (first.gold_reading, first.texts, first.readings) == ("a", (" a", " b"), ["a", "b"])
    assert (mute.texts, mute.gold_reading, len(mute.correct)) == ((), None, 0)
    assert mute.correct.dtype == np.bool_


class OtherLetters(Letters):
    """Its built-in items are other prompts than those of a run, of the same and of new groups."""

    def items(self, data=None):
        return [replace(item, id=f"built-in {item.id}") for item in super().items()]


@few
@given(group_lists, st.lists(st.sampled_from("abcxyz"), max_size=30), st.integers(2, 5))
def test_borrowed_items_are_never_tried_and_share_no_group_with_what_a_fold_tries(
    groups, built_in, n_folds
):
    study = split(groups, folds=n_folds)
    lent = add_auxiliary_samples(OtherLetters(built_in), study, 800, 0)
    assert lent.samples[: len(groups)] == study.samples
    assert [fold[:2] for fold in lent.folds] == [fold[:2] for fold in study.folds]
    added = range(len(groups), len(lent.samples))
    assert [sample.auxiliary for sample in lent.samples] == [
        i in added for i in range(len(lent.samples))
    ]
    for fold in lent.folds:
        tried = groups_of(lent, fold.test)
        assert list(fold.auxiliary) == [i for i in added if not groups_of(lent, [i]) & tried]


def test_borrowed_items_are_as_even_as_can_be_had_and_repeat_no_prompt_of_the_run():
    study = split(["a", "b"] * 20)
    assert add_auxiliary_samples(Letters(["a", "c"] * 20), study, 800, 0).samples == study.samples
    lent = add_auxiliary_samples(OtherLetters(["c"] * 100), study, 10, 0)
    assert Counter(q.gold_reading for q in lent.samples[40:]) == {"a": 5, "b": 5}


def test_a_task_without_built_in_items_lends_nothing():
    class Bare(Letters):
        def items(self, data=None):
            raise UserError("give --data")

    study = split(["a", "b"] * 20)
    assert add_auxiliary_samples(Bare(), study, 800, 0) == study
