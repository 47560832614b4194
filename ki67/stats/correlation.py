"""Correlation of two methods: Pearson, Spearman, Kendall, with intervals on Fisher's z scale.

A correlation is no agreement: methods that differ by a factor correlate perfectly. Limits need 4 pairs
(Kendall 5); a correlation of 1 has both limits at 1, as the formula gives them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy import stats

from ki67.stats.blank import Blank, Compute, entry, paired, too_few
from ki67.stats.estimate import Estimate, Form
from ki67.stats.forms import Pairs, Reals

SpearmanVariant = Literal["Fisher z", "Fieller", "Bonett-Wright"]


def pearson(pairs: Pairs, *, alpha: float = 0.05) -> Estimate:
    """Pearson's r; limits tanh(atanh r ± z/√(n − 3)) (Fisher 1921)."""
    used, blank = paired(
        pairs, "pearson", "Fisher z", method="Pearson correlation, Fisher z", params={"alpha": alpha}
    )
    missing = _undefined(used, blank)
    if missing is not None:
        return missing
    return _with_z_limits(pearson_r(used.x, used.y), blank, alpha=alpha, variance=1.0, lost=3)


def spearman(pairs: Pairs, *, variant: SpearmanVariant = "Bonett-Wright", alpha: float = 0.05) -> Estimate:
    """Spearman's rank correlation (ties: mean ranks).

    Standard error of its z: Fisher 1/√(n − 3); Fieller √(1.03/(n − 3)) (Fieller, Hartley, Pearson 1957,
    as 1.03 over √(n − 3)); Bonett and Wright √(1 + r²/2)/√(n − 3) (Psychometrika 2000;65:23–28).
    """
    used, blank = paired(
        pairs, "spearman", variant, method=f"Spearman rank correlation, {variant}", params={"alpha": alpha}
    )
    missing = _undefined(used, blank)
    if missing is not None:
        return missing
    r = pearson_r(stats.rankdata(used.x), stats.rankdata(used.y))
    variance = {"Fisher z": 1.0, "Fieller": 1.03**2, "Bonett-Wright": 1 + r**2 / 2}[variant]
    return _with_z_limits(r, blank, alpha=alpha, variance=variance, lost=3)


def kendall_tau_b(pairs: Pairs, *, alpha: float = 0.05) -> Estimate:
    """Kendall's tau-b (ties allowed); standard error of its z √(0.437/(n − 4)) (Fieller et al. 1957)."""
    used, blank = paired(
        pairs, "kendall_tau_b", "Fieller", method="Kendall tau-b, Fieller", params={"alpha": alpha}
    )
    missing = _undefined(used, blank)
    if missing is not None:
        return missing
    tau = float(stats.kendalltau(used.x, used.y).statistic)
    return _with_z_limits(tau, blank, alpha=alpha, variance=0.437, lost=4)


def pearson_r(x: Reals, y: Reals) -> float:
    """Pearson's r of two varying series, kept within −1 and 1."""
    a, b = x - np.mean(x), y - np.mean(y)
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1, 1))


def _undefined(used: Pairs, blank: Blank) -> Estimate | None:
    missing = blank.lacking(2, "A correlation")
    if missing is not None:
        return missing
    for name, readings in (("first", used.x), ("second", used.y)):
        if np.ptp(readings) == 0:
            return blank.undefined("zero_variance", f"All readings of the {name} method are equal.")
    return None


def _with_z_limits(r: float, blank: Blank, *, alpha: float, variance: float, lost: int) -> Estimate:
    if blank.n <= lost:
        return blank.without_limits(r, "too_few", too_few(blank.n, need=lost + 1, what="Limits"))
    half = float(stats.norm.ppf(1 - alpha / 2)) * math.sqrt(variance / (blank.n - lost))
    centre = float(np.arctanh(r)) if abs(r) < 1 else math.copysign(math.inf, r)
    return blank.filled(r, math.tanh(centre - half), math.tanh(centre + half))


STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    ("pairs", "pearson", "Fisher z"): entry(pearson, "alpha"),
    ("pairs", "kendall_tau_b", "Fieller"): entry(kendall_tau_b, "alpha"),
    **{
        ("pairs", "spearman", variant): entry(spearman, "alpha", variant=variant)
        for variant in ("Fisher z", "Fieller", "Bonett-Wright")
    },
}
