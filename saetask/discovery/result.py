"""The result of a discovery: its documents, and what is needed to go on from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saetask.data.evaluated_items import EvaluatedItem
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.discovery.documents import DiscoveryRow, DiscoverySummary, write_discovery
from saetask.discovery.hypotheses import Hypothesis
from saetask.discovery.log_reading import LogReading
from saetask.discovery.page import write_discovery_page
from saetask.discovery.sentences import result_sentences, verdict
from saetask.discovery.slices import Slice, make_slice, write_slices
from saetask.discovery.splitting import Halves

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from jaxtyping import Bool, Float32, Float64


@dataclass(frozen=True, repr=False)
class DiscoveryResult:
    """What a discovery found, with what is needed to go on from there."""

    summary: DiscoverySummary
    rows: list[DiscoveryRow]
    """The discoveries of the summary, with prompts to show."""
    items: list[EvaluatedItem]
    """The items that have a score, in the order of the log."""
    reading: LogReading
    """Their prompts, as they were read."""
    failures: "Float64[np.ndarray, ' n']"
    """Failure of each item."""
    halves: Halves
    """Indices of the items of both halves."""
    hypotheses: list[Hypothesis]
    """Of each row; `concept` holds the features."""
    presence: "Bool[np.ndarray, 'n m']"
    """In which items the hypothesis of each row is present."""
    strength: "Float32[np.ndarray, 'n m']"
    """How strongly it is, which is compared with the row's threshold."""
    labels: FeatureLabels
    """The model, the SAE, and the labels of its features."""

    def __repr__(self) -> str:
        """Returns what was found, in a few words."""
        n = len(self.items)
        return f"DiscoveryResult({verdict(self.summary)}, {len(self.rows)} tested, {n} prompts)"

    def sentences(self) -> list[str]:
        """Returns what was confirmed, and what the controls found, in words."""
        return [*result_sentences(self.summary)]

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns a table with a row for each concept and feature that was tested."""
        import pandas

        return pandas.DataFrame([found.to_json() for found in self.summary.discoveries])

    def slices(self) -> list[Slice]:
        """Returns each row with all prompts in which its hypothesis is present."""
        return [
            make_slice(
                self.summary,
                found,
                self.items,
                self.failures,
                self.halves,
                self.presence[:, column],
                self.strength[:, column],
            )
            for column, found in enumerate(self.summary.discoveries)
        ]

    def save(self, folder: Path | str) -> Path:
        """Writes both tables (`discoveries.jsonl`, `slices.jsonl`), `summary.json` and a page.

        Returns:
            The page's path.
        """
        folder = Path(folder)
        write_discovery(folder, self.summary, self.rows)
        write_slices(folder, self.slices())
        return write_discovery_page(folder)
