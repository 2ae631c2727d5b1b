"""Evidence on a terminal: who reads it can say why the prompt was called misread."""

from importlib.resources import files

import pytest

from saetask.cli.answers import detection_text
from saetask.cli.evidence import BAR, WIDTH, evidence_text
from saetask.report.evidence import shown_concepts, signed
from saetask.report.why import why_sentence
from saetask.session import Detection
from tests.helpers.planted_evidence import CONCEPTS, SENTENCE, concept, planted_finding

LONG = [
    concept(f"a long name of concept {n} ({'word, ' * 9})", 0.2 * (-1) ** n, "insult", "soup")
    for n in range(20)
]


def lines(**changes) -> list[str]:
    return evidence_text(
        SENTENCE, planted_finding(**changes), "the answer is “metaphorical”"
    ).splitlines()


def test_words_that_the_evidence_fires_on_are_in_brackets_that_tell_its_side() -> None:
    assert " She [swallowed] the {insult} with her [soup]." in lines()


def test_every_concept_has_a_bar_on_its_side_its_name_and_its_verdict() -> None:
    table = lines()
    heading = next(line for line in table if "metaphorical │ literal" in line)
    axis = heading.index("│")
    rows = [line for line in table if line[axis : axis + 1] == "│"][1:]
    assert len(rows) == len(CONCEPTS) + 1
    for row in rows:
        left, right = row[:axis].strip(), row[axis + 2 : axis + 2 + BAR].strip()
        assert (set(left), set(right)) in (({"▒"}, set()), (set(), {"█"}))
    assert "−0.60" in rows[2] and "feelings" in rows[2] and rows[2].endswith("insult")
    assert "○ parts of the body" in rows[1] and "✓ feelings" in rows[2]
    assert "+0.31 what has no telling name" in rows[-1]


@pytest.mark.parametrize(
    ("verdict", "sign"),
    [("validated", "✓"), ("weak", "○"), ("named by a reader", "✎"), ("refused by a reader", "✕")],
)
def test_a_verdict_has_the_sign_that_it_has_on_the_pages(verdict, sign) -> None:
    assert f"{sign} food" in "\n".join(lines(concepts=[concept("food", 1.0, verdict=verdict)]))
    assert f'{sign}"' in (files("saetask") / "report" / "views" / "text.js").read_text("utf-8")


def test_what_the_model_says_and_what_a_missing_concept_would_change_is_told() -> None:
    told = "\n".join(lines())
    assert "3 to 1 for “literal”" in told and "the answer is “metaphorical”" in told
    assert "with as much of “food” as usual the features would say “metaphorical” (−0.09)" in told


@pytest.mark.parametrize("concepts", [CONCEPTS, LONG, LONG[:1]])
def test_it_fits_on_a_screen(concepts) -> None:
    detection = Detection(SENTENCE, "a", "b", 0.9, [planted_finding(concepts=concepts)], "", "c")
    shown = detection_text(detection).splitlines()
    assert len(shown) <= 32
    assert max(map(len, shown[2:])) <= WIDTH


def test_one_sentence_says_why_before_the_table() -> None:
    detection = Detection(SENTENCE, "a", "b", 0.9, [planted_finding()], "", "c")
    lines = detection_text(detection).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("why:"))
    told = " ".join(lines[first : lines.index("")])
    assert told == f"why: {why_sentence(planted_finding())}"


def test_a_long_context_keeps_the_token_that_fires() -> None:
    context = "x " * 90 + "«here»" + " y" * 90
    told = "\n".join(lines(concepts=[concept("food", 1.0, contexts=[context])]))
    assert "«here»" in told


def test_texts_are_no_markup() -> None:
    told = "\n".join(lines(concepts=[concept("[bold]food[/]", 1.0, "soup")], reading="[red]no[/]"))
    assert "○ [bold]food[/]" in told.replace("✓", "○") and "[red]no[/]" in told


def test_a_finding_without_concepts_keeps_its_features() -> None:
    found = planted_finding(concepts=[], log_odds=None, rest=None)
    assert len(detection_text(Detection(SENTENCE, "a", "a", 0.9, [found])).splitlines()) == 2


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("concepts", [CONCEPTS, LONG])
def test_it_fits_the_terminal_and_a_wide_one_shows_more(monkeypatch, width, concepts) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    finding = planted_finding(concepts=concepts)
    preference = "the model says 'a' to most of the prompts that it was asked " * 4
    detection = Detection(SENTENCE, "a", "b", 0.9, [finding], "", preference.strip())
    shown = detection_text(detection).splitlines()
    assert max(map(len, shown)) <= width
    told = " ".join(" ".join(shown).split())
    assert preference.strip() in told and "by the features alone" in told
    assert all(signed(each.contribution) in told for each in shown_concepts(finding))


def test_a_firing_token_is_in_its_context_at_every_width(monkeypatch) -> None:
    context = "x " * 90 + "«here»" + " y" * 90
    for width in (60, 80, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        assert "«here»" in "\n".join(lines(concepts=[concept("food", 1.0, contexts=[context])]))
