"""The page keeps findings with their prompts, tells names, and asks for no more than is awaited."""

import threading

import pytest

from tests.explore.conftest import IN_BROWSER, READ, WAIT
from tests.helpers.planted_explorer import PlantedReader

pytestmark = IN_BROWSER


def test_a_finding_of_another_prompt_is_told_as_such_and_switched_off(page, address) -> None:
    page.goto(address + READ + "&note=Note:+it+is+meant+literally.")
    page.wait_for_selector("th:has-text('With the note')")
    assert not page.locator(".earlier").is_visible()
    page.fill("#prompt", "She swallowed the soup.")
    told = page.locator(".earlier").inner_text()
    assert told.startswith("Of the prompt before: “He swallowed the insult.” (metaphor, swallowed)")
    assert page.evaluate("document.querySelector('.stage').inert")
    page.wait_for_url(lambda address: "soup" in address)
    assert "note=" not in page.url  # a link to the new prompt holds no note on the old one
    page.fill("#prompt", "He swallowed the insult.")
    assert not page.locator(".earlier").is_visible()
    assert not page.evaluate("document.querySelector('.stage').inert")
    page.get_by_label("Word in question").fill("insult")
    page.keyboard.press("Tab")
    assert page.locator(".earlier").inner_text().startswith("Of another word")
    page.click("button:has-text('Find')")
    page.wait_for_selector("strong:has-text('“insult” is misread')")
    assert not page.locator(".earlier").is_visible()


def test_answers_under_an_edit_go_with_their_prompt(page, address) -> None:
    page.goto(address + READ + "&steer=on:noun.food")
    page.wait_for_selector(".steering .sv-answers tbody")
    page.fill("#prompt", "She swallowed the soup.")
    assert page.locator(".steering .sv-answers").count() == 0
    page.click("text=Answer it under this edit")
    page.wait_for_selector(".steering .sv-answers tbody")


@pytest.mark.parametrize("way", ["types on", "goes elsewhere"])
def test_what_the_reader_does_not_wait_for_is_not_computed(
    page, address, queue, monkeypatch, way
) -> None:
    read, free = [], threading.Event()
    computed = PlantedReader.read
    monkeypatch.setattr(
        PlantedReader,
        "read",
        lambda self, request: read.append(request.text) or computed(self, request),
    )
    page.goto(address + READ)
    page.wait_for_selector("sae-finding .sv-table")
    page.wait_for_load_state("networkidle")
    queue.start(lambda: free.wait(WAIT / 1000))
    read.clear()
    asked = ["She swallowed it.", "She swallowed it whole.", "She swallowed it whole again."]
    for text in asked:
        with page.expect_request("**/api/read"):
            page.fill("#prompt", text)
    if way == "goes elsewhere":
        page.click("nav >> text=Compare")
        page.wait_for_selector("h1:has-text('Compare')")
    page.wait_for_timeout(500)  # the server notices that connections were closed
    free.set()
    if way == "types on":
        page.wait_for_selector(".sv-tokens button:has-text('again.')")
    else:
        page.click("button:text('Compare')")
        page.wait_for_selector("text=More in the first")
    assert read == (asked[-1:] if way == "types on" else [])


def test_the_concept_that_is_shown_first_is_the_finding_s_strongest(page, address) -> None:
    page.goto(address + READ)
    page.wait_for_selector(".line.actions:has-text('With “food”')")
    assert "show=" not in page.url  # the reader chose none
    page.goto("about:blank")
    page.goto(address + READ + "&show=feature:7")
    page.wait_for_selector("sae-finding .sv-table")
    page.wait_for_load_state("networkidle")
    assert page.locator("button[aria-label='Steer feature 7']").count() == 1


def test_ids_are_told_as_names(page, address) -> None:
    page.goto(address + READ + "&without=on:noun.food&steer=on:noun.act&strike=feature:12")
    page.wait_for_selector(".steering .sv-answers tbody")
    page.wait_for_selector(".chip:has-text('food')")
    chips = page.locator(".chip").all_inner_texts()
    assert [chip.split("\n")[0] for chip in chips] == [
        "food",
        "acts, steered by 2",
        "feature 12, struck",
    ]


@pytest.mark.parametrize("strength", ["5000", "", "1e400"])
def test_a_wrong_strength_is_one_plain_line(page, address, strength) -> None:
    page.goto(address + READ + f"&steer=on:noun.food&by={strength or '-'}")
    page.wait_for_selector(".steering .problem")
    told = page.locator(".steering .problem").inner_text()
    assert told == "The strength must be a number from −1000 to 1000."
