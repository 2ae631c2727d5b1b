"""The Ray engine on a cluster of two nodes: the same bytes, whatever is lost on the way."""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import count, islice

import pytest

import saetask
from saetask import UserError
from saetask.cli.main import main
from saetask.compute.config import ComputeConfig, open_executor
from saetask.data import as_prompt
from saetask.dictionary.collect.corpus_pass import BuildConfig, read_corpus
from saetask.dictionary.falsify.text_pool import file_rows, read_text_pool
from saetask.discovery import discover
from saetask.experiments import run as runs
from saetask.experiments import run_inputs
from saetask.inference.client import ModelClient
from saetask.inference.requests import GenerateRequest, RankRequest
from saetask.saes.extraction import extract_features
from saetask.training.harvest import harvest
from tests.discovery.test_runner import CONFIG as DISCOVERY
from tests.discovery.test_runner import make_items
from tests.helpers.probe_choices import use_settings
from tests.helpers.refusals import refusal
from tests.helpers.words import make_word_sae

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None, reason='Ray is not installed: pip install "saetask[ray]"'
    ),
]


@pytest.fixture(scope="module")
def cluster(one_cluster):
    """A head without CPUs, and two nodes with one each."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        import ray
        from ray.cluster_utils import Cluster

        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        # A node that was killed is missed after 2 s instead of 15.
        checks = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": checks}
        made = Cluster(initialize_head=True, head_node_args=head)
        made.nodes_with_cpu = [made.add_node(num_cpus=1), made.add_node(num_cpus=1)]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield made
        torch.set_num_threads(threads)
        made.shutdown()


@pytest.fixture(scope="module")
def config(cluster):
    return ComputeConfig("ray", cluster.address)


@pytest.fixture(scope="module")
def loaded(tiny_model_folder):
    """The tiny model as a worker loads it."""
    import torch

    return saetask.load_model(tiny_model_folder, dtype=torch.float32, device="cpu")


@pytest.fixture(scope="module")
def engine(config, loaded, tiny_model_folder):
    """Two workers, for all tests that do not need their own."""
    with open_executor(config, str(tiny_model_folder), loaded) as opened:
        yield opened


class Meanwhile:
    """Another engine's results, with something happening once the first of them is there."""

    def __init__(self, engine, happens):
        self._engine = engine
        self._happens = happens

    def map(self, work, shards):
        for number, result in enumerate(self._engine.map(work, shards)):
            if number == 0:
                self._happens()
            yield result


def meet(folder, model, shard):
    """Returns the process and the shard; the first waits until another process has had one."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while shard == 0 and len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    return os.getpid(), shard


def refuse_three(model, shard):
    if shard == 3:
        raise UserError("Shard 3 is too long.")
    return shard


def die_once(mark, model, shard):
    if shard == 3 and not mark.exists():
        mark.touch()
        os._exit(1)
    return shard


def slowly(model, shard):
    time.sleep(0.2)
    return shard


def encoded(sae):
    import torch

    inputs = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return sae.encode(inputs)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# what is refused


def test_more_threads_than_a_node_has_cpus_are_refused(config, loaded, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    with open_executor(config, "any", loaded) as engine:
        assert "has 64 CPUs for a worker" in refusal(list, engine.map(slowly, [1]))


def test_a_worker_with_another_saetask_is_refused(config, loaded, tiny_model_folder):
    from saetask.compute.ray_cluster import connected
    from saetask.compute.ray_executor import RayExecutor, make_ray_executor

    with connected(config.address) as ray:
        with make_ray_executor(ray, str(tiny_model_folder), loaded) as engine:
            source = engine.source
        versions = {**source.versions, "saetask": "0.0.9 (0000)"}
        other = RayExecutor(ray, source._replace(versions=versions), "any")
        assert "this process 0.0.9 (0000)" in refusal(list, other.map(slowly, [1]))
        other.close()


def test_a_worker_with_other_weights_is_refused(
    config, tiny_model_folder, make_tiny_bridge, make_tiny_hf_model
):
    other = make_tiny_bridge(make_tiny_hf_model(seed=1))
    with open_executor(config, str(tiny_model_folder), other) as engine:
        assert "other weights in" in refusal(list, engine.map(slowly, [1]))


# what is done


def test_an_sae_of_any_architecture_survives_being_sent(any_architecture):
    from ray import cloudpickle

    sent = cloudpickle.loads(cloudpickle.dumps(any_architecture))
    assert sent.cfg == any_architecture.cfg
    assert encoded(sent).equal(encoded(any_architecture))


def test_nothing_to_do_starts_no_worker(config, loaded):
    with open_executor(config, "no such model", loaded) as engine:
        assert list(engine.map(slowly, [])) == []


def test_results_come_in_the_order_of_the_shards_from_two_processes(engine, tmp_path):
    results = list(engine.map(partial(meet, tmp_path), range(8)))
    assert [shard for _, shard in results] == list(range(8))
    workers = {process for process, _ in results}
    assert len(workers) == 2
    assert os.getpid() not in workers


def test_whoever_has_enough_may_stop(engine):
    results = engine.map(slowly, count())
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert list(engine.map(slowly, range(3))) == [0, 1, 2]


def test_a_mistake_in_a_shard_is_told_in_one_line_in_its_turn(engine):
    results = engine.map(refuse_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert refusal(next, results) == "Shard 3 is too long."
    assert list(engine.map(refuse_three, range(3))) == [0, 1, 2]


def test_a_harvest_has_the_same_bytes(engine, loaded, harvest_config, tmp_path):
    harvest(loaded, harvest_config, tmp_path / "local", tmp_path)
    shards = harvest(loaded, harvest_config, tmp_path / "ray", tmp_path, engine)
    assert len(shards.shards) > 2
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_answers_have_the_same_bytes(engine, loaded, tmp_path, monkeypatch):
    monkeypatch.setattr("saetask.inference.client.REQUESTS_PER_SHARD", 4)
    prompts = [as_prompt(f"The {n} boats sail at dawn{' and return' * n}.") for n in range(12)]
    ranked = [RankRequest(prompt, (" yes", " no, never")) for prompt in prompts]
    generated = [GenerateRequest(prompt, 4) for prompt in prompts[:3]]
    for name, where in (("local", None), ("ray", engine)):
        client = ModelClient(loaded, tmp_path / name / "answers.jsonl", where)
        client.rank(ranked)
        client.generate(generated)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_readings_have_the_same_bytes(engine, loaded, make_tiny_sae, monkeypatch):
    monkeypatch.setattr("saetask.saes.extraction.TOKENS_PER_BATCH", 64)
    prompts = [as_prompt(f"The {n} boats sail{' at dawn' * n}.") for n in range(9)]
    saes = [make_tiny_sae(), make_tiny_sae()]
    local = extract_features(loaded, saes, prompts)
    ray = extract_features(loaded, saes, prompts, engine)
    for ours, theirs in zip(local.features, ray.features):
        assert ours.prompts == theirs.prompts
        for name in ("indptr", "features", "values"):
            assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes()
    for ours, theirs in zip(local.raw, ray.raw):
        assert {k: v.tobytes() for k, v in ours.items()} == {
            k: v.tobytes() for k, v in theirs.items()
        }


def test_a_corpus_read_for_a_dictionary_has_the_same_bytes(
    engine, loaded, tiny_sae, harvest_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("saetask.dictionary.collect.corpus_pass.ROWS_PER_SHARD", 8)
    corpus = replace(harvest_config.corpus, selection_share=0.3)
    config = BuildConfig(corpus, tokens=1500, sample_rows=20)
    passes = [
        read_corpus(loaded, tiny_sae, config, tmp_path / name, tmp_path, where)
        for name, where in (("local", None), ("ray", engine))
    ]
    assert passes[0].rows == passes[1].rows
    assert contents(tmp_path / "ray/work") == contents(tmp_path / "local/work")


def test_a_pool_of_texts_to_try_features_on_is_the_same(
    engine, loaded, tiny_sae, harvest_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("saetask.dictionary.falsify.text_pool.ROWS_PER_READ", 4)
    rows = list(islice(file_rows(tmp_path / "texts.jsonl", loaded.tokenizer, 32), 20))
    local, ray = (read_text_pool(loaded, tiny_sae, rows, [3, 40], 6, e) for e in (None, engine))
    assert ray.rows == local.rows and len(local.rows) >= 12
    for name in ("maxima", "counts", "frequent"):
        assert getattr(ray, name).tobytes() == getattr(local, name).tobytes()


@pytest.mark.usefixtures("few_choices")
def test_a_run_has_the_same_items_and_answers(
    engine, loaded, tiny_model_folder, tiny_sae_folder, tmp_path, monkeypatch, capsys
):
    @contextmanager
    def opened(config, spec, model):
        assert config == ComputeConfig("ray", "auto")
        yield engine

    flags = ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder), "--json"]
    flags += ["--limit", "40", "--folds", "3", "--arms", "original,saetask"]
    use_settings(monkeypatch, note_samples=8)
    monkeypatch.setattr(run_inputs, "load_model", lambda spec, **_: loaded)
    assert main(["run", "metaphor", *flags, "--out", str(tmp_path / "local")]) == 0
    monkeypatch.setattr(runs, "open_executor", opened)
    flags += ["--engine", "ray", "--address", "auto"]
    assert main(["run", "metaphor", *flags, "--out", str(tmp_path / "ray")]) == 0
    local, ray = contents(tmp_path / "local"), contents(tmp_path / "ray")
    for name in ("config.yaml", "items.jsonl", "answers.jsonl"):
        assert ray[name] == local[name]


def test_a_discovery_has_the_same_bytes(engine, loaded, tiny_tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("saetask.saes.extraction.TOKENS_PER_BATCH", 256)
    items, sae = make_items(), make_word_sae(loaded, tiny_tokenizer)
    for name, executor in (("here", None), ("there", engine)):
        folder = tmp_path / name
        config = replace(DISCOVERY, cache=folder / "work")
        discover(items, loaded, sae, config, executor).save(folder / "found")
        assert len(contents(folder / "work")) > 2
    here, there = tmp_path / "here", tmp_path / "there"
    assert contents(here / "work") == contents(there / "work")
    pages = [contents(folder / "found") for folder in (here, there)]
    assert pages[0] == pages[1]


# what is lost


def test_a_killed_worker_costs_only_its_shard(engine, tmp_path, capsys):
    results = list(engine.map(partial(die_once, tmp_path / "mark"), range(8)))
    assert results == list(range(8))
    assert (tmp_path / "mark").exists()
    assert "was lost (ActorDiedError); its shard goes to another" in capsys.readouterr().err


def test_a_killed_node_changes_no_byte(engine, cluster, loaded, harvest_config, tmp_path, capsys):
    def kill():
        cluster.remove_node(cluster.nodes_with_cpu.pop(), allow_graceful=False)

    (tmp_path / "met").mkdir()
    list(engine.map(partial(meet, tmp_path / "met"), range(8)))  # both workers are up
    harvest(loaded, harvest_config, tmp_path / "local", tmp_path)
    harvest(loaded, harvest_config, tmp_path / "ray", tmp_path, Meanwhile(engine, kill))
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert len(cluster.nodes_with_cpu) == 1


def test_an_interruption_ends_at_once_and_leaves_no_worker(engine):
    import ray

    # A process that was started in the background ignores the signal, if nobody says otherwise.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(engine.map(slowly, range(1000)))
    finally:
        signal.signal(signal.SIGINT, before)
    engine.close()
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0) < 1:
        assert time.monotonic() < deadline, "A worker still holds its CPU."
        time.sleep(0.1)
