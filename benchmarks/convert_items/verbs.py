"""Verbs in sentences, of which each is literal or metaphorical (MOH-X, VUA)."""

from benchmarks.convert_items.rows import Row, field, index_below, token
from saetask.data.items import Text

LABELS = ("literal", "metaphorical")


def verb_in_sentence(row: Row) -> Row:
    """Returns all of an item of the task metaphor but its id."""
    place = token(row, "sentence", "verb_idx")
    return {
        "sentence": row["sentence"],
        "target": place.text,
        "target_start": place.start,
        "label": LABELS[field(row, "label", index_below(len(LABELS)))],
        "group": field(row, "verb", Text).lower(),
    }
