"""Tiers of tests: what needs the default model is slow, whether or not its author thought of it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from saetask.models.loading import embedded_model_folder
from tests.helpers.refusals import refusal


@pytest.fixture
def conftest(request):
    """The module of the common fixtures, as pytest has loaded it."""
    return request.config.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))


@pytest.mark.parametrize(
    ("fixtures", "is_slow"),
    [
        (["tiny_model", "model", "tmp_path"], True),
        (["tokenizer"], True),
        (["default_sae"], True),
        (["tiny_model", "tiny_tokenizer", "tiny_sae"], False),
        ([], False),
    ],
)
def test_a_test_that_takes_the_default_model_is_slow(conftest, fixtures, is_slow):
    marks = []
    test = SimpleNamespace(fixturenames=fixtures, add_marker=marks.append)
    conftest.pytest_collection_modifyitems([test])
    assert marks == [pytest.mark.slow] * is_slow


def test_another_test_can_not_fetch_the_default_model():
    assert "only-slow-tests-load-the-default-model" in refusal(embedded_model_folder)
