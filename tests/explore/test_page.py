"""The page in a browser: type, read, annotate, ask again, strike, search; and what is hostile."""

import pytest

from saetask.detection import ConceptEvidence
from saetask.dictionary.reader_verdicts import read_verdicts, verdicts_path
from tests.explore.conftest import IN_BROWSER, READ, WAIT
from tests.helpers import planted_explorer
from tests.helpers.planted_explorer import HOSTILE

pytestmark = IN_BROWSER


def test_typing_reads_and_a_word_is_chosen(page, address) -> None:
    page.goto(address)
    page.fill("#prompt", "The firm devoured its rivals.")
    page.wait_for_selector(".sv-tokens button:has-text('devoured')")
    assert page.locator(".sv-tokens .sv-token").all_text_contents() == [
        *("The", "firm", "devoured", "its", "rivals.")
    ]
    page.locator(".sv-tokens .sv-token").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "devoured"
    assert page.locator(".sv-tip").is_visible()
    page.keyboard.press("Enter")
    assert page.input_value("input[maxlength='200']") == "devoured"
    row = page.locator(".sv-row").nth(3)
    row.click()
    assert page.locator(".sv-row[aria-pressed=true]").count() >= 1
    assert "show=" in page.url and "target=devoured" in page.url  # a permalink to it


def test_a_misreading_is_annotated_and_asked_again(page, address) -> None:
    page.goto(address + READ)
    page.wait_for_selector("sae-finding .sv-table")
    assert page.locator("sae-finding").inner_text().count("what has no telling name") == 1
    assert HOSTILE.split("\u202e", maxsplit=1)[0] in page.locator("sae-finding").inner_text()
    note = page.get_by_label("Note, to accept or edit")
    note.fill("Note: it is meant literally.")
    page.click("button:text('Ask again')")
    page.wait_for_selector("th:has-text('With the note')")
    answers = page.locator(".sv-answer").all_inner_texts()
    assert ["metaphorical" in answers[0], "literal" in answers[1]] == [True, True]
    assert "80.0 %" in page.locator(".sv-answers tbody tr").first.inner_text()
    page.reload()  # the address holds the note as well
    page.wait_for_selector("th:has-text('With the note')")
    assert page.get_by_label("Note, to accept or edit").input_value() == (
        "Note: it is meant literally."
    )


def test_a_concept_is_hidden_and_put_back(page, address) -> None:
    page.goto(address + READ)
    page.click("[data-concept='on:noun.food']")
    page.click("text=Margin, and where")
    page.wait_for_selector("text=Margin +1.75")
    page.click("button[aria-label^='Hide food from']")
    page.click("text=Margin, and where")
    page.wait_for_selector("text=Margin −0.25")
    assert "without=on" in page.url
    page.click("button[aria-label='Put food back']")
    page.wait_for_selector("text=+2.00")


def test_a_concept_is_steered_and_struck(page, address) -> None:
    page.goto(address + READ)
    page.click("[data-concept='on:noun.food']")
    page.click("button[aria-label='Steer food']")
    page.wait_for_selector(".steering .sv-answers")
    assert "With the edit\nsays “metaphorical”" in page.locator(".steering thead").inner_text()
    assert "50.0 % to 50.0 %" in page.locator(".steering tbody").inner_text()
    assert "steer=on" in page.url and "by=2" in page.url
    page.get_by_label("Strength, in typical activations").fill("-4")
    page.keyboard.press("Enter")
    page.wait_for_selector(".steering thead:has-text('says “literal”'):has-text('With the edit')")
    page.reload()  # the address holds the edit as well
    page.wait_for_selector(".steering .sv-answers")
    page.select_option(".steering select", "text")
    page.wait_for_selector(".steering .sv-text:has-text('edited')")
    page.fill(".steering input", "5000")
    page.keyboard.press("Enter")
    page.wait_for_selector(".steering .problem:has-text('strength')")
    page.click("button[aria-label='Strike food']")
    page.wait_for_selector(".chip:has-text('struck')")
    assert "strike=on" in page.url and "steer=on" not in page.url


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_the_main_act_needs_no_scrolling(page, address, monkeypatch, size) -> None:
    added = [0.6, 0.4, -0.4, -0.3, -0.2]  # with the planted ones, more than the table lists
    others = [
        ConceptEvidence(f"on:{n}", "made things (house, car)", n, "validated", "", [], [], [])
        for n in added
    ]
    found = planted_explorer.planted_finding

    def with_others(*given):
        finding = found(*given)
        return finding._replace(concepts=[*finding.concepts, *others])

    monkeypatch.setattr(planted_explorer, "planted_finding", with_others)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(address + READ + "&note=Note:+it+is+meant+literally.")
    page.wait_for_selector("th:has-text('With the note')")
    assert page.locator("sae-finding tbody tr").count() == 6
    seen = ("#prompt", "sae-finding table", "form.note textarea", ".sv-answers tbody")
    for part in seen:
        box = page.locator(part).first.bounding_box()
        assert box is not None and box["y"] >= 0 and box["y"] + box["height"] <= size[1], part


def test_names_are_searched_and_judged(page, address, folder) -> None:
    page.goto(address + "#dictionary")
    page.get_by_label("Search by words").fill("food")
    page.keyboard.press("Enter")
    page.click("a[data-id='on:noun.food']")
    page.click("text=strike from fits")
    page.wait_for_selector("text=Your verdict: strike")
    page.get_by_label("A better name").fill(HOSTILE)
    page.click("text=✎ rename")
    page.wait_for_selector("text=Your verdict: rename")
    saved = read_verdicts(verdicts_path(folder / "dictionary"))
    assert [verdict.verdict for verdict in saved] == ["strike", "rename"]
    assert saved[1].new_name == HOSTILE
    page.click("nav >> text=Verdicts")
    page.click("text=take back")
    page.wait_for_selector("text=Taken back.")
    page.goto(address + "#dictionary")
    page.get_by_label("or by an example sentence").fill("She ate an apple")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=What stands out in this sentence")


@pytest.mark.parametrize("place", ["run", "discovery"])
def test_folders_are_browsed(page, address, place) -> None:
    page.goto(f"{address}#{place}")
    page.wait_for_selector("sae-arms svg" if place == "run" else "sae-discovery table")
    if place == "run":
        page.locator("summary.sv-item").first.click()
        page.wait_for_selector(".sv-detail sae-finding")
        assert "item=" in page.url
    assert "<img src=x" in page.locator("main").inner_text()


def test_hostile_texts_and_addresses_only_ever_are_texts(page, address) -> None:
    from urllib.parse import quote

    hostile = quote(HOSTILE)
    for target in (
        f"#read?text={hostile}&target={hostile}&show={hostile}&note={hostile}",
        f"#dictionary?words={hostile}&card={hostile}",
        f"#run?words={hostile}&item={hostile}&show={hostile}",
        f"#{hostile}?{hostile}",
        "#read?text=%ff%fe&page=%00",
        "#__proto__",
    ):
        page.goto("about:blank")
        page.goto(address + target)
        page.wait_for_selector("main h1")
        page.wait_for_load_state("networkidle")
        assert page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "place",
    [READ, "#dictionary?words=food&card=feature:12", "#compare", "#run", "#discovery", "#verdicts"],
)
def test_the_page_can_be_used_by_everybody(browser, address, place, scheme) -> None:
    """No serious finding of axe-core; nothing wider than a phone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 800})
    page.set_default_timeout(WAIT)
    page.goto(address + place)
    page.wait_for_selector("main h1")
    page.wait_for_load_state("networkidle")
    if place == READ:
        page.wait_for_selector("sae-finding .sv-table")
    found = [
        (each["id"], [node["html"][:200] for node in each["nodes"]][:3])
        for each in axe.Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    width = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert found == []
    assert width <= 390
