"""Text for numbers: the only place where a number is rounded.

A percentage shows one decimal, and more where rounding would move it onto or across a cut-off
(2.96 % is below 3). Minus is the true minus sign, ranges take an en dash, nothing reads "−0.0".
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from fractions import Fraction

from ki67.index import ki67_index
from ki67.sites import every_cutoff_percent
from ki67.types import Interval

NOT_ASSESSABLE = "not assessable"
_MINUS = "−"


def percent(positive: int, negative: int) -> str:
    """An index from its counts: "12.4 %", "2.96 %"; "not assessable" without nuclei."""
    text = percent_number(positive, negative)
    return f"{text} %" if text != NOT_ASSESSABLE else text


def percent_number(positive: int, negative: int) -> str:
    """An index from its counts without the unit: "12.4"."""
    if ki67_index(positive, negative) is None:
        return NOT_ASSESSABLE
    return _clear_of_borders(Fraction(100 * positive, positive + negative), most_decimals=12)


def percent_of(fraction: float) -> str:
    """A fraction 0-1 that has no counts (a limit, an expected maximum) as "14.6 %"."""
    return f"{_percent_number_of(fraction)} %"


def interval(limits: Interval | None) -> str:
    """Limits of an index in percent, without the unit: "10.1–15.0"; empty when there are none."""
    if limits is None:
        return ""
    return f"{_percent_number_of(limits.low)}–{_percent_number_of(limits.high)}"


def percent_with_interval(positive: int, negative: int, limits: Interval | None) -> str:
    """ "12.4 % (10.1–15.0)"; without limits only the percentage."""
    text = percent(positive, negative)
    return f"{text} ({interval(limits)})" if limits is not None and text != NOT_ASSESSABLE else text


def count(number: int) -> str:
    """ "1,216"."""
    return f"{number:,}".replace("-", _MINUS)


def decimal(value: float, *, decimals: int) -> str:
    """A number with a fixed count of decimals, true minus, thousands comma, never "−0.0"."""
    text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", _MINUS)


def points(difference_percent: float) -> str:
    """A difference of two percentages: "−2.9 points"."""
    return f"{decimal(difference_percent, decimals=1)} points"


def points_interval(low_percent: float, high_percent: float) -> str:
    """Limits of a difference: "−2.9 to 0.7"."""
    return f"{decimal(low_percent, decimals=1)} to {decimal(high_percent, decimals=1)}"


def icc(value: float, *, verdict: bool = False) -> str:
    """An intraclass correlation: two decimals in sentences, four in a verdict."""
    return decimal(value, decimals=4 if verdict else 2)


def area(square_mm: float) -> str:
    """ "0.44 mm²"; three decimals below 0.1 so that a small field does not read 0.00."""
    return f"{decimal(square_mm, decimals=3 if square_mm < 0.1 else 2)} mm²"


def pixel_size(mpp: float) -> str:
    """ "0.250 µm/px"."""
    return f"{decimal(mpp, decimals=3)} µm/px"


def moment(iso: str, *, zone: tzinfo = UTC) -> str:
    """An ISO 8601 time as "2026-11-24 09:12" in `zone`; a time without zone is taken as UTC."""
    when = datetime.fromisoformat(iso)
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return when.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def duration(seconds: float) -> str:
    """ "9 s", "2 min 5 s", "1 h 4 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min"


def _percent_number_of(fraction: float) -> str:
    """To 9 decimals, which takes the dust of binary fractions away (0.14 is 14 %)."""
    return _clear_of_borders(Fraction(str(round(100 * fraction, 9))), most_decimals=9)


def _clear_of_borders(value: Fraction, *, most_decimals: int) -> str:
    """The fewest decimals (at least one) that leave `value` on its side of 0, 100 and every cut-off."""
    borders = (0, *every_cutoff_percent(), 100)
    for decimals in range(1, most_decimals + 1):
        rounded = round(value, decimals)
        if all(_side(rounded, border) == _side(value, border) for border in borders):
            return decimal(float(rounded), decimals=decimals)
    return decimal(float(value), decimals=1)


def _side(value: Fraction, border: int) -> int:
    return (value > border) - (value < border)
