"""The page of a discovery: figures beside their controls, and nothing that a log could run."""

import json
import re

from saetask.discovery.documents import write_discovery
from saetask.discovery.page import render, write_discovery_page
from saetask.discovery.sentences import verdict
from tests.helpers.planted_discovery import discovery, row, shown, summary
from tests.helpers.refusals import refusal

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'{{ 7 * 7 }}\u202e"


def page_rows(page: str) -> list[dict]:
    """Returns the rows that the views of a page are given."""
    return json.loads(page.split('id="rows">')[1].split("</script>", maxsplit=1)[0])


def test_the_page_tells_each_discovery_with_its_controls():
    found = discovery()
    page = render(summary(found), [row(found, shown())], "run")
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", "", page)).replace("\N{NO-BREAK SPACE}", " ")
    assert "1 discovery confirmed" in text
    assert "answers wrongly on 60.0 % of the 120 prompts in which “verbs of having" in text
    assert "+35.0 points (95 % CI +26.0 to +44.0" in text
    assert "words would look for: gave, lost" in text
    assert "Words and word pairs: 1 confirmed, of 20 tested: &#39;lost&#39;." in text
    assert "0.05 confirmed on average" in text
    (shown_row,) = page_rows(page)
    assert "He «gave» her the book." in shown_row["contexts"]
    assert "Bo gave 2 away." in [prompt["text"] for prompt in shown_row["shown_near_misses"]]


def test_the_headline_says_which_controls_find_as_much() -> None:
    controls = summary().to_json()["controls"]
    searched = ("words", "word-classes", "random-sae")
    controls |= {name: controls[name] | {"n_confirmed": 0} for name in searched}
    assert verdict(summary(discovery(), controls=controls)) == "1 discovery confirmed"
    controls["random-sae"] |= {"n_confirmed": 1}
    level = summary(discovery(), controls=controls)
    assert verdict(level) == "1 discovery confirmed, and at least as many by a random dictionary"


def test_one_answer_to_everything_and_what_a_name_says_are_said():
    found = discovery()
    page = render(summary(found, answer="no", answer_share=0.95), [row(found, shown())], "run")
    assert "gives one answer, “no”, to 95.0" in page and "Look at the prompts." in page
    page = render(summary(found), [row(found, shown())], "run")
    assert "gives one answer" not in page and "Look at the prompts." in page
    assert "log.jsonl, read by tiny (blocks.0.hook_resid_post, 32 features)" in page


def test_controls_that_were_not_tried_are_not_called_passed():
    none = {"mean_confirmed": 0.0, "share_with_any": 0.0, "n_permutations": 0}
    controls = summary().to_json()["controls"] | {"permuted": none}
    assert "Permuted outcomes: not tried." in render(summary(controls=controls), [], "run")


def test_nothing_confirmed_is_said_with_what_could_have_been_seen():
    found = discovery(confirmed=False, q=0.4, needs_sae=None, p_beyond_words=None)
    page = render(summary(found), [row(found, shown())], "run")
    assert "No discovery confirmed" in page
    assert "+14.0 points if it is in 25.0 % of them" in page.replace("\N{NO-BREAK SPACE}", " ")


def test_texts_of_a_log_are_shown_and_not_run():
    found = discovery(name=HOSTILE)
    prompt = shown(text=HOSTILE, output=HOSTILE, id=HOSTILE, tokens=[])
    page = render(summary(found), [row(found, prompt)], HOSTILE)
    assert page.count("<script") == 2 and "<script>alert" not in page  # the rows, and the views
    assert "<img" not in page and "\u202e" not in page and ">49<" not in page
    assert page_rows(page)[0]["shown_examples"][0]["text"] == HOSTILE
    assert "default-src 'none'" in page and "script-src 'sha256-" in page


def test_a_discovery_in_which_nothing_was_tested_has_a_page(tmp_path):
    write_discovery(tmp_path, summary(), [])
    page = write_discovery_page(tmp_path).read_text(encoding="utf-8")
    assert "No discovery confirmed" in page and "Nothing on the discovery half" in page


def test_a_folder_becomes_a_page_and_a_damaged_one_is_named(tmp_path):
    found = discovery()
    write_discovery(tmp_path, summary(found), [row(found, shown())])
    assert "Ann" in write_discovery_page(tmp_path).read_text(encoding="utf-8")
    rows = tmp_path / "discoveries.jsonl"
    rows.write_text(json.dumps({**discovery(), "n_with": "many"}) + "\n", encoding="utf-8")
    assert "discoveries.jsonl:1" in refusal(lambda: write_discovery_page(tmp_path))
    (tmp_path / "summary.json").unlink()
    assert "holds no summary.json" in refusal(lambda: write_discovery_page(tmp_path))
