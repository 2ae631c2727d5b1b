"""AddSub: word problems of addition and subtraction."""

from benchmarks.convert_items.rows import Row, field
from benchmarks.convert_items.word_problems import answer, one_step, template
from saetask.data.items import Name, Text


def addsub_item(row: Row, number: int) -> Row:
    """Converts a row of AddSub."""
    question = field(row, "question", Text)
    return one_step(
        {
            "id": f"addsub-{field(row, 'id', Name)}",
            "question": question,
            "answer": answer(row, "answer"),
            "group": template(question),
        }
    )
