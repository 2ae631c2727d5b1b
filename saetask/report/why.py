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
    AnyConcept,
    AnyFinding,
    fired_words,
    holds_alone,
    share_of_usual,
    short_name,
    signed,
    strongest,
    unnamed,
    unnamed_words,
)
from saetask.saes.concepts import feature_of
from saetask.saes.described_words import describes

MOST_FOR, MOST_AGAINST, MOST_WORDS = 2, 1, 2
"""Maximum number of concepts that are told on each side, and of words of each."""
LEAST = 0.05
"""Log-odds below which a concept adds too little to be told."""
LEAST_SHARE = 0.25
"""Share of the strongest concept's contribution that a further one must reach."""
SIGNS = " .,;:!?()\"'“”‘’"
"""Left out at the ends of a word."""
NOT_DESCRIBED, NONE_DESCRIBED = " (no such word)", " (no such words)"
"""Behind a word, or two, where the concept fires on no word that its name describes."""
SILENT, LITTLE = 0.005, 0.67
"""Shares of the usual activity below which nothing, or little, is said to set a concept off."""
WEAK = 0.7
"""Log-odds below which the evidence is weak: two to one."""


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
        parts.append(f"other named concepts add {signed(named - told)}")
    if abs(unnamed(found)) >= LEAST and (found.log_odds <= 0 or not _is_unnamed(found, named)):
        parts.append(f"{REST} adds {signed(unnamed(found))}{_unnamed_on(found)}")
    return "; ".join(parts) + f" (in all {signed(found.log_odds)})."


def told_concepts(found: AnyFinding, side: int) -> list[AnyConcept]:
    """Returns the concepts of one side that the sentence names, strongest first.

    Beside the strongest one, a concept that is set off by words which its name describes comes
    first, since a reader can check it; then any that words set off; then one that is missing. One
    that by itself speaks for no reading in the prompts of the fit split is not told: it adds to the
    reading only beside others.
    """
    shown = strongest(found, side)[:ROWS_A_SIDE]
    ranked = [concept for concept in shown if abs(concept.contribution) >= LEAST]
    most = MOST_FOR if side == FOR else MOST_AGAINST
    least = LEAST_SHARE * max((abs(c.contribution) for c in found.concepts), default=0.0)
    strong = [concept for concept in ranked if abs(concept.contribution) >= least]
    further = sorted(filter(holds_alone, strong[1:]), key=_hard_to_check)
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
    rather = f" rather than {found.against}" if found.against else ""
    say = f"the features {'weakly ' if log_odds < WEAK else ''}say {reading}{rather}"
    if _is_unnamed(found, named):
        opening = f"{say}, but mostly by {REST} ({signed(unnamed(found))}{_unnamed_on(found)})"
        return f"{opening}; what has one: {because}" if because else opening
    return f"{say} because {because}" if because else f"{say} by concepts that each add little"


def _is_unnamed(found: AnyFinding, named: float) -> bool:
    """Returns whether named concepts add less to the reading than what has no name."""
    return unnamed(found) > named


def _unnamed_on(found: AnyFinding) -> str:
    """Returns on which words what has no telling name adds most, as the end of a clause."""
    words = [f"“{word.strip(SIGNS) or word}”" for word in unnamed_words(found)[:MOST_WORDS]]
    return f", most on {' and '.join(words)}" if words else ""


def _clause(concept: AnyConcept, is_first: bool) -> str:
    """Returns where a concept fires, what it adds, and what known prompts like that were."""
    name, words = short_name(concept.name), _told_words(concept)
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
    words = [word.word.strip(SIGNS) or word.word for word in fired_words(concept)]
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
    little = "little" if share < LITTLE else "less than usual"
    return f"{little} sets off {about} ({share:.0%} of the average example; {added})"


def _examples(concept: AnyConcept, is_first: bool) -> str:
    """Returns how often examples in which the concept fires so have the reading it speaks for."""
    if concept.alike is None:
        return ""
    n, share, of_all = concept.alike.n, f"{concept.alike.share:.0%}", concept.alike.of_all
    told = f"{share} of {n} examples like that are {concept.reading}, {of_all:.0%} of all"
    if not holds_alone(concept):
        return f"; though only {told}"
    return f"; {told}" if is_first else f"; {share} of {n}"


def _listed(concepts: list[AnyConcept]) -> str:
    clauses = (_clause(concept, is_first=not place) for place, concept in enumerate(concepts))
    return " and ".join(clauses)
