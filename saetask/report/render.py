"""From a run to a page that needs nothing but itself.

The charts are drawn by plotly.js, embedded once from the installed plotly package. That is about
4.8 MB of the page: the Python package carries no smaller bundle (its other one, `widgetbundle.js`,
is larger still), and the partial bundles of plotly.js exist on npm and CDNs only. All else of a
report of some hundred items stays well below 1 MB. A content security policy in the page forbids
every request, so that no version of plotly.js can make one.
"""

import json
from dataclasses import asdict
from functools import partial
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from saetask.report import arms, numbers, sentences
from saetask.report.charts import accuracy_chart, against_chart, detection_chart
from saetask.report.data import Run, read_run
from saetask.report.figures import Arm, Detection
from saetask.report.headline import headline
from saetask.report.items import BROWSER_LIMIT, Finding, ItemRecord
from saetask.utils.files import write_text

FEATURE_LIMIT = 20


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
    page = render(read_run(Path(run_folder)))
    path = Path(run_folder) / "report.html"
    # A model's output may hold half a surrogate pair, which UTF-8 cannot.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path


def render(run: Run) -> str:
    """Returns the page."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("saetask.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    # A number and its percent sign stay in one line.
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    environment.filters["json_text"] = partial(json.dumps, indent=2, ensure_ascii=False)
    summary = run.summary
    measured, asked_again = _ordered(summary.arms), _ordered(summary.second_question)
    return environment.get_template("report.html.jinja").render(
        run=run,
        summary=summary,
        headline=headline(summary),
        arms=measured,
        second_question=asked_again,
        purposes=arms.PURPOSES,
        score_purposes=arms.SCORES,
        kind=arms.kind,
        accuracy_chart=Markup(accuracy_chart(measured)) if measured else None,
        against_chart=Markup(against_chart(summary.against)) if summary.against else None,
        detection_chart=_scores("detection-chart", summary.detection),
        reading_chart=_scores("reading-chart", summary.reading_detection),
        sentences=sentences,
        features=run.items.features[:FEATURE_LIMIT],
        rows=[browser_row(record) for record in run.items.shown],
        limit=BROWSER_LIMIT,
        numbers=numbers,
        style=_source("style.css"),
        browser_script=_source("browser.js"),
        plotly_script=Markup(get_plotlyjs()),
    )


def _ordered(measured: dict[str, Arm]) -> list[Arm]:
    return [measured[name] for name in arms.in_order(list(measured))]


def _scores(element: str, measured: list[Detection]) -> Any:
    from markupsafe import Markup

    return Markup(detection_chart(element, measured)) if measured else None


def browser_row(record: ItemRecord) -> dict[str, Any]:
    """Returns what the item browser needs of an item, as JSON values."""
    row = asdict(record)
    row["change"] = record.change
    # Cut here and not in the browser: JavaScript counts UTF-16 units, the spans count characters.
    prompt = record.before.prompt if record.before else ""
    row["segments"] = marked_segments(prompt, record.findings)
    for answer in (row["before"], row["after"]):
        if answer:
            del answer["correct"]
    if row["before"]:
        del row["before"]["prompt"]
    return row


def marked_segments(prompt: str, findings: list[Finding]) -> list[tuple[str, bool]]:
    """Cuts a prompt where a finding's span begins or ends; True marks what lies in a span."""
    length = len(prompt)
    spans = [finding.span for finding in findings if finding.span]
    spans = [(max(0, start), min(end, length)) for start, end in spans]
    spans = [(start, end) for start, end in spans if start < end]
    cuts = sorted({0, length, *(cut for span in spans for cut in span)})
    return [
        (prompt[start:end], any(low <= start < high for low, high in spans))
        for start, end in pairwise(cuts)
    ]


def _source(name: str) -> Any:
    from markupsafe import Markup

    return Markup((files("saetask.report") / "templates" / name).read_text(encoding="utf-8"))
