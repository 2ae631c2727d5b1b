"""Rows of a corpus: one document each, disjoint splits, the sources' shares."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask import UserError
from saetask.data.corpus import CorpusConfig, Source, document_split, token_rows


def write_texts(path: Path, texts: list) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusConfig:
    write_texts(
        tmp_path / "a.jsonl", [f"Alpha {i}: " + "the sea was calm. " * 40 for i in range(40)]
    )
    write_texts(tmp_path / "b.jsonl", [f"Beta {i}: " + "bread and honey. " * 60 for i in range(40)])
    sources = [Source("a.jsonl", share=3), Source("b.jsonl", share=1)]
    return CorpusConfig(sources=sources, context_size=32, test_share=0.25, rows_per_document=2)


def test_no_document_is_in_both_splits(corpus, tiny_tokenizer, tmp_path) -> None:
    documents = [
        {row.document for row in token_rows(corpus, tiny_tokenizer, split, tmp_path)}
        for split in ("train", "test")
    ]
    assert documents[0] and documents[1] and not documents[0] & documents[1]


def test_rows_begin_with_bos_hold_one_document_and_fit_the_context(
    corpus, tiny_tokenizer, tmp_path
) -> None:
    for row in token_rows(corpus, tiny_tokenizer, "train", tmp_path):
        assert row.token_ids[0] == tiny_tokenizer.bos_token_id
        assert tiny_tokenizer.bos_token_id not in row.token_ids[1:]
        assert corpus.min_tokens <= len(row.token_ids) <= corpus.context_size
        words = {"a": "bread", "b": "sea"}[row.source]
        assert words not in tiny_tokenizer.decode(row.token_ids)


def test_every_prefix_of_the_stream_has_the_sources_shares(
    corpus, tiny_tokenizer, tmp_path
) -> None:
    tokens = {"a": 0, "b": 0}
    for number, row in enumerate(token_rows(corpus, tiny_tokenizer, "train", tmp_path)):
        tokens[row.source] += len(row.token_ids)
        if number > 20:
            assert tokens["a"] / tokens["b"] == pytest.approx(3, rel=0.3)


def test_the_stream_is_the_same_every_time(corpus, tiny_tokenizer, tmp_path) -> None:
    first, second = (list(token_rows(corpus, tiny_tokenizer, "train", tmp_path)) for _ in range(2))
    assert first == second


def test_chats_keep_their_template_header(tiny_tokenizer, tmp_path) -> None:
    chat = [{"role": "user", "content": "How far is the sea?"}] * 2
    rows = "".join(json.dumps({"messages": chat}) + "\n" for _ in range(5))
    (tmp_path / "chats.jsonl").write_text(rows)
    config = CorpusConfig([Source("chats.jsonl", column="messages")], test_share=0.0)
    row = next(token_rows(config, tiny_tokenizer, "train", tmp_path))
    assert "<|im_start|>user" in tiny_tokenizer.decode(row.token_ids)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source("missing.jsonl"), "does not exist"),
        (Source("a.jsonl", column="body"), "no column 'body'"),
    ],
)
def test_a_source_that_cannot_be_read_is_named(
    corpus, tiny_tokenizer, tmp_path, source: Source, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        list(token_rows(CorpusConfig([source]), tiny_tokenizer, "train", tmp_path))


def test_an_empty_corpus_is_refused(tiny_tokenizer, tmp_path) -> None:
    with pytest.raises(UserError, match=r"corpus.sources is empty"):
        list(token_rows(CorpusConfig(), tiny_tokenizer, "train", tmp_path))


@given(st.text(min_size=1))
def test_a_document_s_split_depends_on_its_id_and_the_shares_alone(document: str) -> None:
    def split(test: float, selection: float) -> str:
        return document_split(document, CorpusConfig(test_share=test, selection_share=selection))

    assert split(0.3, 0.3) == split(0.3, 0.3)
    assert split(0.0, 0.0) == "train"
    assert split(1.0, 0.0) == "test"
    assert split(0.0, 1.0) == "selection"
    # A larger selection split takes documents from training, never from testing.
    assert (split(0.3, 0.0) == "test") == (split(0.3, 0.5) == "test")
