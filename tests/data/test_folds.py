"""The splits: nothing that is tested was fitted on, not even a near-duplicate of it."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask import UserError
from saetask.data import Item
from saetask.data.folds import (
    FEWEST_FIT_ITEMS,
    ItemSet,
    SplitConfig,
    add_auxiliary_samples,
    all_samples,
    make_folds,
    training_samples,
)
from saetask.data.samples import make_samples
from saetask.data.tasks import check_items
from tests.helpers.letters_task import Letters
from tests.helpers.refusals import refusal


def split(groups, *, golds=None, fit_data=None, limit=None, folds=5, max_fit_items=800, seed=0):
    task = Letters(groups, golds)
    separate = fit_data and ItemSet(task.items(fit_data), str(fit_data))
    config = SplitConfig(limit, folds, max_fit_items, seed)
    return make_folds(task, ItemSet(task.items(), "the task letters"), config, separate)


def groups_of(samples):
    return {sample.group for sample in samples}


def ids(samples):
    return [sample.id for sample in samples]


def ids_of(folds):
    """Returns the ids of a split: of training and test samples, by fold."""
    return [(ids(fold.train), ids(fold.test)) for fold in folds]


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


@given(group_lists, st.integers(2, 12), st.integers(0, 5))
def test_no_group_stands_on_both_sides_of_a_fold_and_every_item_is_tested_once(
    groups, n_folds, seed
):
    made = split(groups, folds=n_folds, seed=seed)
    assert len(made) == min(n_folds, 10)
    everything = [str(i) for i in range(len(groups))]
    assert ids(all_samples(made)) == ids(training_samples(made)) == everything
    for fold in made:
        assert not groups_of(fold.train) & groups_of(fold.test)
        assert sorted(ids([*fold.train, *fold.test]), key=int) == everything
        assert ids(fold.train) == sorted(ids(fold.train), key=int)
    tested = Counter(sample for fold in made for sample in fold.test)
    assert tested == Counter(all_samples(made))


@given(groups=group_lists, limit=st.integers(1, 150), seed=st.integers(0, 5))
def test_a_limit_keeps_whole_groups_but_for_one_and_the_items_order(fit_file, groups, limit, seed):
    (fold,) = split(groups, fit_data=fit_file(["x"] * FEWEST_FIT_ITEMS), limit=limit, seed=seed)
    tested = fold.test
    everything, kept = Counter(groups), Counter(sample.group for sample in tested)
    assert len(tested) == min(limit, len(groups))
    assert sum(0 < kept[group] < everything[group] for group in everything) <= 1
    numbers = [int(sample.id) for sample in tested]
    assert numbers == sorted(numbers)


def test_a_limit_and_the_folds_are_the_same_for_a_seed_and_others_for_another():
    groups = [f"g{i // 4}" for i in range(200)]
    first, again = split(groups, limit=60, seed=3), split(groups, limit=60, seed=3)
    assert ids_of(first) == ids_of(again)
    assert ids(all_samples(first)) != ids(all_samples(split(groups, limit=60, seed=4)))
    assert ids_of(split(groups, seed=3)) != ids_of(split(groups, seed=4))


def test_a_limit_beyond_the_number_of_items_keeps_all():
    groups = [f"g{i // 4}" for i in range(60)]
    assert ids_of(split(groups, limit=60)) == ids_of(split(groups, limit=999))
    assert ids_of(split(groups, limit=60)) == ids_of(split(groups))


@given(
    groups=group_lists,
    drawn=st.lists(st.sampled_from("abcxyz"), min_size=30, max_size=90),
)
def test_a_fit_file_gives_one_fold_without_the_groups_that_are_tested(fit_file, groups, drawn):
    # xyz are groups of the fit file alone; a, b and c occur in both
    fit_groups = drawn + list("xyz") * FEWEST_FIT_ITEMS
    (fold,) = split(groups, fit_data=fit_file(fit_groups))
    assert groups_of(fold.train) == {"x", "y", "z"}
    assert len(fold.train) == sum(group in "xyz" for group in fit_groups)
    assert ids(fold.test) == [str(i) for i in range(len(groups))]
    assert all(sample.id.startswith("fit-") for sample in fold.train)
    assert all_samples([fold]) == [*fold.test, *fold.train]


def test_max_fit_items_bounds_the_fit_file_alone(fit_file):
    groups = [f"g{i // 4}" for i in range(60)]
    (fold,) = split(groups, fit_data=fit_file([f"x{i // 4}" for i in range(200)]), max_fit_items=40)
    assert (len(fold.train), len(fold.test)) == (40, 60)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_fit_file_is_drawn_evenly_over_the_readings(fit_file, seed):
    path = fit_file([f"x{i // 4}" for i in range(200)], golds="abbb")
    made = split(["a", "b"] * 20, fit_data=path, max_fit_items=80, seed=seed)
    golds = Counter(sample.gold_reading for sample in made[0].train)
    assert golds == {"a": 40, "b": 40}
    again = split(["a", "b"] * 20, fit_data=path, max_fit_items=80, seed=seed)
    assert ids_of(again) == ids_of(made)
    other = split(["a", "b"] * 20, fit_data=path, max_fit_items=80, seed=7)
    assert ids_of(other) != ids_of(made)


def test_a_limit_bounds_the_tested_items_alone(fit_file):
    fit = fit_file([f"g{i // 4}" for i in range(200)])
    (fold,) = split([f"g{i // 4}" for i in range(60)], fit_data=fit, limit=12)
    assert len(fold.test) == 12
    assert len(fold.train) == 200 - 4 * len(groups_of(fold.test))


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
    made = split(["a"] * 30 + ["b"] * FEWEST_FIT_ITEMS)
    assert sorted(len(fold.train) for fold in made) == [FEWEST_FIT_ITEMS, 30]


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=9, max_size=9), st.integers(2, 6))
def test_a_fold_fits_on_two_readings_at_least_or_is_refused(golds, n_folds):
    groups = [f"g{i // 5}" for i in range(45)]
    of_items = [golds[i // 5] for i in range(45)]  # each group has one reading, or none
    kinds = Counter(gold for gold in golds if gold)
    try:
        made = split(groups, golds=of_items, folds=n_folds)
    except UserError as error:
        # A reading of more groups than are ever held out together is always left in the fit split.
        assert min(kinds["a"], kinds["b"]) <= math.ceil(9 / n_folds)
        expected = "The fit split of fold" if len(kinds) == 2 else "The fit split of the task"
        assert str(error).startswith(expected)
        return
    for fold in made:
        assert {sample.gold_reading for sample in fold.train} >= {"a", "b"}


@pytest.mark.parametrize(
    ("golds", "reason"),
    [
        (["a"] * 60, "the task letters knows only the reading 'a';"),
        (["a", None] * 30, "the task letters knows only the reading 'a';"),
        ([None] * 60, "the task letters knows no item's right reading;"),
    ],
)
def test_items_of_one_reading_or_none_are_a_user_error_that_says_which(golds, reason):
    with pytest.raises(UserError, match=reason) as raised:
        split([f"g{i // 4}" for i in range(60)], golds=golds)
    assert "Give items of another reading" in str(raised.value) and "\n" not in str(raised.value)


def test_a_fold_that_holds_out_all_items_of_a_reading_is_a_user_error_that_names_it():
    groups = [f"g{i // 5}" for i in range(60)]
    golds = ["a" if group == "g7" else "b" for group in groups]
    with pytest.raises(UserError, match=r"fold \d of the task letters knows only the reading 'b'"):
        split(groups, golds=golds)


def test_a_fit_file_of_one_reading_is_a_user_error_that_names_it(fit_file):
    path = fit_file([f"x{i // 4}" for i in range(200)], golds="b")
    with pytest.raises(UserError, match="knows only the reading 'b'") as raised:
        split([f"g{i // 4}" for i in range(60)], fit_data=path)
    assert str(path) in str(raised.value)


def test_tested_items_may_be_of_one_reading_where_a_fit_file_has_more(fit_file):
    path = fit_file([f"x{i // 4}" for i in range(200)])
    (fold,) = split([f"g{i // 4}" for i in range(60)], golds=["a"] * 60, fit_data=path)
    assert len(fold.test) == 60


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

    def count(**options):
        tested = ItemSet(task.items(), "the task letters")
        return len(all_samples(make_folds(task, tested, SplitConfig(), **options)))

    with pytest.raises(UserError, match="add --scoring generate") as raised:
        count()
    assert "\n" not in str(raised.value)
    task.groups = [*["mute"] * 30, *["a"] * 30]
    assert count() == 60  # some can be ranked
    task.groups = [f"mute{i // 6}" for i in range(60)]
    task.candidates = lambda item: None
    assert count(generate=True) == 60


def test_samples_hold_what_scoring_says_of_each_candidate():
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


@given(group_lists, st.lists(st.sampled_from("abcxyz"), max_size=30), st.integers(2, 5))
def test_auxiliary_items_are_never_tested_and_share_no_group_with_what_a_fold_tests(
    groups, built_in, n_folds
):
    made = split(groups, folds=n_folds)
    extended = add_auxiliary_samples(OtherLetters(built_in), made, 800, 0)
    assert [fold[:2] for fold in extended] == [fold[:2] for fold in made]
    added = all_samples(extended)[len(groups) :]
    assert all_samples(extended) == [*all_samples(made), *added]
    assert all(sample.auxiliary == (sample in added) for sample in all_samples(extended))
    assert training_samples(extended) == training_samples(made)
    for fold in extended:
        assert not groups_of(fold.auxiliary) & groups_of(fold.test)
        left_out = [sample for sample in added if sample not in fold.auxiliary]
        assert groups_of(left_out) <= groups_of(fold.test)


def test_auxiliary_items_are_as_even_as_can_be_had_and_repeat_no_prompt_of_the_run():
    made = split(["a", "b"] * 20)
    same = add_auxiliary_samples(Letters(["a", "c"] * 20), made, 800, 0)
    assert all_samples(same) == all_samples(made)
    extended = add_auxiliary_samples(OtherLetters(["c"] * 100), made, 10, 0)
    added = all_samples(extended)[40:]
    assert Counter(sample.gold_reading for sample in added) == {"a": 5, "b": 5}


def test_a_task_without_built_in_items_adds_nothing():
    class Bare(Letters):
        def items(self, data=None):
            raise UserError("give --data")

    made = split(["a", "b"] * 20)
    assert add_auxiliary_samples(Bare(), made, 800, 0) == made


# what is advised where there are too few items


def test_more_folds_are_advised_where_they_leave_enough_to_fit_on_and_then_work():
    groups = [f"g{i // 2}" for i in range(24)]
    with pytest.raises(UserError, match=r"With these 24 items, give --folds (\d+)\.") as raised:
        split(groups)
    advised = int(str(raised.value).rsplit(" ", 1)[1].rstrip("."))
    assert min(len(fold.train) for fold in split(groups, folds=advised)) >= FEWEST_FIT_ITEMS
    with pytest.raises(UserError):  # no fewer would do
        split(groups, folds=advised - 1)


def test_a_limit_is_named_only_where_one_was_given():
    groups = [f"g{i // 2}" for i in range(20)]
    for options in ({}, {"folds": 2}, {"folds": 20}):
        with pytest.raises(UserError, match=r"Give more items, or .* --fit-data\.") as raised:
            split(groups, **options)
        assert "--limit" not in str(raised.value) and "--folds" not in str(raised.value)
    with pytest.raises(UserError, match=r"Raise --limit (to about \d+ )?or leave it out\."):
        split([f"g{i // 2}" for i in range(200)], limit=20)
    one_reading = {"golds": ["a"] * 60}
    with pytest.raises(UserError) as raised:
        split([f"g{i // 4}" for i in range(60)], **one_reading)
    assert "--limit" not in str(raised.value)
    with pytest.raises(UserError, match="raise --limit"):
        split([f"g{i // 4}" for i in range(60)], limit=40, **one_reading)


# items made in Python


@pytest.mark.parametrize(("name", "text"), [(0, "0"), (1.0, "1"), (2.5, "2.5"), ("a", "a")])
def test_ids_and_groups_that_are_numbers_count_as_their_text(name, text):
    (item,) = check_items([Item(name, name, {})], "the items")
    assert (item.id, item.group) == (text, text)


@pytest.mark.parametrize("name", [True, None, "", " ", ["a"], {"a": 1}])
@pytest.mark.parametrize("field", ["id", "group"])
def test_an_id_or_group_that_is_no_name_is_refused_by_its_place(name, field):
    good = Item("a", "g", {})
    bad = replace(good, **{"id": "b", field: name})
    message = refusal(check_items, [good, bad], "the items")
    assert message.startswith(f"The items, number 2: its {field} must be a text or a number")


def test_an_id_that_occurs_twice_and_what_is_no_item_are_refused():
    twice = [Item(1, "g", {}), Item("1", "g", {})]
    assert refusal(check_items, twice, "the items").endswith("number 2: the id '1' occurs twice.")
    assert "expected a saetask.data.Item" in refusal(check_items, [{"id": 1}], "the items")


def test_groups_named_0_and_by_number_are_never_on_both_sides():
    class Numbered(Letters):
        def items(self, data=None):
            return [replace(item, group=i % 7) for i, item in enumerate(super().items(data))]

    task = Numbered(["g"] * 70)
    for fold in make_folds(task, ItemSet(task.items(), "the items"), SplitConfig()):
        assert not {s.group for s in fold.train} & {s.group for s in fold.test}
        assert all(isinstance(sample.group, str) for sample in fold.train)
