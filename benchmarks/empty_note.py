"""A plugin whose notes are empty: what an arm gains without a note being written.

    saetask run metaphor --limit 60 --plugin benchmarks/empty_note.py --annotators empty-note

Whatever `saetask` is above `original` then comes from the detector's choice of prompts and from the
offset that is fitted on such prompts.
"""

from collections.abc import Mapping

from saetask import hookimpl
from saetask.annotation import Annotation
from saetask.detection import Misunderstanding


class EmptyNote:
    """Adds a line break to the prompt, and nothing else."""

    name = "empty-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns one note, which is empty."""
        return [Annotation("", "end", self.name)]


@hookimpl
def saetask_annotators() -> list[EmptyNote]:
    """Registers the annotator."""
    return [EmptyNote()]
