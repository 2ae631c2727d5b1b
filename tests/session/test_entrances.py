"""One sentence, read through every entrance: the firings are the same, or the difference is told.

What is told is in `docs/how-to/python.md`, "The same sentence".
"""

import json

import pytest

from saetask import Session, load_model, load_sae, read_features
from saetask.cli.main import main
from saetask.plugins import PluginRegistry
from saetask.session import SessionConfig
from saetask.session.reading_document import FEATURES, PLACES, text_pieces

SENTENCE = "She swallowed the insult."


@pytest.fixture(scope="module")
def session(tiny_model_folder, tiny_sae_folder):
    config = SessionConfig(dtype="float32")
    return Session(tiny_model_folder, tiny_sae_folder, "metaphor", config=config)


def strongest(activations) -> dict[int, float]:
    """Returns each feature's strongest activation on the text."""
    return {firing.feature: firing.value for firing in activations.top(10_000, region="text")}


def in_text(activations) -> dict[tuple[str, int], float]:
    """Returns every firing on the text, by its token and feature."""
    prompt = activations.prompts[0]
    first = prompt.regions["text"].start
    return {
        (f"{firing.span.start - first} {firing.text}", firing.feature): firing.value
        for firing in activations.firings()
        if firing.span.overlaps(prompt.regions["text"])
    }


def test_a_session_a_table_and_read_features_have_the_same_firings(
    session, tiny_model_folder, tiny_sae_folder
):
    read = session.read(SENTENCE)
    model = load_model(tiny_model_folder, dtype="float32", device="cpu")
    sae = load_sae(tiny_sae_folder, device="cpu")
    assert in_text(read_features(model, sae, SENTENCE, chat=True)) == pytest.approx(in_text(read))
    table = read.to_pandas()
    assert list(table.itertuples(index=False, name=None)) == [
        (f.item, f.token, *f.span, *f[3:]) for f in read.firings()
    ]


def test_the_command_prints_the_firings_of_a_session(
    session, tiny_model_folder, tiny_sae_folder, capsys
):
    files = ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder)]
    code = main(["read", SENTENCE, "--top", "10000", "--json", "--dtype", "float32", *files])
    document = json.loads(capsys.readouterr().out)
    rows = {row["feature"]: row for row in document["features"]}
    read = session.read(SENTENCE)
    assert code == 0
    assert document["rendered"] == read.prompts[0].text
    assert {f: row["value"] for f, row in rows.items()} == pytest.approx(strongest(read))
    assert all({"label", "name", "span"} <= row.keys() for row in rows.values())


def test_the_explorer_shows_the_firings_of_a_session(session, tiny_model_folder, tiny_sae_folder):
    from saetask.explore.config import ExploreConfig
    from saetask.explore.prompt_reader import PromptReader
    from saetask.explore.requests import ReadRequest

    config = ExploreConfig(
        model=str(tiny_model_folder),
        sae=str(tiny_sae_folder),
        dtype="float32",
        tasks=("metaphor",),
    )
    document = PromptReader(config, PluginRegistry()).read(ReadRequest(text=SENTENCE))
    read = session.read(SENTENCE)
    assert document["pieces"] == [piece.text for piece in text_pieces(read)]
    expected = strongest(read)
    for row in document["features"]:
        feature = int(row["id"].removeprefix("feature:"))
        shown = max(row["strength"])
        assert shown == pytest.approx(abs(expected[feature]), abs=2 * 10**-PLACES)
    assert len(document["features"]) == min(FEATURES, len(expected))


def test_detect_reads_the_sentence_within_the_tasks_question(session, monkeypatch):
    monkeypatch.setattr(Session, "_pipeline_for_use", lambda self: None)  # none is asked here
    observed = session.inspect(SENTENCE, "swallowed").observation
    question = session.read(observed.sample.prompt)
    assert in_text(observed.features) == pytest.approx(in_text(question), abs=1e-5)
    alone = in_text(session.read(SENTENCE))
    # The difference that is told: other words stand before it, so its activations are others.
    assert in_text(question) != alone


def test_running_text_has_other_activations_than_a_message(session):
    """The other difference that is told: `chat=False`, the default of `read_features`."""
    running = session.read(SENTENCE, chat=False)
    assert running.prompts[0].text.endswith(SENTENCE)
    assert strongest(running) != pytest.approx(strongest(session.read(SENTENCE)))
