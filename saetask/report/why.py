"""Why a prompt counts as misread: one plain sentence, made of a finding's evidence and true to it.

It names at most two concepts for the reading and one against it, each with what it adds, and says
how much no name explains. Where the evidence is weak, or most of it has no name, it begins so.
"""

import re

from saetask.report.evidence import (
    AGAINST,
    FOR,
    LESS,
    OUTSIDE,
    REST,
    ROWS_A_SIDE,
    WEAK,
    alike_text,
    odds_of,
    share_of_usual,
    short_name,
    signed,
    telling,
    unnamed,
)
from saetask.report.fired_words import (
    AnyConcept,
    AnyFinding,
    fired_words,
    unnamed_words,
    without_signs,
)
from saetask.saes.concepts import feature_of
from saetask.saes.described_words import describes

MOST_FOR, MOST_AGAINST, MOST_WORDS = 2, 1, 2
"""Maximum number of concepts that are told on each side, and of words of each."""
LEAST = 0.05
"""Log-odds below which a concept adds too little to be told."""
LEAST_SHARE = 0.25
"""Share of the strongest concept's contribution that a further one must reach."""
NOT_DESCRIBED, NONE_DESCRIBED = " (no such word)", " (no such words)"
"""Behind a word, or two, where the concept fires on no word that its name describes."""
SILENT, LITTLE = 0.005, 0.67
"""Shares of the usual activity below which a concept is said not to fire, or only weakly."""


def why_sentence(found: AnyFinding) -> str:
    """Returns why a prompt counts as misread, as one sentence; "" where no concepts are known.

    Args:
        found: The finding.
    """
    if found.log_odds is None or found.rest is None:
        return ""
    named = found.log_odds - unnamed(found)
    told_for, told_against = told_concepts(found, FOR), told_concepts(found, AGAINST)
    because = _listed(told_for)
    parts = [_opening(found, named, because)]
    if told_against:
        parts.append("against that, " + _listed(told_against))
    told = sum(concept.contribution for concept in (*told_for, *told_against))
    if abs(named - told) >= LEAST:
        parts.append(f"all other named concepts add {signed(named - told)}")
    if abs(unnamed(found)) >= LEAST and (found.log_odds <= 0 or not _is_unnamed(found, named)):
        parts.append(f"{REST} adds {signed(unnamed(found))}{_unnamed_on(found)}")
    return "; ".join(parts) + f" (in all {signed(found.log_odds)})."


def told_concepts(found: AnyFinding, side: int) -> list[AnyConcept]:
    """Returns the concepts of one side that the sentence names, strongest first.

    Beside the strongest one, a concept that is set off by words which its name describes comes
    first, since a reader can check it; then any that words set off; then one that is missing. One
    that examples do not bear out is not told.
    """
    shown = telling(found, side)[:ROWS_A_SIDE]
    ranked = [concept for concept in shown if abs(concept.contribution) >= LEAST]
    most = MOST_FOR if side == FOR else MOST_AGAINST
    least = LEAST_SHARE * max((abs(c.contribution) for c in found.concepts), default=0.0)
    strong = [concept for concept in ranked if abs(concept.contribution) >= least]
    if side == AGAINST:  # that little of something speaks against a reading is hard to follow
        strong = [concept for concept in strong if not concept.fires_less]
    further = sorted(strong[1:], key=_hard_to_check)
    return [*strong[:1], *further[: most - 1]]


def _hard_to_check(concept: AnyConcept) -> int:
    """Returns 0 where the name describes a word that sets the concept off, 1 for other words."""
    words = fired_words(concept)[:MOST_WORDS]
    return 0 if any(describes(concept.id, word.word) for word in words) else 1 if words else 2


def _opening(found: AnyFinding, named: float, because: str) -> str:
    """Returns what the features say, and the concepts that speak for it."""
    reading, log_odds = found.reading, found.log_odds or 0.0
    if log_odds <= 0:
        opening = f"the features alone do not say {reading}"
        return f"{opening}, though {because}" if because else opening
    if log_odds < WEAK:
        others = found.against or "the others"
        hardly = f"the features hardly tell {reading} from {others} ({odds_of(log_odds)})"
        return f"no clear reason, {hardly}" + (f"; for it, {because}" if because else "")
    say = f"the features say {reading}" + (f" rather than {found.against}" if found.against else "")
    if _is_unnamed(found, named):
        opening = f"{say}, but mostly by {REST} ({signed(unnamed(found))}{_unnamed_on(found)})"
        return f"{opening}; what has one: {because}" if because else opening
    if not because:
        return f"{say}, by many concepts of which none tells it alone"
    return f"{say} because {because}"


def _is_unnamed(found: AnyFinding, named: float) -> bool:
    """Returns whether named concepts add less to the reading than what has no name."""
    return unnamed(found) > named


def _unnamed_on(found: AnyFinding) -> str:
    """Returns on which words what has no telling name adds most, as the end of a clause."""
    words = [f"“{word}”" for word in unnamed_words(found)[:MOST_WORDS]]
    return f", most on {' and '.join(words)}" if words else ""


def _clause(concept: AnyConcept, is_first: bool) -> str:
    """Returns where a concept fires, what it adds, and what known prompts like that were."""
    name, words = (
        short_name(concept.name),
        _told_words(concept),
    )
    single = feature_of(concept.id) is not None
    features = "a feature" if single else "features"
    about = name if name.startswith("features ") else f"{features} of {name}"
    about = re.sub(r"^(a feature|features) of (?=near |among |after |before )", r"\1 ", about)
    added = f"{signed(concept.contribution)}{_examples(concept, is_first)}"
    if not words:
        return _without_words(concept, about, single, added)
    told, verb = " and ".join(f"“{word}”" for word in words), "sets" if len(words) == 1 else "set"
    if all(describes(concept.id, word) is False for word in words):
        told += NOT_DESCRIBED if len(words) == 1 else NONE_DESCRIBED
    return f"{told} {verb} off {about} ({added})"


def _told_words(concept: AnyConcept) -> list[str]:
    """Returns the words to tell: those that the name describes; where there are none, all."""
    words = [without_signs(word.word) for word in fired_words(concept)]
    described = [word for word in words if describes(concept.id, word) is not False]
    return list(dict.fromkeys(described or words))[:MOST_WORDS]


def _without_words(concept: AnyConcept, about: str, single: bool, added: str) -> str:
    """Returns what a concept adds that fires on no word that could be told."""
    if not concept.fires_less:
        return f"{about} {'fires' if single else 'fire'} {OUTSIDE} ({added})"
    share = share_of_usual(concept)
    if share is None:
        return f"{about} {'fires' if single else 'fire'} {LESS} ({added})"
    if share < SILENT:
        return f"nothing sets off {about} ({added})"
    weakly = "only weakly" if share < LITTLE else LESS
    words = " and ".join(f"“{word}”" for word in concept.less_on)
    fire = f"{'fires' if single else 'fire'} {weakly}" + (f", on {words}" if words else "")
    return f"{about} {fire} ({share:.0%} of the average example; {added})"


def _examples(concept: AnyConcept, is_first: bool) -> str:
    """Returns how often examples in which the concept fires so have the reading it speaks for."""
    if concept.alike is None:
        return ""
    told = f"; {alike_text(concept)}"
    if not is_first:
        return told
    return f"{told} examples like that are {concept.reading}, {concept.alike.of_all:.0%} of all"


def _listed(concepts: list[AnyConcept]) -> str:
    clauses = (_clause(concept, is_first=not place) for place, concept in enumerate(concepts))
    return " and ".join(clauses)
