"""Notes that name concepts and not the reading: those of the arm `evidence`, for any task."""

from saetask.annotation import EvidenceNotes as Evidence

__all__ = ["Evidence"]
