"""A plugin whose notes are empty: what an arm gains without a note being written.

    saetask run metaphor --limit 60 --plugin benchmarks/empty_note.py --annotators empty-note

`saetask` must then come out like `gated-placebo`: an empty note does nothing, whatever prompts the
detector picks for it. What an offset fitted on such prompts would do is the arm `gate-only`.
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
