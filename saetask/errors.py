"""The one error a user is meant to read."""

import difflib
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec

P = ParamSpec("P")


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong, where, and how to mend it.

    The command line prints it without a traceback and exits with code 2.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"` or the list of known names, to end an error line with."""
    known = sorted(known)
    bare = {each.lstrip("-"): each for each in known}  # the dashes of flags are no likeness
    close = difflib.get_close_matches(name.lstrip("-"), bare, n=1, cutoff=0.5)
    if close:
        return f" Did you mean '{bare[close[0]]}'?"
    return f" Known: {', '.join(known[:12])}{', …' * (len(known) > 12)}." if known else ""


def one_line_errors(program: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Has a script's `main` print a `UserError` as one line on stderr and return exit code 2.

    Args:
        program: What the line begins with.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @wraps(main)
        def told(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except UserError as error:
                print(f"{program}: {error}", file=sys.stderr)
                return 2

        return told

    return decorate
