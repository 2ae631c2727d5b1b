"""The table of arms: what each one controls for, and how it writes its prompts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saetask.annotation.base import Annotation
from saetask.annotation.prompt_writer import ArmPrompt, fixed_note
from saetask.data.prompts import Prompt
from saetask.data.samples import Sample
from saetask.detection.base import Misunderstanding
from saetask.errors import UserError, did_you_mean
from saetask.experiments.closed_loop import CLOSED_LOOP, close_loop
from saetask.experiments.control_detectors import DENSE_PROBE, OWN, RANDOM_FEATURE, RANDOM_SAE
from saetask.experiments.fold import FoldState
from saetask.experiments.note_selection import gold_finding
from saetask.experiments.prompt_optimisation import optimised_note
from saetask.inference.requests import GenerateRequest
from saetask.report.arms import ArmSpec

GENERIC = Annotation("(Note: read the text carefully before you answer.)", "end", "generic")
PLACEBO = Annotation("(Note: this text is one of several on the same page.)", "end", "placebo")
SELF_REQUEST = "\nDo not answer yet. In one short sentence, say how this text is to be understood."

Prompts = dict[Sample, ArmPrompt]


@dataclass(frozen=True)
class Arm:
    """One arm of an experiment."""

    spec: ArmSpec
    write: Callable[[FoldState], Prompts]
    """Returns the prompt of every sample in `FoldState.wanted`."""


def unchanged(state: FoldState) -> Prompts:
    """Leaves every prompt as it is."""
    return {sample: ArmPrompt(sample.prompt, None, []) for sample in state.wanted}


def fixed(note: Annotation) -> Callable[[FoldState], Prompts]:
    """Returns a function that writes the same note into every prompt."""
    return lambda state: {s: fixed_note(s.prompt, note) for s in state.wanted}


def from_detector(name: str, labels_known: bool = True) -> Callable[[FoldState], Prompts]:
    """Returns a function that writes what a detector finds; see `FoldState.write`."""
    return lambda state: state.write(state.misunderstandings(name), labels_known)


def shuffled(state: FoldState) -> Prompts:
    """Writes into each prompt what saetask's detector finds in another sample."""
    own, generator = state.misunderstandings(OWN), state.generator()
    findings: dict[Sample, list[Misunderstanding]] = {}
    for part in state.parts:
        findings |= exchange_findings(own, part, generator)
    return state.write(findings)


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
    return [finding._replace(span=span, text=text) for finding in findings]


def self_note(state: FoldState) -> Prompts:
    """Writes into each prompt the note that the model, or the run's self-writer, generates."""
    writer, wanted = state.context.self_writer, state.wanted
    if writer is None:
        requests = [self_request(sample.prompt, state) for sample in wanted]
        replies = state.context.client.generate(requests, "the model's own notes")
    else:
        asked = [sample.prompt.content + SELF_REQUEST for sample in wanted]
        writer.fetch(asked, "notes of the arm self")
        replies = [writer.reply(request) or "" for request in asked]
    return {s: written_by_model(s.prompt, reply) for s, reply in zip(wanted, replies)}


def self_request(prompt: Prompt, state: FoldState) -> GenerateRequest:
    """Returns the request for the model's own note on a prompt."""
    content = prompt.content + SELF_REQUEST
    asked = Prompt(prompt.with_content(content).messages, "Note:")
    return GenerateRequest(asked, state.context.settings.self_note_tokens)


def written_by_model(prompt: Prompt, reply: str) -> ArmPrompt:
    """Writes the first line of the model's reply into the prompt, as a note."""
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    if not lines:
        return ArmPrompt(prompt, None, [])
    return fixed_note(prompt, Annotation(f"(Note: {lines[0]})", "end", "self"))


def optimised(state: FoldState) -> Prompts:
    """Writes one note into all prompts, optimised with as many requests as the pipeline used."""
    asked = set(state.fold.train)
    budget = len(state.fold.train) + len(state.calibration)
    budget += sum(sample in asked for _, sample in state.note_scores.scored)
    note = optimised_note(
        state.context,
        [observation.sample for observation in state.pipeline.trained_on],
        state.pipeline.bias,
        GENERIC,
        budget,
        state.seed,
    )
    return fixed(note)(state)


def always(state: FoldState) -> Prompts:
    """Writes the detector's most probable reading into every prompt, right or wrong."""
    detector, findings = state.pipeline.detector, state.findings(OWN)
    stated = {}
    for sample, finding in findings.items():
        explained = detector.explain(
            state.pipeline.input(state.observations[sample]), finding.leading
        )
        stated[sample] = [explained._replace(probability=finding.failure)]
    return state.write(stated)


def oracle(state: FoldState) -> Prompts:
    """Writes the right reading into every prompt that has one."""
    return state.write({sample: gold_finding(sample) for sample in state.wanted})


ARMS: tuple[Arm, ...] = (
    Arm(
        ArmSpec(
            "original",
            "The prompt as it is; every difference is taken to this arm.",
            "baseline",
            asks_second_question=True,
        ),
        unchanged,
    ),
    Arm(
        ArmSpec(
            "generic",
            "Any request for care would help: “read carefully”.",
            "control",
            in_sae_credit=True,
            in_default=False,
        ),
        fixed(GENERIC),
    ),
    Arm(
        ArmSpec(
            "placebo",
            "Any longer prompt would help: a neutral note.",
            "control",
            in_sae_credit=True,
            asks_second_question=True,
        ),
        fixed(PLACEBO),
    ),
    Arm(
        ArmSpec(
            RANDOM_FEATURE,
            "Any features would do: the detector's weights on random live features, matched in "
            "frequency.",
            "control",
            in_sae_credit=True,
            in_default=False,
        ),
        from_detector(RANDOM_FEATURE),
    ),
    Arm(
        ArmSpec(
            "shuffled",
            "Any finding would do: another item's, of another group, written about this one.",
            "control",
            in_sae_credit=True,
        ),
        shuffled,
    ),
    Arm(
        ArmSpec(
            "self",
            "No SAE is needed: the model, or the run's self-writer, writes its own note.",
            "control",
            in_sae_credit=True,
            in_default=False,
        ),
        self_note,
    ),
    Arm(
        ArmSpec(
            "optimised-prompt",
            "One instruction for all items would do: optimised on the fit split by GEPA.",
            "control",
            in_default=False,  # slow, and needs an extra
        ),
        optimised,
    ),
    Arm(
        ArmSpec(
            DENSE_PROBE,
            "No sparse features are needed: a linear probe on the raw activations.",
            "control",
        ),
        from_detector(DENSE_PROBE),
    ),
    Arm(
        ArmSpec(
            RANDOM_SAE,
            "No trained dictionary is needed: the same pipeline on a frozen random one.",
            "control",
        ),
        from_detector(RANDOM_SAE, labels_known=False),
    ),
    Arm(
        ArmSpec(
            CLOSED_LOOP,
            "saetask with re-reading: a note is kept only if the annotated prompt is read better.",
            "variant",
            in_default=False,
        ),
        close_loop,
    ),
    Arm(
        ArmSpec(
            "always",
            "saetask without its gate: the most probable reading is written into every prompt.",
            "variant",
            in_default=False,
        ),
        always,
    ),
    Arm(
        ArmSpec(
            OWN,
            "The claim: write into the prompt what the features say was misread.",
            "method",
            asks_second_question=True,
        ),
        from_detector(OWN),
    ),
    Arm(
        ArmSpec(
            "oracle",
            "Upper bound: the gold reading is written into the prompt.",
            "bound",
            asks_second_question=True,
        ),
        oracle,
    ),
)
"""Every arm, in the order in which they are reported."""


def arm_names() -> list[str]:
    """Returns the names of all arms, in the order in which they are reported."""
    return [arm.spec.name for arm in ARMS]


def default_arm_names() -> list[str]:
    """Returns the names of the arms that are run by default."""
    return [arm.spec.name for arm in ARMS if arm.spec.in_default]


def arms_named(names: Sequence[str]) -> list[Arm]:
    """Returns the arms of these names, in the order in which they are reported.

    Raises:
        UserError: There is no such arm, or `original` or `saetask` is not among them.
    """
    for name in names:
        if name not in arm_names():
            raise UserError(f"Unknown arm '{name}'.{did_you_mean(name, arm_names())}")
    if not {"original", OWN} <= set(names):
        raise UserError("arms must include 'original' and 'saetask'; the rest are controls.")
    return [arm for arm in ARMS if arm.spec.name in names]
