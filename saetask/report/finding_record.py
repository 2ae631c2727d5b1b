"""A finding as its JSON record, with the sentence that says why."""

from saetask.detection.base import Misunderstanding
from saetask.report.items import MisunderstandingRecord
from saetask.report.why import why_sentence


def misunderstanding_record(found: Misunderstanding) -> MisunderstandingRecord:
    """Returns the record of a misunderstanding, without concepts where its detector knows none."""
    values = {name: value for name, value in found._asdict().items() if value is not None}
    if found.log_odds is None:
        for name in ("concepts", "against", "unnamed_tokens"):
            del values[name]
    if not found.nearest:
        del values["nearest"]
    if found.log_odds is not None:
        values["why"] = why_sentence(found)
    if found.kind is not None:
        values["kind"] = found.kind
    return MisunderstandingRecord.model_validate(values, from_attributes=True)
