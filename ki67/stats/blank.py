"""An estimate that has its name but no number yet: the few ways in which a statistic ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ki67.stats.estimate import Estimate, Form, ParamValue, Reason
from ki67.stats.forms import Pairs

Compute = Callable[[Any, Mapping[str, ParamValue]], Estimate]
NO_PAIRS = "No case has both readings."
LOG2_OFFSET = 0.1


@dataclass(frozen=True)
class Blank:
    """Everything of an estimate but its value and limits (fields as in `Estimate`)."""

    statistic: str
    variant: str
    form: Form
    n: int
    method: str
    excluded: int = 0
    params: Mapping[str, ParamValue] = field(default_factory=dict)

    def filled(self, value: float, low: float | None = None, high: float | None = None) -> Estimate:
        """A value with its limits, or one that has none by definition."""
        return self._estimate(value, low, high, None, "")

    def without_limits(self, value: float, reason: Reason, message: str) -> Estimate:
        """A value whose limits are undefined."""
        return self._estimate(value, None, None, reason, message)

    def undefined(self, reason: Reason, message: str) -> Estimate:
        """Neither value nor limits."""
        return self._estimate(None, None, None, reason, message)

    def half_open(self, value: float, low: float, high: float, message: str) -> Estimate:
        """A value whose limits may lie out of reach (infinite or NaN): those become None."""
        reached_low = float(low) if math.isfinite(low) else None
        reached_high = float(high) if math.isfinite(high) else None
        if reached_low is not None and reached_high is not None:
            return self.filled(value, reached_low, reached_high)
        return self._estimate(value, reached_low, reached_high, "out_of_range", message)

    def lacking(self, need: int, what: str) -> Estimate | None:
        """The undefined estimate when fewer than `need` pairs are left for `what`; None when enough."""
        if self.n == 0:
            return self.undefined("no_pairs", NO_PAIRS)
        if self.n < need:
            return self.undefined("too_few", too_few(self.n, need=need, what=what))
        return None

    def _estimate(
        self, value: float | None, low: float | None, high: float | None, reason: Reason | None, message: str
    ) -> Estimate:
        return Estimate(
            statistic=self.statistic,
            variant=self.variant,
            form=self.form,
            value=None if value is None else float(value),
            ci_low=None if low is None else float(low),
            ci_high=None if high is None else float(high),
            n=self.n,
            method=self.method,
            reason=reason,
            message=message,
            excluded=self.excluded,
            params=dict(self.params),
        )


def too_few(n: int, *, need: int, what: str) -> str:
    """The sentence for too few cases: "Limits need 2 cases with both readings; there is 1."."""
    verb = "need" if what.endswith("imits") else "needs"
    return f"{what} {verb} {need} cases with both readings; there {'is' if n == 1 else 'are'} {n}."


def paired(
    pairs: Pairs, statistic: str, variant: str, *, method: str, params: Mapping[str, ParamValue] | None = None
) -> tuple[Pairs, Blank]:
    """The cases that have both readings, and the blank estimate that counts the others as excluded."""
    used = pairs.complete()
    return used, Blank(
        statistic=statistic,
        variant=variant,
        form="pairs",
        n=used.x.size,
        method=method,
        excluded=pairs.x.size - used.x.size,
        params=params or {},
    )


def on_log2(pairs: Pairs) -> Pairs:
    """The readings as log2(value + 0.1), the convention of the International Ki67 Working Group."""
    return Pairs(pairs.cases, np.log2(pairs.x + LOG2_OFFSET), np.log2(pairs.y + LOG2_OFFSET))


def entry(function: Callable[..., Estimate], *names: str, **fixed: ParamValue) -> Compute:
    """A row of a `STATISTICS` table: calls `function` with those of `names` that the params give.

    `fixed` are keyword arguments that the statistic's name settles. With params {"transform":
    "log2(x+0.1)"} pairs are analysed on that scale.
    """

    def computed(data: Any, params: Mapping[str, ParamValue]) -> Estimate:
        given = {name: params[name] for name in names if name in params}
        if isinstance(data, Pairs) and params.get("transform") == "log2(x+0.1)":
            data = on_log2(data)
        return function(data, **fixed, **given)

    return computed
