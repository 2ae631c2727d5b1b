"""Fig-QA: figurative phrases with two endings."""

from benchmarks.convert_items.rows import FieldError, LeftOutError, Row, field
from saetask.data.items import Text


def fig_qa_item(row: Row, number: int) -> Row:
    """Converts a row of Fig-QA; two rows, with opposite phrases, share a `qid`."""
    label = str(row.get("labels"))
    if label not in ("0", "1"):
        raise FieldError("labels", f"expected 0 or 1, found {row.get('labels')!r}.")
    if str(row.get("valid")) != "1":
        raise LeftOutError("marked as not valid")
    return {
        "id": f"fig-qa-{number}",
        "phrase": field(row, "startphrase", Text),
        "endings": [field(row, "ending1", Text), field(row, "ending2", Text)],
        "label": int(label),
        "group": f"fig-qa-{field(row, 'qid', Text)}",
    }
