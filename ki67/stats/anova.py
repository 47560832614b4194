"""Readings as a case × reader matrix, and its mean squares: what every balanced statistic starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np

from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import Pairs, Ratings, Reals
from ki67.stats.undefined import Undefined

Transform = Literal["none", "log2(x+0.1)", "log2(x+1)"]
TRANSFORMS: tuple[Transform, ...] = get_args(Transform)
_OFFSETS: Mapping[str, float] = {"log2(x+0.1)": 0.1, "log2(x+1)": 1.0}
_ROUNDING = 16 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Matrix:
    """One reading per case and reader: `values` is (cases, readers), NaN where one is missing.

    `left_out` are the cases that were taken out because a reader had not read them.
    """

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    values: Reals
    left_out: tuple[str, ...] = ()


Readable = Pairs | Ratings | Matrix


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of the two-way layout without replication: n cases × k readers.

    `cases` (n − 1 df), `readers` (k − 1), `error` ((n − 1)(k − 1)), `within` (n(k − 1), cases one-way).
    Each is a number, or an array where the matrices came as a stack. Below rounding they are exactly 0.
    """

    n: int
    k: int
    cases: Reals
    readers: Reals
    error: Reals
    within: Reals


def form_of(data: Readable) -> Form:
    """The form's name in an Estimate."""
    return "pairs" if isinstance(data, Pairs) else "ratings"


def as_transform(name: ParamValue) -> Transform:
    """A transform by its name, "none" where None; another name raises ValueError."""
    if name is None:
        return "none"
    if name not in TRANSFORMS:
        raise ValueError(f"transform is one of {', '.join(TRANSFORMS)}, not {name!r}")
    return cast(Transform, name)


def transformed(values: Reals, transform: Transform) -> Reals:
    """Percentages on the scale asked for; Undefined (nonpositive_value) where a logarithm has none."""
    if transform == "none":
        return values
    moved = values + _OFFSETS[transform]
    if np.any(moved <= 0):
        raise Undefined("nonpositive_value", f"{transform} needs readings above {-_OFFSETS[transform]:g}.")
    return np.asarray(np.log2(moved), np.float64)


def first_seen(names: tuple[str, ...]) -> dict[str, int]:
    """Each name's number in the order of its first appearance."""
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def check_keys(data: Ratings, *, with_session: bool) -> None:
    """Undefined (duplicate_key), naming the rows, where a case and reader (session, replicate) come twice."""
    seen: dict[tuple[str, ...], int] = {}
    sessions = data.sessions if with_session and data.sessions else ("1",) * len(data.cases)
    replicates = data.replicates if with_session and data.replicates else ("1",) * len(data.cases)
    keys = zip(data.cases, data.readers, sessions, replicates, strict=True)
    for row, key in enumerate(keys, start=1):
        if key in seen:
            extra = f", session {key[2]}, replicate {key[3]}" if with_session else ""
            both = f"Rows {seen[key]} and {row} both hold case {key[0]}, reader {key[1]}{extra}"
            raise Undefined("duplicate_key", f"{both}: keep one of them.")
        seen[key] = row


def sparse_matrix(data: Readable) -> Matrix:
    """Readings as (cases, readers) with NaN where one is missing; `left_out` is empty.

    A reader without any reading is no reader. Undefined (duplicate_key) where a cell comes twice: several
    sessions are a question for `variance`, or choose one first.
    """
    if isinstance(data, Matrix):
        return data
    if isinstance(data, Pairs):
        return Matrix(data.cases, ("x", "y"), np.column_stack([data.x, data.y]))
    check_keys(data, with_session=False)
    cases, readers = first_seen(data.cases), first_seen(data.readers)
    values = np.full((len(cases), len(readers)), np.nan)
    rows = np.array([cases[name] for name in data.cases], np.intp)
    columns = np.array([readers[name] for name in data.readers], np.intp)
    values[rows, columns] = data.values
    read = np.isfinite(values).any(axis=0)
    kept = tuple(name for name, keep in zip(readers, read.tolist(), strict=True) if keep)
    return Matrix(tuple(cases), kept, values[:, read])


def complete_matrix(data: Readable, *, transform: Transform = "none") -> Matrix:
    """The cases that every reader read, on the scale asked for.

    Undefined: no_pairs (no such case), too_few (fewer than two readers), nonpositive_value, duplicate_key.
    """
    whole = sparse_matrix(data)
    keep = np.isfinite(whole.values).all(axis=1)
    if len(whole.readers) < 2:
        raise Undefined("too_few", "Agreement needs at least two readers.")
    if not keep.any():
        raise Undefined("no_pairs", "No case has a reading of every reader.")
    names = np.array(whole.cases, object)
    values = transformed(whole.values[keep], transform)
    return Matrix(tuple(names[keep]), whole.readers, values, (*whole.left_out, *names[~keep]))


def mean_squares(values: Reals) -> MeanSquares:
    """Mean squares of complete (n, k) readings, or of a stack (…, n, k) of them; n and k at least 2.

    Undefined (too_few) for a single case.
    """
    n, k = values.shape[-2:]
    if n < 2 or k < 2:
        raise Undefined("too_few", "Mean squares need at least two cases and two readers.")
    floor = np.square(_ROUNDING * np.abs(values).max(axis=(-2, -1)))
    centred = values - values.mean(axis=(-2, -1), keepdims=True)
    case, reader = centred.mean(axis=-1), centred.mean(axis=-2)
    error = centred - case[..., :, None] - reader[..., None, :]
    between_cases = k * np.square(case).sum(axis=-1) / (n - 1)
    between_readers = n * np.square(reader).sum(axis=-1) / (k - 1)
    left = np.square(error).sum(axis=(-2, -1))
    within = (left + between_readers * (k - 1)) / (n * (k - 1))
    return MeanSquares(
        n,
        k,
        _above(between_cases, floor * k),
        _above(between_readers, floor * n),
        _above(left / ((n - 1) * (k - 1)), floor),
        _above(within, floor),
    )


def anova_ms(data: Readable, *, which: str = "MSE", transform: Transform = "none") -> Estimate:
    """A mean square of the two-way layout: MSE (residual), MSR (cases), MSC (readers), MSW (within cases).

    P. E. Shrout & J. L. Fleiss, Psychol Bull 86 (1979) 420-428. n: cases used. No limits by definition.
    """
    name = {"MSE": "error", "MSR": "cases", "MSC": "readers", "MSW": "within"}[which]
    params = transform_params(transform)
    method = "mean square of the complete case × reader table"
    try:
        matrix = complete_matrix(data, transform=transform)
        value = float(getattr(mean_squares(matrix.values), name))
    except Undefined as why:
        return undefined("anova_ms", which, data, why=why, method=method, params=params)
    return Estimate(
        "anova_ms",
        which,
        form_of(data),
        value,
        None,
        None,
        len(matrix.cases),
        method,
        excluded=len(matrix.left_out),
        params=params,
    )


def undefined(
    statistic: str,
    variant: str,
    data: Readable,
    *,
    why: Undefined,
    method: str,
    params: Mapping[str, ParamValue],
) -> Estimate:
    """The Estimate of a statistic that does not exist on these readings."""
    cases = len(set(data.cases))
    return Estimate(
        statistic,
        variant,
        form_of(data),
        None,
        None,
        None,
        0,
        method,
        reason=why.reason,
        message=why.message,
        excluded=cases,
        params=params,
    )


def transform_params(transform: Transform) -> dict[str, ParamValue]:
    """`transform` as a param, absent on the raw scale (as the golden rows have it)."""
    return {} if transform == "none" else {"transform": transform}


def scaled_variant(variant: str, transform: Transform) -> str:
    """ "F" on the raw scale, "F, log2(x+0.1)" on a logarithmic one."""
    return variant if transform == "none" else f"{variant}, {transform}"


def _above(value: Reals, floor: Reals) -> Reals:
    """Values at rounding level are 0."""
    return np.where(value > floor, value, 0.0)


Compute = Callable[[Readable, Mapping[str, ParamValue]], Estimate]


def _statistic(which: str) -> Compute:
    return lambda data, params: anova_ms(data, which=which, transform=as_transform(params.get("transform")))


STATISTICS: dict[tuple[Form, str, str], Compute] = {
    (form, "anova_ms", which): _statistic(which)
    for form in cast(tuple[Form, ...], ("pairs", "ratings"))
    for which in ("MSE", "MSR", "MSC", "MSW")
}
