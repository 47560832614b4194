"""The algorithm against the panel of these readers, and differences on a log scale told in points.

The panel is the median (or mean) of the readers of a case; differences are algorithm − panel over the cases,
the panel as it is: every interval here is the ordinary one over cases and speaks about *these readers* only.
What holds for a reader of the population is in `single_reader.py`.

Coverage of the 95 % intervals: measured on the log scale (`python -m bench.coverage`), 20 cases × 5 readers
and 50 × 10, with equal spread and with a spread falling to half over the range; on the raw scale, where the
spread grows with the mean, they cover less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from ki67.errors import DataError
from ki67.stats.bland_altman import Side, ba_bias, ba_loa
from ki67.stats.blank import Blank, Compute, entry
from ki67.stats.concordance import lin_ccc
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import AlgorithmAndReaders, Pairs
from ki67.stats.panel_table import OFFSETS, RAW, PanelTable, tabulate
from ki67.stats.undefined import Undefined

Input = AlgorithmAndReaders | PanelTable
PanelVariant = Literal["ba1999", "exact individual"]
FORM: Form = "algorithm_and_readers"


def panel_bias(
    data: Input, *, reference: str = "median", alpha: float = 0.05, transform: str = RAW
) -> Estimate:
    """Mean of algorithm − panel with its t interval over the cases; the panel is these readers' median.

    Measured coverage for these readers: 95 %.
    """
    return _against_panel(
        "panel_bias", "t", data, lambda pairs: ba_bias(pairs, alpha=alpha), reference, transform
    )


def panel_loa(
    data: Input,
    *,
    side: Side,
    variant: PanelVariant = "exact individual",
    reference: str = "median",
    alpha: float = 0.05,
    coverage: float = 0.95,
    transform: str = RAW,
) -> Estimate:
    """A limit of agreement of the algorithm with these readers' panel: mean ± z·s over the cases.

    Measured coverage for these readers: exact individual 94–95 %, ba1999 92–95 %.
    """
    return _against_panel(
        f"panel_loa_{side}",
        variant,
        data,
        lambda pairs: ba_loa(pairs, side=side, variant=variant, alpha=alpha, coverage=coverage),
        reference,
        transform,
    )


def panel_ccc(
    data: Input, *, reference: str = "median", alpha: float = 0.05, transform: str = RAW
) -> Estimate:
    """Lin's concordance of the algorithm with these readers' panel.

    Measured coverage for these readers: 94 %.
    """
    return _against_panel(
        "panel_ccc", "z-transform", data, lambda pairs: lin_ccc(pairs, alpha=alpha), reference, transform
    )


def in_points(estimate: Estimate, *, index_percent: float) -> Estimate:
    """A difference on a log scale as points at a mean index of `index_percent` (percent).

    With δ = ln(a + c) − ln(y + c) and mean (a + y)/2 = m: a − y = 2(m + c)·tanh(δ/2) (Euser AM, Dekker FW,
    le Cessie S. J Clin Epidemiol 2008;61:978–982). Symmetric limits stay symmetric. A raw estimate passes
    through. Raises DataError for an index outside 0–100.
    """
    if not 0 <= index_percent <= 100:
        raise DataError(f"An index of {index_percent:g} % does not exist: give 0 to 100.")
    transform = str(estimate.params.get("transform", RAW))
    if transform == RAW:
        return estimate
    unit = 1.0 if transform == "ln" else math.log(2)

    def points(delta: float | None) -> float | None:
        if delta is None:
            return None
        return 2 * (index_percent + OFFSETS[transform]) * math.tanh(delta * unit / 2)

    return replace(
        estimate,
        value=points(estimate.value),
        ci_low=points(estimate.ci_low),
        ci_high=points(estimate.ci_high),
        method=f"{estimate.method}; points at an index of {index_percent:g} %",
        params={**estimate.params, "index_percent": index_percent},
    )


def _against_panel(
    statistic: str,
    variant: str,
    data: Input,
    compute: Callable[[Pairs], Estimate],
    reference: str,
    transform: str,
) -> Estimate:
    params: dict[str, ParamValue] = {"transform": transform, "reference": reference}
    try:
        table = tabulate(data, transform=transform)
    except Undefined as why:
        blank = Blank(statistic, variant, FORM, 0, "algorithm − panel over the cases", 0, params)
        return replace(blank.undefined(why.reason, why.message), target="these readers")
    found = compute(Pairs(table.cases, table.panel(reference), table.algorithm))
    return replace(
        found,
        statistic=statistic,
        variant=variant,
        form=FORM,
        excluded=found.excluded + table.excluded,
        params={**found.params, **params, "transform": table.transform},
        readers=("panel", "algorithm"),
        target="these readers",
    )


_PANEL = ("alpha", "transform", "reference")
STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    (FORM, "panel_bias", "t"): entry(panel_bias, *_PANEL),
    (FORM, "panel_ccc", "z-transform"): entry(panel_ccc, *_PANEL),
    **{
        (FORM, f"panel_loa_{side}", variant): entry(
            panel_loa, *_PANEL, "coverage", side=side, variant=variant
        )
        for side in ("lower", "upper")
        for variant in ("ba1999", "exact individual")
    },
}
