"""The page as a document: whole, small, accessible, and safe whatever the texts are."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.report.browser import packed_items
from saetask.report.render import UNSEEN, render, visible, write_report
from saetask.report.run_folder import RunFolder, read_run_folder
from saetask.report.view_modules import joined_modules
from tests.helpers.run_folders import (
    GATED,
    arm,
    further,
    raw_rows,
    rows,
    summary,
    with_raw,
    write_run,
)
from tests.report.test_report import HOSTILE, unpacked_items

VOID = {"meta", "input", "br", "link", "img", "hr"}
SIZE_LIMIT = 1_200_000
WITH_CONCEPTS = 1_600_000
"""Bytes of a report with all its items."""


class Page(HTMLParser):
    """The elements of a page as (name, attributes, names of the elements around it)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, *names: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes, _ in self.elements if name in names)

    @property
    def ids(self) -> list[str]:
        return [each["id"] or "" for _, each, _ in self.elements if "id" in each]


def full_summary() -> dict:
    """Returns a summary with every figure that a run can have."""
    arms = {
        "placebo": arm(0.52, detectable_difference=0.04),
        "oracle": arm(0.9),
        "always": arm(0.7),
    }
    return with_raw(summary(**arms, **GATED) | further())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("page") / "run"
    return read_run_folder(write_run(folder, full_summary(), raw_rows() + raw_rows(item="b")))


@pytest.fixture(scope="module")
def page(run: RunFolder) -> str:
    return render(run)


def test_every_element_is_closed_and_every_id_is_its_own(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert [name for name, n in Counter(parsed.ids).items() if n > 1] == []
    # Ids of items are made in the browser, from any text.
    assert [name for name in parsed.ids if name.startswith("item-")] == []


def test_the_page_requests_nothing(page: str) -> None:
    named = page.replace("http://www.w3.org/2000/svg", "")  # a namespace, which is not requested
    assert not re.search(r"https?://|@import|url\(|<link|<iframe|<img|<object|<embed", named)
    parsed = Page(page)
    for _, attributes, _ in parsed.elements:
        assert not {"src", "srcset", "action", "data", "poster"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    targets = [each["href"] or "" for each in parsed.named("a")]
    assert targets and all(target.startswith("#") for target in targets)
    named = {target[1:] for target in targets if "=" not in target}
    assert named <= set(parsed.ids)
    assert "default-src 'none'" in page and "unsafe" not in page


def test_every_table_is_described(page: str) -> None:
    parsed = Page(page)
    tables = [name for name, _, _ in parsed.elements if name == "table"]
    captions = [around for name, _, around in parsed.elements if name == "caption"]
    assert len(tables) == len(captions) > 10 and all(around[-1] == "table" for around in captions)
    scopes = {each.get("scope") for each in parsed.named("th")}
    assert scopes == {"col", "row", "colgroup"}
    # And what the browser makes: no header without a scope, no table without a caption.
    script = source("browser.js")
    assert script.count('"th"') == 2 and '"col"' in script and '"row"' in script
    assert script.count('element("table"') == script.count('element("caption"') == 1


def test_every_chart_has_words_and_a_table(page: str) -> None:
    parsed = Page(page)
    charts = [each for each in parsed.named("svg") if each.get("role") == "img"]
    assert {chart["id"] for chart in charts} == {
        *("outcome-chart", "accuracy-chart", "against-chart", "detection-chart", "reading-chart")
    }
    for chart in charts:
        for reference in ("aria-labelledby", "aria-describedby", "aria-details"):
            assert chart[reference] in parsed.ids
    hidden = [each for each in parsed.named("svg") if "aria-hidden" in each]
    assert len(charts) + len(hidden) == len(
        [around for name, _, around in parsed.elements if name == "svg" and "svg" not in around]
    )
    drawings = re.findall(r"<figure class=\"chart\">\s*(<svg.*?)</figure>", page, re.S)
    assert len(drawings) == len(charts) - 1
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert "placebo: raw 55.0 % (95 % CI 49.0 to 61.0), calibrated 52.0 % (95 % CI" in page


def test_the_items_are_one_stop_of_the_tab_key(page: str) -> None:
    stops = [
        name
        for name, attributes, _ in Page(page).elements
        if attributes.get("tabindex") == "0"
        or (name in ("a", "button", "input", "summary", "select") and "tabindex" not in attributes)
    ]
    assert len(stops) < 40
    script = source("browser.js")
    assert "summary.tabIndex = place ? -1 : 0" in script
    for key in ("ArrowDown", "ArrowUp", "Home", "End"):
        assert key in script


def test_the_script_finds_what_it_looks_for(page: str) -> None:
    wanted = set(re.findall(r'byId\("([^"]+)"\)', source("browser.js")))
    assert wanted and wanted <= set(Page(page).ids)


def test_the_script_makes_no_html_of_texts() -> None:
    script = joined_modules(["finding.js"]) + source("browser.js")
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert dangerous not in script


def test_scheme_motion_print_and_contrast_of_the_reader_are_followed() -> None:
    style = source("style.css")
    for feature in ("prefers-color-scheme: dark", "@media print", "forced-colors", "max-width"):
        assert feature in style
    # Nothing moves, so there is nothing to reduce.
    assert not re.search(r"transition|animation|scroll-behavior", style)
    names = set(re.findall(r"(--[a-z-]+):", style))
    assert set(re.findall(r"var\((--[a-z-]+)\)", style)) <= names


def source(name: str) -> str:
    return (files("saetask.report") / "templates" / name).read_text(encoding="utf-8")


def many_rows(n: int) -> Iterator[dict]:
    """Yields the rows of items that are all different, with five features each."""
    words = [f"word{number * 7919 % 1009}" for number in range(1009)]
    for number in range(n):
        text = " ".join(words[(number * step) % 1009] for step in range(1, 21))
        features = [
            {
                "id": (number * step) % 8192,
                "label": f"on 'a{step}', 'b{number % 300}'; about 'c{number % 300}', 'd', 'e'",
                "activation": 3 + (number * step) % 977 / 97,
                "weight": (number * step) % 499 / 4999,
            }
            for step in range(1, 6)
        ]
        scores = {"literal": -(number % 313) / 97, "metaphorical": -(number % 293) / 89}
        said = {name: round(value - 7, 5) for name, value in scores.items()}
        for row in raw_rows(text, f"item-{number}"):
            findings = [found | {"features": features} for found in row["misunderstandings"]]
            changed = {"group": f"group-{number // 6}", "scores": scores, "raw_scores": said}
            yield row | changed | {"misunderstandings": findings}


def test_five_thousand_items_stay_small(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", full_summary(), list(many_rows(5000)))
    path = write_report(folder)
    assert path.stat().st_size < SIZE_LIMIT
    page = path.read_text(encoding="utf-8")
    assert len(unpacked_items(page)["items"]) == 5000
    # The page itself does not grow with them: items are drawn fifty at a time.
    assert len(Page(page).elements) < 2000


def with_concepts(row: dict, n: int = 7) -> dict:
    """Returns a row whose findings have concepts that fire on two words each."""
    words, number = row["prompt"].split(), int(row["id"].split("-")[1])
    concepts = []
    for step in range(n):
        fired = [words[(number + step) % 19], words[(3 * number + step) % 19]]
        places = [(row["prompt"].index(word), word) for word in fired]
        added, place = (number * (step + 3)) % 499 / 499 - 0.5, (number * (2 * step + 1)) % 400
        named = {
            "id": f"on:{place}",
            "name": f"concept{place} (some, words)",
            "contribution": added,
        }
        tokens = [
            {"start": start, "end": start + len(word), "text": word, "activation": 2.5}
            for start, word in places
        ]
        contexts = [f"a long context {place} that «fires» in place {kind}" for kind in range(3)]
        told = {"verdict": "validated", "for": "figurative" if added > 0 else "literal"}
        fires = {"tokens": tokens, "features": [1, 2], "contexts": contexts}
        concepts.append(named | told | fires)
    total = 0.25 + sum(concept["contribution"] for concept in concepts)
    about = {"span": [0, len(words[0])], "text": words[0]}
    about |= {"log_odds": total, "rest": 0.25, "concepts": concepts}
    return row | {"misunderstandings": [found | about for found in row["misunderstandings"]]}


def test_five_thousand_items_with_concepts_stay_small(tmp_path: Path) -> None:
    planted = [with_concepts(row) for row in many_rows(5000)]
    path = write_report(write_run(tmp_path / "run", full_summary(), planted))
    assert path.stat().st_size < WITH_CONCEPTS
    data = unpacked_items(path.read_text(encoding="utf-8"))
    assert len(data["concepts"]) == 400  # not 35,000
    assert all(item["findings"][0]["evidence"] for item in data["items"])


def test_the_same_run_gives_the_same_page(run: RunFolder, page: str) -> None:
    assert packed_items(run.items, "scores") == packed_items(run.items, "scores")
    assert render(run) == page


HOSTILE_PIECES = (
    "</script>",
    "<!--",
    "<img src=x onerror=alert(1)>",
    "]]>",
    "&lt;",
    "{{ 7 }}",
    "%}",
)
HOSTILE_PIECES += (
    "\u2028",
    "\u2029",
    "\u202e",
    "\u2066",
    "\x00",
    "\x1b",
    "\r\n",
    "\ud800",
    "\udfff",
)


def paired(text: str) -> str:
    """Returns a text whose surrogate pairs are one character each, as JSON has them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


hostile_texts = st.lists(
    st.one_of(st.sampled_from(HOSTILE_PIECES), st.text(st.characters(), max_size=5)), max_size=6
).map(lambda pieces: paired("".join(pieces)))


@given(hostile_texts)
def test_no_text_leaves_its_place(
    tmp_path_factory: pytest.TempPathFactory, page: str, text: str
) -> None:
    name = text or "empty"
    document = full_summary()
    document["experiment"] = document["model"]["name"] = document["sae"]["hook_name"] = name
    document["arms"][name] = document["arms"]["placebo"] | {"purpose": name}
    document["against"][name] = document["against"]["placebo"]
    document["detection"]["baselines"][name] = document["detection"]["saetask"]
    document["mechanism"][0]["label"] = name
    document["not_measured"] = {name: name}
    folder = write_run(tmp_path_factory.mktemp("hostile") / "run", document, rows(name, name))
    result = written(folder)
    hostile = Page(result)
    assert len(list(hostile.named("script", "style", "img"))) == 3
    assert {tag for tag, _, _ in hostile.elements} == {tag for tag, _, _ in Page(page).elements}
    assert not any(name.startswith("on") for _, each, _ in hostile.elements for name in each)
    # Neither control characters nor those that turn the direction of what follows.
    assert not UNSEEN.search("".join(hostile.texts))
    (row,) = unpacked_items(result)["items"]
    assert row["id"] == name and row["findings"][0]["reading"] == "figurative"
    assert "".join(piece for piece, _ in row["prompt"]) == name


def written(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_control_characters_are_shown_as_their_code() -> None:
    assert UNSEEN.pattern in source("browser.js")
    assert visible("a\u202eb\x00") == "a‹U+202E›b‹U+0000›"
    assert visible("line\n\ttab") == "line\n\ttab" and visible(3) == 3


def test_hostile_ids_and_names_reach_the_browser_as_they_are(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", summary(), rows(HOSTILE, HOSTILE))
    data = unpacked_items(written(folder))
    assert json.dumps(data["items"][0]["id"]) == json.dumps(HOSTILE)
