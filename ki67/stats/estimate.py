"""One estimate: value, interval, what it was made from, and why it is missing where it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Form = Literal["pairs", "ratings", "categories", "table", "replicated_pairs", "algorithm_and_readers", "none"]
Target = Literal["these readers", "reader population"]
Reason = Literal[
    "zero_variance",  # 0/0: nothing varies
    "x_constant",  # a slope on a constant
    "too_few",  # fewer readings than the value or its limits need
    "no_pairs",  # nothing left after pairing
    "nonpositive_value",  # a logarithm of 0 or less
    "one_category",  # every reading in one class
    "duplicate_key",  # a case, reader, session, replicate read twice
    "not_measured",  # the data for it do not exist in this study
    "out_of_range",  # the method gives no limit at this size
    "no_convergence",  # the fit did not settle
]
ParamValue = float | int | str | bool | tuple[str, ...] | None


@dataclass(frozen=True)
class Estimate:
    """A statistic with its limits, both in the unit of the readings unless `method` says otherwise.

    `value`, `ci_low`, `ci_high`: None where undefined, then `reason` is a keyword and `message` our
    sentence (also where only the limits are undefined); never NaN, never a filled-in 0 or 1.
    Some statistics have no limits by definition: limits None, reason None.
    `n` counts the units used (pairs, cases, readings: `method` says), `excluded` those left out.
    `params`: alpha, coverage, ratio, categories…; `readers`: the two compared, or None; `target`: whom the
    interval speaks about; `seed`: of a bootstrap or simulation.
    """

    statistic: str
    variant: str
    form: Form
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    method: str
    reason: Reason | None = None
    message: str = ""
    excluded: int = 0
    seed: int | None = None
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    readers: tuple[str, str] | None = None
    target: Target | None = None

    def __post_init__(self) -> None:
        for number in (self.value, self.ci_low, self.ci_high):
            if number is not None and not math.isfinite(number):
                raise ValueError(
                    f"{self.statistic} ({self.variant}) is {number}: undefined is None with a reason"
                )
