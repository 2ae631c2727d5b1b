"""Writes the texts and the tokenizer of the golden run: `python -m tests.golden.make_texts`.

They are committed; they are written anew only where the golden run is to be about other texts.
"""

import json
import random
from pathlib import Path
from typing import Any

from tests.golden.material import CORPUS, MARKERS, METAPHORS, PROBLEMS, ROOT, TOKENIZER

NOUNS = {
    "farm": ["barn", "goat", "plough", "hay", "fence", "orchard", "tractor", "well"],
    "harbour": ["ferry", "crane", "net", "anchor", "gull", "pilot", "rope", "lighthouse"],
    "kitchen": ["kettle", "oven", "spoon", "dough", "pan", "cellar", "jar", "stove"],
    "school": ["teacher", "desk", "ruler", "atlas", "bell", "pupil", "lesson", "chalk"],
    "forest": ["owl", "moss", "fox", "path", "pine", "stream", "beetle", "clearing"],
    "town": ["mayor", "tram", "bridge", "market", "clock", "baker", "square", "letter"],
}
ADJECTIVES = ["old", "quiet", "red", "broken", "heavy", "bright", "small", "wet", "new", "empty"]
VERBS = ["carried", "found", "painted", "counted", "lost", "followed", "mended", "sold", "watched"]
PEOPLE = ["Anna", "Omar", "Lucia", "Henrik", "Mina", "Tomas", "the driver", "the widow"]
PLACES = ["before dawn", "near the gate", "after the storm", "in March", "by the wall", "at noon"]
PATTERNS = [
    "{person} {verb} the {adjective} {noun} {place}.",
    "The {noun} was {adjective}, and the {other} was not.",
    "{person} paid {number} pounds for a {noun} and {small} for the {other}.",
    "Nobody {verb} the {noun} {place}; it stood beside the {adjective} {other}.",
    "There were {number} of them: each {noun} had a {adjective} {other}.",
    "“Where is the {noun}?” asked {person}, who had {verb} the {other}.",
]
DOCUMENTS = 240
USED = ["bury", "plant", "cook", "sail", "weave", "melt", "chase", "build", "feed", "grind"]
"""The verbs that may be metaphors."""
METAPHOR_PATTERNS = [
    "{person} will {verb} the {noun} {place}.",
    "They wanted to {verb} a {adjective} {noun}.",
    "It takes years to {verb} such a {noun}.",
    "Do not {verb} your {noun} {place}.",
    "We {verb} some {noun} and some more {noun}.",
]
PROBLEM_PATTERNS = {
    "sum": "{person} had {a} {noun}s and {marker} {b} more. How many is that?",
    "left": "{person} had {a} {noun}s and {marker} {b} of them. How many were left?",
    "product": "{person} keeps {a} {noun}s {marker} {b} rows. How many are there?",
    "part": "{person} {marker} {a} {noun}s between {b} friends. How many does a friend get?",
}
TWISTED = "{person} {marker} {b} {noun}s, which makes {a} now. How many were there before?"
VOCABULARY = 2048
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|start|>' + message['role'] + '\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}"
)


def corpus_texts(seed: int = 0) -> list[str]:
    """Returns documents of a few sentences each, every one about one place."""
    drawn = random.Random(seed)
    texts = []
    for _ in range(DOCUMENTS):
        nouns = NOUNS[drawn.choice(list(NOUNS))]
        sentences = []
        for _ in range(drawn.randint(3, 8)):
            noun, other = drawn.sample(nouns, 2)
            sentence = drawn.choice(PATTERNS).format(
                person=drawn.choice(PEOPLE),
                verb=drawn.choice(VERBS),
                adjective=drawn.choice(ADJECTIVES),
                noun=noun,
                other=other,
                place=drawn.choice(PLACES),
                number=drawn.randint(12, 96),
                small=drawn.randint(2, 9),
            )
            sentences.append(sentence[0].upper() + sentence[1:])
        texts.append(" ".join(sentences))
    return texts


def metaphor_items(seed: int = 1) -> list[dict[str, Any]]:
    """Returns sentences whose noun, of one of three kinds, tells how the verb is meant."""
    drawn = random.Random(seed)
    items = []
    for verb in USED:
        kinds = ["thing", "thing", "idea", "idea", "trap", "trap"]
        for number, kind in enumerate(kinds, 1):
            sentence = drawn.choice(METAPHOR_PATTERNS).format(
                person=drawn.choice(PEOPLE),
                verb=verb,
                noun=drawn.choice(MARKERS[kind]),
                adjective=drawn.choice(ADJECTIVES),
                place=drawn.choice(PLACES),
            )
            sentence = sentence[0].upper() + sentence[1:]
            items.append(
                {
                    "id": f"{verb}-{number}",
                    "sentence": sentence,
                    "target": verb,
                    "target_start": sentence.index(f" {verb} ") + 1,
                    "label": "literal" if kind == "thing" else "metaphorical",
                    "group": verb,
                    "senses": {
                        "literal": f"to {verb} by hand",
                        "metaphorical": f"to {verb} in thought",
                    },
                }
            )
    return items


def problem_items(seed: int = 2) -> list[dict[str, Any]]:
    """Returns problems whose verb tells the operation, but for some that are to be undone."""
    drawn = random.Random(seed)
    items = []
    for number in range(40):
        kind = ["sum", "left", "product", "left", "part", "sum", "product", "left"][number % 8]
        b = drawn.randint(2, 9)
        a = b * drawn.randint(11, 19)
        answers = {"sum": a + b, "left": a - b, "product": a * b, "part": a // b}
        pattern, answer = PROBLEM_PATTERNS[kind], answers[kind]
        if kind == "sum" and number % 16 == 0:
            pattern, answer = TWISTED, answers["left"]
        question = pattern.format(
            person=drawn.choice(PEOPLE),
            noun=drawn.choice(["goat", "net", "spoon", "bell", "pine", "letter"]),
            marker=drawn.choice(MARKERS[kind]),
            a=a,
            b=b,
        )
        question = question[0].upper() + question[1:]
        group = f"story-{number // 2}"
        items.append(
            {"id": f"problem-{number}", "question": question, "answer": answer, "group": group}
        )
    return items


def write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes rows as JSON lines."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def write_tokenizer(texts: list[str], path: Path) -> None:
    """Trains a byte-level BPE, digits apart, on the texts and writes it as one JSON document."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|start|>", "<|end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    document = {"chat_template": CHAT_TEMPLATE, "tokenizer": json.loads(tokenizer.to_str())}
    path.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Writes the files."""
    texts, metaphors, problems = corpus_texts(), metaphor_items(), problem_items()
    write_rows([{"text": text} for text in texts], CORPUS)
    write_rows(metaphors, METAPHORS)
    write_rows(problems, PROBLEMS)
    markers = [f"the {word} of" for words in MARKERS.values() for word in words] * 50
    labels = ["used literally or metaphorically? is literal. is metaphorical."] * 50
    given = [item.get("sentence") or item["question"] for item in metaphors + problems]
    items = [path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("tasks/items/*.jsonl"))]
    write_tokenizer([*texts, *markers, *labels, *given, *items], TOKENIZER)


if __name__ == "__main__":
    main()
