"""A finding as its JSON record, with the sentence that says why."""

from saetask.detection.base import Misunderstanding
from saetask.report.items import MisunderstandingRecord
from saetask.report.why import why_sentence


def misunderstanding_record(found: Misunderstanding) -> MisunderstandingRecord:
    """Returns the record of a misunderstanding, without concepts where its detector knows none."""
    values = found._asdict()
    if found.log_odds is None:
        for name in ("log_odds", "rest", "concepts"):
            del values[name]
    else:
        values["why"] = why_sentence(found)
    if found.kind is None:
        del values["margin"]
    else:
        values["kind"] = found.kind
    return MisunderstandingRecord.model_validate(values, from_attributes=True)
