"""An instruction optimised on the fit split, with as many calls as saetask spends there.

GEPA (Agrawal et al. 2025, arXiv 2507.19457) has a language model rewrite an instruction in view of
items that it failed, and keeps what scores better on held-out ones. Here the model under test
rewrites its own. One note is written for all items, as in ordinary prompt engineering.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saetask.annotation.base import Annotation
from saetask.annotation.prompt_writer import fixed_note
from saetask.data.prompts import as_prompt
from saetask.data.samples import Sample
from saetask.detection.calibration import Calibration
from saetask.errors import UserError
from saetask.experiments.arms import GENERIC
from saetask.experiments.context import ExperimentContext, as_ask, scored_item
from saetask.inference.client import Ask
from saetask.models.loading import context_size, model_tokenizer

COMPONENT = "note"
VALIDATION_ITEMS = 40
MINIBATCH = 4
LONGEST = 300
"""Characters of a note, at most."""


def optimised_note(
    context: ExperimentContext,
    samples: Sequence[Sample],
    fit_items: Sequence[int],
    original: Calibration,
    budget: int,
    seed: int,
) -> Annotation:
    """Returns the note that scores best on a sample of the fit split.

    Args:
        apparatus: Task and model.
        questions: All of them.
        fit_items: Items to optimise on.
        original: The model's bias without a note; a note's score is the probability of the right
            candidates under it.
        budget: Items asked with some note, in all.
        seed: Seed of the sample and of the search.

    Raises:
        UserError: The package `gepa` is not installed.
    """
    try:
        from gepa.api import optimize
    except ImportError as error:
        raise UserError(
            'The arm optimised-prompt needs GEPA: pip install "saetask[gepa]".'
        ) from error

    ranked = [i for i in fit_items if samples[i].candidates]
    order = np.random.default_rng(seed).permutation(ranked).tolist()
    result = optimize(
        seed_candidate={COMPONENT: GENERIC.text},
        trainset=order[VALIDATION_ITEMS:] or order,
        valset=order[:VALIDATION_ITEMS],
        adapter=_Adapter(context, samples, original),
        reflection_lm=lambda prompt: _rewrite(context, prompt),
        reflection_minibatch_size=MINIBATCH,
        max_metric_calls=budget,
        logger=_Silence(),
        seed=seed,
    )
    best = result.best_candidate
    return _note(best if isinstance(best, str) else best[COMPONENT])


def _note(text: str) -> Annotation:
    return Annotation(" ".join(text.split())[:LONGEST] or GENERIC.text, "end", "optimised-prompt")


def _rewrite(context: ExperimentContext, request: Any) -> str:
    """Has the model under test write a new instruction; what exceeds its context is cut away."""
    tokenizer = model_tokenizer(context.model)
    text = request if isinstance(request, str) else request[-1]["content"]
    room = (context_size(context.model) or 2048) // 2
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    ask = Ask(as_prompt(str(tokenizer.decode(tokens[-room:]))))
    context.asker.ask([ask], "rewrite the instruction")
    return context.asker.output(ask)


class _Silence:
    def log(self, message: str) -> None:
        """GEPA reports each step; the progress bars are enough."""


class _Adapter:
    """What GEPA needs to know of asking items with a note."""

    propose_new_texts: Any = None

    def __init__(
        self, context: ExperimentContext, samples: Sequence[Sample], original: Calibration
    ) -> None:
        self._apparatus, self._questions, self._original = context, samples, original

    def evaluate(
        self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False
    ) -> Any:
        """Scores a note on some items."""
        from gepa.core.adapter import EvaluationBatch

        note, asker = _note(candidate[COMPONENT]), self._apparatus.asker
        prompts = {i: fixed_note(self._questions[i].prompt, note).prompt for i in batch}
        asker.ask([as_ask(self._questions[i], prompts[i]) for i in prompts], "optimise")
        outputs, scores = [], []
        for i in batch:
            scored = scored_item(asker, self._questions[i], prompts[i])
            chances = np.exp(self._original.apply(scored.scores, scored.readings))
            outputs.append(self._questions[i].texts[int(chances.argmax())])
            scores.append(float(chances[scored.correct].sum()))
        traces = list(zip(batch, outputs)) if capture_traces else None
        return EvaluationBatch(outputs=outputs, scores=scores, trajectories=traces)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Shows items of the fit split with the model's answers and the right ones."""
        rows = []
        for i, output in eval_batch.trajectories:
            sample = self._questions[i]
            right = [text for text, good in zip(sample.texts, sample.correct) if good]
            feedback = (
                f"The right answer is:{' or'.join(right)}" if right else "No answer is right."
            )
            rows.append(
                {
                    "Inputs": sample.prompt.content,
                    "Generated Outputs": output,
                    "Feedback": feedback,
                }
            )
        return {COMPONENT: rows}
