"""How far each reader reads high or low: the plain mean, and the mean drawn towards nobody being different.

A reader with few cases looks more extreme than he is. The shrunken value is the best linear unbiased
prediction of a random reader effect: the mean times σ²(reader) / (σ²(reader) + σ²(residual) / n).
G. K. Robinson, Statist Sci 6 (1991) 15–32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ki67.stats.forms import Reals

_ROUNDS = 200
_SETTLED = 1e-10


@dataclass(frozen=True)
class ReaderBias:
    """One reader against the mean of all, in the unit of the readings.

    `mean`: the plain effect, `shrunken`: the prediction with its `low` and `high` limits; `n`: cases read.
    The limits take the variances as known and speak about these readers.
    """

    reader: str
    mean: float
    shrunken: float
    low: float
    high: float
    n: int


def reader_bias(values: Reals, readers: Sequence[str], *, alpha: float = 0.05) -> tuple[ReaderBias, ...]:
    """The effect of each reader; `values`: cases × readers, NaN where a case was not read.

    Cases and readers are additive: value = case + reader + residual. The case and reader effects are the
    least squares ones; the variances are those of the two-way analysis (negative: 0). Empty where fewer than
    two readers or two cases leave nothing to tell a reader from his cases. A reader without a reading is
    left out.
    """
    read = np.asarray(np.isfinite(values).any(axis=0))
    names = [name for name, has in zip(readers, read, strict=True) if has]
    cells = values[:, read]
    cells = cells[np.isfinite(cells).sum(axis=1) > 1]
    there = np.isfinite(cells)
    if len(names) < 2 or len(cells) < 2 or not there.any(axis=0).all():
        return ()
    effects, residuals = _additive(cells, there)
    n = there.sum(axis=0)
    freedom = max(1, int(there.sum()) - len(cells) - len(names) + 1)
    residual = float((residuals[there] ** 2).sum()) / freedom
    between = max(0.0, float(effects.var(ddof=1)) - residual * float((1 / n).mean()))
    weight = between / (between + residual / n) if between > 0 else np.zeros(len(names))
    half = stats.norm.ppf(1 - alpha / 2) * np.sqrt(between * (1 - weight))
    return tuple(
        ReaderBias(
            name, float(effect), float(w * effect), float(w * effect - h), float(w * effect + h), int(k)
        )
        for name, effect, w, h, k in zip(names, effects, weight, half, n, strict=True)
    )


def _additive(cells: Reals, there: np.ndarray) -> tuple[Reals, Reals]:
    """Reader effects (mean 0) and residuals of the additive fit, by turns until they settle."""
    filled = np.where(there, cells, 0.0)
    reader = np.zeros(cells.shape[1])
    case = np.zeros(len(cells))
    for _ in range(_ROUNDS):
        case = np.where(there, filled - reader, 0.0).sum(axis=1) / there.sum(axis=1)
        new = np.where(there, filled - case[:, None], 0.0).sum(axis=0) / there.sum(axis=0)
        new -= new.mean()
        moved = float(np.abs(new - reader).max())
        reader = new
        if moved < _SETTLED:
            break
    return reader, np.asarray(np.where(there, filled - case[:, None] - reader, 0.0))
