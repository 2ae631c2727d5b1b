"""VUA: verbs in sentences of the British National Corpus."""

from benchmarks.convert_items.rows import Row, field
from benchmarks.convert_items.verbs import verb_in_sentence
from saetask.data.items import Text


def vua_item(row: Row, number: int) -> Row:
    """Converts a row of VUA; a sentence may stand there twice, so the line is part of the id."""
    source = f"{field(row, 'txt_id', Text)}-{field(row, 'sen_ix', Text)}"
    return {"id": f"vua-{source}-{number}", **verb_in_sentence(row)}
