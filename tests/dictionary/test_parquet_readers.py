"""The line of SQL in the docs opens a dictionary, and other readers of Parquet see the same."""

import re
from pathlib import Path

import pandas
import pytest

from saetask import Dictionary
from saetask.dictionary.dictionary import dictionary_folder
from saetask.saes.loading import DEFAULT_SAE

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "formats.md"


def test_duckdb_runs_the_documented_line() -> None:
    duckdb = pytest.importorskip("duckdb")
    (query,) = re.findall(r"```sql\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    folder = dictionary_folder(DEFAULT_SAE)
    found = duckdb.sql(query.replace("DIR", folder.as_posix())).fetchall()
    dictionary = Dictionary.load()
    assert found
    for feature, name, label, verdict in found:
        row = dictionary.feature(feature).row
        assert (row["name"], row["label"], row["verdict"]) == (name, label, verdict)


def test_pandas_reads_a_row_for_each_feature() -> None:
    table = pandas.read_parquet(dictionary_folder(DEFAULT_SAE) / "features.parquet")
    dictionary = Dictionary.load()
    assert table["feature"].tolist() == list(range(len(dictionary)))
    assert table["verdict"].tolist() == list(dictionary.verdicts)
