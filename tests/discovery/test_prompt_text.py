from hypothesis import given
from hypothesis import strategies as st

from saetask.data.prompts import Prompt, as_prompt
from saetask.discovery.prompt_text import READ, content_of, own_texts, with_span


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
