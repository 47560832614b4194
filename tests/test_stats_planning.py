"""How many cases a study needs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ki67.errors import DataError
from ki67.stats.forms import Table
from ki67.stats.kappa import cohen_kappa
from ki67.stats.planning import (
    STATISTICS,
    n_ba_exact,
    n_ba_limits,
    n_icc_test,
    n_icc_width,
    n_kappa_test,
    n_kappa_width,
    power_ba_exact,
    power_ba_limits,
)

DIFFERENCES = {"mu": 0.5, "sd": 2.5, "delta": 7.0}


def test_bonetts_own_example_comes_out() -> None:
    """Bonett 2002: four readers, an ICC of 0.85, a width of 0.2; he found 19.2."""
    assert n_icc_width(rho=0.85, k=4, ci_full_width=0.2) == 20


def test_the_icc_test_reaches_its_power_in_simulated_studies() -> None:
    n, k, rho1, rho0 = n_icc_test(rho1=0.8, rho0=0.6, k=3), 3, 0.8, 0.6
    rng = np.random.default_rng(4)
    readings = rng.normal(0, rho1**0.5, (4000, n, 1)) + rng.normal(0, (1 - rho1) ** 0.5, (4000, n, k))
    between = k * readings.mean(axis=2).var(axis=1, ddof=1)
    within = readings.var(axis=2, ddof=1).mean(axis=1)
    border = (1 + k * rho0 / (1 - rho0)) * stats.f.isf(0.05, n - 1, n * (k - 1))
    assert (between / within > border).mean() == pytest.approx(0.8, abs=0.03)


def test_bonetts_width_is_reached_in_simulated_studies() -> None:
    n = n_icc_width(rho=0.8, k=5, ci_full_width=0.2)
    rng = np.random.default_rng(6)
    readings = rng.normal(0, 0.8**0.5, (2000, n, 1)) + rng.normal(0, 0.2**0.5, (2000, n, 5))
    ratio = 5 * readings.mean(axis=2).var(axis=1, ddof=1) / readings.var(axis=2, ddof=1).mean(axis=1)
    low, high = (ratio / stats.f.ppf(q, n - 1, 4 * n) for q in (0.975, 0.025))
    width = (high - 1) / (high + 4) - (low - 1) / (low + 4)
    assert np.median(width) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("fewest", "power_of"), [(n_ba_limits, power_ba_limits), (n_ba_exact, power_ba_exact)]
)
def test_the_fewest_pairs_reach_the_power_and_one_fewer_do_not(fewest, power_of) -> None:
    n = fewest(**DIFFERENCES, power=0.8)
    assert power_of(n, **DIFFERENCES) >= 0.8 > power_of(n - 1, **DIFFERENCES)


def test_the_power_of_the_exact_test_is_that_of_simulated_studies() -> None:
    n = 30
    size = power_ba_exact(n, mu=0, sd=1, delta=stats.norm.ppf(0.975))
    assert size == pytest.approx(0.05, abs=1e-6)
    rng = np.random.default_rng(8)
    drawn = rng.normal(size=(40_000, n))
    mean, sd = drawn.mean(axis=1), drawn.std(axis=1, ddof=1)
    factor = np.quantile((stats.norm.ppf(0.975) - abs(mean)) / sd, 0.95)  # its size is 5 %
    inside = abs(0.5 / 2.5 + mean) + factor * sd < 7 / 2.5
    assert power_ba_exact(n, **DIFFERENCES) == pytest.approx(inside.mean(), abs=0.015)


def test_the_power_for_both_limits_is_about_that_of_simulated_studies() -> None:
    n, z = 60, stats.norm.ppf(0.975)
    drawn = np.random.default_rng(9).normal(0.5, 2.5, (20_000, n))
    mean, sd = drawn.mean(axis=1), drawn.std(axis=1, ddof=1)
    outer = z * sd + stats.t.ppf(0.975, n - 1) * sd * (1 / n + z * z / (2 * (n - 1))) ** 0.5
    inside = (mean + outer < 7) & (mean - outer > -7)
    assert power_ba_limits(n, **DIFFERENCES) == pytest.approx(inside.mean(), abs=0.03)


def test_limits_that_leave_the_margin_cannot_be_planned_for() -> None:
    for plan in (n_ba_limits, n_ba_exact):
        with pytest.raises(DataError, match="no number of cases is enough"):
            plan(mu=1.0, sd=4.0, delta=8.0)


def test_the_kappa_width_is_reached_by_a_table_of_that_size() -> None:
    shares, n = (0.3, 0.5, 0.2), n_kappa_width(kappa=0.7, shares=(0.3, 0.5, 0.2), ci_full_width=0.2)
    joint = 0.7 * np.diag(shares) + 0.3 * np.outer(shares, shares)
    scale = 1000  # a table of whole counts in the right shares; its width falls as the root of n
    found = cohen_kappa(Table(np.round(joint * scale), ("1", "2", "3")))
    width = (found.ci_high - found.ci_low) * (scale / n) ** 0.5
    assert found.value == pytest.approx(0.7, abs=2e-3)
    assert width == pytest.approx(0.2, abs=2e-3)


def test_the_kappa_test_reaches_its_power_in_simulated_studies() -> None:
    n = n_kappa_test(kappa1=0.6, kappa0=0.4, share=0.3)
    rng = np.random.default_rng(10)

    def joint(kappa: float) -> list[float]:
        return [0.09 + kappa * 0.21, 0.42 * (1 - kappa), 0.49 + kappa * 0.21]

    drawn = rng.multinomial(n, joint(0.6), size=20_000)
    share = (2 * drawn[:, 0] + drawn[:, 1]) / (2 * n)
    spread = share * (1 - share)
    expected = np.stack([share**2 + 0.4 * spread, 1.2 * spread, (1 - share) ** 2 + 0.4 * spread], axis=1)
    chi2 = ((drawn - n * expected) ** 2 / (n * expected)).sum(axis=1)
    assert (chi2 > stats.chi2.isf(0.05, 1)).mean() == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    "plan",
    [
        lambda: n_icc_test(rho1=0.7, rho0=0.8, k=3),
        lambda: n_icc_test(rho1=0.9, rho0=0.8, k=1),
        lambda: n_icc_test(rho1=0.9, rho0=0.8, k=2, power=1.0),
        lambda: n_icc_width(rho=1.0, k=2, ci_full_width=0.1),
        lambda: n_kappa_width(kappa=0.5, shares=(0.5, 0.6), ci_full_width=0.1),
        lambda: n_kappa_test(kappa1=0.5, kappa0=0.5, share=0.3),
        lambda: n_ba_limits(mu=0, sd=0, delta=1),
    ],
)
def test_plans_that_make_no_sense_are_refused_in_a_sentence(plan) -> None:
    with pytest.raises(DataError):
        plan()


def test_the_planning_statistics_answer_by_name_with_their_params() -> None:
    params = {"rho1": 0.9, "rho0": 0.8, "k": 2, "alpha": 0.05, "power": 0.8}
    found = STATISTICS["none", "n_icc_walter1998_test", "one-sided"](None, params)
    assert (found.value, found.params) == (46, params)
    with pytest.raises(DataError, match="rho"):
        STATISTICS["none", "n_icc_bonett2002", "plain"](None, {"k": 2, "rho": "high", "ci_full_width": 0.1})
