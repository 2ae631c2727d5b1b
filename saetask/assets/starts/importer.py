"""An importer of your own: an evaluation log as evaluated items.

saetask plugins --plugin THIS_FILE                  # checks it
saetask discover answers.pipes --plugin THIS_FILE
"""

from pathlib import Path

from saetask import hookimpl
from saetask.data import EvaluatedItem, as_prompt, as_score, read_lines


class Pipes:
    """Lines of `id|question|answer|score`."""

    name = "pipes"
    fields = ()

    def recognises(self, log):
        return log.endswith(".pipes")

    def read(self, log, fields):
        for number, line in read_lines(Path(log)):
            name, question, answer, score = line.split("|")
            place = f"{log}:{number}"
            score = as_score(score, place)
            yield EvaluatedItem(name, as_prompt(question), answer, score, name, place=place)


@hookimpl
def saetask_importers():
    return [Pipes()]
