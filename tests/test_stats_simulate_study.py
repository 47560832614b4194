"""A whole study simulated before it is done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ki67.errors import DataError
from ki67.stats.classes import parse_cutoffs
from ki67.stats.simulate_study import (
    ExpectedInterval,
    StudyDesign,
    StudyForecast,
    draw_study,
    simulate_study,
)

SMALL = StudyDesign(cases=15, readers=4, sessions=2, cutoffs=parse_cutoffs("<=5,<30"))


@pytest.fixture(scope="module")
def forecast() -> StudyForecast:
    return simulate_study(SMALL, draws=15, seed=3)


def interval(found: StudyForecast, statistic: str) -> ExpectedInterval:
    return next(one for one in found.intervals if one.statistic == statistic)


def test_drawn_studies_have_the_components_of_the_design() -> None:
    design = StudyDesign(cases=3000, readers=12, sessions=2, median_percent=2.0)
    study = draw_study(design, np.random.default_rng(0))
    logs = np.log(study.readings)
    assert (logs[:, :, 0] - logs[:, :, 1]).std() == pytest.approx(0.374 * 2**0.5, rel=0.02)
    assert logs.mean(axis=(1, 2)).std() == pytest.approx(1.2, rel=0.05)
    assert np.median(study.algorithm) == pytest.approx(2.0, rel=0.1)
    assert study.readings.max() <= 100


def test_the_mean_icc_is_that_of_the_components() -> None:
    """Case variance over all variance, on the log; 0.1 hardly moves it at a median of 15 %."""
    found = simulate_study(StudyDesign(cases=60, readers=20), draws=25, seed=1)
    expected = 1.2**2 / (1.2**2 + 0.35**2 + 0.25**2 + 0.374**2)
    assert interval(found, "ICC(2,1)").value == pytest.approx(expected, abs=0.02)


def test_the_same_seed_gives_the_same_forecast_and_another_one_does_not(forecast: StudyForecast) -> None:
    assert simulate_study(SMALL, draws=15, seed=3) == forecast
    assert simulate_study(SMALL, draws=15, seed=4).intervals != forecast.intervals


def test_every_headline_interval_has_an_expected_width(forecast: StudyForecast) -> None:
    names = [one.statistic for one in forecast.intervals]
    assert names == [
        "ICC(2,1)",
        "single_reader_bias",
        "single_reader_loa_lower",
        "single_reader_loa_upper",
        "reader_reader_loa_upper",
        "panel_bias",
        "panel_loa_lower",
        "panel_loa_upper",
        "panel_ccc",
        "interch_iei",
        "interch_rms_ratio",
        "within_subject_sd",
        "fleiss_kappa",
        "cohen_kappa",
    ]
    for one in forecast.intervals:
        assert one.defined > 12
        assert one.target in ("these readers", "reader population")
        assert one.narrow is not None
        assert one.wide is not None
        assert one.width is not None
        assert 0 < one.narrow < one.width < one.wide


def test_more_cases_do_not_narrow_what_the_readers_widen() -> None:
    few, many = (simulate_study(StudyDesign(cases, 4), draws=25, seed=5) for cases in (15, 150))
    narrowed = {
        name: interval(many, name).width / interval(few, name).width
        for name in ("panel_bias", "single_reader_bias")
    }
    assert narrowed["panel_bias"] < 0.45
    assert narrowed["single_reader_bias"] > 0.55


def test_readers_who_agree_well_pass_and_readers_who_do_not_fail() -> None:
    design = StudyDesign(cases=20, readers=5)
    alike = replace(design, reader_sd=0.05, case_reader_sd=0.05, residual_sd=0.1)
    assert simulate_study(alike, draws=10).passing == 1
    assert simulate_study(replace(design, residual_sd=1.5), draws=10).passing == 0


def test_one_session_has_no_repeats_and_a_design_without_cut_offs_no_kappas() -> None:
    names = {one.statistic for one in simulate_study(StudyDesign(8, 3), draws=3).intervals}
    assert not names & {"within_subject_sd", "fleiss_kappa", "cohen_kappa"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"cases": 1},
        {"readers": 1},
        {"sessions": 0},
        {"median_percent": 0.0},
        {"reader_sd": -0.1},
        {"case_sd": float("nan")},
        {"cases": 10_000, "readers": 50},
        {"criterion": 1.0},
    ],
)
def test_designs_that_make_no_study_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError):
        StudyDesign(**({"cases": 20, "readers": 5} | wrong))
