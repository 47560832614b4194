"""Variance components: a dense covariance matrix as judge, known truth, what designs cannot tell apart."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import optimize

from ki67.stats.estimate import Estimate
from ki67.stats.forms import Ratings
from ki67.stats.layout import cube_of, design_of
from ki67.stats.mixed import Balanced, Likelihood, Sparse, likelihood_of
from ki67.stats.profile import ComponentPath, SharePath, SumPath, fit, profile_limits
from ki67.stats.variance import STATISTICS, variance_components, variance_figure
from tests.readings_tables import cube, long, matrix, simulated, thinned

ALL = {"case": 3.0, "reader": 1.0, "case_reader": 1.0, "session": 0.7, "case_reader_session": 0.8}
CHI_SQUARE_95 = 3.841458820694124


def by_name(found: tuple[Estimate, ...]) -> dict[str, Estimate]:
    return {one.statistic: one for one in found}


def dense_deviance(values: np.ndarray, components: tuple[str, ...], *, reml: bool) -> Callable[..., float]:
    """−2 log likelihood from the whole covariance matrix of (cases, readers, sessions, repeats)."""
    place = np.argwhere(np.isfinite(values))
    y = values[tuple(place.T)]
    of = {"case": [0], "reader": [1], "case_reader": [0, 1], "session": [1, 2]}
    of |= {"case_reader_session": [0, 1, 2], "residual": [0, 1, 2, 3]}
    same = [np.all(place[:, None, of[name]] == place[None, :, of[name]], axis=2) for name in components]

    def deviance(theta: np.ndarray) -> float:
        whole = sum(size * block for size, block in zip(theta, same, strict=True))
        inverse = np.linalg.inv(whole)
        ones = np.ones(len(y))
        weight = ones @ inverse @ ones
        left = y - ones @ inverse @ y / weight
        value = np.linalg.slogdet(whole)[1] + left @ inverse @ left + len(y) * math.log(2 * math.pi)
        return float(value + (math.log(weight) - math.log(2 * math.pi) if reml else 0.0))

    return deviance


def likelihood(values: np.ndarray, *, sessions: bool) -> Likelihood:
    return likelihood_of(design_of(cube(values), transform="none", with_sessions=sessions).layout)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("sessions", [True, False])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_likelihood_is_that_of_the_whole_covariance_matrix(
    reml: bool, sessions: bool, missing: float
) -> None:
    values = thinned(simulated((5, 4, 2, 2), seed=1, replicate=0.6, **ALL), missing, seed=2)
    found = likelihood(values, sessions=sessions)
    assert isinstance(found, Sparse if missing else Balanced)
    components = found.layout.components
    theta = np.linspace(0.4, 2.0, len(components))
    dense = values if sessions else values.reshape(5, 4, 1, 4)
    judge = dense_deviance(dense, components, reml=reml)
    value, slope = found.deviance(theta, reml=reml)
    assert value == pytest.approx(judge(theta), abs=1e-9)
    assert slope == pytest.approx(optimize.approx_fprime(theta, judge, 1e-6), abs=1e-3)


def test_the_general_path_and_the_fast_one_agree_on_a_complete_design() -> None:
    values = simulated((6, 5, 3, 2), seed=3, replicate=0.5, **ALL)
    fast = likelihood(values, sessions=True)
    general = Sparse(fast.layout)
    for reml in (True, False):
        assert fit(general, reml=reml).theta == pytest.approx(fit(fast, reml=reml).theta, rel=1e-5, abs=1e-6)


def test_a_complete_design_has_the_analysis_of_variance_estimates() -> None:
    values = simulated((8, 6, 1, 3), seed=4, case=3, reader=1, case_reader=1, replicate=1)
    found = by_name(variance_components(cube(values)))
    y = values[:, :, 0, :]
    cell = y.mean(axis=2)
    case, reader, middle = cell.mean(axis=1), cell.mean(axis=0), cell.mean()
    error = y.var(axis=2, ddof=1).mean()
    crossed = 3 * np.square(cell - case[:, None] - reader + middle).sum() / 35
    assert found["vc_residual"].value == pytest.approx(error)
    assert found["vc_case_reader"].value == pytest.approx((crossed - error) / 3)
    assert found["vc_reader"].value == pytest.approx((24 * reader.var(ddof=1) - crossed) / 24)
    assert found["vc_case"].value == pytest.approx((18 * case.var(ddof=1) - crossed) / 18)
    assert found["vc_intercept"].value == pytest.approx(middle)
    assert found["vc_case"].n == 8 * 6 * 3


def test_figures_follow_from_the_components() -> None:
    values = thinned(simulated((9, 5, 2, 1), seed=5, case=3, reader=1, replicate=1), 0.2, seed=6)
    found = by_name(variance_components(cube(values), coverage=0.9))
    case, reader, crossed, residual = (
        found[name].value or 0.0 for name in ("vc_case", "vc_reader", "vc_case_reader", "vc_residual")
    )
    total = case + reader + crossed + residual
    assert found["icc_inter_reader"].value == pytest.approx(case / total)
    assert found["icc_intra_reader"].value == pytest.approx(1 - residual / total)
    assert found["repeatability_sd"].value == pytest.approx(math.sqrt(residual))
    assert found["reproducibility_sd"].value == pytest.approx(math.sqrt(total - case))
    wide = 1.6448536269514722 * math.sqrt(2) * math.sqrt(total - case)
    assert found["reproducibility_coefficient"].value == pytest.approx(wide)
    assert found["reproducibility_coefficient"].params["coverage"] == 0.9


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_at_a_limit_the_profile_has_fallen_by_the_chi_square_quantile(missing: float) -> None:
    values = thinned(
        simulated((7, 4, 1, 2), seed=7, case=2, reader=1, case_reader=1, replicate=1), missing, seed=8
    )
    found = likelihood(values, sessions=False)
    best = fit(found, reml=False)
    judge = dense_deviance(values, found.layout.components, reml=False)
    paths = (
        (ComponentPath(1, False), lambda t, u: np.array([u[0], t, u[1], u[2]])),
        (SharePath(0, False, (True,) * 4), lambda t, u: np.array([t / (1 - t) * u.sum(), *u])),
        (SumPath(), lambda t, u: np.array([u[0], *(t * u[1:] / (1 + u[1:].sum())), t / (1 + u[1:].sum())])),
    )
    for path, build in paths:
        for limit in profile_limits(found, best, path, alpha=0.05):
            lowest = optimize.minimize(
                lambda u, t=limit, build=build: judge(build(t, np.exp(u))),
                np.zeros(3),
                method="Nelder-Mead",
                options={"xatol": 1e-5, "fatol": 1e-7, "maxiter": 2000, "maxfev": 2000},
            ).fun
            assert lowest - best.deviance == pytest.approx(CHI_SQUARE_95, abs=2e-3)


def test_a_component_estimated_as_nothing_has_a_lower_limit_of_nothing() -> None:
    values = simulated((10, 6, 1, 2), seed=3, case=3, replicate=1)
    found = by_name(variance_components(cube(values)))["vc_reader"]
    assert (found.value, found.ci_low) == (0, 0)
    assert found.ci_high is not None
    assert 0 < found.ci_high < 1


@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_sessions_and_repeats_are_told_apart(missing: float) -> None:
    values = thinned(simulated((16, 12, 3, 2), seed=10, replicate=0.6, **ALL), missing, seed=11)
    found = by_name(variance_components(cube(values), with_sessions=True, alpha=0.002))
    truth = {"vc_" + name: sd**2 for name, sd in ALL.items()} | {"vc_replicate": 0.36}
    assert set(found) == set(truth)
    for name, variance in truth.items():
        low, high = found[name].ci_low, found[name].ci_high
        assert low is not None
        assert high is not None
        assert low < variance < high, name
        assert found[name].variant == "with sessions, ML profile, raw"


def test_without_sessions_the_residual_holds_what_lies_between_sessions() -> None:
    values = simulated((40, 25, 2, 1), seed=12, case=3, reader=1, case_reader_session=1.0)
    plain = by_name(variance_components(cube(values)))
    apart = by_name(variance_components(cube(values), with_sessions=True))
    assert plain["vc_residual"].value == pytest.approx(1.0, abs=0.1)
    assert apart["vc_residual"].value == pytest.approx(1.0, abs=0.1)
    assert "vc_replicate" not in apart
    assert apart["vc_case_reader_session"].reason == "not_measured"


def test_one_reading_per_cell_says_what_it_cannot_tell_apart() -> None:
    values = simulated((10, 5, 1, 1), seed=13, case=3, reader=1, replicate=1)
    found = by_name(variance_components(matrix(values[:, :, 0, 0])))
    for name in ("vc_case_reader", "icc_intra_reader", "repeatability_sd", "repeatability_coefficient"):
        assert (found[name].value, found[name].reason) == (None, "not_measured")
        assert found[name].message
    assert found["vc_reader"].value is not None
    assert found["icc_inter_reader"].ci_low is not None
    assert by_name(variance_components(cube(values), with_sessions=True))["vc_case"].reason == "not_measured"


def test_one_reader_is_compared_with_himself_only() -> None:
    values = simulated((12, 1, 2, 1), seed=14, case=3, replicate=1)
    found = by_name(variance_components(cube(values)))
    for name in ("vc_reader", "vc_case_reader", "icc_inter_reader", "reproducibility_sd"):
        assert found[name].reason == "not_measured"
    assert found["icc_intra_reader"].value is not None
    assert found["vc_case"].ci_low is not None


def test_perfect_agreement_leaves_nothing_over_and_no_limits() -> None:
    values = np.broadcast_to(np.array([5.0, 20.0, 31.0, 64.0])[:, None, None, None], (4, 3, 2, 1))
    found = by_name(variance_components(cube(values)))
    assert found["vc_residual"].value == 0
    assert found["vc_case"].value == pytest.approx(np.var([5, 20, 31, 64], ddof=1), rel=1e-6)
    assert found["icc_inter_reader"].value == pytest.approx(1, abs=1e-6)
    assert (found["vc_case"].ci_low, found["vc_case"].reason) == (None, "zero_variance")
    assert found["vc_reml_loglik"].reason == "zero_variance"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((4, 3), 20.0), "zero_variance"),
        (np.full((4, 3), np.nan), "no_pairs"),
        (np.array([[5.0]]), "too_few"),
        (np.where(np.eye(4) > 0, np.arange(4.0), np.nan), "too_few"),
    ],
)
def test_readings_that_carry_no_components_say_why(values: np.ndarray, reason: str) -> None:
    for one in variance_components(matrix(values)):
        assert (one.value, one.ci_low, one.reason) == (None, None, reason)
        assert one.message


def test_a_key_twice_is_an_error_that_names_the_rows() -> None:
    twice = Ratings(
        ("T1", "T1", "T2", "T2"), ("R1", "R1", "R1", "R2"), np.array([10.0, 12, 9, 8]), ("1",) * 4
    )
    found = STATISTICS["ratings", "vc_case", "ML profile, raw"](twice, {"transform": "none", "alpha": 0.05})
    assert (found.value, found.ci_low, found.reason) == (None, None, "duplicate_key")
    assert "Rows 1 and 2" in found.message


def test_nothing_on_a_log_scale_is_undefined_and_zero_is_not() -> None:
    values = thinned(np.abs(simulated((8, 5, 2, 1), seed=15, case=9, reader=1, replicate=2)), 0.1, seed=1)
    values[0, 0, 0, 0] = 0.0
    found = variance_figure(cube(values), "vc_case", transform="log2(x+0.1)")
    by_hand = variance_figure(cube(np.log2(values + 0.1)), "vc_case")
    assert found.value == pytest.approx(by_hand.value)
    assert found.variant == "ML profile, log2(x+0.1)"
    values[0, 0, 0, 0] = -0.1
    found = variance_figure(cube(values), "vc_case", transform="log2(x+0.1)")
    assert found.reason == "nonpositive_value"


def test_the_order_of_the_rows_changes_nothing() -> None:
    values = thinned(simulated((8, 5, 1, 1), seed=16, case=3, reader=1, replicate=1), 0.2, seed=17)[
        :, :, 0, 0
    ]
    rows = long(values)
    order = np.random.default_rng(0).permutation(len(rows.cases))
    mixed = Ratings(
        tuple(rows.cases[i] for i in order), tuple(rows.readers[i] for i in order), rows.values[order]
    )
    one, other = (variance_figure(data, "vc_reader") for data in (rows, mixed))
    assert one.value == pytest.approx(other.value, rel=1e-6)
    assert one.ci_high == pytest.approx(other.ci_high, rel=1e-6)


def test_missing_readings_are_counted() -> None:
    values = thinned(simulated((8, 5, 2, 1), seed=18, case=3, replicate=1), 0.25, seed=19)
    found = variance_figure(cube(values), "vc_intercept")
    assert (found.n, found.excluded) == (np.isfinite(values).sum(), np.isnan(values).sum())
    assert cube_of(matrix(values[:, :, 0, 0])).values.shape == (8, 5, 1, 1)
