"""Requests: answered in their order, once each; the journal holds whole lines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saetask.inference.client
from saetask import UserError
from saetask.data.prompts import Prompt, as_prompt
from saetask.inference.client import ModelClient, answer_requests
from saetask.inference.requests import (
    GenerateRequest,
    RankRequest,
    TokenisedRequest,
    tokenise,
)

REPLIES = ({"a": [-1.5, -2.0]}, {"b": "said"}, {"c": [0.1]})


@pytest.fixture
def journal(tmp_path, tiny_model):
    """A journal of three lines."""
    client = ModelClient(tiny_model, tmp_path / "answers.jsonl")
    for answers in REPLIES:
        client.store(answers)
    return tmp_path / "answers.jsonl"


@pytest.fixture
def shards(monkeypatch):
    """The requests that reach the model, by call."""
    calls = []

    def counted(model, requests):
        calls.append(list(requests))
        return answer_requests(model, requests)

    monkeypatch.setattr(saetask.inference.client, "answer_requests", counted)
    return calls


def answer_alone(model, request):
    """Returns the answer to a request that is computed by itself."""
    (answer,) = answer_requests(model, [TokenisedRequest(request, tokenise(model, request))])
    return answer


def make_requests(n, start=0):
    return [
        RankRequest(as_prompt(f"Number {i}?"), (" yes", " no")) for i in range(start, start + n)
    ]


# order and equality


def varied_requests():
    """Requests with common beginnings, different lengths and different candidates."""
    contents = ["Is it?", "Is it warm?", "Is it warm today?", "Say yes or no: is it cold?"]
    candidates = [(" yes", " no"), (" a", " b", " a long answer"), (" no",)]
    return [
        RankRequest(Prompt([{"role": "user", "content": content}], prefix), answers)
        for content in contents
        for prefix in ("", "Answer:")
        for answers in candidates
    ]


@pytest.fixture(scope="module")
def one_at_a_time(tiny_model):
    """The scores of the varied requests, each computed alone."""
    return [answer_alone(tiny_model, request) for request in varied_requests()]


@given(st.permutations(range(len(varied_requests()))))
def test_responses_stand_in_the_order_of_the_requests_and_equal_those_computed_one_at_a_time(
    tiny_model, one_at_a_time, order
):
    requests = varied_requests()
    responses = ModelClient(tiny_model).rank([requests[i] for i in order])
    assert len(responses) == len(order)
    for i, response in zip(order, responses, strict=True):
        assert response.log_likelihoods.dtype == np.float64
        assert response.log_likelihoods == pytest.approx(one_at_a_time[i], abs=1e-5)


def test_equal_requests_are_computed_once_and_each_gets_the_response(tiny_model, shards):
    first, second = make_requests(2)
    client = ModelClient(tiny_model)
    responses = client.rank([second, first, second, second, first])
    assert sum(map(len, shards)) == 2
    for one, other in ((0, 2), (0, 3), (1, 4)):
        assert (responses[one].log_likelihoods == responses[other].log_likelihoods).all()
    assert (responses[0].log_likelihoods != responses[1].log_likelihoods).any()
    client.rank([first, *make_requests(1, start=2)])
    assert sum(map(len, shards)) == 3


def test_texts_stand_in_the_order_of_the_requests_whatever_their_length(tiny_model):
    requests = [GenerateRequest(as_prompt(f"Number {i}?"), 2 + i % 3) for i in range(7)]
    alone = [answer_alone(tiny_model, request) for request in requests]
    assert ModelClient(tiny_model).generate(requests) == alone
    assert ModelClient(tiny_model).generate(requests[::-1]) == alone[::-1]


def test_no_requests_have_no_responses(tiny_model, shards):
    client = ModelClient(tiny_model)
    assert client.rank([]) == client.generate([]) == []
    assert shards == []


# the journal


def test_a_last_line_cut_short_is_taken_off_so_that_the_journal_ends_the_same(journal, tiny_model):
    whole = journal.read_bytes()
    start = whole.rindex(b"\n")
    for cut in range(start, len(whole)):
        journal.write_bytes(whole[:cut])
        client = ModelClient(tiny_model, journal)
        assert client.stored_reply("b") == "said"
        client.store(REPLIES[-1])
        assert journal.read_bytes() == whole


def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path, tiny_model):
    path = tmp_path / "notes.txt"
    path.write_text("My notes\non two lines")
    with pytest.raises(UserError, match="no journal"):
        ModelClient(tiny_model, path)
    assert path.read_text() == "My notes\non two lines"


def test_a_temporary_cache_drops_what_was_asked_within_it_and_nothing_else(tiny_model, shards):
    client, before, within = ModelClient(tiny_model), make_requests(2), make_requests(3, start=2)
    client.rank(before)
    with client.temporary_cache():
        client.rank([*before, *within])
        client.rank(within)
    assert [len(requests) for requests in shards] == [2, 3]
    client.rank(before)
    assert len(shards) == 2
    client.rank(within)
    assert [len(requests) for requests in shards] == [2, 3, 3]


def test_a_journal_keeps_what_is_asked_within_a_temporary_cache(journal, tiny_model, shards):
    client = ModelClient(tiny_model, journal)
    with client.temporary_cache():
        (first,) = client.rank(make_requests(1))
    (again,) = client.rank(make_requests(1))
    (later,) = ModelClient(tiny_model, journal).rank(make_requests(1))
    assert (first.log_likelihoods == again.log_likelihoods).all()
    assert (first.log_likelihoods == later.log_likelihoods).all()
    assert sum(map(len, shards)) == 1


def test_every_request_is_tokenised_once(tiny_model, monkeypatch):
    tokenised = []

    def counted(model, request):
        tokenised.append(request)
        return tokenise(model, request)

    monkeypatch.setattr(saetask.inference.client, "tokenise", counted)
    client = ModelClient(tiny_model)
    client.rank(make_requests(3))
    client.generate([GenerateRequest(as_prompt("Number 1?"), 2)])
    assert len(tokenised) == 4
