"""Formatting of numbers in the report; "–" stands for what was not measured."""

from saetask.report.documents import Interval

ABSENT = "–"


def percent(share: float | None) -> str:
    """Writes a share such as `74.1 %`."""
    return ABSENT if share is None else f"{100 * share:.1f} %"


def percent_interval(interval: Interval | None) -> str:
    """Writes an interval of shares such as `46.0 to 58.0`."""
    return ABSENT if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def points(share: float | None) -> str:
    """Writes a difference of shares in percentage points such as `+22.1`."""
    if share is None:
        return ABSENT
    # Rounded first: what rounds to zero has no sign.
    rounded = round(100 * share, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def points_interval(interval: Interval | None) -> str:
    """Writes an interval of differences such as `+17.9 to +26.4`."""
    return ABSENT if interval is None else f"{points(interval[0])} to {points(interval[1])}"


def decimals(value: float | None, places: int = 3) -> str:
    """Writes a number such as `0.781`."""
    return ABSENT if value is None else f"{value:.{places}f}".replace("-", "−")


def decimals_interval(interval: Interval | None) -> str:
    """Writes an interval such as `0.741 to 0.822`."""
    return ABSENT if interval is None else f"{decimals(interval[0])} to {decimals(interval[1])}"


def signed(value: float | None, places: int = 3) -> str:
    """Writes a difference such as `+0.221`."""
    if value is None:
        return ABSENT
    return f"{value:+.{places}f}".replace("-", "−")


def signed_interval(interval: Interval | None) -> str:
    """Writes an interval of differences such as `+0.179 to +0.264`."""
    return ABSENT if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"


def p_value(value: float | None) -> str:
    """Writes a p-value such as `0.034` or `3e-15`."""
    if value is None:
        return ABSENT
    if value >= 0.001:
        return f"{value:.3f}"
    return f"{value:.0e}".replace("e-0", "e-") if value else "< 1e-300"


def p_statement(value: float) -> str:
    """Writes `p = 3e-15`, or `p < 1e-300` where the number is too small to hold."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def count(value: int | None) -> str:
    """Writes a whole number such as `2,000`."""
    return ABSENT if value is None else f"{value:,}"


def rank(value: int | None, n_controls: int | None) -> str:
    """Writes a rank among controls and what they are compared with, such as `3 of 500`."""
    return ABSENT if value is None or n_controls is None else f"{value:,} of {n_controls + 1:,}"
