"""Rendering of a run folder as one self-contained HTML page.

Charts are SVG from the templates, the items are packed into the page, and a content security policy
forbids every request and every script but the page's own, known by its hash.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from saetask.report import numbers, sentences, understood
from saetask.report.arms import ArmKind
from saetask.report.browser import packed_items
from saetask.report.charts import MARK_PATHS, accuracy_chart, against_chart, detection_chart
from saetask.report.curves import trade_off_chart
from saetask.report.headline import headline
from saetask.report.item_comparison import ItemComparison
from saetask.report.layer_chart import layer_panels
from saetask.report.questions import answers, verdicts_line
from saetask.report.run_folder import RunFolder, read_run_folder
from saetask.report.summary import Summary
from saetask.report.understanding import NOTE_KINDS
from saetask.report.view_modules import STYLES, joined_modules, view_files
from saetask.utils.files import write_text

EVIDENCE_LIMIT = 20
"""Maximum number of concepts, and of features, in the tables of evidence."""
SCORE_DESCRIPTIONS = {
    "dense-probe": "A linear probe on the raw activations.",
    "difference-in-means": "The direction between the classes' mean activations.",
    "best-neuron": "The one best dimension of the raw activations.",
    "best-feature": "The one best feature.",
    "bag-of-words": "The words of the text; no model.",
    "words": "WordNet's classes of the words; no model.",
    "random-sae": "The same probe on a frozen random dictionary.",
    "random-subset": "The same probe, fitted anew on random live features.",
    "moved-weights": "The same probe, its weights moved to other features.",
    "answer-entropy": "How undecided the model is.",
    "prompt-length": "Characters of the prompt.",
}
"""What the scores of the detection tables are, in the order of the tables."""
KIND_MEANINGS: dict[ArmKind, str] = {
    "baseline": "the prompt as it is",
    "control": "a control",
    "variant": "the method under another rule",
    "method": "the method",
    "bound": "an upper bound that uses the right answer",
}
"""What the marks of the charts stand for."""
OUTCOMES = {
    "right": ("stays right", "right before and after"),
    "fixed": ("fixed", "wrong before, right after"),
    "broken": ("broken", "right before, wrong after"),
    "wrong": ("stays wrong", "wrong before and after"),
}
"""What can become of an answer, in the order of the bar."""
UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters and those that turn the direction of the text after them."""


@dataclass(frozen=True)
class Outcome:
    """One part of the bar of outcomes; `x` and `width` are in percent."""

    change: str
    text: str
    meaning: str
    count: int
    x: float
    width: float


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
    return write_page(Path(run_folder), render(read_run_folder(Path(run_folder))))


def write_page(folder: Path, page: str) -> Path:
    """Writes HTML as `report.html` into a folder and returns its path."""
    path = folder / "report.html"
    # A model's output may hold half a surrogate pair, which UTF-8 cannot.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path


def render(run: RunFolder) -> str:
    """Returns the report of a run folder as HTML."""
    summary = run.summary
    method = summary.method
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            run=run,
            summary=summary,
            headline=headline(summary),
            questions=(asked := answers(summary)),
            verdicts=verdicts_line(asked),
            layer_panels=layer_panels(summary.understanding),
            note_kinds=NOTE_KINDS,
            understood=understood,
            outcomes=outcomes(run.items.every),
            kinds={k: v for k, v in KIND_MEANINGS.items() if k in _kinds(run)},
            mark_paths=MARK_PATHS,
            score_descriptions=SCORE_DESCRIPTIONS,
            accuracy_chart=accuracy_chart(summary.arms),
            trade_off_chart=trade_off_chart(
                summary.explanation.trade_off if summary.explanation else ()
            ),
            against_chart=against_chart(method, summary.against),
            detection_chart=detection_chart(
                "detection", "Scores that tell wrong answers", summary.detection.measured
            ),
            reading_chart=detection_chart(
                "reading", "Scores that tell the right reading", summary.reading_detection.measured
            ),
            sentences=sentences,
            evidence_limit=EVIDENCE_LIMIT,
            packed_items=packed_items(run.items, score_name(summary)),
            numbers=numbers,
            style=page_source("style.css") + view_style(),
            script=view_script("finding.js") + page_source("browser.js"),
        )
    )


@cache
def environment() -> Any:
    """Returns the templates of the package, which escape what they are given."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("saetask.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    # A number and its percent sign stay in one line.
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    environment.filters["json_text"] = partial(json.dumps, indent=2, ensure_ascii=False)
    environment.filters["csp_hash"] = _csp_hash
    return environment


def visible(value: Any) -> Any:
    """Returns a text with control characters written as their code points; else the value."""
    if not isinstance(value, str) or not UNSEEN.search(value):
        return value
    return UNSEEN.sub(lambda found: f"‹U+{ord(found[0]):04X}›", value)


def score_name(summary: Summary) -> str:
    """Returns what the raw scores of candidates are."""
    method = summary.ranking.method if summary.ranking else "likelihood"
    return "log-likelihoods" if method == "likelihood" else f"scores ({method})"


def outcomes(items: list[ItemComparison]) -> list[Outcome]:
    """Returns what became of the answers; nothing if no item is in both arms."""
    changes = [item.change for item in items]
    known = sum(change in OUTCOMES for change in changes)
    parts, x = [], 0.0
    for change, (text, meaning) in OUTCOMES.items() if known else ():
        count = changes.count(change)
        width = 100 * count / known
        parts.append(Outcome(change, text, meaning, count, round(x, 3), round(width, 3)))
        x += width
    return parts


def _kinds(run: RunFolder) -> set[ArmKind]:
    return {arm.kind for arm in run.summary.arms.values()}


def _csp_hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def page_source(name: str) -> Any:
    from markupsafe import Markup

    return Markup((files("saetask.report") / "templates" / name).read_text(encoding="utf-8"))


def view_script(*modules: str) -> Any:
    """Returns views as one script; see `joined_modules`."""
    from markupsafe import Markup

    return Markup(joined_modules(modules))


def view_style() -> Any:
    """Returns the style sheet of the views."""
    from markupsafe import Markup

    return Markup(view_files()[STYLES])
