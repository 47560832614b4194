"""The page Planning: sizes as the library gives them, curves that cross where the table says, a forecast."""

from __future__ import annotations

import pytest

from ki67.errors import DataError
from ki67.stats.planning import n_icc_width, power_ba_limits
from ki67.study import planning
from ki67.study.planning import IccQuestion, KappaQuestion, LimitsQuestion, StudyDesign


def test_the_chance_reaches_what_is_wanted_at_the_number_of_the_table_and_not_before() -> None:
    sizes = planning.limits_sizes(LimitsQuestion(mean=1.0, sd=5.0, accepted=14.0, power=0.9))
    both = sizes.rows[1].tumors
    assert both is not None
    before, there = (100 * power_ba_limits(n, mu=1.0, sd=5.0, delta=14.0) for n in (both - 1, both))
    assert sizes.wanted == 90
    assert before < 90 <= there
    line = sizes.curves[1]
    assert all((y >= 90) == (x >= both) for x, y in zip(line.x, line.y, strict=True))
    assert f"With {both} tumors the 95 % interval of a limit is ± " in sizes.note


def test_limits_that_leave_what_is_accepted_need_no_number_but_a_sentence() -> None:
    sizes = planning.limits_sizes(LimitsQuestion(mean=0.0, sd=5.0, accepted=5.0))
    assert [row.tumors for row in sizes.rows] == [None, None]
    assert sizes.curves == ()
    assert "reach beyond ± 5" in planning.sizes_answer(sizes)


def test_more_readers_need_fewer_tumors_and_a_lower_icc_than_the_one_to_exceed_shows_the_width_alone() -> (
    None
):
    sizes = planning.icc_sizes(IccQuestion(expected=0.9, exceeded=0.8, readers=10, width=0.1))
    assert [row.tumors for row in sizes.rows] == [23, n_icc_width(rho=0.9, k=10, ci_full_width=0.1)]
    assert planning.sizes_answer(sizes, "With 10 readers") == (
        "With 10 readers **23 tumors** are needed to show an ICC above 0.80, **30** for an interval 0.1 wide."
    )
    test, width = sizes.curves
    assert list(test.y) == sorted(test.y, reverse=True)
    assert width.y[width.x.index(10.0)] == 30
    low = planning.icc_sizes(IccQuestion(expected=0.7, exceeded=0.8, readers=10, width=0.1))
    assert low.rows[0].tumors is None
    assert "**165 tumors** are needed for an interval" in planning.sizes_answer(low)


def test_kappa_has_a_test_for_two_classes_only() -> None:
    two = planning.kappa_sizes(KappaQuestion(0.7, 0.4, (0.7, 0.3), 0.2))
    three = planning.kappa_sizes(KappaQuestion(0.7, 0.4, (0.3, 0.45, 0.25), 0.2))
    assert [row.tumors for row in two.rows] == [236, 85]
    assert len(three.rows) == 1
    (curve,) = three.curves
    nearest = min(range(len(curve.y)), key=lambda place: abs(curve.y[place] - 0.2))
    assert curve.x[nearest] == pytest.approx(three.rows[0].tumors, rel=0.1)


@pytest.mark.parametrize("text", ["", "50", "50, x", "50, 0, 50", "40, 50"])
def test_shares_that_are_none_get_a_sentence(text: str) -> None:
    with pytest.raises(DataError, match=r"shares|Shares"):
        planning.shares_of(text)


def test_shares_are_per_cent() -> None:
    assert planning.shares_of("30; 45, 25") == pytest.approx((0.3, 0.45, 0.25))


def test_a_simulated_study_tells_its_size_its_chance_to_pass_and_its_seed() -> None:
    design = StudyDesign(cases=12, readers=4, sessions=2, cutoffs=planning.parse_cutoffs("<=5,<30"))
    found = planning.forecast(design, draws=10, seed=3)
    first, second = planning.forecast_answer(found)
    assert first.startswith("With 12 tumors and 4 readers in 2 sessions the ICC may be expected as **0.")
    assert second.endswith("of 10 simulated studies, seed 3.")
    rows = planning.forecast_rows(found)
    assert all(len(row) == len(planning.FORECAST_COLUMNS) for row in rows)
    assert "Same reader again, SD" in [row[0] for row in rows]
    assert not any(row[0] == each.statistic for row, each in zip(rows, found.intervals, strict=True))
