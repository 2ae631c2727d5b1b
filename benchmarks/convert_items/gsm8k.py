"""GSM8K: word problems with solutions in steps."""

import re

from benchmarks.convert_items.operations import operations_of
from benchmarks.convert_items.rows import FieldError, Row, field
from benchmarks.convert_items.word_problems import template
from saetask.data.items import Text
from saetask.data.numbers import last_number


def gsm8k_item(row: Row, number: int) -> Row:
    """Converts a row of GSM8K, with the operations of its solution where all can be told."""
    question, solution = field(row, "question", Text), field(row, "answer", Text)
    _, mark, end = solution.rpartition("####")
    answer = last_number(end)
    if not mark or answer is None:
        raise FieldError("answer", "expected a solution that ends with #### and a number.")
    item = {
        "id": f"gsm8k-{number}",
        "question": question,
        "answer": int(answer) if answer.is_integer() else answer,
        "group": template(question),
    }
    operations = operations_of(re.findall(r"<<(.*?)>>", solution))
    return {**item, "operations": operations} if operations else item
