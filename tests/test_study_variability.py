"""The page Variability: its numbers on readings whose truth is known."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from ki67.stats.reader_bias import reader_bias
from ki67.stats.readings import Readings
from ki67.study.material import StudyMaterial
from ki67.study.plans import AnalysisPlan
from ki67.study.studies import Study
from ki67.study.variability import (
    answer,
    caption,
    every_statistic,
    interchange_sentence,
    second_sentence,
    variability,
)


def material(values: np.ndarray, algorithm: list[float] | None = None, **plan: object) -> StudyMaterial:
    """`values`: cases × readers × sessions, percent; NaN where there is no reading."""
    rows = [
        (f"T{i + 1}", f"O{j + 1}", str(k + 1), float(values[i, j, k]))
        for i, j, k in np.ndindex(values.shape)
        if math.isfinite(values[i, j, k])
    ]
    rows += [(f"T{i + 1}", "algorithm", "1", value) for i, value in enumerate(algorithm or [])]
    cases, readers, sessions, numbers = zip(*rows, strict=True) if rows else ((),) * 4
    return StudyMaterial(
        study=Study("S1", "Study", "breast", False, datetime(2026, 1, 1, tzinfo=UTC)),
        plan=AnalysisPlan(**plan),  # type: ignore[arg-type]
        plan_written=True,
        plan_after_readings=False,
        method="global",
        readings=Readings(cases, readers, sessions, ("1",) * len(rows), cases, np.array(numbers, float)),
        algorithm=(),
        methods=("global",),
        sessions=("1",),
        readers=tuple(dict.fromkeys(name for name in readers if name != "algorithm")),
        cases=tuple(dict.fromkeys(cases)),
        exclusions=(),
    )


def drawn(cases: int = 20, readers: int = 6, sessions: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    case = rng.normal(2.5, 1.0, (cases, 1, 1))
    reader = rng.normal(0, 0.25, (1, readers, 1))
    return np.minimum(np.exp(case + reader + rng.normal(0, 0.2, (cases, readers, sessions))), 99)


def test_tumors_stand_in_the_order_of_their_panel_medians_with_every_reading() -> None:
    values = np.array([[[30.0], [34.0]], [[2.0], [4.0]], [[10.0], [12.0]]])
    view = variability(material(values, [31.0, 3.0, 40.0]))
    assert view.cases == ("T2", "T3", "T1")
    assert view.medians.tolist() == [3.0, 11.0, 32.0]
    assert view.algorithm.tolist() == [3.0, 40.0, 31.0]
    assert [(dot.place, dot.reader, dot.percent) for dot in view.dots][:2] == [(0, "O1", 2.0), (0, "O2", 4.0)]
    assert len(view.dots) == 6
    assert (view.inside, view.compared) == (2, 3)
    assert second_sentence(view).startswith("The algorithm lies inside the readers’ range in 2 of 3 tumors")
    assert view.heat.shape == (2, 3)
    assert view.heat[:, 0].tolist() == [-1.0, 1.0]


def test_the_sentence_tells_the_icc_its_interval_and_the_side_of_the_criterion() -> None:
    view = variability(material(drawn()))
    f = view.verdict.f
    assert f.value == pytest.approx(0.93, abs=0.06)
    assert f"ICC **{f.value:.2f}** ({f.ci_low:.2f}–{f.ci_high:.2f})" in answer(view)
    assert "the lower limit is above 0.80" in answer(view)
    strict = variability(material(drawn(), criterion=0.99))
    assert "the lower limit is not above 0.99" in answer(strict)
    assert strict.verdict.word == "does not pass"


def test_the_caption_tells_what_an_icc_depends_on() -> None:
    view = variability(material(np.array([[[30.0], [34.0]], [[2.0], [4.0]], [[10.0], [12.0]]])))
    assert view.spread is not None
    assert (view.spread.n, view.spread.median, view.spread.lowest, view.spread.highest) == (
        3,
        11.0,
        3.0,
        32.0,
    )
    assert view.spread.sd == pytest.approx(np.std([3, 11, 32], ddof=1))
    assert "median 11.0 %, range 3.0–32.0 %, SD 15.0 points" in caption(view)
    assert "session" not in caption(view)
    assert caption(variability(material(drawn(sessions=2)))).endswith("Readings of session 1.")


def test_without_a_second_session_the_row_says_what_is_missing() -> None:
    one, two = variability(material(drawn())), variability(material(drawn(sessions=2)))
    assert one.rows[2].estimate is None
    assert one.rows[2].note == "Needs two sessions; one has readings."
    intra = two.rows[2].estimate
    assert intra is not None
    assert intra.value is not None
    assert intra.value > 0.9


def test_an_algorithm_without_replicate_pictures_is_not_measured_and_no_icc_of_1() -> None:
    row = variability(material(drawn(), [10.0] * 20)).rows[3]
    assert row.estimate is not None
    assert row.estimate.value is None
    assert row.estimate.reason == "not_measured"
    assert "not measured" in row.note


def test_the_shares_of_the_spread_add_up_and_most_of_it_is_the_tumors() -> None:
    view = variability(material(drawn(cases=40, readers=10, sessions=2)))
    assert sum(share.share for share in view.shares) == pytest.approx(1)
    by_name = {share.name: share.share for share in view.shares}
    assert by_name["Tumors"] == pytest.approx(1 / (1 + 0.25**2 + 0.2**2), abs=0.06)


def test_a_reader_without_company_gets_no_agreement_and_the_rest_is_shown() -> None:
    view = variability(material(drawn(readers=1), [12.0] * 20))
    assert view.verdict.word is None
    assert answer(view).startswith("The agreement of the readers cannot be told")
    assert len(view.dots) == 20
    assert view.biases == ()
    assert interchange_sentence(view) == ""


def test_no_reading_at_all_is_an_empty_view() -> None:
    view = variability(material(np.full((2, 2, 1), np.nan), [10.0, 12.0]))
    assert view.dots == ()
    assert view.compared == 0
    assert second_sentence(view) == "No tumor has both a result of the algorithm and readings."


def test_an_algorithm_like_a_reader_may_stand_in_for_one_only_against_a_margin_set_beforehand() -> None:
    values = drawn(cases=60, readers=8)
    algorithm = np.median(values[:, :, 0], axis=1).tolist()
    open_view = variability(material(values, algorithm))
    assert open_view.interchange is not None
    assert open_view.interchange.value is not None
    assert open_view.interchange.value < 0
    assert "no verdict" in interchange_sentence(open_view)
    judged = variability(material(values, algorithm, margin_points=5.0))
    assert judged.interchange_verdict is not None
    assert judged.interchange_verdict.word == "within the margin"


def test_every_statistic_is_listed_with_its_scale() -> None:
    found = every_statistic(material(drawn(sessions=2), [10.0] * 20, bootstrap=100))
    names = {each.statistic for each in found}
    assert {"ICC(2,1)", "vc_case", "kendall_W", "krippendorff_alpha", "repeatability_sd"} <= names


def test_the_bias_of_a_reader_is_drawn_towards_nobody_being_different() -> None:
    rng = np.random.default_rng(3)
    effects = np.array([-6.0, -2.0, 0.0, 2.0, 6.0])
    values = rng.normal(40, 10, (30, 1)) + effects + rng.normal(0, 3, (30, 5))
    found = reader_bias(values, ["a", "b", "c", "d", "e"])
    assert [each.mean for each in found] == pytest.approx(effects, abs=1.6)
    assert all(abs(each.shrunken) <= abs(each.mean) for each in found)
    assert all(each.low < each.shrunken < each.high for each in found)
    weight = found[0].shrunken / found[0].mean
    between = np.var([each.mean for each in found], ddof=1) - 9 / 30
    assert weight == pytest.approx(between / (between + 9 / 30), abs=0.01)


def test_a_balanced_reader_effect_is_the_difference_of_means() -> None:
    values = np.array([[1.0, 2.0, 6.0], [4.0, 5.0, 9.0]])
    found = reader_bias(values, ["a", "b", "c"])
    assert [each.mean for each in found] == pytest.approx([-2.0, -1.0, 3.0])
    assert [each.shrunken for each in found] == pytest.approx(
        [-2.0, -1.0, 3.0]
    )  # no residual: nothing to draw


def test_a_case_that_a_reader_missed_does_not_move_him() -> None:
    values = np.array([[10.0, 12.0], [20.0, 22.0], [90.0, np.nan], [30.0, 32.0]])
    found = reader_bias(values, ["a", "b"])
    assert [each.mean for each in found] == pytest.approx([-1.0, 1.0])
    assert [each.n for each in found] == [3, 3]


@pytest.mark.parametrize("values", [np.empty((0, 0)), np.full((3, 2), np.nan), np.array([[1.0], [2.0]])])
def test_nobody_to_compare_with_gives_no_bias(values: np.ndarray) -> None:
    assert reader_bias(values, ["a", "b"][: values.shape[1]]) == ()


def test_the_cut_offs_drawn_are_those_of_the_plan_else_of_the_site() -> None:
    assert variability(material(drawn())).cutoffs == (5.0, 30.0)
    assert variability(material(drawn(), cutoffs="<=2.5,<14")).cutoffs == (2.5, 14.0)
