"""The control of word classes: which classes a text's words have, without a model."""

from hypothesis import given
from hypothesis import strategies as st

from saetask.data.word_classes import word_classes, word_lists
from saetask.discovery.word_class_control import word_class_family


def scores_of(text: str) -> dict[str, float]:
    family = word_class_family([text, ""])
    return {
        family.hypothesis(column).name: value
        for column, value in enumerate(family.columns(slice(None))[0].tolist())
        if value
    }


def test_words_are_counted_by_class_and_list():
    found = scores_of("The dog never ate two dogs.")
    assert found["animals"] == 2
    assert found["negation"] == 1 and found["number words"] == 1


@given(
    st.lists(
        st.sampled_from(["dog", "cat", "bread", "never", "seven", "she", "walked", "green", "Zyx"])
    )
)
def test_every_word_counts_as_the_table_of_classes_says(words):
    text = " ".join(words)
    family = word_class_family([text])
    counts = dict(zip(range(family.columns(slice(None)).shape[1]), family.columns(slice(None))[0]))
    by_id = {family.hypothesis(c).id: v for c, v in counts.items()}
    of_classes = word_classes(text)
    for name in set(of_classes):
        assert by_id[f"class:{name}"] == of_classes.count(name)
    for name, listed in word_lists().items():
        if not words:
            assert by_id[f"class:{name}"] == 0
        elif set(words) <= listed:
            assert by_id[f"class:{name}"] == len(words)
