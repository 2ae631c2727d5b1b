"""The arms of an experiment: what each writes into a prompt, and what it controls for."""

from collections.abc import Mapping, Sequence

from saetask.annotation.base import Annotation
from saetask.annotation.prompt_writer import ArmPrompt, fixed_note
from saetask.data.prompts import Prompt
from saetask.detection.base import Misunderstanding

ARMS: Mapping[str, str] = {
    "original": "the prompt as it is",
    "generic": "any request for care would help",
    "placebo": "any further text would help",
    "random-feature": "any features would do: the detector's weights moved to random live features",
    "shuffled": "any finding would do: another item's, of another group, written about this one",
    "self": "no SAE is needed: the model writes its own note",
    "optimised-prompt": "one instruction for all items does it, optimised on the fit split by GEPA",
    "dense-probe": "no features are needed: a linear probe on the raw activations finds as much",
    "random-sae": "no training is needed: the same pipeline on a frozen random dictionary",
    "closed-loop": "re-reading: a note is kept only if the annotated prompt is read better",
    "always": "no gate is needed: the most probable reading is written into every prompt",
    "saetask": "the finding, written into the prompt",
    "oracle": "upper bound: the right reading, written into the prompt",
}
"""Name and purpose of each arm, in the order they are reported."""
DEFAULT_ARMS = tuple(arm for arm in ARMS if arm != "optimised-prompt")
"""All but one that is slow and needs an extra."""
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
