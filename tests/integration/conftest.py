"""Fixtures of tests that start processes."""

import os

import pytest
from filelock import FileLock


@pytest.fixture(scope="module")
def one_cluster(tmp_path_factory):
    """Keeps tests in other processes from starting Ray: one would be taken for the other's."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with FileLock(shared / "ray.lock"):
        yield
