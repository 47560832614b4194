"""How many cases a study needs: for an ICC, for limits of agreement, for a kappa.

Sample sizes are estimates whose `value` is a number of cases, rounded up. The width that a whole study
with its readers will give is simulated in `ki67.stats.simulate_study`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np
from scipy import optimize, special, stats

from ki67.errors import DataError
from ki67.stats.bland_altman import ba_loa_ci_halfwidth_over_sd, pair_factors
from ki67.stats.coding import DEFAULT_ALPHA, number_of
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import Reals
from ki67.stats.kappa import cohen_variance
from ki67.stats.weights import Weighting, agreement_weights

MOST_CASES = 1_000_000
_ROUNDING = 1e-9
_Row = tuple[str, str, str, Callable[[Mapping[str, ParamValue]], float]]


def n_icc_test(
    *, rho1: float, rho0: float, k: int, alpha: float = DEFAULT_ALPHA, power: float = 0.8, sides: int = 1
) -> int:
    """Cases with k readings each for the test that an ICC exceeds `rho0` when it is `rho1`.

    S. D. Walter, M. Eliasziw & A. Donner, Stat Med 17 (1998) 101-110, equation for one-way ICCs by
    variance-ratio test: 1 + 2 (z_alpha + z_beta)² k / ((ln C0)² (k - 1)). Two-sided: alpha / 2.
    Raises DataError unless 0 <= rho0 < rho1 < 1 and k >= 2.
    """
    _check(0 <= rho0 < rho1 < 1, "The ICC to show lies between the ICC to exceed (0 or more) and 1.")
    _check(k >= 2, "A case needs at least two readings.")
    z = float(stats.norm.ppf(1 - _probability(alpha, "alpha") / sides) + stats.norm.ppf(_probability(power)))
    ratio = (1 + k * rho0 / (1 - rho0)) / (1 + k * rho1 / (1 - rho1))
    return _up(1 + 2 * z**2 * k / (math.log(ratio) ** 2 * (k - 1)))


def n_icc_width(*, rho: float, k: int, ci_full_width: float, alpha: float = DEFAULT_ALPHA) -> int:
    """Cases with k readings each for an interval of an ICC of `ci_full_width` from limit to limit.

    D. G. Bonett, Stat Med 21 (2002) 1331-1335, equation 3; with his + 5 rho for k = 2, rho >= 0.7.
    """
    _check(0 <= rho < 1, "An ICC to plan with lies between 0 and 1.")
    _check(k >= 2, "A case needs at least two readings.")
    _check(0 < ci_full_width < 2, "The width of the interval lies between 0 and 2.")
    z = float(stats.norm.ppf(1 - _probability(alpha, "alpha") / 2))
    wanted = 8 * z**2 * (1 - rho) ** 2 * (1 + (k - 1) * rho) ** 2 / (k * (k - 1) * ci_full_width**2) + 1
    return _up(wanted + (5 * rho if k == 2 and rho >= 0.7 else 0))


def power_ba_limits(
    n: int, *, mu: float, sd: float, delta: float, alpha: float = DEFAULT_ALPHA, coverage: float = 0.95
) -> float:
    """Chance that the ba1999 intervals of both limits of agreement lie within ± `delta`, with n pairs.

    M.-J. Lu et al., Int J Biostat 12 (2016) 20150039: 1 - (beta1 + beta2) by noncentral t.
    """
    z = float(stats.norm.ppf((1 + coverage) / 2))
    error = sd * math.sqrt(1 / n + z * z / (2 * (n - 1)))
    t = float(stats.t.ppf(1 - alpha / 2, n - 1))
    missed = sum(float(stats.nct.cdf(t, n - 1, (delta - sign * mu - z * sd) / error)) for sign in (1, -1))
    return max(0.0, 1 - missed)


def n_ba_limits(
    *,
    mu: float,
    sd: float,
    delta: float,
    power: float = 0.8,
    alpha: float = DEFAULT_ALPHA,
    coverage: float = 0.95,
) -> int:
    """Fewest pairs with which `power_ba_limits` reaches `power` (Lu et al. 2016).

    Raises DataError when the limits themselves leave ± `delta`: then no number of cases is enough.
    """
    z = float(stats.norm.ppf((1 + coverage) / 2))
    _check_room(mu, sd, delta, reach=z)
    chance = partial(power_ba_limits, mu=mu, sd=sd, delta=delta, alpha=alpha, coverage=coverage)
    return _fewest(chance, _probability(power))


def power_ba_exact(
    n: int, *, mu: float, sd: float, delta: float, alpha: float = DEFAULT_ALPHA, p0: float = 0.95
) -> float:
    """Power of the exact test that the central share `p0` of the differences lies within ± `delta`.

    G. Shieh, BMC Med Res Methodol 20 (2020) 9 (first online 2019): reject when mean ± g·s/√n lies within
    ± delta; g gives size alpha at mean 0 with delta = sd times the normal quantile of (1 + p0) / 2.
    """
    border = float(stats.norm.ppf((1 + p0) / 2))
    factor = _exact_factor(n, border, alpha)
    return _within(n, factor, delta / sd, mu / sd)


def n_ba_exact(
    *,
    mu: float,
    sd: float,
    delta: float,
    power: float = 0.8,
    alpha: float = DEFAULT_ALPHA,
    p0: float = 0.95,
) -> int:
    """Fewest pairs with which `power_ba_exact` reaches `power`; DataError when no number is enough."""
    _check_room(mu, sd, delta, reach=float(stats.norm.ppf((1 + p0) / 2)))
    chance = partial(power_ba_exact, mu=mu, sd=sd, delta=delta, alpha=alpha, p0=p0)
    return _fewest(chance, _probability(power))


def n_kappa_width(
    *,
    kappa: float,
    shares: Sequence[float],
    ci_full_width: float,
    alpha: float = DEFAULT_ALPHA,
    weighting: Weighting = "unweighted",
) -> int:
    """Cases read by two readers for an interval of Cohen's kappa of `ci_full_width` from limit to limit.

    `shares` of the classes sum to 1 and are alike for both readers, who agree beyond chance in the same
    measure in every class: p_ij = kappa [i = j] p_i + (1 - kappa) p_i p_j. The variance is that of Fleiss,
    Cohen & Everitt (1969), the one the kappa of the study will have.
    """
    _check(0 <= kappa < 1, "A kappa to plan with lies between 0 and 1.")
    _check(0 < ci_full_width < 2, "The width of the interval lies between 0 and 2.")
    variance = cohen_variance(_joint(kappa, shares), agreement_weights(weighting, len(shares)))
    z = float(stats.norm.ppf(1 - _probability(alpha, "alpha") / 2))
    return _up((2 * z / ci_full_width) ** 2 * variance)


def n_kappa_test(
    *,
    kappa1: float,
    kappa0: float,
    share: float,
    alpha: float = DEFAULT_ALPHA,
    power: float = 0.8,
) -> int:
    """Cases of two readers and two classes for the two-sided test of `kappa0` when kappa is `kappa1`.

    A. Donner & M. Eliasziw, Stat Med 11 (1992) 1511-1519: goodness of fit of both positive, one positive,
    none positive, noncentral chi-square with 1 df; `share` is the share of positive readings, 0-1.
    """
    _check(0 <= kappa0 < 1 and 0 <= kappa1 < 1 and kappa0 != kappa1, "The two kappas lie in 0-1 and differ.")
    _check(0 < share < 1, "The share of positive readings lies between 0 and 1.")
    expected, true = (_common_correlation(kappa, share) for kappa in (kappa0, kappa1))
    distance = float(((true - expected) ** 2 / expected).sum())
    return _up(_noncentrality(_probability(alpha, "alpha"), _probability(power)) / distance)


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise DataError(sentence)


def _probability(value: float, name: str = "The power") -> float:
    _check(0 < value < 1, f"{name} lies between 0 and 1.")
    return value


def _check_room(mu: float, sd: float, delta: float, *, reach: float) -> None:
    _check(sd > 0, "The SD of the differences is above 0.")
    _check(
        abs(mu) + reach * sd < delta,
        f"With a mean difference of {mu:g} and an SD of {sd:g} the limits reach beyond ± {delta:g}: "
        "no number of cases is enough.",
    )


def _up(cases: float) -> int:
    """The next whole number; a value that is whole but for rounding stays."""
    return math.ceil(cases - _ROUNDING)


def _fewest(power_of: Callable[[int], float], power: float) -> int:
    """The smallest n >= 2 whose power reaches `power`, the power growing with n."""
    low, high = 1, 2
    while power_of(high) < power:
        low, high = high, 2 * high
        _check(high <= MOST_CASES, f"More than {MOST_CASES:,} cases would be needed: widen the limits.")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def _within(n: int, factor: float, delta: float, mu: float) -> float:
    """P(mean ± factor · s / √n within ± delta), for SD 1 and mean mu, by Gauss-Legendre quadrature over s."""
    df, root = n - 1, math.sqrt(n)
    reach = 9 / math.sqrt(2 * df)  # beyond it the density of s is below rounding
    low, high = max(0.0, 1 - reach), min(1 + reach, delta * root / factor)
    if high <= low:
        return 0.0
    nodes, weights = _quadrature()
    s = low + (high - low) * (nodes + 1) / 2
    constant = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)
    density = np.exp(constant + (df - 1) * np.log(s) - df * s**2 / 2)
    room = delta * root - factor * s
    inside = special.ndtr(room - mu * root) - special.ndtr(-room - mu * root)
    return float((weights * density) @ inside) * (high - low) / 2


@cache
def _quadrature() -> tuple[Reals, Reals]:
    return np.polynomial.legendre.leggauss(120)


def _exact_factor(n: int, border: float, alpha: float) -> float:
    """The g with which the exact test has size `alpha` when the central share ends at ± `border` SDs."""
    start = math.log(border * math.sqrt(n))

    def surplus(log_factor: float) -> float:
        return _within(n, math.exp(log_factor), border, 0.0) - alpha

    return math.exp(float(optimize.brentq(surplus, start - 10, start + 20, xtol=1e-12)))


def _joint(kappa: float, shares: Sequence[float]) -> Reals:
    """The table of two readers with these shares and this kappa in every class."""
    p = np.array(shares, float)
    sound = p.ndim == 1 and len(p) >= 2 and bool((p > 0).all()) and abs(float(p.sum()) - 1) < 1e-6
    _check(sound, "The shares of the classes are above 0 and sum to 1.")
    return np.asarray(kappa * np.diag(p) + (1 - kappa) * np.outer(p, p), float)


def _common_correlation(kappa: float, share: float) -> Reals:
    """Both positive, one positive, none positive."""
    spread = share * (1 - share)
    return np.array(
        [share**2 + kappa * spread, 2 * spread * (1 - kappa), (1 - share) ** 2 + kappa * spread], float
    )


def _noncentrality(alpha: float, power: float) -> float:
    """The noncentrality with which chi-square with 1 df reaches its critical value with this power."""
    critical = float(stats.chi2.isf(alpha, 1))
    return float(optimize.brentq(lambda nc: stats.ncx2.sf(critical, 1, nc) - power, 1e-9, 1e4))


def _estimate(_: object, params: Mapping[str, ParamValue], *, row: _Row) -> Estimate:
    statistic, variant, method, compute = row
    return Estimate(
        statistic=statistic,
        variant=variant,
        form="none",
        value=float(compute(params)),
        ci_low=None,
        ci_high=None,
        n=0,
        method=method,
        params=dict(params),
    )


def _numbers(params: Mapping[str, ParamValue], *names: str) -> dict[str, float]:
    """Those of `names` that the params give, as numbers."""
    return {name: number_of(params, name) for name in names if name in params}


def _icc_test(params: Mapping[str, ParamValue], *, sides: int) -> int:
    given = _numbers(params, "rho1", "rho0", "alpha", "power")
    return n_icc_test(**given, k=int(number_of(params, "k")), sides=sides)


def _icc_width(params: Mapping[str, ParamValue]) -> int:
    return n_icc_width(**_numbers(params, "rho", "ci_full_width", "alpha"), k=int(number_of(params, "k")))


def _power_exact(params: Mapping[str, ParamValue]) -> float:
    given = _numbers(params, "mu", "sd", "delta", "alpha", "p0")
    return power_ba_exact(int(number_of(params, "n")), **given)


def _power_limits(params: Mapping[str, ParamValue]) -> float:
    given = _numbers(params, "mu", "sd", "delta", "alpha", "coverage")
    return power_ba_limits(int(number_of(params, "n")), **given)


def _kappa_width(params: Mapping[str, ParamValue], *, weighting: Weighting) -> int:
    shares = params.get("shares")
    if not isinstance(shares, tuple):
        raise DataError("The parameter shares is missing: give the share of every class.")
    given = _numbers(params, "kappa", "ci_full_width", "alpha")
    return n_kappa_width(**given, shares=tuple(map(float, shares)), weighting=weighting)


def _halfwidth(params: Mapping[str, ParamValue]) -> float:
    n = int(number_of(params, "n"))
    return ba_loa_ci_halfwidth_over_sd(n, **_numbers(params, "coverage", "alpha"))


def _pair_factor(params: Mapping[str, ParamValue], *, outer: bool) -> float:
    n = int(number_of(params, "n"))
    return pair_factors(n, **_numbers(params, "coverage", "alpha"))[outer]


_BA = ("mu", "sd", "delta", "power", "alpha")
_ROWS: tuple[_Row, ...] = (
    ("n_icc_walter1998_test", "one-sided", "Walter, Eliasziw & Donner 1998", partial(_icc_test, sides=1)),
    ("n_icc_walter1998_test", "two-sided", "Walter, Eliasziw & Donner 1998", partial(_icc_test, sides=2)),
    ("n_icc_bonett2002", "plain", "Bonett 2002, width of the interval", _icc_width),
    (
        "n_ba_lu2016",
        "plain",
        "Lu et al. 2016, both limits by noncentral t",
        lambda params: n_ba_limits(**_numbers(params, *_BA, "coverage")),
    ),
    ("power_ba_lu2016", "plain", "Lu et al. 2016, both limits by noncentral t", _power_limits),
    (
        "n_ba_shieh2019_exact",
        "plain",
        "Shieh 2019, exact test of the central share",
        lambda params: n_ba_exact(**_numbers(params, *_BA, "p0")),
    ),
    ("power_ba_shieh2019_exact", "plain", "Shieh 2019, exact test of the central share", _power_exact),
    ("ba_loa_ci_halfwidth_over_sd", "ba1999", "half the ba1999 interval of a limit, in SDs", _halfwidth),
    ("ba_pair_k_outer", "exact pair", "tolerance factor, Carkeet 2015", partial(_pair_factor, outer=True)),
    ("ba_pair_k_inner", "exact pair", "tolerance factor, Carkeet 2015", partial(_pair_factor, outer=False)),
    *(
        (
            "n_kappa_fce1969",
            weighting,
            "width of the interval, Fleiss, Cohen & Everitt 1969",
            partial(_kappa_width, weighting=weighting),
        )
        for weighting in ("unweighted", "linear weights", "quadratic weights")
    ),
    (
        "n_kappa_donner1992_test",
        "two-sided",
        "Donner & Eliasziw 1992, goodness of fit, two classes",
        lambda params: n_kappa_test(**_numbers(params, "kappa1", "kappa0", "share", "alpha", "power")),
    ),
)
STATISTICS: dict[tuple[Form, str, str], Callable[[object, Mapping[str, ParamValue]], Estimate]] = {
    ("none", row[0], row[1]): partial(_estimate, row=row) for row in _ROWS
}
