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
from saetask.experiments.context import ExperimentContext
from saetask.experiments.observation import rank_request
from saetask.inference.ranking import likeliest
from saetask.inference.requests import GenerateRequest
from saetask.models.loading import context_size, model_tokenizer

COMPONENT = "note"
VALIDATION_SAMPLES = 40
MINIBATCH = 4
MAX_CHARACTERS = 300
"""Maximum length of a note."""


def optimised_note(
    context: ExperimentContext,
    samples: Sequence[Sample],
    bias: Calibration,
    seed_note: Annotation,
    budget: int,
    seed: int,
) -> Annotation:
    """Returns the note that scores best on a draw of training samples.

    Args:
        context: Model and client.
        samples: Training samples to optimise on, all that the detector learnt from; notes are
            compared on those of the fit split before auxiliary ones.
        bias: The model's bias without a note; a note's score is the probability of the right
            candidates after that bias is removed.
        seed_note: The note that the search begins with.
        budget: Number of requests with some note, in all.
        seed: Seed of the draw and of the search.

    Raises:
        UserError: The package `gepa` is not installed.
    """
    try:
        from gepa.api import optimize
    except ImportError as error:
        raise UserError(
            'The arm optimised-prompt needs GEPA: pip install "saetask[gepa]".'
        ) from error

    ranked = [sample for sample in samples if sample.candidates]
    order = [ranked[i] for i in np.random.default_rng(seed).permutation(len(ranked))]
    order.sort(key=lambda sample: sample.auxiliary)
    result = optimize(
        seed_candidate={COMPONENT: seed_note.text},
        trainset=order[VALIDATION_SAMPLES:] or order,
        valset=order[:VALIDATION_SAMPLES],
        adapter=_Adapter(context, bias, seed_note),
        reflection_lm=lambda prompt: _rewrite(context, prompt),
        reflection_minibatch_size=MINIBATCH,
        max_metric_calls=budget,
        logger=_Silence(),
        seed=seed,
    )
    best = result.best_candidate
    return _note(best if isinstance(best, str) else best[COMPONENT], seed_note)


def _note(text: str, otherwise: Annotation) -> Annotation:
    """Returns a text as a one-line note at another's place; an empty one gives its text, too."""
    words = " ".join(text.split())[:MAX_CHARACTERS]
    return Annotation(words or otherwise.text, otherwise.placement, "optimised-prompt")


def _rewrite(context: ExperimentContext, request: Any) -> str:
    """Has the model under test write a new instruction; what exceeds its context is cut off."""
    tokenizer = model_tokenizer(context.model)
    text = request if isinstance(request, str) else request[-1]["content"]
    room = (context_size(context.model) or 2048) // 2
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    prompt = as_prompt(str(tokenizer.decode(tokens[-room:])))
    (reply,) = context.client.generate([GenerateRequest(prompt)], "rewrite the instruction")
    return reply


class _Silence:
    def log(self, message: str) -> None:
        """GEPA reports each step; the progress bars are enough."""


class _Adapter:
    """GEPA's adapter: runs the model on samples with a note and scores the answers."""

    propose_new_texts: Any = None

    def __init__(
        self, context: ExperimentContext, bias: Calibration, seed_note: Annotation
    ) -> None:
        self._client, self._bias, self._seed_note = context.client, bias, seed_note

    def evaluate(
        self, batch: list[Sample], candidate: dict[str, str], capture_traces: bool = False
    ) -> Any:
        """Scores a note on some samples: the probability of the right candidates."""
        from gepa.core.adapter import EvaluationBatch

        note = _note(candidate[COMPONENT], self._seed_note)
        requests = [rank_request(s, fixed_note(s.prompt, note).prompt) for s in batch]
        outputs, scores = [], []
        for sample, response in zip(batch, self._client.rank(requests, "optimise")):
            calibrated = self._bias.apply(response.scores, sample.readings)
            outputs.append(sample.texts[likeliest(calibrated, sample.texts, sample.id)])
            scores.append(float(np.exp(calibrated)[sample.correct].sum()))
        traces = list(zip(batch, outputs)) if capture_traces else None
        return EvaluationBatch(outputs=outputs, scores=scores, trajectories=traces)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Returns training samples with the model's answers and the right ones."""
        rows = []
        for sample, output in eval_batch.trajectories:
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
