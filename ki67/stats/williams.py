"""Williams' index: does the algorithm agree with the readers as well as they agree with each other?

With D the mean absolute difference of two over the cases: the mean of 1/D(algorithm, reader) over readers,
divided by the mean of 1/D(reader, reader') over their pairs. Above 1 the algorithm agrees better with the
readers than they do with each other. Williams GW. Biometrics 1976;32:619–627; for measurements and with the
jackknife: Chalana V, Kim Y. IEEE Trans Med Imaging 1997;16:642–652.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from ki67.stats.blank import Blank, Compute, entry
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import AlgorithmAndReaders, Reals
from ki67.stats.panel_table import RAW, PanelTable, pair_sums, tabulate
from ki67.stats.resampling import Statistic, jackknife, t_limits
from ki67.stats.undefined import Undefined

Variant = Literal["jackknife", "two-way jackknife"]
FORM: Form = "algorithm_and_readers"


def williams_index(
    data: AlgorithmAndReaders | PanelTable,
    *,
    variant: Variant = "two-way jackknife",
    alpha: float = 0.05,
    transform: str = RAW,
    patients: Mapping[str, str] | None = None,
) -> Estimate:
    """The index with t limits: `jackknife` for these readers, `two-way jackknife` for the population.

    Undefined: too_few with one reader or pairs that share no case; zero_variance when two of them agree in
    every case (1/0). One case, or two readers for the two-way limits: a value without limits.

    Measured coverage of the two-way limits for the reader population (log scale, 20 cases × 5 readers and
    50 × 10): 97–98 % (conservative).
    """
    two_way = variant == "two-way jackknife"
    params: dict[str, ParamValue] = {"alpha": alpha, "transform": transform}
    method = "mean of 1/D; leave one patient out" + (" and one reader out" if two_way else "")
    blank = Blank("williams_index", variant, FORM, 0, f"{method}, t interval; n cases", 0, params)
    try:
        table = tabulate(data, transform=transform, patients=patients)
        params["transform"] = table.transform
        blank = replace(blank, n=len(table.cases), excluded=table.excluded)
        statistic = _statistic(table)
        k = len(table.readers)
        value = _value(table, statistic)
        error = jackknife(statistic, units=table.units, readers=k, two_way=two_way)
        low, high = t_limits(value, error, alpha=alpha)
    except Undefined as why:
        found = blank.undefined(why.reason, why.message)
    else:
        if np.isfinite(low) and np.isfinite(high):
            found = blank.filled(value, low, high)
        else:
            need = "2 patients and 3 readers" if two_way else "2 patients"
            found = blank.without_limits(value, "too_few", f"Limits need at least {need} that differ.")
    return replace(found, target="reader population" if two_way else "these readers")


def _value(table: PanelTable, statistic: Statistic) -> float:
    ones = np.ones((1, len(table.cases)))
    sums = pair_sums(table, ones)
    k = len(table.readers)
    apart = ~np.eye(k, dtype=bool)
    if k < 2 or (sums.rr_count[0][apart] == 0).any() or (sums.ai_count[0] == 0).any():
        raise Undefined("too_few", "Williams' index needs two readers, and cases that each pair has read.")
    if (sums.rr_absolute[0][apart] == 0).any() or (sums.ai_absolute[0] == 0).any():
        raise Undefined("zero_variance", "Two of them agree in every case, so 1/D does not exist.")
    return float(statistic(ones, np.ones((1, k)))[0])


def _statistic(table: PanelTable) -> Statistic:
    def index(case_weights: Reals, reader_weights: Reals) -> Reals:
        sums = pair_sums(table, case_weights)
        k = reader_weights.shape[1]
        pairs = reader_weights[:, :, None] * reader_weights[:, None, :] * (1 - np.eye(k))
        with np.errstate(invalid="ignore", divide="ignore"):
            own = np.where(reader_weights > 0, sums.ai_count / sums.ai_absolute, 0.0)
            other = np.where(pairs > 0, sums.rr_count / sums.rr_absolute, 0.0)
            with_algorithm = (reader_weights * own).sum(axis=1) / reader_weights.sum(axis=1)
            return np.asarray(with_algorithm * pairs.sum(axis=(1, 2)) / (pairs * other).sum(axis=(1, 2)))

    return index


STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    (FORM, "williams_index", variant): entry(williams_index, "alpha", "transform", variant=variant)
    for variant in ("jackknife", "two-way jackknife")
}
