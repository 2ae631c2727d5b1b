"""A task of your own, with an annotator: is a remark meant as it stands, or ironically?

    saetask plugins --plugin THIS_FILE                  # checks it
    saetask run irony --plugin THIS_FILE                # all arms, on the items below
    saetask run irony --plugin THIS_FILE --data items.jsonl

Change the readings, the items and the prompt into those of your task. What each method must do is
said in `saetask.data.Task` and `saetask.annotation.Annotator`.
"""

from collections.abc import Mapping
from pathlib import Path

from saetask import hookimpl
from saetask.annotation import PLACEMENTS, Annotation
from saetask.data import Candidate, Item, ItemRow, Prompt, Score, Span, Text, read_items
from saetask.detection import Misunderstanding

SITUATIONS = {
    "The sun has been shining all week": ("Lovely weather", "Dreadful weather"),
    "Our train is three hours late": ("A pity", "How wonderfully punctual"),
    "She won the race": ("Well run", "What a disaster for her"),
    "He burnt the dinner": ("We can order something", "You are a born chef"),
    "The baby slept through the night": ("What a relief", "How awful for you"),
    "The roof is leaking again": ("We should call someone", "This house is such a bargain"),
    "They gave us a free upgrade": ("How kind of them", "The cheek of these people"),
    "My phone fell into the lake": ("I am sorry", "You are having a great day"),
    "The soup is perfect": ("You must show me how", "It is a crime to cook like this"),
    "He forgot my birthday": ("That hurt me", "He is the most attentive friend"),
    "The exam was easy": ("I am glad", "How cruel of your teacher"),
    "It rained on our picnic": ("We got soaked", "We picked the ideal day"),
    "The dentist was gentle": ("That is good to hear", "What a torturer"),
    "He parked across two spaces": ("He should move the car", "Such a considerate driver"),
    "The concert was cancelled": ("I am disappointed", "That made my evening"),
    "Her garden is in full bloom": ("It looks beautiful", "She clearly neglects it"),
    "The queue goes round the block": ("This will take long", "We will be inside in a second"),
    "My neighbour drilled all night": ("I could not sleep", "He has a lovely sense of time"),
    "The puppy learnt to sit": ("Clever dog", "A hopeless case"),
    "They lost my luggage again": ("I will complain", "I do love this airline"),
}
"""What happened, and two remarks on it: a sincere one and an ironic one."""


class IronyRow(ItemRow):
    """A row of an item file: its `id` and `group` are declared by ItemRow."""

    situation: Text
    remark: Text
    ironic: bool


class Irony:
    """Is a remark meant as it stands, or ironically?"""

    name = "irony"
    readings = ("sincere", "ironic")  # the ways in which a prompt can be read
    annotators = ("irony-note",)  # who may write notes for this task

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns a file's items, or those of this file."""
        if data is not None:
            return read_items(data, IronyRow, make_item)
        return [
            make_item(IronyRow(id=f"{n}-{i}", situation=situation, remark=remark, ironic=bool(i)))
            for n, (situation, remarks) in enumerate(SITUATIONS.items())
            for i, remark in enumerate(remarks)
        ]

    def prompt(self, item: Item) -> Prompt:
        """Returns what the model is asked; the span `text` is what the detector reads."""
        lead = "Does the speaker mean the remark as it stands? Answer yes or no.\n"
        text = f'{item.question["situation"]}. "{item.question["remark"]}."'
        message = {"role": "user", "content": lead + text}
        span = Span(len(lead), len(lead) + len(text))
        return Prompt([message], answer_prefix="Answer:", spans={"text": span})

    def candidates(self, item: Item) -> list[Candidate]:
        """Returns the answers that are ranked, each with the reading that it stands for."""
        return [Candidate(" yes", "sincere"), Candidate(" no", "ironic")]

    def score(self, item: Item, output: str) -> Score:
        """Returns which reading an answer states, and whether that is right."""
        parsed = {"y": "sincere", "n": "ironic"}.get(output.strip()[:1].lower())
        return Score(parsed, parsed is not None and parsed == item.gold)

    def gold_reading(self, item: Item) -> str:
        """Returns the right reading; detectors and annotators never see it on tested items."""
        return item.gold

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Returns the item of a prompt that a user types, for `saetask detect`."""
        situation, _, remark = text.partition(". ")
        return Item("prompt", "prompt", {"situation": situation, "remark": remark.strip('." ')})


def make_item(row: IronyRow) -> Item:
    """Returns the item of a row; items of one group never stand on both sides of a split."""
    question = {"situation": row.situation, "remark": row.remark}
    return Item(
        row.id, row.group_or(row.situation), question, "ironic" if row.ironic else "sincere"
    )


class IronyNote:
    """Says whether a remark is ironic."""

    name = "irony-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns the notes that are tried on the fit split; the best one is kept."""
        meant = {"sincere": "as it stands", "ironic": "ironically"}[misunderstanding.reading]
        note = f"(Note: the remark is meant {meant}.)"
        return [Annotation(note, placement, self.name) for placement in PLACEMENTS]


@hookimpl
def saetask_tasks() -> list[Irony]:
    """Returns the tasks of this file."""
    return [Irony()]


@hookimpl
def saetask_annotators() -> list[IronyNote]:
    """Returns the annotators of this file."""
    return [IronyNote()]
