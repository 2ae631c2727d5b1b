"""A made-up task for folds: items of given groups and right readings, nothing else."""

from saetask.data import Candidate, Item, ItemRow, Prompt, Score, Span, read_items


class LetterRow(ItemRow):
    """A row of a file of letters."""

    gold: str


class Letters:
    """A task whose items are a list of groups: item `i` belongs to group `groups[i]`.

    Each group has both readings, unless `golds` says which reading each item has.
    """

    name = "letters"
    annotators = ()

    def __init__(self, groups=(), golds=None, readings="ab"):
        self.readings = tuple(readings)
        self.groups = list(groups)
        self.golds = golds or ["ab"[(i + i // 10) % 2] for i in range(len(self.groups))]

    def items(self, data=None):
        if data is not None:
            return read_items(data, LetterRow, lambda row: Item(row.id, row.group, {}, row.gold))
        rows = enumerate(zip(self.groups, self.golds))
        return [Item(str(i), group, {}, gold) for i, (group, gold) in rows]

    def prompt(self, item):
        return Prompt([{"role": "user", "content": item.id}], spans={"text": Span(0, 1)})

    def candidates(self, item):
        return (
            None
            if item.group == "mute"
            else [Candidate(f" {name}", name) for name in self.readings]
        )

    def score(self, item, output):
        return Score(output, output.strip() == item.gold)

    def gold_reading(self, item):
        return item.gold

    def question_from_text(self, text, target):
        raise NotImplementedError
