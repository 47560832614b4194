"""The alternative annotator test: may the algorithm stand in for a reader?

For each reader j in turn the other readers are the reference: on case i the algorithm wins when its root mean
squared difference to them is not larger than reader j's, and the reader wins when it is not larger than the
algorithm's (both win a tie). With f_j and h_j the shares of cases won, the hypothesis h_j − f_j ≥ ε is tested
one-sided: t test from 30 cases on, Wilcoxon's signed-rank test below. The winning rate is the share of the
readers for whom it is rejected, false discoveries controlled after Benjamini & Yekutieli; the algorithm
passes at one half. The advantage is the mean of f_j; measured coverage of its two-way limits for the reader
population (log scale, 20 cases × 5 readers and 50 × 10): 93–95 %.

Calderon N, Reichart R, Dror R. The alternative annotator test for LLM-as-a-judge. Proc ACL 2025. ε is what
replacing a reader is worth (the paper takes 0.2 for experts, 0.15 for skilled, 0.1 for lay annotators); the
study sets it beforehand, there is no default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from ki67.errors import DataError
from ki67.stats.blank import Blank, Compute, entry
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import AlgorithmAndReaders, Reals
from ki67.stats.panel_table import RAW, PanelTable, tabulate
from ki67.stats.resampling import jackknife, t_limits
from ki67.stats.undefined import Undefined

FORM: Form = "algorithm_and_readers"
T_TEST_FROM = 30
PASSES_AT = 0.5
AdvantageVariant = Literal["jackknife", "two-way jackknife"]


@dataclass(frozen=True)
class ReaderTest:
    """One reader against the algorithm: shares of cases won (ties to both), p of h − f ≥ ε, the decision.

    `p` and `rejected` are None without an ε or with fewer than two cases.
    """

    reader: str
    n: int
    algorithm_wins: float
    reader_wins: float
    p: float | None
    rejected: bool | None


@dataclass(frozen=True)
class AlternativeAnnotatorTest:
    """`winning_rate` has no limits by definition; `passes` is None without an ε."""

    winning_rate: Estimate
    advantage: Estimate
    tests: tuple[ReaderTest, ...]
    passes: bool | None


def alternative_annotator_test(
    data: AlgorithmAndReaders | PanelTable,
    *,
    epsilon: float | None,
    alpha: float = 0.05,
    transform: str = RAW,
    variant: AdvantageVariant = "two-way jackknife",
    patients: Mapping[str, str] | None = None,
) -> AlternativeAnnotatorTest:
    """The whole test; `alpha` is the false discovery rate and 1 − the confidence of the advantage's limits.

    Undefined as the table is; too_few below two readers of a case; the winning rate is not_measured without
    an ε. Raises DataError for an ε outside 0–1.
    """
    if epsilon is not None and not 0 <= epsilon < 1:
        raise DataError(f"The alternative annotator test takes an ε of 0 to 1, not {epsilon:g}.")
    params: dict[str, ParamValue] = {"alpha": alpha, "transform": transform}
    rate = Blank("alt_test_winning_rate", "Benjamini-Yekutieli", FORM, 0, "share of readers; n readers", 0)
    share = Blank("alt_test_advantage", variant, FORM, 0, "mean share of cases won; n cases", 0, params)
    try:
        table = tabulate(data, transform=transform, patients=patients)
        params["transform"] = table.transform
        won, lost = _wins(table)
        rate = replace(rate, n=len(table.readers), excluded=table.excluded)
        share = replace(share, n=len(table.cases), excluded=table.excluded)
        tests = _tests(table.readers, won, lost, epsilon, alpha)
    except Undefined as why:
        rate = replace(rate, params=params | {"epsilon": epsilon})
        no_rate = _aimed(rate.undefined(why.reason, why.message), "jackknife")
        no_share = _aimed(share.undefined(why.reason, why.message), variant)
        return AlternativeAnnotatorTest(no_rate, no_share, (), None)
    rate = replace(rate, params=params | {"epsilon": epsilon})
    advantage = _advantage(share, table, won, variant, alpha)
    decisions = [test.rejected for test in tests if test.rejected is not None]
    if epsilon is None:
        missing = rate.undefined("not_measured", "The winning rate needs an ε that the study set beforehand.")
        return AlternativeAnnotatorTest(_aimed(missing, "jackknife"), advantage, tests, None)
    if not decisions:
        few = rate.undefined("too_few", "A test of a reader needs at least two cases.")
        return AlternativeAnnotatorTest(_aimed(few, "jackknife"), advantage, tests, None)
    value = sum(decisions) / len(decisions)
    return AlternativeAnnotatorTest(
        _aimed(rate.filled(value), "jackknife"), advantage, tests, value >= PASSES_AT
    )


def _aimed(estimate: Estimate, variant: str) -> Estimate:
    return replace(estimate, target="reader population" if variant.startswith("two-way") else "these readers")


def _wins(table: PanelTable) -> tuple[Reals, Reals]:
    """1 where the algorithm (first) or the reader (second) is at least as close to the others; NaN unread."""
    shape = table.readings.shape
    won, lost = np.full(shape, np.nan), np.full(shape, np.nan)
    for reader in range(shape[1]):
        others = np.delete(table.readings, reader, axis=1)
        used = np.isfinite(table.readings[:, reader]) & np.isfinite(others).any(axis=1)
        if not used.any():
            continue
        own = np.sqrt(np.nanmean((table.readings[used, reader, None] - others[used]) ** 2, axis=1))
        algorithm = np.sqrt(np.nanmean((table.algorithm[used, None] - others[used]) ** 2, axis=1))
        near = np.isclose(own, algorithm, rtol=1e-12, atol=1e-12)
        won[used, reader] = (algorithm < own) | near
        lost[used, reader] = (own < algorithm) | near
    if not np.isfinite(won).any():
        raise Undefined("too_few", "The alternative annotator test needs two readers of the same case.")
    return won, lost


def _tests(
    readers: tuple[str, ...], won: Reals, lost: Reals, epsilon: float | None, alpha: float
) -> tuple[ReaderTest, ...]:
    tests = []
    for place, name in enumerate(readers):
        used = np.isfinite(won[:, place])
        if not used.any():
            continue
        f, h = won[used, place], lost[used, place]
        n = int(used.sum())
        p = None if epsilon is None or n < 2 else _p_value(h - f, epsilon)
        tests.append(ReaderTest(name, n, float(f.mean()), float(h.mean()), p, None))
    known = [test.p for test in tests if test.p is not None]
    if not known:
        return tuple(tests)
    adjusted = iter(stats.false_discovery_control(known, method="by").tolist())
    return tuple(
        test if test.p is None else replace(test, rejected=bool(next(adjusted) <= alpha)) for test in tests
    )


def _p_value(differences: Reals, epsilon: float) -> float:
    """p of a mean (n < 30: centre) of the differences of at least ε."""
    shifted = differences - epsilon
    if np.ptp(shifted) == 0:  # the same in every case: no spread to judge by
        return 0.5 ** len(shifted) if shifted[0] < 0 else 1.0
    if len(shifted) < T_TEST_FROM:
        return float(stats.wilcoxon(shifted, alternative="less").pvalue)
    return float(stats.ttest_1samp(shifted, 0.0, alternative="less").pvalue)


def _advantage(
    blank: Blank, table: PanelTable, won: Reals, variant: AdvantageVariant, alpha: float
) -> Estimate:
    there = np.isfinite(won).astype(float)
    filled = np.nan_to_num(won)

    def statistic(case_weights: Reals, reader_weights: Reals) -> Reals:
        with np.errstate(invalid="ignore", divide="ignore"):
            read = case_weights @ there
            shares = np.where(read > 0, (case_weights @ filled) / read, 0.0)
            counted = reader_weights * (read > 0)
            return np.asarray((counted * shares).sum(axis=1) / counted.sum(axis=1))

    n, k = won.shape
    value = float(statistic(np.ones((1, n)), np.ones((1, k)))[0])
    error = jackknife(statistic, units=table.units, readers=k, two_way=variant == "two-way jackknife")
    low, high = t_limits(value, error, alpha=alpha)
    if np.isfinite(low) and np.isfinite(high):
        return _aimed(blank.filled(value, low, high), variant)
    return _aimed(blank.without_limits(value, "too_few", "Limits need at least 2 patients."), variant)


def _winning_rate(data: AlgorithmAndReaders | PanelTable, params: Mapping[str, ParamValue]) -> Estimate:
    epsilon = params.get("epsilon")
    if epsilon is not None and not isinstance(epsilon, int | float):
        raise DataError(f"ε is {epsilon!r}: give a number between 0 and 1.")
    return entry(_rate, "alpha", "transform", epsilon=epsilon)(data, params)


def _rate(data: AlgorithmAndReaders | PanelTable, **asked: Any) -> Estimate:
    return alternative_annotator_test(data, **asked).winning_rate


def _share(data: AlgorithmAndReaders | PanelTable, **asked: Any) -> Estimate:
    return alternative_annotator_test(data, epsilon=None, **asked).advantage


STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    (FORM, "alt_test_winning_rate", "Benjamini-Yekutieli"): _winning_rate,
    **{
        (FORM, "alt_test_advantage", variant): entry(_share, "alpha", "transform", variant=variant)
        for variant in ("jackknife", "two-way jackknife")
    },
}
