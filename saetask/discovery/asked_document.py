"""What asking prompts in other forms did, as a part of a discovery's `summary.json`."""

from saetask.discovery.mended_document import Difference
from saetask.report.documents import Count, Document, Interval, PositiveCount, Share, Text


class ChangedForm(Document):
    """How many prompts the model answers otherwise when they are asked in another form."""

    change: Text
    """What was changed in them: a rewrite, or the order of the choices."""
    n: PositiveCount
    """Number of prompts that were asked so."""
    n_changed: Count
    """Number of those that got another answer than in their own form."""


class DrawnControl(Document):
    """What answers that are drawn to unchanged prompts tell, in place of those to other forms.

    As many were drawn to each prompt as it has other forms. Where they tell as much, the model's
    uncertainty about the prompt as it stands does, and no other form was needed.
    """

    n: PositiveCount
    """Number of prompts that were asked in other forms; the figures below are of these."""
    disagreement: Share
    """Mean share of pairs of answers that differ, to the prompt and to its other forms."""
    drawn_disagreement: Share
    """The same of the answer to the prompt and of those that were drawn."""
    auroc: Share | None
    """Area under the ROC curve of the drawn answers' disagreement against wrong answers; this and
    what follows is null where too few items have a score, or all are alike."""
    difference: Difference | None
    """Area by the other forms minus that by the drawn answers."""
    ci95: Interval | None
    """Of the difference, by a bootstrap over groups."""
