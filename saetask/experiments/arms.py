"""The arms of an experiment: what each writes into a prompt, and what it controls for."""

from collections.abc import Sequence

from saetask.annotation.base import Annotation
from saetask.annotation.prompt_writer import ArmPrompt, fixed_note
from saetask.data.prompts import Prompt
from saetask.detection.base import Misunderstanding
from saetask.report.arms import ArmSpec

ARMS: tuple[ArmSpec, ...] = (
    ArmSpec(
        "original",
        "The prompt as it is; every difference is taken to this arm.",
        "baseline",
        asks_second_question=True,
    ),
    ArmSpec(
        "generic",
        "Any request for care would help: “read carefully”.",
        "control",
        in_sae_credit=True,
    ),
    ArmSpec(
        "placebo",
        "Any longer prompt would help: a neutral note.",
        "control",
        in_sae_credit=True,
        asks_second_question=True,
    ),
    ArmSpec(
        "random-feature",
        "Any features would do: the detector's weights on random live features, matched in "
        "frequency.",
        "control",
        in_sae_credit=True,
    ),
    ArmSpec(
        "shuffled",
        "Any finding would do: another item's, of another group, written about this one.",
        "control",
        in_sae_credit=True,
    ),
    ArmSpec(
        "self",
        "No SAE is needed: the model writes its own note.",
        "control",
        in_sae_credit=True,
    ),
    ArmSpec(
        "optimised-prompt",
        "One instruction for all items would do: optimised on the fit split by GEPA.",
        "control",
        in_default=False,  # It is slow and needs an extra.
    ),
    ArmSpec(
        "dense-probe",
        "No sparse features are needed: a linear probe on the raw activations.",
        "control",
    ),
    ArmSpec(
        "random-sae",
        "No trained dictionary is needed: the same pipeline on a frozen random one.",
        "control",
    ),
    ArmSpec(
        "closed-loop",
        "saetask with re-reading: a note is kept only if the annotated prompt is read better.",
        "variant",
    ),
    ArmSpec(
        "always",
        "saetask without its gate: the most probable reading is written into every prompt.",
        "variant",
    ),
    ArmSpec(
        "saetask",
        "The claim: write into the prompt what the features say was misread.",
        "method",
        asks_second_question=True,
    ),
    ArmSpec(
        "oracle",
        "Upper bound: the gold reading is written into the prompt.",
        "bound",
        asks_second_question=True,
    ),
)
"""Every arm, in the order in which arms are run and reported."""
ARM_NAMES = tuple(spec.name for spec in ARMS)
DEFAULT_ARMS = tuple(spec.name for spec in ARMS if spec.in_default)
GENERIC = Annotation("(Note: read the text carefully before you answer.)", "end", "generic")
PLACEBO = Annotation("(Note: this text is one of several on the same page.)", "end", "placebo")
SELF_REQUEST = "\nDo not answer yet. In one short sentence, say how this text is to be understood."
SELF_TOKENS = 24


def self_request(prompt: Prompt) -> Prompt:
    """Returns what the model is asked for its own note, in the `self` arm."""
    return Prompt(prompt.with_content(prompt.content + SELF_REQUEST).messages, "Note:")


def self_note(prompt: Prompt, output: str) -> ArmPrompt:
    """Writes the model's own note into a prompt: the first line that it generated."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        return ArmPrompt(prompt, None, [])
    return fixed_note(prompt, Annotation(f"(Note: {lines[0]})", "end", "self"))


def retarget_findings(
    prompt: Prompt, findings: Sequence[Misunderstanding]
) -> list[Misunderstanding]:
    """Returns another prompt's findings as if they were this one's: the `shuffled` arm's."""
    span = prompt.spans.get("target", prompt.spans["text"])
    text = prompt.content[span.start : span.end]
    return [found._replace(span=span, text=text) for found in findings]


def gold_finding(prompt: Prompt, reading: str | None) -> list[Misunderstanding]:
    """Returns the finding of a detector that knows the gold reading: the `oracle` arm's."""
    if reading is None:
        return []
    span = prompt.spans.get("target", prompt.spans["text"])
    text = prompt.content[span.start : span.end]
    return [Misunderstanding("oracle", span, text, reading, 1.0, [])]
