import numpy as np

from saetask.data.evaluated_items import EvaluatedItem
from saetask.discovery.confounders import MOST_ANSWERS, confounders


def items(outputs, correct=None):
    correct = correct or [i % 2 for i in range(len(outputs))]
    pairs = enumerate(zip(outputs, correct))
    return [EvaluatedItem(str(i), "p", text, right, str(i)) for i, (text, right) in pairs]


def given(outputs, texts=None, correct=None):
    texts = texts or ["two words"] * len(outputs)
    made = items(outputs, correct)
    failures = np.array([np.nan if each.correct is None else 1 - each.correct for each in made])
    return confounders(made, failures, texts, np.arange(1, len(outputs) + 1))


def test_length_numbers_and_position_are_given():
    found = given(["a", "b", "a"], ["one 1", "1,000 and 2.5", "none"])
    columns = dict(zip(found.names, found.values.T))
    assert np.all(np.diff(columns["tokens"]) > 0)
    np.testing.assert_allclose(columns["numbers"], np.log([2, 3, 1]))
    assert columns["position"].tolist() == [-1, 0, 1]


def test_the_answer_is_given_where_there_are_few_different_ones():
    found = given(["Yes", "yes ", "no", "yes"])
    assert found.names[-1] == "answer 'no'"
    assert found.values[:, -1].tolist() == [0, 0, 1, 0]
    many = given([str(i) for i in range(MOST_ANSWERS + 1)])
    assert not any(name.startswith("answer") for name in many.names)


def test_answers_that_are_the_failures_themselves_are_not_given():
    outputs = ["yes", "no", "yes", "no"]
    assert not any(n.startswith("answer") for n in given(outputs, correct=[1, 0, 1, 0]).names)
    assert "answer 'no'" in given(outputs, correct=[1, 0, 0, 0]).names


def test_prompts_of_one_length_and_a_single_item_give_finite_columns():
    found = confounders(items(["a"]), np.zeros(1), [""], np.array([0]))
    assert np.isfinite(found.values).all()
