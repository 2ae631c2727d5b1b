"""Rendering of a run folder as one self-contained HTML page.

The charts are drawn by plotly.js, embedded once from the installed plotly package. That is about
4.8 MB of the page: the Python package carries no smaller bundle (its other one, `widgetbundle.js`,
is larger still), and the partial bundles of plotly.js exist on npm and CDNs only. All else of a
report of some hundred items stays well below 1 MB. A content security policy in the page forbids
every request, so that no version of plotly.js can make one.
"""

import json
import math
from functools import partial
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from saetask.report import numbers, sentences
from saetask.report.charts import accuracy_chart, against_chart, detection_chart
from saetask.report.figures import Detection
from saetask.report.headline import headline
from saetask.report.item_comparison import BROWSER_LIMIT, ItemComparison
from saetask.report.items import ItemRecord, MisunderstandingRecord
from saetask.report.run_folder import RunFolder, read_run_folder
from saetask.utils.files import write_text

FEATURE_LIMIT = 20
"""Maximum number of features in the table of evidence."""
SCORE_DESCRIPTIONS = {
    "dense-probe": "A linear probe on the raw activations.",
    "difference-in-means": "The direction between the classes' mean activations.",
    "best-neuron": "The one best dimension of the raw activations.",
    "best-feature": "The one best feature.",
    "bag-of-words": "The words of the text; no model.",
    "random-sae": "The same probe on a frozen random dictionary.",
    "answer-entropy": "How undecided the model is.",
    "prompt-length": "Characters of the prompt.",
}
"""What the scores of the detection tables are, in the order of the tables."""


def write_report(run_folder: Path) -> Path:
    """Writes `report.html` into a run folder.

    Args:
        run_folder: A folder with `summary.json`, `items.jsonl`, `config.yaml` and
            `environment.json`.

    Returns:
        The path of the report.

    Raises:
        UserError: A file is missing or damaged, or the report cannot be written.
    """
    page = render(read_run_folder(Path(run_folder)))
    path = Path(run_folder) / "report.html"
    # A model's output may hold half a surrogate pair, which UTF-8 cannot.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path


def render(run: RunFolder) -> str:
    """Returns the report of a run folder as HTML."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("saetask.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    # A number and its percent sign stay in one line.
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    environment.filters["json_text"] = partial(json.dumps, indent=2, ensure_ascii=False)
    summary = run.summary
    return environment.get_template("report.html.jinja").render(
        run=run,
        summary=summary,
        headline=headline(summary),
        score_descriptions=SCORE_DESCRIPTIONS,
        accuracy_chart=Markup(accuracy_chart(summary.arms)) if summary.arms else None,
        against_chart=Markup(against_chart(summary.against)) if summary.against else None,
        detection_chart=_score_chart("detection-chart", summary.detection),
        reading_chart=_score_chart("reading-chart", summary.reading_detection),
        sentences=sentences,
        features=run.items.features[:FEATURE_LIMIT],
        rows=[browser_row(record) for record in run.items.shown],
        limit=BROWSER_LIMIT,
        numbers=numbers,
        style=_source("style.css"),
        browser_script=_source("browser.js"),
        plotly_script=Markup(get_plotlyjs()),
    )


def _score_chart(element: str, detection: Detection) -> Any:
    from markupsafe import Markup

    scores = detection.measured
    return Markup(detection_chart(element, scores)) if scores else None


def browser_row(item: ItemComparison) -> dict[str, Any]:
    """Returns what the item browser needs of an item, as JSON values."""
    # Cut here and not in the browser: JavaScript counts UTF-16 units, the spans count characters.
    prompt = item.before.prompt if item.before else ""
    return {
        "id": item.id,
        "group": item.group,
        "fold": str(item.fold),
        "correct": item.correct,
        "before": _browser_answer(item.before),
        "after": _browser_answer(item.after),
        "findings": [finding.to_json() for finding in item.findings],
        "annotations": [annotation.to_json() for annotation in item.annotations],
        "rounds": [entry.to_json() for entry in item.rounds],
        "change": item.change,
        "segments": marked_segments(prompt, item.findings),
    }


def _browser_answer(row: ItemRecord | None) -> dict[str, Any] | None:
    if row is None:
        return None
    # JSON has no infinity, which is the score of an answer that the model can not give.
    scores = {name: v if math.isfinite(v) else None for name, v in row.scores.items()}
    answer = {"output": row.output, "parsed": row.parsed or None, "scores": scores}
    return answer if row.arm == "original" else {"prompt": row.prompt, **answer}


def marked_segments(prompt: str, findings: list[MisunderstandingRecord]) -> list[tuple[str, bool]]:
    """Cuts a prompt where a finding's span begins or ends; True marks what lies in a span."""
    length = len(prompt)
    spans = [(start, min(end, length)) for start, end in (finding.span for finding in findings)]
    spans = [(start, end) for start, end in spans if start < end]
    cuts = sorted({0, length, *(cut for span in spans for cut in span)})
    return [
        (prompt[start:end], any(low <= start < high for low, high in spans))
        for start, end in pairwise(cuts)
    ]


def _source(name: str) -> Any:
    from markupsafe import Markup

    return Markup((files("saetask.report") / "templates" / name).read_text(encoding="utf-8"))
