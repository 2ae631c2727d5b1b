"""Importers of evaluation logs, as a command looks them up."""

import pytest

from saetask.data import LogFields, read_log
from saetask.plugins import PluginRegistry


@pytest.fixture(scope="module")
def importers():
    return PluginRegistry().by_name("importer")


@pytest.fixture
def read(importers):
    """Returns a function that reads a log wholly."""

    def read(log, format="auto", **fields):
        return list(read_log(log, format, LogFields(**fields), importers))

    return read
