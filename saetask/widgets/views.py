"""Widgets of what users hold: activations of a prompt, features and concepts, what is misread."""

import html
from typing import TYPE_CHECKING, Any

from saetask.dictionary.dictionary import Dictionary
from saetask.errors import UserError
from saetask.report.finding_record import misunderstanding_record
from saetask.saes.activations import FeatureActivations
from saetask.session.card_document import concept_card, feature_card
from saetask.session.reading_document import reading_document
from saetask.session.results import Detection, Reformulation, facts

if TYPE_CHECKING:
    from saetask.widgets.view_widget import ViewWidget

MISSING = (
    'Widgets need anywidget, which is not installed; pip install "saetask[notebook]" brings it. '
    "Without it, a notebook shows the object itself as plain HTML."
)


def tokens(activations: FeatureActivations, dictionary: Dictionary | None = None) -> "ViewWidget":
    """Returns a prompt by tokens: a chosen concept or feature, and where it fires.

    Args:
        activations: Of one prompt, as `Session.read` and `read_features` return them.
        dictionary: Of the SAE, as `Session.dictionary`; without it, features have no names.

    Raises:
        UserError: anywidget is not installed, there are several prompts, or, where `chosen` is set,
            that is no concept or feature.
    """
    if len(activations) != 1:
        raise UserError(
            f"A widget shows one prompt and not {len(activations)}; take activations[0]."
        )

    def read(chosen: str) -> list[dict[str, Any]]:
        document = reading_document(activations, dictionary, {chosen})
        rows = {row["id"]: row for row in [*document["concepts"], *document["features"]]}
        if chosen and chosen not in rows:
            raise UserError(f"There is no concept or feature '{chosen}'.")
        near = rows[chosen]["near"] if chosen else ()
        return [reading_document(activations, dictionary, {chosen, *near})]

    return _widget("sae-tokens", read, [], activations._repr_html_())


def card(dictionary: Dictionary, chosen: int | str) -> "ViewWidget":
    """Returns the card of a feature or concept; the cards of its neighbours are a click away.

    Args:
        dictionary: The dictionary.
        chosen: Number of a feature, or id of a concept.

    Raises:
        UserError: anywidget is not installed, or there is no such feature or concept.
    """
    first = f"feature:{chosen}" if isinstance(chosen, int) else chosen

    def read(name: str) -> list[dict[str, Any]]:
        kind, _, number = name.partition(":")
        if kind == "feature" and number.isdecimal():
            return [feature_card(dictionary, int(number))]
        return [concept_card(dictionary, name)]

    shown = read(first)[0]
    if "row" in shown:
        plain = dictionary.feature(shown["row"]["feature"])._repr_html_()
    else:
        plain = f"<b>{html.escape(shown['name'])}</b>: {html.escape(shown['verdict'])}"
    return _widget("sae-card", read, [], plain, first)


def finding(found: Detection | Reformulation) -> "ViewWidget":
    """Returns what is misread in a prompt, with the concepts for and against it.

    Args:
        found: What `Session.detect` or `Session.reformulate` returned.

    Raises:
        UserError: anywidget is not installed.
    """
    detection = found.detection if isinstance(found, Reformulation) else found
    documents = [
        {
            "text": detection.prompt,
            "offset": 0,
            "answer": detection.answer,
            "calibrated_answer": detection.calibrated_answer,
            "finding": misunderstanding_record(each).to_json(),
        }
        for each in detection.misunderstandings
    ]
    about = [f"{name}: {text}" for name, text in facts(found).items() if text]
    return _widget("sae-finding", lambda _: documents, about, found._repr_html_())


def _widget(view: str, make: Any, about: list[str], plain: str, chosen: str = "") -> "ViewWidget":
    try:
        from saetask.widgets.view_widget import ViewWidget
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("anywidget", "ipywidgets", "traitlets"):
            raise
        raise UserError(MISSING) from error
    return ViewWidget(view, make, about, plain, chosen)
