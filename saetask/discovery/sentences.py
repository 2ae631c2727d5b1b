"""What a discovery shows, in words: for the terminal and for the page."""

from collections.abc import Iterator

from saetask.discovery.asked_document import DrawnControl
from saetask.discovery.documents import Discovery, DiscoverySummary
from saetask.report.numbers import (
    count,
    decimals,
    decimals_interval,
    p_statement,
    percent,
    points,
    points_interval,
    signed,
    signed_interval,
)

ONE_ANSWER = 0.9
"""Share of one answer from which a model is said to give one answer."""
MISLEADING = 0.1
"""Share of the tokens on which a discovery is active below which its name is said to mislead."""
FAILURE = {
    "correctness": "answers wrongly",
    "disagreement": "disagrees with itself",
}
"""What the model does when it fails, by what stands for failure."""


def verdict(summary: DiscoverySummary) -> str:
    """Returns what was found, in a few words, with the controls that find as much."""
    confirmed = sum(found.confirmed for found in summary.discoveries)
    if not confirmed:
        return "No discovery confirmed"
    controls = summary.controls
    level = [
        name
        for name, found in (
            ("words", controls.words),
            ("classes of words", controls.word_classes),
            ("a random dictionary", controls.random_sae),
        )
        if found.n_confirmed >= confirmed
    ]
    also = f", and at least as many by {' and by '.join(level)}" if level else ""
    return f"{confirmed} discover{'y' if confirmed == 1 else 'ies'} confirmed{also}"


def result_sentences(summary: DiscoverySummary) -> Iterator[str]:
    """Yields what was confirmed, what the controls found, what could have been, what was mended."""
    yield log_sentence(summary)
    yield from answers_sentences(summary)
    yield f"{verdict(summary)}."
    for found in summary.discoveries:
        if found.confirmed:
            yield discovery_sentence(found, summary.by)
    yield from caveats(summary)
    yield from control_sentences(summary)
    yield power_sentence(summary)
    for mended in summary.mended:
        yield f"Mending {mended.name}: {mended.verdict}"


def log_sentence(summary: DiscoverySummary) -> str:
    """Returns what was searched, and by what it was read."""
    log = f" of {summary.log}" if summary.log else ""
    left_out = [
        f"{count(n)} {reason}"
        for n, reason in (
            (summary.n_without_score, "without a score"),
            (summary.n_too_long, "longer than the model's context"),
        )
        if n
    ]
    return (
        f"{count(summary.n_items)} prompts{log}, read by {summary.model} ({summary.sae}); the "
        f"model {FAILURE[summary.by]} on {percent(summary.failure_rate)} of them; "
        f"{count(summary.n_discovery)} to discover on, {count(summary.n_confirmation)} to confirm "
        f"on{'; left out: ' if left_out else ''}{', '.join(left_out)}."
    )


def answers_sentences(summary: DiscoverySummary) -> Iterator[str]:
    """Yields how the model was asked for several answers, and whether they stand for wrong ones."""
    if summary.samples:
        yield _asked_sentence(summary)
    if summary.vary == "wording" and summary.changed:
        ordered = sorted(summary.changed, key=lambda form: -form.n_changed / form.n)
        parts = [f"{percent(form.n_changed / form.n)} by {form.change}" for form in ordered]
        yield (
            f"Other words change the answer to a share of the prompts: {', '.join(parts)}. Where "
            "one stands out, look at whether it changed what is asked."
        )
    if (gold := summary.gold) and gold.auroc is not None:
        interval = f" (95 % CI {decimals_interval(gold.auroc_ci95)})" if gold.auroc_ci95 else ""
        yield (
            f"Of the {count(gold.n)} prompts with a score, {percent(gold.failure_rate)} are "
            f"answered wrongly; disagreement tells them from the others with an AUROC of "
            f"{decimals(gold.auroc)}{interval}, 0.5 being chance."
        )
    if summary.drawn:
        yield _drawn_sentence(summary.drawn)


def _asked_sentence(summary: DiscoverySummary) -> str:
    n = summary.drawn.n if summary.drawn else 0
    form = {"order": "with their choices in other orders", "wording": "in other words"}
    again = "once more" if summary.samples == 1 else f"up to {summary.samples} times more"
    parts = [f"{count(n)} prompts {form[summary.vary]}"] if n else []
    if summary.n_items > n:
        parts.append("the others by draws" if n else "by draws")
    return f"The model itself was asked each prompt, and {again}: {', '.join(parts)}."


def _drawn_sentence(drawn: DrawnControl) -> str:
    """Returns what answers drawn to the unchanged prompts tell in place of other forms."""
    told = (
        f"Control: of as many answers drawn to the unchanged prompts, "
        f"{percent(drawn.drawn_disagreement)} of the pairs differ, and "
        f"{percent(drawn.disagreement)} of those to other forms"
    )
    if drawn.auroc is None or drawn.difference is None:
        return f"{told}."
    interval = f" (95 % CI {signed_interval(drawn.ci95)})" if drawn.ci95 else ""
    return (
        f"{told}; the draws tell wrong answers with an AUROC of {decimals(drawn.auroc)}, other "
        f"forms minus draws {signed(drawn.difference)}{interval}."
    )


def caveats(summary: DiscoverySummary) -> Iterator[str]:
    """Yields how what was confirmed is not to be read."""
    if summary.answer and summary.answer_share >= ONE_ANSWER:
        yield (
            f"The model gives one answer, “{summary.answer}”, to {percent(summary.answer_share)} "
            "of the prompts: it fails where another is right, whatever it read."
        )
    if any(found.confirmed for found in summary.discoveries):
        yield (
            "A name says what features were active on in other texts, not what these prompts hold; "
            "what goes with failure need not be its cause; and another split (--seed) finds others "
            "of several that go together. Look at the prompts."
        )


def discovery_sentence(found: Discovery, by: str) -> str:
    """Returns how much more the model fails with a discovered concept, on the confirmation half."""
    if found.difference is None or found.failure_with is None or found.failure_without is None:
        return (
            f"{found.name}: active in {count(found.n_with)} prompts, too few or too many to tell."
        )
    interval = f"95 % CI {points_interval(found.ci95)}; " if found.ci95 else ""
    compared = (
        f"The model {FAILURE[by]} on {percent(found.failure_with)} of the "
        f"{count(found.n_with)} prompts in which “{found.name}” is active, and on "
        f"{percent(found.failure_without)} of the others: {points(found.difference)} points "
        f"({interval}q = {found.q:.2g})"
    )
    parts = [f"{compared}."]
    if found.name_in_prompts is not None:
        parts.append(_name_sentence(found, found.name_in_prompts))
    if found.gold is not None and found.gold.difference is not None:
        gold = found.gold
        interval = f" (95 % CI {points_interval(gold.ci95)})" if gold.ci95 else ""
        parts.append(
            f"By the log's scores, wrong answers differ by {points(gold.difference)} points"
            f"{interval}, {p_statement(gold.p)}."
        )
    if found.confirmed:
        parts.append(_words_sentence(found))
    return " ".join(parts)


def _name_sentence(found: Discovery, in_prompts: float) -> str:
    """Returns where a discovery's name holds in the log."""
    anywhere = f"in {percent(in_prompts)} of all prompts"
    if found.name_holds is None:
        return f"Its name holds somewhere {anywhere}."
    share = percent(found.name_holds)
    told = (
        f"Its name holds on {share} of the tokens on which it is active, and somewhere {anywhere}"
    )
    return f"{told}: here the name misleads." if name_misleads(found) else f"{told}."


def name_misleads(found: Discovery) -> bool:
    """Returns whether a discovery is seldom active on what its name says, in its own log."""
    return found.name_holds is not None and found.name_holds < MISLEADING


def _words_sentence(found: Discovery) -> str:
    looked_for = ", ".join(found.words) or "nothing"
    given = f"given what words and their classes tell, {p_statement(found.p_beyond_words or 0)}"
    if found.needs_sae:
        return f"It tells more than words do: {given} (words would look for: {looked_for})."
    return f"That it tells more than words is not shown: {given} (these look for: {looked_for})."


def given(summary: DiscoverySummary) -> str:
    """Returns what is given to the model of failures first, such as `tokens and position`."""
    names = [name for name in summary.confounders if not name.endswith(" squared")]
    return (
        " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "nothing"
    )


def control_sentences(summary: DiscoverySummary) -> Iterator[str]:
    """Yields what the same search finds by words, by a random dictionary, and by chance."""
    controls = summary.controls
    for name, found in (
        ("Words and word pairs", controls.words),
        ("Classes of words (WordNet's, without a model)", controls.word_classes),
        ("A random dictionary", controls.random_sae),
    ):
        listed = f": {', '.join(found.confirmed[:5])}" if found.confirmed else ""
        none = "; none told enough on the first half to be tested" if not found.n_tested else ""
        yield f"{name}: {found.n_confirmed} confirmed, of {found.n_tested} tested{listed}{none}."
    permuted = controls.permuted
    if not permuted.n_permutations:
        yield "Permuted outcomes: not tried."
        return
    yield (
        f"Permuted outcomes ({permuted.n_permutations} times): {permuted.mean_confirmed:.2f} "
        f"confirmed on average, any in {percent(permuted.share_with_any)} of them."
    )


def power_sentence(summary: DiscoverySummary) -> str:
    """Returns what difference a concept must have made to be found, by how often it is present."""
    seen = [figure for figure in summary.power if figure.concepts is not None]
    if not seen:
        return "Too few prompts: no difference would have been found four times in five."
    parts = [f"{points(f.concepts)} points if it is in {percent(f.share)} of them" for f in seen]
    return (
        f"Found four times in five in {count(summary.n_items)} prompts: a concept that makes "
        f"failures more frequent by {', by '.join(parts)}. Smaller differences and rarer concepts "
        "are missed more often than that."
    )
