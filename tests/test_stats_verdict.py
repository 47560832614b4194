"""The IKWG verdict: its words, its two limits, and who may not be a reader."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ki67.stats.anova import MeanSquares, mean_squares
from ki67.stats.forms import Ratings
from ki67.stats.icc import icc
from ki67.stats.verdict import (
    ikwg_verdict,
    pathologists,
    pivotal_distribution,
    pivotal_quantile,
    verdict_word,
)
from tests.readings_tables import long, simulated

PHASE_3 = Path(__file__).resolve().parents[2] / "shared" / "data" / "ikwg_phase3"
BORDERLINE = "borderline: depends on the interval"


def percentages(*, seed: int = 1, residual: float = 0.5) -> np.ndarray:
    """20 cases × 8 readers, log-normal, in percent."""
    logs = simulated((20, 8, 1, 1), seed=seed, case=1.2, reader=0.3, replicate=residual)[:, :, 0, 0] - 18
    return np.clip(2**logs, 0, 100)


def joined(*parts: Ratings) -> Ratings:
    return Ratings(
        sum((part.cases for part in parts), ()),
        sum((part.readers for part in parts), ()),
        np.concatenate([part.values for part in parts]),
        sum((part.sessions for part in parts), ()),
    )


@pytest.mark.parametrize(
    ("f_low", "gpq_low", "word"),
    [
        (0.8110, 0.8045, "passes"),
        (0.8106, 0.7999, BORDERLINE),  # on different sides
        (0.8099, 0.8050, BORDERLINE),  # within 0.01
        (0.8100, 0.8050, BORDERLINE),  # at 0.01
        (0.7900, 0.7800, BORDERLINE),
        (0.7899, 0.7800, "does not pass"),
        (0.7800, 0.8100, BORDERLINE),
        (0.8200, 0.8000, BORDERLINE),  # on the criterion is not above it
    ],
)
def test_the_word_follows_from_the_two_limits(f_low: float, gpq_low: float, word: str) -> None:
    assert verdict_word(f_low=f_low, gpq_low=gpq_low, criterion=0.80) == word


def test_the_verdict_is_on_the_log_scale_and_shows_four_decimals() -> None:
    readings = long(percentages())
    found = ikwg_verdict(readings)
    plain = icc(readings, "ICC(2,1)", transform="log2(x+0.1)")
    assert (found.f.value, found.f_low) == (plain.value, plain.ci_low)
    assert f"ICC(2,1) {plain.value:.4f} on 20 cases × 8 readers" in found.sentence
    assert f"{found.f_low:.4f} (F), {found.gpq_low:.4f} (generalized pivotal)" in found.sentence
    assert (found.cases, found.readers, found.criterion) == (20, 8, 0.8)
    assert found.f.target == found.gpq.target == "reader population"


def test_the_algorithm_is_never_a_reader() -> None:
    values = percentages()
    alone = ikwg_verdict(long(values))
    wild = np.random.default_rng(0).permutation(values[:, :1])
    assert ikwg_verdict(joined(long(values), long(wild, reader="algorithm"))) == alone
    renamed = joined(long(values), long(wild, reader="machine"))
    assert ikwg_verdict(renamed, algorithm="machine") == alone
    assert ikwg_verdict(renamed).readers == 9


def test_one_session_is_judged_the_first_unless_said_otherwise() -> None:
    first, second = percentages(seed=1), percentages(seed=2)
    both = joined(long(first, session="1"), long(second, session="2"))
    assert ikwg_verdict(both).f_low == ikwg_verdict(long(first)).f_low
    assert ikwg_verdict(both, session="2").f_low == ikwg_verdict(long(second)).f_low
    assert ikwg_verdict(both).session == "1"
    assert set(pathologists(both, session="2").sessions) == {"2"}


def test_without_an_icc_there_is_no_word() -> None:
    found = ikwg_verdict(long(percentages()[:, :1]))
    assert (found.word, found.f_low, found.gpq_low) == (None, None, None)
    assert found.message in found.sentence
    assert ikwg_verdict(long(np.full((5, 3), 20.0))).f.reason == "zero_variance"


def test_perfect_agreement_passes_and_a_criterion_is_an_icc() -> None:
    same = np.repeat(percentages()[:, :1], 4, axis=1)
    found = ikwg_verdict(long(same))
    assert (found.word, found.f_low, found.gpq_low) == ("passes", 1, 1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ikwg_verdict(long(same), criterion=80)


@pytest.mark.parametrize(
    "squares",
    [
        MeanSquares(30, 22, *map(np.float64, (50.0, 8.0, 0.3, 0.0))),
        MeanSquares(20, 5, *map(np.float64, (30.0, 5.0, 1.0, 0.0))),
        MeanSquares(6, 2, *map(np.float64, (10.0, 3.0, 1.0, 0.0))),
        MeanSquares(10, 3, *map(np.float64, (2.0, 1.0, 1.0, 0.0))),
    ],
)
def test_the_pivotal_limits_are_the_quantiles_of_a_simulation(squares: MeanSquares) -> None:
    n, k, random = squares.n, squares.k, np.random.default_rng(1)
    drawn = [
        df * float(square) / random.chisquare(df, 200_000)
        for df, square in (
            (n - 1, squares.cases),
            (k - 1, squares.readers),
            ((n - 1) * (k - 1), squares.error),
        )
    ]
    cases, readers = np.maximum(0, (drawn[0] - drawn[2]) / k), np.maximum(0, (drawn[1] - drawn[2]) / n)
    simulated_icc = cases / (cases + readers + drawn[2])
    for probability in (0.025, 0.5, 0.975):
        expected = np.quantile(simulated_icc, probability)
        assert pivotal_quantile(squares, probability) == pytest.approx(expected, abs=3e-3)


def test_the_pivotal_interval_holds_the_truth_as_often_as_it_says() -> None:
    truth, inside = 1.44 / (1.44 + 0.35**2 + 0.45**2), 0
    for seed in range(200):
        logs = simulated((20, 5, 1, 1), seed=seed, case=1.2, reader=0.35, replicate=0.45)[:, :, 0, 0]
        inside += 0.025 < pivotal_distribution(mean_squares(logs))(truth) < 0.975
    assert inside / 200 == pytest.approx(0.95, abs=0.046)


@pytest.mark.parametrize(
    ("method", "value", "f_low", "word"),
    [
        ("unweighted_global", 0.8773, 0.811, "passes"),
        ("weighted_global", 0.8708, 0.8001, BORDERLINE),
        ("hot_spot", 0.8456, 0.766, "does not pass"),
    ],
)
@pytest.mark.skipif(not PHASE_3.is_dir(), reason="needs ../shared (not part of the project)")
def test_the_working_groups_third_phase_is_judged_as_published(
    method: str, value: float, f_low: float, word: str
) -> None:
    with (PHASE_3 / "scores.csv").open(encoding="utf8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["method"] == method]
    readings = Ratings(
        tuple(row["case"] for row in rows),
        tuple(row["reader"] for row in rows),
        np.array([float(row["ki67_percent"]) for row in rows]),
    )
    found = ikwg_verdict(readings)
    assert found.f.value == pytest.approx(value, abs=5e-4)
    assert found.f_low == pytest.approx(f_low, abs=6e-4)
    assert found.word == word
