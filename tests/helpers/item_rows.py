"""Rows of item files, as docs/how-to/data.md documents them."""

SENTENCE = {
    "id": "s1",
    "sentence": "The ship sailed at noon.",
    "target": "sailed",
    "target_start": 9,
    "label": "literal",
}
PROBLEM = {"id": "p1", "question": "Ann has 7 figs and eats 2. How many are left?", "answer": 5}
