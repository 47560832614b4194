"""Estimates as rows of a table: the full list that stands under *All statistics*."""

from __future__ import annotations

from collections.abc import Sequence

from ki67 import numbers
from ki67.stats.estimate import Estimate

__all__ = ["COLUMNS", "Estimate", "limits", "rows", "value"]

COLUMNS = (
    "Statistic", "Variant", "Compared", "Value", "Lower", "Upper", "n", "Left out", "Interval speaks about",
    "Settings", "Method", "Seed", "Why undefined",
)  # fmt: skip
UNDEFINED = "undefined"
_DECIMALS = 4


def rows(estimates: Sequence[Estimate]) -> list[tuple[object, ...]]:
    """A row for each estimate, numbers as numbers; None where undefined, the reason in the last column."""
    return [
        (
            each.statistic,
            each.variant,
            " – ".join(each.readers) if each.readers else "",
            _rounded(each.value),
            _rounded(each.ci_low),
            _rounded(each.ci_high),
            each.n,
            each.excluded,
            each.target or "",
            ", ".join(f"{name} {_text(value)}" for name, value in each.params.items() if value is not None),
            each.method,
            "" if each.seed is None else str(each.seed),
            each.message or (each.reason or "").replace("_", " "),
        )
        for each in estimates
    ]


def value(estimate: Estimate | None, *, decimals: int = 1) -> str:
    """The value alone: "−1.1", or "undefined"."""
    if estimate is None or estimate.value is None:
        return UNDEFINED
    return numbers.decimal(estimate.value, decimals=decimals)


def limits(estimate: Estimate | None, *, decimals: int = 1, between: str = " to ") -> str:
    """The limits alone: "−2.3 to 0.0", an open end in words, or the reason why there are none."""
    if estimate is None:
        return UNDEFINED
    low, high = estimate.ci_low, estimate.ci_high
    if low is None and high is None:
        return estimate.message or "no interval"
    if low is None or high is None:
        known = low if high is None else high
        side = "from" if high is None else "up to"
        return f"{side} {numbers.decimal(float(known or 0.0), decimals=decimals)}"
    return between.join(numbers.decimal(each, decimals=decimals) for each in (low, high))


def _rounded(number: float | None) -> float | None:
    """To ten significant digits: what a table shows and a spreadsheet computes with."""
    return None if number is None else float(f"{number:.10g}")


def _text(param: object) -> str:
    if isinstance(param, tuple):
        return "; ".join(str(part) for part in param)
    return f"{param:g}" if isinstance(param, float) else str(param)
