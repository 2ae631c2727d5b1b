"""A folder with other people's files is not written to."""

import pytest

from saetask.utils.output_folders import check_no_file, check_output_folder
from tests.helpers.refusals import refusal


def test_an_absent_and_an_empty_folder_are_taken(tmp_path) -> None:
    check_output_folder(tmp_path, is_own=False)
    check_output_folder(tmp_path / "absent", is_own=False)
    assert not [*tmp_path.iterdir()]


def test_other_files_are_named_unless_the_folder_is_the_commands_own(tmp_path) -> None:
    (tmp_path / "thesis.tex").touch()
    assert "thesis.tex); give a folder of its own" in refusal(check_output_folder, tmp_path, False)
    (tmp_path / "work").mkdir()
    assert "thesis.tex); " in refusal(check_output_folder, tmp_path, False, ("work",))
    check_output_folder(tmp_path, is_own=True)


@pytest.mark.parametrize("name", ["work", ".DS_Store", ".config.yaml.x.saetask-half"])
def test_what_a_killed_command_or_the_system_leaves_does_not_count(tmp_path, name) -> None:
    (tmp_path / name).touch()
    check_output_folder(tmp_path, False, ("work",))


def test_a_file_in_place_of_a_folder_is_named(tmp_path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert refusal(check_no_file, file) == f"{file} is a file; give a folder."
    assert refusal(check_output_folder, file, True) == f"{file} is a file; give a folder."
    below = file / "a" / "b"
    assert refusal(check_no_file, below) == f"{below}: {file} is a file; give a folder."
