"""Fills the templates of `word_problems.jsonl` with names, things and numbers.

    python recipes/make_word_problems.py > plugins/tasks/items/word-problems.jsonl

A template has one operation on its numbers `a` and `b`; its `trap` says what in the wording points
elsewhere: a comparison with the unknown number (`more-than-subtract`), a change told forwards whose
beginning is asked for (`inverse-start`), a cue word that usually goes with another operation
(`altogether-but-subtract`), or a third number `c` that has no part (`irrelevant-number`).
"""

import json
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).with_name("word_problems.jsonl")
PROBLEMS_PER_TEMPLATE = 2
LARGEST_FACTOR = 24
LARGEST_NUMBER = 97
# fmt: off
NAMES = (
    "Ada", "Amir", "Anouk", "Bela", "Carmen", "Dario", "Edda", "Farid", "Greta", "Hugo", "Ines",
    "Jonah", "Kenji", "Leila", "Malik", "Nadia", "Oskar", "Priya", "Quinn", "Rosa", "Samir",
    "Tilda", "Umar", "Vera", "Wanda", "Yusuf", "Zoe",
)
TOWNS = (
    "Alderby", "Birchwick", "Cranmouth", "Dunhollow", "Elmstead", "Fernhill", "Greywater",
    "Hazelford", "Larkfield", "Millbrook", "Northgate", "Oakridge", "Stonebridge",
)
# fmt: on
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def main() -> None:
    """Prints the problems of all templates."""
    for line in TEMPLATES.read_text(encoding="utf-8").splitlines():
        template = json.loads(line)
        generator = random.Random(template["id"])  # a new template leaves the others as they are
        pairs: list[tuple[int, int]] = []
        while len(pairs) < PROBLEMS_PER_TEMPLATE:
            pair = draw_pair(generator, template["operation"])
            if pair not in pairs:
                pairs.append(pair)
                print(json.dumps(fill(generator, template, pair, len(pairs))))


def fill(
    generator: random.Random, template: Mapping[str, Any], pair: tuple[int, int], number: int
) -> dict[str, Any]:
    """Makes one problem of a template."""
    a, b = pair
    answer = results(a, b)[template["operation"]]
    third = [
        c
        for c in range(*template.get("third", (0, 1)))
        if c not in (a, b) and answer not in [*results(a, c).values(), *results(b, c).values()]
    ]
    words = draw_words(generator, template.get("words", {}))
    return {
        "id": f"wp-{template['id']}-{number}",
        "question": template["body"].format(a=a, b=b, c=generator.choice(third), **words),
        "answer": int(answer),
        "group": template["id"],
    }


def draw_words(generator: random.Random, choices: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Draws a word for every slot; the slots `box/boxes` are filled together."""
    words = dict(zip(("name", "other"), generator.sample(NAMES, 2)))
    words |= zip(("town", "town2"), generator.sample(TOWNS, 2))
    words |= zip(("day", "later"), sorted(generator.sample(DAYS, 2), key=DAYS.index))
    for slots, options in choices.items():
        words |= zip(slots.split("/"), generator.choice(options).split("/"))
    return words


def results(a: int, b: int) -> dict[str, Fraction]:
    """Returns what each operation makes of two numbers, the larger first."""
    low, high = sorted((Fraction(a), Fraction(b)))
    return {
        "addition": high + low,
        "subtraction": high - low,
        "multiplication": high * low,
        "division": high / (low or 1),
    }


def draw_pair(generator: random.Random, operation: str) -> tuple[int, int]:
    """Draws numbers with four different results; the larger is `a` where the order matters."""
    while True:
        a, b = propose_pair(generator, operation)
        answers = results(a, b)
        answer = answers[operation]
        plain = a != b and max(a, b) <= LARGEST_NUMBER and len(set(answers.values())) == 4
        if plain and answer >= 2 and answer not in (a, b):
            return a, b


def propose_pair(generator: random.Random, operation: str) -> tuple[int, int]:
    """Draws numbers; sums and differences often look like products and quotients."""
    first, second = generator.randint(2, LARGEST_FACTOR), generator.randint(2, LARGEST_FACTOR)
    if operation == "multiplication":
        return first, second
    if operation == "division":
        return first * second, second
    wide = generator.randint(2, LARGEST_NUMBER), generator.randint(2, LARGEST_NUMBER)
    divisible = first * generator.randint(2, LARGEST_NUMBER // first), first
    low, high = sorted(generator.choice((wide, divisible, (first, second))))
    return (low, high) if operation == "addition" and generator.random() < 0.5 else (high, low)


if __name__ == "__main__":
    main()
