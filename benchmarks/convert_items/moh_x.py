"""MOH-X: verbs in short sentences of WordNet."""

from benchmarks.convert_items.rows import Row
from benchmarks.convert_items.verbs import verb_in_sentence


def moh_x_item(row: Row, number: int) -> Row:
    """Converts a row of MOH-X, which has no ids of its own."""
    return {"id": f"moh-x-{number}", **verb_in_sentence(row)}
