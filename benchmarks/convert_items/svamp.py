"""SVAMP: word problems that vary the question about one body."""

from benchmarks.convert_items.operations import operations_of
from benchmarks.convert_items.rows import Row, field
from benchmarks.convert_items.word_problems import answer, one_step, template
from saetask.data.items import Text


def svamp_item(row: Row, number: int) -> Row:
    """Converts a row of SVAMP, which asks several questions about one body."""
    return one_step(_svamp_problem(row))


def svamp_steps_item(row: Row, number: int) -> Row:
    """Converts a row of SVAMP to an item of gsm8k, with the operations of its equation."""
    operations = operations_of([field(row, "Equation", Text)])
    problem = _svamp_problem(row)
    return {**problem, "operations": operations} if operations else problem


def _svamp_problem(row: Row) -> Row:
    body, question = field(row, "Body", Text).strip(), field(row, "Question", Text).strip()
    joint = " " if body[-1] in ".?!" else ", "
    return {
        "id": f"svamp-{field(row, 'ID', Text)}",
        "question": f"{body}{joint}{question}",
        "answer": answer(row, "Answer"),
        "group": template(body),
    }
