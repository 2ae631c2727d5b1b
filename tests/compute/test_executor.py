"""Engines: what is refused before anything is loaded, and the plain one."""

import socket

import pytest

from saetask import UserError
from saetask.cli.main import main
from saetask.compute import config as opening
from saetask.compute.config import ComputeConfig, check_address, open_executor
from saetask.compute.executor import LocalExecutor
from saetask.compute.ray_executor import check_worker
from saetask.compute.ray_worker import ModelSource, installed_versions
from tests.helpers.refusals import refusal

VERSIONS = {"saetask": "0.1.0 (aaaa)", "torch": "2.13.0"}
SOURCE = ModelSource("models/tiny", "float32", "cpu", 1, VERSIONS)
FOUND = {"name": "node-7, process 4", "versions": VERSIONS, "fingerprint": "abc"}


def test_local_work_takes_shards_one_at_a_time_as_they_are_wanted():
    taken = []
    shards = (taken.append(number) or number for number in range(9))
    results = LocalExecutor("model").map(lambda model, shard: (model, shard), shards)
    assert [next(results), next(results)] == [("model", 0), ("model", 1)]
    assert taken == [0, 1]


def test_the_local_engine_needs_no_ray(monkeypatch):
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with open_executor(ComputeConfig(), "any", "model") as engine:
        assert isinstance(engine, LocalExecutor)


def test_a_missing_ray_names_the_extra_to_install(monkeypatch):
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    assert 'pip install "saetask[ray]"' in refusal(ComputeConfig("ray").check)


def test_an_address_without_ray_is_refused():
    assert "needs --engine ray" in refusal(ComputeConfig("local", "auto").check)


@pytest.mark.parametrize(
    "address", ["", "head", "head:", ":6379", "head:port", "ray://head:10001", "head:-1"]
)
def test_what_is_no_address_is_refused(address):
    assert "it must be auto or HOST:PORT" in refusal(check_address, address)


@pytest.mark.parametrize("port", ["0", "70000"])
def test_an_impossible_port_is_refused(port):
    assert "No Ray cluster answers" in refusal(check_address, f"127.0.0.1:{port}")


def test_an_address_where_nobody_listens_is_refused():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but it does not listen
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        assert f"No Ray cluster answers at {address}" in refusal(check_address, address)


@pytest.mark.parametrize("command", ["run", "train", "dictionary build", "dictionary falsify"])
def test_commands_refuse_an_address_before_anything_is_loaded(
    command, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(opening, "find_spec", lambda name: "Ray")
    monkeypatch.setattr(
        "saetask.models.loading._load", lambda *given: pytest.fail("A model was loaded.")
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("harvest: {hook_name: blocks.2.hook_resid_post, tokens: 9}\n")
    arguments = {
        "run": ["run", "metaphor"],
        "train": ["train", str(recipe)],
        "dictionary build": ["dictionary", "build", "--corpus", "a.txt", "--out", str(tmp_path)],
        "dictionary falsify": ["dictionary", "falsify", str(tmp_path), "--features", "1"],
    }[command]
    assert main([*arguments, "--engine", "ray", "--address", "127.0.0.1:0"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("saetask: No Ray cluster answers at 127.0.0.1:0")
    assert err.count("\n") == 1


def test_an_address_where_somebody_listens_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
    check_address("auto")


def test_a_worker_that_is_as_it_must_be_is_taken():
    check_worker(FOUND, SOURCE, "abc")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"versions": {**VERSIONS, "torch": "2.12.0"}}, "has torch 2.12.0, this process 2.13.0"),
        ({"versions": {**VERSIONS, "saetask": "not installed"}}, "has saetask not installed"),
        ({"problem": "Model 'models/tiny' is no folder."}, "Model 'models/tiny' is no folder"),
        ({"fingerprint": "xyz"}, "other weights in models/tiny"),
    ],
    ids=str,
)
def test_a_worker_that_would_compute_something_else_is_refused_by_name(change, message):
    line = refusal(check_worker, {**FOUND, **change}, SOURCE, "abc")
    assert message in line
    assert "node-7, process 4" in line


def test_installed_tells_versions_and_changes_with_the_source(tmp_path, monkeypatch):
    import torch

    import saetask

    found = installed_versions()
    assert found["torch"] == torch.__version__
    assert found["saetask"].startswith(saetask.__version__)
    assert found == installed_versions()
    (tmp_path / "saetask").mkdir()
    (tmp_path / "saetask" / "__init__.py").write_text("__version__ = '0'\n")
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name: type("Spec", (), {"origin": str(tmp_path / "saetask" / "__init__.py")}),
    )
    assert installed_versions()["saetask"] != found["saetask"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert installed_versions()["saetask"] == "not installed"


def test_an_error_of_the_work_is_raised_as_it_is():
    def work(model, shard):
        raise UserError("Too long.")

    with pytest.raises(UserError, match="Too long"):
        next(LocalExecutor(None).map(work, [1]))
