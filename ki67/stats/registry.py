"""Every statistic of the library under its form, name and variant: one place to ask for any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ki67.errors import DataError
from ki67.stats import (
    acceptance,
    alternative_annotator,
    anova,
    bland_altman,
    bland_altman_more,
    concordance,
    contingency,
    correlation,
    gwet,
    icc,
    icc_missing,
    interchange,
    kappa,
    kappa_population,
    krippendorff_alpha,
    leave_one_out,
    panel,
    passing_bablok,
    planning,
    regression,
    regression_limits,
    reliability,
    replicated,
    single_reader,
    variance,
    verdict,
    williams,
)
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import Data

Key = tuple[Form, str, str]
Compute = Callable[[Any, Mapping[str, ParamValue]], Estimate]


class UnknownStatistic(DataError):
    """No statistic of this name and variant is computed from this form of readings."""


def statistics() -> Mapping[Key, Compute]:
    """All statistics by (form, statistic, variant)."""
    return _merged()


def compute(
    form: Form, statistic: str, variant: str, *, data: Data, params: Mapping[str, ParamValue]
) -> Estimate:
    """One statistic of `data`; `params` as in the golden folder (alpha, coverage, categories, transform…).

    Raises UnknownStatistic when the library has none of this name for the form.
    """
    found = _merged().get((form, statistic, variant))
    if found is None:
        raise UnknownStatistic(f"{statistic} ({variant}) is not computed from {form}.")
    return found(data, params)


@cache
def _merged() -> Mapping[Key, Compute]:
    merged: dict[Key, Compute] = {}
    for module in (
        acceptance,
        alternative_annotator,
        anova,
        bland_altman,
        bland_altman_more,
        concordance,
        contingency,
        correlation,
        gwet,
        icc,
        icc_missing,
        interchange,
        kappa,
        kappa_population,
        krippendorff_alpha,
        leave_one_out,
        panel,
        passing_bablok,
        planning,
        regression,
        regression_limits,
        reliability,
        replicated,
        single_reader,
        variance,
        verdict,
        williams,
    ):
        twice = merged.keys() & module.STATISTICS.keys()
        if twice:
            raise ValueError(f"{module.__name__} names {sorted(twice)[0]} again")
        merged.update(module.STATISTICS)
    return merged
