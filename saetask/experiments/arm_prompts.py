"""How arms write their prompts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from saetask.annotation.base import Annotation, Placement, annotate
from saetask.annotation.fixed_notes import GENERIC, neutral_note
from saetask.annotation.prompt_writer import ArmPrompt, fixed_note
from saetask.data.prompts import Prompt
from saetask.data.samples import Sample
from saetask.detection.base import Misunderstanding
from saetask.detection.calibration import FEWEST_ITEMS
from saetask.experiments.control_detectors import OWN
from saetask.experiments.fold import FoldState
from saetask.experiments.note_selection import gold_finding
from saetask.experiments.prompt_optimisation import optimised_note
from saetask.inference.ranking import likeliest
from saetask.inference.requests import GenerateRequest

SELF_REQUEST = "\nDo not answer yet. In one short sentence, say how this text is to be understood."

Prompts = dict[Sample, ArmPrompt]
Writer = Callable[[FoldState, Sequence[Sample]], Prompts]
"""Returns the prompts of some samples of a fold."""


def unchanged(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Leaves every prompt as it is."""
    return {sample: ArmPrompt(sample.prompt, None, []) for sample in samples}


def no_prompts(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes nothing: the arm has no offset of its own."""
    return {}


def offset_only(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Leaves every prompt as it is; the answers get the arm's own offset."""
    return {sample: ArmPrompt(sample.prompt, None, [], own_offset=True) for sample in samples}


def offset_of_picked(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Leaves every prompt as it is; the answers to those that the gate picks get an offset."""
    enough = len(picked_for_fit(state, state.calibration)) >= FEWEST_ITEMS
    own = state.misunderstandings(OWN)
    picked = [sample for sample in samples if own[sample] and enough]
    return unchanged(state, samples) | offset_only(state, picked)


def picked_for_fit(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Returns the unchanged prompts of those training samples that the gate picks."""
    predict, observations = state.pipeline.predict, state.observations
    picked = [s for s in samples if predict(observations[s]).misunderstandings]
    return offset_only(state, picked)


def chosen_note(name: str) -> Writer:
    """Returns a function that writes one of an arm's fixed notes, which the fit split chose."""
    return lambda state, samples: {
        s: fixed_note(s.prompt, state.fixed_notes[name]) for s in samples
    }


def from_detector(name: str, labels_known: bool = True) -> Writer:
    """Returns a function that writes what a detector finds; see `FoldState.write`."""

    def write(state: FoldState, samples: Sequence[Sample]) -> Prompts:
        found = state.misunderstandings(name)
        return state.write({sample: found[sample] for sample in samples}, labels_known)

    return write


def right_reading(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes the right reading into every prompt that has one."""
    return state.write({sample: gold_finding(sample) for sample in samples})


def neutral(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes a neutral note into the prompts that saetask annotates, as long as its note."""
    return _neutralised(from_detector(OWN)(state, samples))


def neutral_for_fit(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes a neutral note into every prompt, as long as the note on the right reading."""
    return _neutralised(right_reading(state, samples))


def _neutralised(prompts: Prompts) -> Prompts:
    """Returns the prompts with a neutral note in the place of each note."""
    changed = {sample: ArmPrompt(sample.prompt, None, []) for sample in prompts}
    for sample, written in prompts.items():
        if written.annotation:
            note = neutral_note(written.annotation)
            prompt = annotate(sample.prompt, note, written.misunderstandings[0].span)
            changed[sample] = ArmPrompt(prompt, note, [])
    return changed


def shuffled(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes into each prompt that saetask annotates what it finds in another one of them."""
    own = state.misunderstandings(OWN)
    picked = [sample for sample in samples if own[sample]]
    exchanged = exchange_findings(own, picked, state.generator())
    return state.write({sample: exchanged.get(sample, []) for sample in samples})


def contrary(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes into each prompt that saetask annotates the most probable of the other readings."""
    detector, findings, stated = state.pipeline.detector, state.findings(OWN), {}
    for sample in samples:
        stated[sample] = []
        for found in findings[sample].misunderstandings[:1]:
            possible = set(sample.readings) - {found.reading}
            others = {r: p for r, p in findings[sample].probabilities.items() if r in possible}
            if others:
                given = state.pipeline.input(state.observations[sample])
                opposite = detector.explain(given, max(others, key=others.__getitem__))
                stated[sample] = [opposite._replace(probability=found.probability)]
    return state.write(stated)


def exchange_findings(
    findings: Mapping[Sample, list[Misunderstanding]],
    samples: Sequence[Sample],
    generator: np.random.Generator,
) -> dict[Sample, list[Misunderstanding]]:
    """Gives each sample the findings of another one, and each sample's findings to one.

    Samples of one group can be near-duplicates, whose findings fit each other, so the other one is
    of another group wherever one is left. A single sample gets none.
    """
    order = [samples[i] for i in generator.permutation(len(samples))]
    if len(order) < 2:
        return {sample: [] for sample in order}
    groups = [sample.group for sample in order]
    order.sort(key=lambda sample: groups.index(sample.group))
    # Side by side, no group is longer than the largest: that many places on, another group stands.
    largest = max(Counter(groups).values())
    step = largest if largest < len(order) else 1
    donors = dict(zip(order, [*order[step:], *order[:step]]))
    return {s: retarget_findings(s.prompt, findings[donors[s]]) for s in samples}


def retarget_findings(
    prompt: Prompt, findings: Sequence[Misunderstanding]
) -> list[Misunderstanding]:
    """Returns another prompt's findings as findings about this prompt's target (or else text)."""
    span = prompt.spans.get("target", prompt.spans["text"])
    text = prompt.content[span.start : span.end]
    return [
        finding._replace(
            span=span,
            text=text,
            margin=None,
            concepts=tuple(concept._replace(tokens=[]) for concept in finding.concepts),
            nearest=(),
            unnamed_tokens=(),
        )
        for finding in findings
    ]


def taken_from_probe(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Takes the detector's most probable reading as the answer, without asking the model.

    Of several candidates that stand for the reading, it is the one that the model finds likeliest.
    """
    findings, prompts = state.findings(OWN), {}
    for sample in samples:
        scores, leading = state.observations[sample].response.scores, findings[sample].leading
        places = [n for n, reading in enumerate(sample.readings) if reading == leading]
        texts = [sample.texts[n] for n in places]
        answer = texts[likeliest([scores[n] for n in places], texts, sample.id)] if texts else None
        prompts[sample] = ArmPrompt(sample.prompt, None, [], answer=answer)
    return prompts


def self_note(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes into each prompt the note that the model, or the run's self-writer, generates."""
    writer, place = state.context.self_writer, note_placement(state)
    if writer is None:
        requests = [self_request(sample.prompt, state) for sample in samples]
        replies = state.context.client.generate(requests, "the model's own notes")
    else:
        asked = [sample.prompt.content + SELF_REQUEST for sample in samples]
        writer.fetch(asked, "notes of the arm self")
        replies = [writer.reply(request) or "" for request in asked]
    return {
        sample: written_by_model(sample.prompt, reply, place)
        for sample, reply in zip(samples, replies)
    }


def self_request(prompt: Prompt, state: FoldState) -> GenerateRequest:
    """Returns the request for the model's own note on a prompt."""
    content = prompt.content + SELF_REQUEST
    asked = Prompt(prompt.with_content(content).messages, "Note:")
    return GenerateRequest(asked, state.context.settings.self_note_tokens)


def note_placement(state: FoldState) -> Placement:
    """Returns the place of saetask's notes, which the fit split chose."""
    for sample in state.calibration:
        if note := right_reading(state, [sample])[sample].annotation:
            return note.placement
    return "end"


def written_by_model(prompt: Prompt, reply: str, placement: Placement) -> ArmPrompt:
    """Writes the first line of the model's reply into the prompt, as a note."""
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    if not lines:
        return ArmPrompt(prompt, None, [])
    return fixed_note(prompt, Annotation(f"(Note: {lines[0]})", placement, "self"))


def optimised(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes one note into all prompts, optimised with as many requests as the pipeline used."""
    budget = len(state.fold.train) + len(state.calibration)
    budget += sum(template["n"] for template in state.pipeline.selection["wordings"])
    note = optimised_note(
        state.context,
        [observation.sample for observation in state.pipeline.trained_on],
        state.pipeline.bias,
        GENERIC.notes[0]._replace(placement=note_placement(state)),
        budget,
        state.seed,
    )
    return {sample: fixed_note(sample.prompt, note) for sample in samples}


def always(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes the detector's most probable reading into every prompt, right or wrong."""
    detector, findings = state.pipeline.detector, state.findings(OWN)
    stated = {}
    for sample in samples:
        finding = findings[sample]
        if finding.misunderstandings:
            stated[sample] = finding.misunderstandings
            continue
        given = state.pipeline.input(state.observations[sample])
        explained = detector.explain(given, finding.leading)
        stated[sample] = [explained._replace(probability=finding.failure)]
    return state.write(stated)
