from hypothesis import given
from hypothesis import strategies as st

from saetask.data.prompts import Prompt, Span, as_prompt
from saetask.discovery.prompt_text import (
    MOST_ADDED,
    READ,
    content_of,
    own_texts,
    whole_sentences,
    with_span,
)


def own(prompts):
    return [content_of(p)[s.start : s.end] for p, s in zip(prompts, own_texts(prompts))]


def test_what_all_prompts_begin_and_end_with_is_left_out_by_whole_words():
    prompts = [f"Answer: yes or no. Is {word} good to eat? Answer:" for word in ("rice", "rust")]
    assert own(prompts) == ["rice", "rust"]


def test_prompts_that_are_alike_or_within_another_keep_a_text():
    assert own(["Same words.", "Same words."]) == ["Same words.", "Same words."]
    assert own(["Is it?", "Is it? Yes, it is."]) == ["it?", "it? Yes, it is."]
    assert own(["a b", "a b a b"])[0] == "a b"
    assert own(["Only one."]) == ["Only one."]


def test_of_a_chat_the_last_message_is_read():
    chats = [
        Prompt([{"role": "system", "content": f"Number {i}"}, {"role": "user", "content": text}])
        for i, text in enumerate(["Sum of 1 and 2?", "Sum of 3 and 5?"])
    ]
    assert own(chats) == ["1 and 2?", "3 and 5?"]
    span = own_texts(chats)[0]
    marked = with_span(chats[0], span)
    assert isinstance(marked, Prompt) and marked.spans == {READ: span}
    assert with_span("text", span) == "text"


def shown(prompts):
    return [
        whole_sentences(content_of(p), span).text for p, span in zip(prompts, own_texts(prompts))
    ]


def test_what_is_shown_is_whole_sentences_where_all_prompts_begin_or_end_alike():
    prompts = [
        f"Read this. The writer says that {end} Is it true, yes or no?"
        for end in ("rice is white.", "it rains. So it does.")
    ]
    assert own(prompts) == ["rice is white.", "it rains. So it does."]
    assert [text.strip() for text in shown(prompts)] == [
        "The writer says that rice is white.",
        "The writer says that it rains. So it does.",
    ]
    lines = [f"Question: Who has {thing}\nAnswer:" for thing in ("rice", "the boat")]
    assert [text.strip() for text in shown(lines)] == [line.split("\n")[0] for line in lines]


def test_a_beginning_without_an_end_is_not_shown():
    prompts = [f"{'and so on ' * MOST_ADDED}with {word}" for word in ("rice", "tea")]
    assert shown(prompts) == ["rice", "tea"]


@given(st.text(alphabet="ab .?\n", max_size=30), st.data())
def test_what_is_shown_holds_what_is_read_at_its_place(content, data):
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    found, read = whole_sentences(content, Span(start, end)), content[start:end]
    assert found.start >= 0 and found.text in content
    assert found.text[found.start : found.start + len(read)] == read


@given(st.lists(st.text(alphabet="ab \n", max_size=12), min_size=1, max_size=6))
def test_own_texts_are_ranges_of_the_contents_that_hold_all_that_differs(contents):
    prompts = [as_prompt(content) for content in contents]
    spans = own_texts(prompts)
    for content, span in zip(contents, spans):
        assert 0 <= span.start <= span.end <= len(content)
    texts = [(content, content[s.start : s.end]) for content, s in zip(contents, spans)]
    for content, text in texts:
        for other, other_text in texts:
            assert (content == other) or text != other_text or not text.strip()
