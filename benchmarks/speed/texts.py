"""What is read: the prompts of the embedded items, and documents made of their texts."""

import json
import random
from pathlib import Path

from saetask.data.corpus import CorpusConfig, Source
from saetask.data.prompts import Prompt
from saetask.data.tasks import Item
from saetask_plugins.tasks.metaphor import Metaphor
from saetask_plugins.tasks.word_problems import WordProblems

TEXTS_PER_DOCUMENT = 8
CORPUS_FILE = "texts.jsonl"


def prompts(n: int) -> list[Prompt]:
    """Returns n prompts of either embedded task by turns: short ones and long ones."""
    pairs = zip(shuffled(Metaphor().items()), shuffled(WordProblems().items()))
    found = [
        prompt
        for sentence, problem in pairs
        for prompt in (Metaphor().prompt(sentence), WordProblems().prompt(problem))
    ]
    return found[:n]


def shuffled(items: list[Item]) -> list[Item]:
    """Returns items in an order that is the same every time."""
    return random.Random(0).sample(items, len(items))


def documents(copies: int = 1) -> list[str]:
    """Returns documents of some 350 tokens, of the embedded word problems."""
    texts = [item.question["question"] for item in shuffled(WordProblems().items())] * copies
    starts = range(0, len(texts), TEXTS_PER_DOCUMENT)
    return [" ".join(texts[start : start + TEXTS_PER_DOCUMENT]) for start in starts]


def write_corpus(folder: Path, context_size: int = 128, copies: int = 1) -> CorpusConfig:
    """Writes the documents to a file in a folder and returns the corpus that names it."""
    lines = (json.dumps({"text": text}) + "\n" for text in documents(copies))
    (folder / CORPUS_FILE).write_text("".join(lines), encoding="utf-8")
    return CorpusConfig(
        [Source(CORPUS_FILE)], context_size=context_size, test_share=0.15, selection_share=0.1
    )
