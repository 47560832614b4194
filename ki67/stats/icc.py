"""Intraclass correlation coefficients: which share of the spread of readings lies between the cases.

One reading per case and reader. (1,·): each case read by other readers, one-way; (2,·): readers random,
absolute agreement; (3,·): these readers, consistency; (·,1): a single reading, (·,k): the mean of k readers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, cast

from scipy import special

from ki67.stats.anova import (
    MeanSquares,
    Readable,
    Transform,
    as_transform,
    complete_matrix,
    form_of,
    mean_squares,
    scaled_variant,
    transform_params,
    undefined,
)
from ki67.stats.estimate import Estimate, Form, ParamValue, Reason, Target
from ki67.stats.undefined import Undefined

IccName = Literal["ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)"]
ICC_NAMES: tuple[IccName, ...] = ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)")
_TARGETS: Mapping[str, Target] = {"1": "reader population", "2": "reader population", "3": "these readers"}
_METHODS: Mapping[str, str] = {
    "1": "one-way random effects",
    "2": "two-way random effects, absolute agreement",
    "3": "two-way mixed effects, consistency",
}


def icc(data: Readable, name: IccName, *, transform: Transform = "none", alpha: float = 0.05) -> Estimate:
    """One ICC with its F limits, untruncated (an ICC may be negative); n: cases with every reader.

    P. E. Shrout & J. L. Fleiss, Psychol Bull 86 (1979) 420-428; limits of ICC(2,1): K. O. McGraw &
    S. P. Wong, Psychol Methods 1 (1996) 30-46 (Satterthwaite's degrees of freedom); those of ICC(2,k) are
    its Spearman-Brown images. Varying readings in perfect agreement give 1 with limits of 1; 0/0 is
    undefined (zero_variance).
    """
    scope, single = name[4], name.endswith("1)")
    unit = "single reading" if single else "mean of the readers"
    method = f"{_METHODS[scope]}, {unit}, F limits; n cases"
    variant = scaled_variant("F", transform)
    params: dict[str, ParamValue] = {"alpha": alpha, **transform_params(transform)}
    try:
        matrix = complete_matrix(data, transform=transform)
        squares = mean_squares(matrix.values)
        value = icc_value(squares, name)
    except Undefined as why:
        return undefined(name, variant, data, why=why, method=method, params=params)
    low, high = _f_limits(squares, name, alpha=alpha)
    reason: Reason | None = None if low is not None else "out_of_range"
    return Estimate(
        name,
        variant,
        form_of(data),
        value,
        low,
        high,
        len(matrix.cases),
        method,
        reason,
        "" if reason is None else f"The F limits of {name} do not exist on these readings.",
        excluded=len(matrix.left_out),
        params=params,
        target=_TARGETS[scope] if low is not None else None,
    )


def every_icc(data: Readable, *, transform: Transform = "none", alpha: float = 0.05) -> tuple[Estimate, ...]:
    """The six ICCs on one scale."""
    return tuple(icc(data, name, transform=transform, alpha=alpha) for name in ICC_NAMES)


def icc_value(squares: MeanSquares, name: IccName) -> float:
    """An ICC from mean squares; Undefined (zero_variance) where its formula is 0/0."""
    k, n = squares.k, squares.n
    cases, readers = float(squares.cases), float(squares.readers)
    error, within = float(squares.error), float(squares.within)
    parts = {
        "ICC(1,1)": (cases - within, cases + (k - 1) * within),
        "ICC(2,1)": (cases - error, cases + (k - 1) * error + k * (readers - error) / n),
        "ICC(3,1)": (cases - error, cases + (k - 1) * error),
        "ICC(1,k)": (cases - within, cases),
        "ICC(2,k)": (cases - error, cases + (readers - error) / n),
        "ICC(3,k)": (cases - error, cases),
    }
    above, below = parts[name]
    if below == 0:
        raise Undefined("zero_variance", f"The cases do not differ, so {name} divides by 0.")
    return above / below


def _f_limits(
    squares: MeanSquares, name: IccName, *, alpha: float
) -> tuple[float, float] | tuple[None, None]:
    """Lower and upper limit, confidence 1 − alpha; None where Satterthwaite's degrees of
    freedom do not exist."""
    k = squares.k
    if name[4] == "2":
        try:
            low, high = _two_way_limits(squares, alpha=alpha)
        except Undefined:  # ICC(2,k) may exist where ICC(2,1) does not
            return None, None
        if not math.isfinite(low + high) or (name == "ICC(2,k)" and 1 + (k - 1) * min(low, high) == 0):
            return None, None
        if name == "ICC(2,1)":
            return low, high
        return _spearman_brown(low, k), _spearman_brown(high, k)
    noise = squares.within if name[4] == "1" else squares.error
    low_ratio, high_ratio = _f_ratio_limits(squares, float(noise), one_way=name[4] == "1", alpha=alpha)
    if name.endswith("1)"):
        return _of_ratio(low_ratio, k), _of_ratio(high_ratio, k)
    return _of_ratio(low_ratio, 1), _of_ratio(high_ratio, 1)


def _f_ratio_limits(
    squares: MeanSquares, noise: float, *, one_way: bool, alpha: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of case mean square / noise, each as (numerator, denominator): noise may be 0."""
    n, k = squares.n, squares.k
    df_noise = n * (k - 1) if one_way else (n - 1) * (k - 1)
    low = special.fdtri(n - 1, df_noise, 1 - alpha / 2)
    high = special.fdtri(df_noise, n - 1, 1 - alpha / 2)
    cases = float(squares.cases)
    return (cases, noise * float(low)), (cases * float(high), noise)


def _of_ratio(ratio: tuple[float, float], k: int) -> float:
    """(F − 1)/(F + k − 1); with k = 1 it is 1 − 1/F."""
    above, below = ratio
    return (above - below) / (above + (k - 1) * below)


def _two_way_limits(squares: MeanSquares, *, alpha: float) -> tuple[float, float]:
    """McGraw & Wong 1996, table 7, case 2A; multiplied by n(1 − ρ), so that perfect agreement is no 0/0."""
    n, k = squares.n, squares.k
    cases, readers, error = float(squares.cases), float(squares.readers), float(squares.error)
    rho = icc_value(squares, "ICC(2,1)")
    of_readers = k * rho * readers
    of_error = (n * (1 - rho) + k * rho * (n - 1)) * error
    spread = of_readers**2 / (k - 1) + of_error**2 / ((n - 1) * (k - 1))
    df = (of_readers + of_error) ** 2 / spread if spread > 0 else (n - 1) * (k - 1)
    low = float(special.fdtri(n - 1, df, 1 - alpha / 2))
    high = float(special.fdtri(df, n - 1, 1 - alpha / 2))
    noise = k * readers + (k * n - k - n) * error
    lower = n * (cases - low * error) / (low * noise + n * cases)
    upper = n * (high * cases - error) / (noise + n * high * cases)
    return lower, upper


def _spearman_brown(rho: float, k: int) -> float:
    return k * rho / (1 + (k - 1) * rho)


Compute = Callable[[Readable, Mapping[str, ParamValue]], Estimate]


def _statistic(name: IccName) -> Compute:
    def compute(data: Readable, params: Mapping[str, ParamValue]) -> Estimate:
        alpha = cast(float, params.get("alpha", 0.05))
        return icc(data, name, transform=as_transform(params.get("transform")), alpha=alpha)

    return compute


STATISTICS: dict[tuple[Form, str, str], Compute] = {
    (form, name, "F"): _statistic(name)
    for form in cast(tuple[Form, ...], ("pairs", "ratings"))
    for name in ICC_NAMES
}
