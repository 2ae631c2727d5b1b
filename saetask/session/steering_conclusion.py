"""What an edit did to a model's answer, in a sentence, beside random pushes of the same norm."""

from saetask.report.evidence import signed
from saetask.session.steering import PromptAnswers, SteeredPrompt


def steering_conclusion(found: SteeredPrompt) -> str:
    """Returns whether the answer changed, by how much, and whether random pushes do as much.

    With candidate answers, the measure is the lead of the answer before the edit: its
    log-likelihood minus that of the best other candidate, in nats. Without candidates there is
    only the generated text to compare. A few random directions show what is usual; they are no
    test.
    """
    if found.relative_norm == 0 and found.after == found.before:
        return "Nothing changes: the edit moves the activation of no token of this prompt."
    if len(found.before.log_likelihoods) < 2:
        return _text_conclusion(found)
    before, after = _answer(found.before), _answer(found.after)
    change = _lead(found.after, before) - _lead(found.before, before)
    random = [_lead(each, before) - _lead(found.before, before) for each in found.random]
    if after == before:
        told = f"The answer stays “{before}”: its lead changes by {signed(change)} nats"
    else:
        told = (
            f"The answer changes from “{before}” to “{after}”: the lead of “{before}” changes by "
            f"{signed(change)} nats"
        )
    more = all(abs(change) > abs(each) for each in random)
    changed = sum(_answer(each) != before for each in found.random)
    return (
        f"{told}, {'more' if more else 'no more'}, in size, than along random directions of the "
        "same norm "
        f"({signed(min(random))} to {signed(max(random))}; {changed} of {len(random)} change the "
        "answer)."
    )


def _text_conclusion(found: SteeredPrompt) -> str:
    """Compares generated texts, where there are no candidates to measure the change by."""
    changed = sum(each.text != found.before.text for each in found.random)
    return (
        f"The text {'stays the same' if found.after.text == found.before.text else 'changes'}; "
        f"{changed} of {len(found.random)} random directions of the same norm change it. "
        "(By how much is measured where a task asks: give --target or --task.)"
    )


def _answer(answers: PromptAnswers) -> str:
    """Returns the likeliest candidate."""
    scores = answers.log_likelihoods
    return max(scores, key=scores.__getitem__).strip()


def _lead(answers: PromptAnswers, answer: str) -> float:
    """Returns the log-likelihood of an answer minus that of the best other one, in nats."""
    own = {text.strip(): score for text, score in answers.log_likelihoods.items()}
    return own[answer] - max(score for text, score in own.items() if text != answer)
