from saetask.data.prompts import Prompt, Span


def test_spans_that_only_touch_do_not_overlap():
    assert not Span(2, 4).overlaps(Span(4, 6))
    assert not Span(4, 6).overlaps(Span(2, 4))
    assert Span(2, 5).overlaps(Span(4, 6))
    assert not Span(3, 3).overlaps(Span(2, 4))
    assert not Span(2, 4).overlaps(Span(3, 3))
    assert Span(2, 4).shifted(3) == (5, 7)


def test_with_content_replaces_the_last_message_and_drops_the_spans():
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "old"}]
    changed = Prompt(messages, "So", {"target": Span(0, 3)}).with_content("new")
    assert changed.content == "new"
    assert changed.messages[0]["content"] == "Be kind."
    assert (changed.answer_prefix, changed.spans) == ("So", {})
    assert messages[1]["content"] == "old"
