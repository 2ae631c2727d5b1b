"""Notes made of feature labels alone, for any task."""

from collections.abc import Mapping

from saetask.annotation import Annotation
from saetask.detection import Misunderstanding

MOST_LABELS = 3


class FeatureLabel:
    """Quotes the labels of the features behind a finding."""

    name = "feature-label"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns one note after the message; none where no feature has a label.

        Features that are silent, or that speak against the reading, are not quoted.
        """
        speaking = [f for f in misunderstanding.features if f.activation * f.weight > 0]
        known = [labels[f.id] for f in speaking if labels.get(f.id)][:MOST_LABELS]
        if not known:
            return []
        text = f'(Note: "{misunderstanding.text}" here: {"; ".join(known)}.)'
        return [Annotation(text, "end", self.name)]
