"""What a script makes of an error that its user can mend."""

import pytest

from saetask.errors import UserError, one_line_errors


@one_line_errors("measure")
def main(items: int, broken: bool = False) -> int:
    """Returns a number, or fails."""
    if broken:
        raise ValueError("a fault of the program")
    if items < 0:
        raise UserError("give items")
    return items


def test_a_user_error_is_one_line_on_stderr_and_exit_code_2(capsys):
    assert main(-1) == 2
    assert capsys.readouterr() == ("", "measure: give items\n")


def test_exit_codes_and_other_errors_are_left_as_they_are(capsys):
    assert main(0) == 0 and main(items=1) == 1
    with pytest.raises(ValueError, match="fault"):
        main(0, broken=True)
    assert capsys.readouterr() == ("", "")
