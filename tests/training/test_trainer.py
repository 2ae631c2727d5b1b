"""A process that trains with others: what it must see before it begins."""

import socket
from dataclasses import replace

import pytest

from saetask import TrainConfig
from saetask.training.activation_store import MANIFEST
from saetask.training.trainer import SHARDS, TrainingJob, train_in_group
from saetask.utils.files import write_json
from tests.helpers.refusals import refusal


@pytest.fixture
def job(tmp_path, harvest_config):
    return TrainingJob(TrainConfig(harvest_config), tmp_path / "sae", "tiny", "abc", 1, "cpu")


def test_a_machine_without_the_folder_is_refused_by_name(job):
    line = refusal(train_in_group, job, 1, 2)
    assert socket.gethostname() in line
    assert f"does not see {job.out / SHARDS}" in line


def test_a_machine_with_another_harvest_is_refused_by_name(job):
    write_json(job.out / SHARDS / MANIFEST, {"identity": "xyz", "shards": 1})
    line = refusal(train_in_group, job, 1, 2)
    assert socket.gethostname() in line
    assert "sees another harvest" in line and "(xyz, not abc)" in line


def test_a_machine_that_lacks_shards_is_refused_by_name(job):
    write_json(job.out / SHARDS / MANIFEST, {"identity": "abc", "shards": 1})
    line = refusal(train_in_group, replace(job, n_shards=2), 1, 2)
    assert socket.gethostname() in line
    assert "sees 0 of the 2 shards" in line
