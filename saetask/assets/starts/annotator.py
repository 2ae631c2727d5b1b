"""An annotator of your own, with an option; docs/plugins.md of saetask explains its parts.

saetask plugins --plugin THIS_FILE                  # checks it
saetask run metaphor --plugin THIS_FILE --annotators opposite-note --annotator-option tone=firm
"""

from dataclasses import dataclass
from typing import Literal

from saetask import hookimpl
from saetask.annotation import Annotation


@dataclass(frozen=True)
class NoteOptions:
    tone: Literal["plain", "firm"] = "plain"
    """How the note is worded."""


@dataclass(frozen=True)
class OppositeNote:
    """Says whether a sentence is ironic."""

    options: NoteOptions = NoteOptions()
    name = "opposite-note"
    options_type = NoteOptions

    def configure(self, options):
        return OppositeNote(options)

    def candidates(self, misunderstanding, labels):
        text = f"(Note: this is {misunderstanding.reading}.)"
        if self.options.tone == "firm":
            text = text.upper()
        return [Annotation(text, placement, self.name) for placement in ("end", "start")]


@hookimpl
def saetask_annotators():
    return [OppositeNote()]
