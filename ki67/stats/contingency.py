"""Two readers at a cut-off: positive and negative agreement, who is higher, and who moves to another class.

Two readers, cases that both read. With more than two classes, `positive_from` names the class from which
on a reading counts as positive (the highest class unless said otherwise), so that each border can be
asked for. The first reader is the reference of PPA and NPA.

All limits keep these two readers. Coverage of the 95 % limits (`python -m bench.coverage_classes`, panel and
algorithm at 30 %, 20 cases, 2,000 draws): 98.9-99.1 %, exact limits and Newcombe's alike conservative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special, stats

from ki67.stats.coding import (
    DEFAULT_ALPHA,
    ClassData,
    Codes,
    alpha_of,
    duplicate_message,
    params_of,
)
from ki67.stats.crosstab import Fourfold, coded_pair, cross_counts, fourfold, reclassification
from ki67.stats.estimate import Estimate, Form, ParamValue, Reason

_SHARE_METHOD = "Clopper-Pearson limits; n cases read by both"


def clopper_pearson(count: int, n: int, *, alpha: float = DEFAULT_ALPHA) -> tuple[float, float]:
    """Exact limits of a share count / n, a fraction 0-1, n > 0.

    C. J. Clopper & E. S. Pearson, Biometrika 26 (1934) 404-413. Covers at least 1 - alpha.
    """
    low = float(special.betaincinv(count, n - count + 1, alpha / 2)) if count else 0.0
    high = float(special.betaincinv(count + 1, n - count, 1 - alpha / 2)) if count < n else 1.0
    return low, high


def agreement_share(
    data: ClassData, statistic: str, *, positive_from: str | None = None, alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """A share of agreement of two readers with exact limits, variant "exact" (fractions 0-1).

    `opa`: same side of the border; `ppa`: of the first reader's positive cases those positive for the
    second; `npa`: of the negative ones. `positive_agreement`: 2a / (2a + b + c), `negative_agreement`:
    2d / (2d + b + c) (D. V. Cicchetti & A. R. Feinstein, J Clin Epidemiol 43 (1990) 551-558), neither
    reader the reference; as 2p / (1 + p) of p = a / (a + b + c), whose Clopper-Pearson limits carry over.
    Undefined (no_pairs, or too_few when the denominator is 0). Exact limits cover at least 1 - alpha.
    """
    codes = coded_pair(data)
    cells = fourfold(codes, positive_from=positive_from)
    agree, of, doubled = _SHARES[statistic](cells)
    end = _End(codes, cells.n, alpha, positive_from)
    if (sorry := end.unusable(statistic, "exact", _SHARE_METHOD)) is not None:
        return sorry
    if of == 0:
        return end.undefined(
            statistic,
            "exact",
            _SHARE_METHOD,
            reason="too_few",
            message="No case is there to take a share of.",
        )
    low, high = clopper_pearson(agree, of, alpha=alpha)
    value, low, high = (2 * p / (1 + p) if doubled else p for p in (agree / of, low, high))
    return end.filled(statistic, "exact", _SHARE_METHOD, value=value, low=low, high=high)


def mcnemar(
    data: ClassData, *, variant: str = "exact", positive_from: str | None = None, alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """`mcnemar_p`: two-sided p that both readers call positive equally often, "exact" or "mid-p".

    Q. McNemar, Psychometrika 12 (1947) 153-157; mid-p: M. W. Fagerland, S. Lydersen & P. Laake, BMC Med
    Res Methodol 13 (2013) 91. Binomial over the cases on which they differ; 1 when there are none.
    """
    codes = coded_pair(data)
    cells = fourfold(codes, positive_from=positive_from)
    end = _End(codes, cells.n, alpha, positive_from)
    method = "binomial over the cases on which the two differ; n cases read by both"
    if (sorry := end.unusable("mcnemar_p", variant, method)) is not None:
        return sorry
    differing = cells.first_only + cells.second_only
    fewer = min(cells.first_only, cells.second_only)
    tail = float(stats.binom.cdf(fewer, differing, 0.5))
    p = min(1.0, 2 * tail)
    if variant == "mid-p":
        p = 2 * tail - float(stats.binom.pmf(fewer, differing, 0.5))
        p = min(1.0, p)
    return end.filled("mcnemar_p", variant, method, value=p)


def positive_share_difference(
    data: ClassData, *, positive_from: str | None = None, alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """Share positive for the second reader minus that for the first, a fraction, variant "Newcombe".

    Limits: method 10 of R. G. Newcombe, Stat Med 17 (1998) 2635-2650: Wilson limits of both shares,
    squared and added with their correlation.
    """
    codes = coded_pair(data)
    cells = fourfold(codes, positive_from=positive_from)
    end = _End(codes, cells.n, alpha, positive_from)
    name, variant, method = (
        "positive_share_difference",
        "Newcombe",
        "Newcombe's method 10; n cases read by both",
    )
    if (sorry := end.unusable(name, variant, method)) is not None:
        return sorry
    value = (cells.second_only - cells.first_only) / cells.n
    low, high = _newcombe(cells, alpha)
    return end.filled(name, variant, method, value=value, low=low, high=high)


def stuart_maxwell(
    data: ClassData, *, statistic: str = "stuart_maxwell_p", alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """Whether two readers use the classes equally often: `stuart_maxwell_chi2` and its p (`_p`), "plain".

    A. Stuart, Biometrika 42 (1955) 412-416; A. E. Maxwell, Br J Psychiatry 116 (1970) 651-655. Degrees of
    freedom: the rank of the covariance, so a class that neither uses does not count. Undefined
    (zero_variance) when no case is in different classes.
    """
    codes = coded_pair(data)
    table = cross_counts(codes)
    end = _End(codes, int(table.sum()), alpha, None)
    method = "chi-square of the marginal differences; n cases read by both"
    if (sorry := end.unusable(statistic, "plain", method)) is not None:
        return sorry
    difference = table.sum(axis=1) - table.sum(axis=0)
    covariance = -(table + table.T)
    np.fill_diagonal(covariance, table.sum(axis=1) + table.sum(axis=0) - 2 * np.diag(table))
    rank = int(np.linalg.matrix_rank(covariance))
    if rank == 0:
        return end.undefined(
            statistic,
            "plain",
            method,
            reason="zero_variance",
            message="Both readers put every case into the same class: there is nothing to test.",
        )
    chi2 = float(difference @ np.linalg.pinv(covariance, hermitian=True) @ difference)
    value = chi2 if statistic == "stuart_maxwell_chi2" else float(stats.chi2.sf(chi2, rank))
    return end.filled(statistic, "plain", method, value=value, more={"df": rank})


def reclassified_share(
    data: ClassData, statistic: str = "reclassified", *, alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """Share of cases in another class for the second reader, with exact limits, variant "exact".

    `reclassified`: any other class; `reclassified_up`, `reclassified_down`: a higher, a lower one.
    """
    codes = coded_pair(data)
    end = _End(codes, len(codes.complete().matrix), alpha, None)
    if (sorry := end.unusable(statistic, "exact", _SHARE_METHOD)) is not None:
        return sorry
    table = reclassification(codes)
    moved = {
        "reclassified": table.moved_up + table.moved_down,
        "reclassified_up": table.moved_up,
        "reclassified_down": table.moved_down,
    }[statistic]
    low, high = clopper_pearson(moved, table.n, alpha=alpha)
    return end.filled(statistic, "exact", _SHARE_METHOD, value=moved / table.n, low=low, high=high)


@dataclass(frozen=True)
class _End:
    """How an estimate on two readers ends: with a number, or with a reason."""

    codes: Codes
    n: int
    alpha: float
    positive_from: str | None

    def unusable(self, statistic: str, variant: str, method: str) -> Estimate | None:
        """The undefined estimate when a case was read twice or no case by both; None when usable."""
        if self.codes.duplicate is not None:
            return self.undefined(
                statistic, variant, method, reason="duplicate_key", message=duplicate_message(self.codes)
            )
        if self.n == 0:
            return self.undefined(
                statistic, variant, method, reason="no_pairs", message="No case was read by both readers."
            )
        return None

    def undefined(
        self, statistic: str, variant: str, method: str, *, reason: Reason, message: str
    ) -> Estimate:
        return self._estimate(statistic, variant, method, (None, None, None), reason, message, {})

    def filled(
        self,
        statistic: str,
        variant: str,
        method: str,
        *,
        value: float,
        low: float | None = None,
        high: float | None = None,
        more: Mapping[str, ParamValue] | None = None,
    ) -> Estimate:
        return self._estimate(statistic, variant, method, (value, low, high), None, "", more or {})

    def _estimate(
        self,
        statistic: str,
        variant: str,
        method: str,
        numbers: tuple[float | None, float | None, float | None],
        reason: Reason | None,
        message: str,
        more: Mapping[str, ParamValue],
    ) -> Estimate:
        border = {"positive_from": self.positive_from} if self.positive_from is not None else {}
        return Estimate(
            statistic=statistic,
            variant=variant,
            form=self.codes.form,
            value=numbers[0],
            ci_low=numbers[1],
            ci_high=numbers[2],
            n=self.n,
            method=method,
            reason=reason,
            message=message,
            excluded=len(self.codes.matrix) - self.n,
            params=params_of(self.codes, self.alpha, border | dict(more)),
            readers=(self.codes.readers[0], self.codes.readers[1]),
            target="these readers" if numbers[1] is not None else None,
        )


_SHARES: Mapping[str, Callable[[Fourfold], tuple[int, int, bool]]] = {
    "opa": lambda cells: (cells.both + cells.neither, cells.n, False),
    "ppa": lambda cells: (cells.both, cells.both + cells.first_only, False),
    "npa": lambda cells: (cells.neither, cells.neither + cells.second_only, False),
    "positive_agreement": lambda cells: (cells.both, cells.n - cells.neither, True),
    "negative_agreement": lambda cells: (cells.neither, cells.n - cells.both, True),
}


def _newcombe(cells: Fourfold, alpha: float) -> tuple[float, float]:
    """Method 10: the limits of both shares, combined with phi, the correlation of the two readers."""
    n = cells.n
    first, second = cells.both + cells.first_only, cells.both + cells.second_only
    low_1, high_1 = _wilson(first, n, alpha)
    low_2, high_2 = _wilson(second, n, alpha)
    p1, p2 = first / n, second / n
    product = first * (n - first) * second * (n - second)
    crossed = float(cells.both * cells.neither - cells.first_only * cells.second_only)
    if crossed > 0:
        crossed = max(0.0, crossed - n / 2)
    phi = crossed / math.sqrt(product) if product else 0.0
    below = (p2 - low_2) ** 2 - 2 * phi * (p2 - low_2) * (high_1 - p1) + (high_1 - p1) ** 2
    above = (high_2 - p2) ** 2 - 2 * phi * (high_2 - p2) * (p1 - low_1) + (p1 - low_1) ** 2
    return p2 - p1 - math.sqrt(max(0.0, below)), p2 - p1 + math.sqrt(max(0.0, above))


def _wilson(count: int, n: int, alpha: float) -> tuple[float, float]:
    interval = stats.binomtest(count, n).proportion_ci(1 - alpha, method="wilson")
    return float(interval.low), float(interval.high)


def _of(
    data: ClassData,
    params: Mapping[str, ParamValue],
    *,
    function: Callable[..., Estimate],
    border: bool,
    **named: str,
) -> Estimate:
    asked = params.get("positive_from")
    if border and asked is not None:
        return function(data, alpha=alpha_of(params), positive_from=str(asked), **named)
    return function(data, alpha=alpha_of(params), **named)


def _table() -> dict[tuple[Form, str, str], Callable[..., Estimate]]:
    forms: tuple[Form, ...] = ("categories", "table")
    found: dict[tuple[Form, str, str], Callable[..., Estimate]] = {}
    for form in forms:
        for name in _SHARES:
            found[form, name, "exact"] = partial(_of, function=agreement_share, border=True, statistic=name)
        for variant in ("exact", "mid-p"):
            found[form, "mcnemar_p", variant] = partial(_of, function=mcnemar, border=True, variant=variant)
        found[form, "positive_share_difference", "Newcombe"] = partial(
            _of, function=positive_share_difference, border=True
        )
        for name in ("stuart_maxwell_p", "stuart_maxwell_chi2"):
            found[form, name, "plain"] = partial(_of, function=stuart_maxwell, border=False, statistic=name)
        for name in ("reclassified", "reclassified_up", "reclassified_down"):
            found[form, name, "exact"] = partial(
                _of, function=reclassified_share, border=False, statistic=name
            )
    return found


STATISTICS = _table()
