from .base import PLACEMENTS as PLACEMENTS
from .base import Annotation as Annotation
from .base import Annotator as Annotator
from .base import Placement as Placement
from .base import WritingAnnotator as WritingAnnotator
from .base import annotate as annotate
from .evidence_notes import EvidenceNotes as EvidenceNotes
