"""WiC: pairs of sentences that use a word in one sense or in two."""

from benchmarks.convert_items.rows import FieldError, Row, field, token
from saetask.data.items import Text


def wic_item(row: Row, number: int) -> Row:
    """Converts a row of WiC."""
    word, same = field(row, "word", Text), row.get("same_sense")
    if not isinstance(same, bool):
        raise FieldError("same_sense", f"expected true or false, found {same!r}.")
    first, second = token(row, "s1", "idx1"), token(row, "s2", "idx2")
    return {
        "id": f"wic-{number}",
        "word": word,
        "sentence1": row["s1"],
        "sentence2": row["s2"],
        "start1": first.start,
        "start2": second.start,
        "target1": first.text,
        "target2": second.text,
        "label": "same" if same else "different",
        "group": word.lower(),
    }
