"""What people read says how sure it is; what annotations use is validated, or told otherwise."""

import json
import shutil

import pyarrow
import pytest

from saetask import Dictionary, UserError
from saetask.dictionary import dictionary as dictionaries
from saetask.dictionary.dictionary import dictionary_folder
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.dictionary.store import FEATURES, MANIFEST, read_parquet, write_parquet
from saetask.models.loading import model_fingerprint
from saetask.saes.loading import DEFAULT_SAE, sae_fingerprint
from saetask.saes.logit_lens import logit_lens_labels

VERDICTS = ["validated", "inconsistent", "too rare"]


@pytest.fixture(scope="module")
def folder(tiny_model, tiny_sae, tmp_path_factory):
    """A dictionary of the tiny SAE, its labels and verdicts made up."""
    folder = tmp_path_factory.mktemp("dictionary")
    n = tiny_sae.cfg.d_sae
    labels = [f"on '{i}'" for i in range(n)]
    verdicts = [VERDICTS[i % len(VERDICTS)] for i in range(n)]
    write_parquet(folder / FEATURES, pyarrow.table({"label": labels, "verdict": verdicts}))
    write_parquet(folder / "contexts.parquet", pyarrow.table({"feature": pyarrow.array([0])}))
    manifest = json.loads((dictionary_folder(DEFAULT_SAE) / MANIFEST).read_text())
    manifest["model"]["fingerprint"] = model_fingerprint(tiny_model)
    manifest["sae"]["fingerprint"] = sae_fingerprint(tiny_sae)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_labels_that_are_not_validated_say_so(tiny_model, tiny_sae, folder) -> None:
    found = find_feature_labels(tiny_model, tiny_sae, folder).for_display([0, 1, 2])
    assert found == {0: "on '0'", 1: "on '1' (inconsistent)", 2: "on '2' (too rare)"}


def test_annotations_get_validated_labels_only_unless_told_otherwise(
    tiny_model, tiny_sae, folder
) -> None:
    assert find_feature_labels(tiny_model, tiny_sae, folder).for_annotation([0, 1, 2]) == {
        0: "on '0'"
    }
    everything = find_feature_labels(tiny_model, tiny_sae, folder, unvalidated=True)
    assert everything.for_annotation([0, 1, 2]) == {i: f"on '{i}'" for i in range(3)}


def test_a_dictionary_never_validated_has_nothing_for_annotations(
    tiny_model, tiny_sae, folder, tmp_path
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    write_parquet(tmp_path / FEATURES, read_parquet(folder / FEATURES).drop_columns(["verdict"]))
    found = find_feature_labels(tiny_model, tiny_sae, tmp_path)
    assert found.for_annotation([0]) == {} and found.for_display([0]) == {
        0: "on '0' (not validated)"
    }


def test_without_a_dictionary_labels_are_what_features_promote(tiny_model, tiny_sae) -> None:
    found = find_feature_labels(tiny_model, tiny_sae)
    assert found.dictionary is None
    assert found.for_display([1, 2]) == logit_lens_labels(tiny_model, tiny_sae, [1, 2])


def test_the_shipped_dictionary_of_this_pair_is_taken_by_itself(
    tiny_model, tiny_sae, folder, monkeypatch
) -> None:
    monkeypatch.setattr(dictionaries, "shipped_saes", lambda: ["ours"])
    monkeypatch.setattr(dictionaries, "dictionary_folder", lambda alias: folder)
    found = find_feature_labels(tiny_model, tiny_sae)
    assert found.dictionary is not None and found.dictionary.folder == folder


def test_a_dictionary_of_another_model_is_refused(tiny_model, tiny_sae, folder, tmp_path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["model"]["fingerprint"] = "other"
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="another model"):
        find_feature_labels(tiny_model, tiny_sae, tmp_path)
    assert Dictionary.load(tmp_path).labels[0] == "on '0'"
