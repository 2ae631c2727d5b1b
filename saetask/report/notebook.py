"""What is found in one prompt as HTML for a notebook: self-contained, without scripts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from saetask.report import evidence
from saetask.report.render import environment
from saetask.report.why import why_sentence

if TYPE_CHECKING:
    from saetask.detection.base import Misunderstanding


def findings_html(
    prompt: str, findings: "Sequence[Misunderstanding]", facts: Mapping[str, str]
) -> str:
    """Returns what is found in a prompt as HTML: concepts, or features where there are none.

    Args:
        prompt: The text in which the findings' spans count.
        findings: What is found in it.
        facts: Named lines to stand above; those without a text are left out.
    """
    template = environment().get_template("notebook.html.jinja")
    return template.render(
        prompt=prompt, findings=findings, facts=facts, evidence=evidence, why=why_sentence
    )
