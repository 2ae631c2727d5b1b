import copy
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from saetask.data.prompts import Prompt, Span, as_prompt
from saetask.data.rendering import render
from saetask.errors import UserError

some = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
pieces = st.sampled_from(
    [
        "hello",
        " world",
        "  ",
        "\n",
        "\t",
        "naïve",
        "e\u0301",  # a combining accent
        "ç\u0327\u0301",
        "😀",
        "👩‍👩‍👧‍👦",  # joined by zero-width joiners
        "🇩🇪",
        "漢字",
        "한국어",
        "日本",
        "שלום",
        "مرحبا",
        "\u200f",
        "\ufffd",
        "\u2028",
        '"quoted"',
        "“curly”",
        "it's",
        "<script>",
        "3.14159",
        "user",
        "assistant",
        "im_end",
    ]
)
# Without control and unassigned characters: the model's vocabulary lacks some of their bytes.
characters = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=12)
texts = st.lists(pieces | characters, min_size=1, max_size=8).map("".join)
texts = texts.filter(lambda t: t.strip() and "<|" not in t and "|>" not in t)

CHAT_HEAD = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n<|im_start|>user\n"
)
CHAT_TAIL = "<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(
    scope="module", params=["tiny_tokenizer", pytest.param("tokenizer", marks=pytest.mark.slow)]
)
def any_tokenizer(request):
    """The tiny models' tokenizer, and the default model's."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def templateless(any_tokenizer):
    copied = copy.deepcopy(any_tokenizer)
    copied.chat_template = None
    return copied


# Token spans


@some
@given(text=texts, chat=st.booleans())
def test_token_spans_are_in_range_and_in_order(any_tokenizer, text, chat):
    rendered = render(any_tokenizer, as_prompt(text) if chat else text)
    spans = rendered.token_spans if chat else rendered.token_spans[1:]
    assert len(rendered.token_ids) == len(rendered.token_spans)
    assert all(0 <= span.start < span.end <= len(rendered.text) for span in spans)
    assert all(a.start <= b.start and a.end <= b.end for a, b in pairwise(spans))


@some
@given(text=texts, chat=st.booleans())
def test_token_spans_cover_every_character(any_tokenizer, text, chat):
    rendered = render(any_tokenizer, as_prompt(text) if chat else text)
    covered = {i for span in rendered.token_spans for i in range(*span)}
    assert covered == set(range(len(rendered.text)))


@some
@given(text=texts)
def test_a_span_is_the_decoded_token_unless_the_token_is_a_piece_of_a_character(
    any_tokenizer, text
):
    rendered = render(any_tokenizer, text)
    for token_id, (start, end) in zip(rendered.token_ids[1:], rendered.token_spans[1:]):
        behind, decoded = rendered.text[start:end], any_tokenizer.decode([token_id])
        if decoded != behind:
            assert "\ufffd" in decoded, "only a piece of a character may decode to something else"
            assert any(len(character.encode()) > 1 for character in behind)
            assert decoded.strip("\ufffd") in behind


@some
@given(text=texts)
def test_pieces_of_one_character_share_its_span(any_tokenizer, text):
    rendered = render(any_tokenizer, text)
    spans = rendered.token_spans[1:]
    for before, after in pairwise(spans):
        if before.overlaps(after):
            shared = rendered.text[after.start : before.end]
            assert len(shared) == 1
            assert len(shared.encode()) > 1


def test_all_tokens_of_an_emoji_are_found_by_its_span(any_tokenizer):
    rendered = render(any_tokenizer, "so 🦔 it is")
    found = [rendered.token_ids[i] for i in rendered.tokens_in(Span(3, 4))]
    assert len(found) > 1
    assert any_tokenizer.decode(found).strip() == "🦔"


# The chat template


@some
@given(before=texts, target=texts, after=texts, prefix=st.just("") | texts)
def test_regions_are_the_prompts_spans_in_the_chat(any_tokenizer, before, target, after, prefix):
    content = before + target + after
    span = Span(len(before), len(before + target))
    prompt = Prompt([{"role": "user", "content": content}], prefix, {"target": span})
    rendered = render(any_tokenizer, prompt)
    assert rendered.text == CHAT_HEAD + content + CHAT_TAIL + prefix
    assert rendered.regions["target"] == span.shifted(len(CHAT_HEAD))
    assert rendered.text[slice(*rendered.regions["target"])] == target
    assert rendered.text[slice(*rendered.regions["answer"])] == prefix
    assert rendered.regions["answer"].end == len(rendered.text)


@some
@given(text=texts)
@example("a")
@example("assistant")
@example("im_end")
@example(">")
@example("system")
@example("You are a helpful AI assistant")
def test_the_text_region_is_the_users_turn_even_if_the_template_has_the_same_words(
    any_tokenizer, text
):
    rendered = render(any_tokenizer, as_prompt(text))
    assert rendered.regions["text"] == (len(CHAT_HEAD), len(CHAT_HEAD + text))


@some
@given(text=texts, prefix=st.just("") | texts)
def test_the_end_is_the_last_token_of_the_text(any_tokenizer, text, prefix):
    prompt = Prompt(
        [{"role": "user", "content": text + " ok"}], prefix, {"text": Span(0, len(text))}
    )
    rendered = render(any_tokenizer, prompt)
    read = rendered.tokens_in(rendered.regions["text"])
    assert rendered.regions["end"] == rendered.token_spans[read[-1]]
    assert "end" not in render(any_tokenizer, replace(prompt, spans={})).regions


def test_the_last_of_several_messages_holds_the_spans(any_tokenizer):
    messages = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "Where is Oslo?"},
        {"role": "assistant", "content": "Norway."},
        {"role": "user", "content": "Where is Oslo?"},
    ]
    rendered = render(any_tokenizer, Prompt(messages, spans={"target": Span(9, 13)}))
    start = rendered.regions["target"].start
    assert rendered.text[slice(*rendered.regions["target"])] == "Oslo"
    assert "Norway" in rendered.text[:start]
    assert "You are a helpful" not in rendered.text


def test_the_answer_prefix_stands_after_the_generation_prompt(any_tokenizer):
    prompt = Prompt([{"role": "user", "content": "Yes or no?"}], "The answer is")
    rendered = render(any_tokenizer, prompt)
    assert rendered.text.endswith("<|im_start|>assistant\nThe answer is")
    answer = [rendered.token_ids[i] for i in rendered.tokens_in(rendered.regions["answer"])]
    assert any_tokenizer.decode(answer) == "The answer is"


def test_a_templated_prompt_has_no_bos_beside_the_templates_own(any_tokenizer):
    rendered = render(any_tokenizer, as_prompt("Hello there"))
    assert any_tokenizer.bos_token == "<|im_start|>"
    assert rendered.token_ids.count(any_tokenizer.bos_token_id) == rendered.text.count(
        "<|im_start|>"
    )
    assert rendered.token_ids == any_tokenizer(rendered.text, add_special_tokens=False)["input_ids"]


def test_a_template_that_changes_the_text_is_reported(any_tokenizer):
    stripping = copy.deepcopy(any_tokenizer)
    stripping.chat_template = "{% for m in messages %}[{{ m['content'] | trim }}]{% endfor %}"
    assert render(stripping, as_prompt("kept")).regions["text"] == (1, 5)
    with pytest.raises(UserError, match="blanks"):
        render(stripping, as_prompt("  kept "))


# Without a chat template


@some
@given(text=texts, prefix=st.just("") | texts)
def test_without_a_template_bos_comes_once_and_regions_hold(templateless, text, prefix):
    prompt = Prompt([{"role": "user", "content": text}], prefix, {"text": Span(0, len(text))})
    rendered = render(templateless, prompt)
    assert rendered.token_ids.count(templateless.bos_token_id) == 1
    assert rendered.token_ids[0] == templateless.bos_token_id
    assert rendered.token_spans[0] == (0, 0)
    assert rendered.text[slice(*rendered.regions["text"])] == text
    assert rendered.text[slice(*rendered.regions["answer"])] == prefix


@some
@given(text=texts)
def test_a_string_is_read_as_running_text_with_one_bos(any_tokenizer, text):
    rendered = render(any_tokenizer, text)
    assert rendered.text == text
    assert rendered.token_ids[0] == any_tokenizer.bos_token_id
    assert any_tokenizer.bos_token_id not in rendered.token_ids[1:]
    assert any_tokenizer.decode(rendered.token_ids[1:]) == text
    assert rendered.regions == {"text": (0, len(text)), "end": rendered.token_spans[-1]}


# What a user may get wrong


@pytest.mark.parametrize("text", ["", "  ", "\n\t\u00a0"])
@pytest.mark.parametrize("chat", [True, False])
def test_an_empty_prompt_is_refused_in_one_line(any_tokenizer, text, chat):
    with pytest.raises(UserError, match="empty") as caught:
        render(any_tokenizer, as_prompt(text) if chat else text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chat", [True, False])
def test_a_prompt_beyond_the_context_is_refused_in_one_line_with_both_sizes(any_tokenizer, chat):
    text = "one two\nthree four\nfive six " * 10
    prompt = as_prompt(text) if chat else text
    size = len(render(any_tokenizer, prompt).token_ids)
    assert render(any_tokenizer, prompt, max_tokens=size).text.count("five") == 10
    with pytest.raises(UserError, match=f"{size} tokens.* {size - 1};") as caught:
        render(any_tokenizer, prompt, max_tokens=size - 1)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_offsets_is_refused():
    class SlowTokenizer:
        bos_token_id = None
        is_fast = False

    with pytest.raises(UserError, match="SlowTokenizer gives no character offsets"):
        render(SlowTokenizer(), "some text")


def test_half_a_surrogate_pair_is_refused(any_tokenizer) -> None:
    with pytest.raises(UserError, match="surrogate"):
        render(any_tokenizer, "half \ud83d a face")
