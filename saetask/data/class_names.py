"""Plain names of the classes of words that features are named after, and of wide classes."""

from collections.abc import Collection

from saetask.data.word_classes import FUNCTION_WORDS

CLASS_NAMES = {
    "adj.all": "adjectives",
    "adj.pert": "adjectives of kind",
    "adj.ppl": "participles",
    "adv.all": "adverbs",
    "noun.Tops": "kinds of things",
    "noun.act": "acts",
    "noun.animal": "animals",
    "noun.artifact": "made things",
    "noun.attribute": "qualities",
    "noun.body": "parts of the body",
    "noun.cognition": "ideas",
    "noun.communication": "messages and language",
    "noun.event": "events",
    "noun.feeling": "feelings",
    "noun.food": "food",
    "noun.group": "groups of people",
    "noun.location": "places",
    "noun.motive": "motives",
    "noun.object": "natural things",
    "noun.person": "people",
    "noun.phenomenon": "natural phenomena",
    "noun.plant": "plants",
    "noun.possession": "money and possessions",
    "noun.process": "natural processes",
    "noun.quantity": "amounts and units",
    "noun.relation": "relations",
    "noun.shape": "shapes",
    "noun.state": "states",
    "noun.substance": "substances",
    "noun.time": "times",
    "verb.body": "verbs of the body",
    "verb.change": "verbs of change",
    "verb.cognition": "verbs of thinking",
    "verb.communication": "verbs of speech",
    "verb.competition": "verbs of contest",
    "verb.consumption": "verbs of eating and using up",
    "verb.contact": "verbs of touch and handling",
    "verb.creation": "verbs of making",
    "verb.emotion": "verbs of feeling",
    "verb.motion": "verbs of motion",
    "verb.perception": "verbs of perception",
    "verb.possession": "verbs of having and giving",
    "verb.social": "verbs of dealing with people",
    "verb.stative": "verbs of being",
    "verb.weather": "verbs of weather",
}
"""Plain name of each class of words."""
WIDE_CLASSES = {
    "concrete things": (
        "noun.animal",
        "noun.artifact",
        "noun.body",
        "noun.food",
        "noun.object",
        "noun.plant",
        "noun.substance",
    ),
    "living beings": ("noun.animal", "noun.person"),
    "abstract things": (
        "noun.act",
        "noun.attribute",
        "noun.cognition",
        "noun.communication",
        "noun.event",
        "noun.feeling",
        "noun.motive",
        "noun.possession",
        "noun.relation",
        "noun.state",
        "noun.time",
    ),
    "verbs of bodily action": (
        "verb.body",
        "verb.consumption",
        "verb.contact",
        "verb.creation",
        "verb.motion",
    ),
    "verbs of mind and speech": (
        "verb.cognition",
        "verb.communication",
        "verb.emotion",
        "verb.social",
    ),
}
"""Classes together, by plain name. The nouns are split as WordNet's physical entities and
abstractions are (Miller 1995, https://doi.org/10.1145/219717.219748), without people, groups,
places, measures and processes, which are some of both."""
PARTS_OF_SPEECH = {
    "nouns": ("noun.",),
    "verbs": ("verb.",),
    "content words": ("noun.", "verb.", "adj.", "adv."),
}
"""Beginnings of a part of speech's classes; adjectives and adverbs are classes of their own."""

TOO_WIDE = {*PARTS_OF_SPEECH, FUNCTION_WORDS}
"""Every other word is of one of these: they name features, and neither concepts nor discoveries."""


def classes_together(classes: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Returns the wide classes and the parts of speech, by plain name, as classes out of some."""
    parts = {
        name: tuple(each for each in classes if each.startswith(beginnings))
        for name, beginnings in PARTS_OF_SPEECH.items()
    }
    return {**WIDE_CLASSES, **parts}
