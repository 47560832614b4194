"""The page Cut-offs: classes, moves and probabilities on readings whose truth is known."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from ki67.pipeline.error_model import ErrorModel
from ki67.pipeline.intervals import total_interval
from ki67.pipeline.measure import measure
from ki67.stats.classes import parse_cutoffs
from ki67.study import cutoff_words
from ki67.study.cutoff_cases import (
    CountedCase,
    NearCase,
    counted_cases,
    near_cutoffs,
    pooled_sampling,
    spread_at,
)
from ki67.study.cutoffs import (
    ALGORITHM,
    PANEL,
    CellCase,
    ClassView,
    Question,
    class_borders,
    every_statistic,
    in_classes,
)
from ki67.study.material import AlgorithmValue, StudyMaterial, gather
from ki67.study.model_sets import find_model_set, own_folder
from ki67.study.people import local_person
from ki67.study.plans import AnalysisPlan
from ki67.study.records import store_score
from ki67.study.results import get_result
from ki67.study.workplace import Workplace
from ki67.types import Interval
from tests.pages_store import SIDE_PX, draw_png, empty_workplace
from tests.records import make_record, scattered
from tests.study_material import log_normal_table, study_of
from tests.study_store import store_study
from tests.test_model_sets import write_set

__all__ = ["empty_workplace"]
NAN = float("nan")
ERRORS = ErrorModel(
    "arcsine", laboratories=5, field_nuclei=500, levels=((0.0, 0.02, 0.05), (10.0, 0.04, 0.06))
)


def view_of(material: StudyMaterial, reference: str = PANEL, compared: str = ALGORITHM) -> ClassView:
    return in_classes(material, Question(class_borders(material)[0], reference, compared))


def table_of(view: ClassView) -> tuple[tuple[int, ...], ...]:
    assert view.table is not None
    return view.table.counts


def estimate(view: ClassView, name: str) -> float:
    rows = (*view.kappas, *view.among_readers, *view.moves)
    value = next(row.estimate.value for row in rows if row.statistic == name)
    assert value is not None
    return value


# Algorithm, then three readers; panel medians 3, 5, 6, 20, 31, 40, 12.
SEVEN = np.array(
    [
        [2.0, 3, 3, 4],
        [5.0, 5, 5, 4],
        [5.0, 6, 7, 6],
        [31.0, 20, 20, 22],
        [30.0, 31, 30, 33],
        [29.0, 40, 41, 39],
        [11.0, 12, 12, 12],
    ]
)


def test_cases_stand_in_the_cell_of_the_panel_median_and_the_algorithm_with_borders_as_agreed() -> None:
    view = view_of(study_of(SEVEN))
    assert table_of(view) == ((2, 0, 0), (1, 1, 1), (0, 1, 1))
    codes = [[[case.code for case in cell] for cell in row] for row in view.cells]
    assert codes == [[["T1", "T2"], [], []], [["T3"], ["T7"], ["T4"]], [[], ["T6"], ["T5"]]]
    assert view.cells[1][2] == (CellCase("T4", 20.0, 31.0),)
    first, second = cutoff_words.answer(view)
    assert first == (
        "The algorithm and the panel median put **4 of 7 tumors** into the same class (57.1 %, 18.4–90.1); "
        "the algorithm puts 1 higher, 2 lower."
    )
    assert second.startswith("Cohen’s kappa **0.36** (")
    assert "Between readers Fleiss’ kappa" in second


def test_kappa_and_moves_are_those_of_the_table() -> None:
    view = view_of(study_of(SEVEN))
    observed, chance = 4 / 7, (2 * 3 + 3 * 2 + 2 * 2) / 49
    assert estimate(view, "Cohen’s kappa") == pytest.approx((observed - chance) / (1 - chance))
    assert estimate(view, "In a higher class") == pytest.approx(1 / 7)
    assert estimate(view, "In a lower class") == pytest.approx(2 / 7)
    cells = cutoff_words.rows(view.moves)
    assert cells[0][1:4] == ("In a higher class", "14.3 %", "0.4–57.9")
    assert {row[-1] for row in cutoff_words.rows(view.kappas)} == {"these readers"}
    assert {row[-1] for row in cutoff_words.rows(view.among_readers)} == {"reader population"}


def test_the_class_of_the_algorithm_comes_from_whole_numbers_of_nuclei() -> None:
    """7 of 140 is 5 %, which floating-point arithmetic may lift above the border."""
    material = study_of(np.array([[5.000000000000001, 5, 5], [40.0, 40, 40]]))
    counted = dataclasses.replace(
        material, algorithm=(AlgorithmValue("T1", 5.000000000000001, 7, 133, (), "set"),)
    )
    assert table_of(view_of(material)) == ((0, 1, 0), (0, 0, 0), (0, 0, 1))
    assert table_of(view_of(counted)) == ((1, 0, 0), (0, 0, 0), (0, 0, 1))


def test_a_median_of_decimals_is_that_decimal() -> None:
    """(0.1 + 29.9 …) / 2: the dust of binary fractions decides no class."""
    material = study_of(np.array([[3.0, 29.7, 30.3], [3.0, 4.85, 5.15]]))
    assert table_of(view_of(material)) == ((1, 0, 0), (0, 0, 0), (1, 0, 0))


def test_a_reader_is_compared_with_the_panel_of_the_others_and_with_another_reader() -> None:
    material = study_of(SEVEN)
    left_out = view_of(material, PANEL, "O1")
    assert left_out.reference_words == "panel median without O1"
    assert table_of(left_out) == ((2, 0, 0), (0, 3, 0), (0, 0, 2))
    two = view_of(material, "O1", "O3")
    assert (two.reference_words, two.compared_words) == ("reader O1", "reader O3")
    assert two.among_readers == ()
    assert "cannot be compared with the same reader" in view_of(material, "O1", "O1").lacking


def test_a_study_with_its_own_cutoffs_uses_those() -> None:
    material = study_of(SEVEN, plan=AnalysisPlan(cutoffs="<20"), site="head and neck")
    borders = class_borders(material)
    assert [each.cutoffs.words for each in borders] == [("< 20 %", "≥ 20 %")]
    view = view_of(material)
    assert table_of(view) == ((4, 0), (0, 3))
    assert [row.statistic for row in view.kappas] == ["Cohen’s kappa", "Gwet’s AC1"]
    assert view.warnings == ()
    assert class_borders(study_of(SEVEN, site="head and neck")) == ()


def test_strata_of_the_hot_spot_are_not_told_of_the_global_index_without_a_warning() -> None:
    (warning,) = view_of(study_of(SEVEN, site="neuroendocrine")).warnings
    assert warning == (
        "These classes (Ki-67 stratum) are defined for the hot spot; compared here is the global index."
    )


def test_without_an_algorithm_readers_are_still_told_and_what_is_missing_is_said() -> None:
    view = view_of(study_of(SEVEN, algorithm=False))
    assert view.table is None
    first, second = cutoff_words.answer(view)
    assert first.startswith("Nothing can be compared in classes: the algorithm has no result")
    assert second.startswith("Between readers Fleiss’ kappa")
    assert table_of(view_of(study_of(SEVEN, algorithm=False), "O1", "O2"))


def test_one_class_for_all_is_undefined_with_its_reason() -> None:
    view = view_of(study_of(np.array([[1.0, 2, 3], [2.0, 1, 1], [3.0, 3, 2]])))
    assert "Cohen’s kappa is undefined: every reading is in one class" in cutoff_words.answer(view)[1]
    (row, *_) = cutoff_words.rows(view.kappas)
    assert row[2:4] == ("undefined", "Every reading is in one class: agreement beyond chance is 0/0.")


def test_every_statistic_of_the_pair_and_of_the_readers_is_listed() -> None:
    material = study_of(log_normal_table(20, 4, seed=1), plan=AnalysisPlan(bootstrap=100))
    found = every_statistic(material, Question(class_borders(material)[0]))
    names = {each.statistic for each in found}
    assert {"cohen_kappa", "mcnemar_p", "ppa", "reclassified_up", "fleiss_kappa", "light_kappa"} <= names
    pair = [each for each in found if each.readers == ("panel median", "algorithm")]
    assert {each.params["classes"] for each in pair} == {"IKWG class"}
    assert sum(each.statistic == "ppa" for each in pair) == 2


def counted(code: str, positive: int, negative: int, *, model: ErrorModel | None = ERRORS) -> CountedCase:
    index = positive / (positive + negative)
    half = 1.2 * (index * (1 - index) / (positive + negative)) ** 0.5 * 1.96
    why = "" if model else "The card of the model set first holds no error model."
    return CountedCase(
        code, positive, negative, index, Interval(max(0.0, index - half), min(1.0, index + half)), model, why
    )


def near_of(cases: list[CountedCase]) -> dict[str, NearCase]:
    table = np.array([[100 * case.index, 4, 12, 31, 40] for case in cases])
    near = near_cutoffs(study_of(table), cases, parse_cutoffs("<=5,<30"))
    found: dict[str, NearCase] = {}
    for row in near.rows:
        found.setdefault(row.case.code, row)
    return found


def test_the_probability_of_a_side_is_that_of_the_total_interval() -> None:
    """A cut-off on the upper 95 % limit has 2.5 % above it."""
    case = counted("T1", 270, 730)
    limits = total_interval(0.27, case.sampling, ERRORS, nuclei=1000)
    assert limits.high > 0.30
    row = near_of([case])["T1"]
    assert row.border.percent == 30
    assert row.answer.above is not None
    assert 0.025 < row.answer.above < 0.5
    assert row.total == limits
    spread = spread_at(ERRORS, 0.27)
    assert (spread.laboratory_sd, spread.field_sd, spread.field_nuclei) == (0.04, 0.06, 500)
    assert spread_at(ERRORS, 0.05).laboratory_sd == 0.02


def test_the_least_settled_stand_first_and_each_says_what_would_settle_it() -> None:
    near = near_of([counted("T1", 800, 200), counted("T2", 295, 705), counted("T3", 90, 210)])
    assert list(near)[-1] == "T1"
    words = {code: cutoff_words.nuclei_words(row) for code, row in near.items()}
    assert words["T1"] == "settled"
    assert words["T2"] == "cannot be settled by counting"
    assert near["T2"].readers_above == 2
    assert near["T2"].readers_below == 2


def test_more_nuclei_settle_a_case_that_few_nuclei_leave_open() -> None:
    precise = dataclasses.replace(ERRORS, levels=((0.0, 0.005, 0.05),))
    row = near_of([counted("T1", 40, 160, model=precise)])["T1"]
    needed = row.answer.nuclei_needed
    assert needed is not None
    assert needed > 0
    less, more = (round((200 + needed) * share) for share in (0.9, 1.05))
    settled = {
        nuclei: near_of([counted("T1", nuclei // 5, 4 * nuclei // 5, model=precise)])["T1"].answer.settled
        for nuclei in (less, more)
    }
    assert settled == {less: False, more: True}
    assert cutoff_words.nuclei_words(row) == f"about {needed:,}"


def test_without_an_error_model_probabilities_are_withheld_with_the_reason() -> None:
    cases = [counted("T1", 290, 710, model=None), counted("T2", 800, 200, model=None)]
    near = near_cutoffs(study_of(np.array([[29.0, 28, 31], [80.0, 70, 75]])), cases, parse_cutoffs("<=5,<30"))
    assert near.unsettled is None
    assert near.withheld == ("The card of the model set first holds no error model.",)
    assert near.rows[0].case.code == "T1"
    assert near.rows[0].answer.reason == "not_measured"
    assert cutoff_words.near_rows(near)[0][3:8] == ("withheld", "30 %", "withheld", "withheld", "withheld")
    assert cutoff_words.near_answer(near) == (
        "In **1 of 2 tumors** the interval of the counting alone reaches a cut-off. How likely each side "
        "is, is withheld."
    )


def test_imported_values_have_no_counts_and_no_probabilities() -> None:
    near = near_cutoffs(study_of(SEVEN), (), parse_cutoffs("<=5,<30"))
    assert (near.rows, near.counted, near.uncounted) == ((), 0, 7)
    assert "imported without counts" in cutoff_words.near_answer(near)


def test_pictures_pool_their_intervals_with_their_shares_of_the_nuclei() -> None:
    one = (200, 800, Interval(0.15, 0.26))
    alone = pooled_sampling([one])
    assert alone is not None
    assert (alone.low, alone.high) == pytest.approx((0.15, 0.26))
    both = pooled_sampling([one, one])
    assert both is not None
    assert both.low == pytest.approx(0.2 - 0.05 / 2**0.5)
    assert both.high == pytest.approx(0.2 + 0.06 / 2**0.5)
    tight = pooled_sampling([(200, 800, Interval(0.199, 0.201))])
    assert tight is not None
    assert tight.low < 0.18  # never narrower than Wilson
    assert pooled_sampling([(0, 0, None)]) is None


def scored(workplace: Workplace, folder: Path, models: str) -> StudyMaterial:
    """A study of one case that the set `models` scored at 60 of 200 nuclei, and three readers read."""
    card = find_model_set(workplace, models).cells
    x, y = scattered(200, width_px=SIDE_PX, height_px=SIDE_PX, seed=0)
    record = make_record(x, y, np.arange(200) < 60, width_px=SIDE_PX, height_px=SIDE_PX)
    record = dataclasses.replace(record, models={**record.models, "cells": card.ref})
    store_study(workplace, np.array([[NAN, 28, 29, 33]]))
    store_score(
        workplace,
        local_person(),
        picture=draw_png(folder / "T1.png"),
        record=record,
        measurement=measure(record, error_model=card.error_model),
        model_set=models,
        site="breast",
        case_code="T1",
    )
    return gather(workplace, local_person(), "S1")


def test_a_stored_result_gives_the_total_interval_that_its_page_shows(
    workplace: Workplace, tmp_path: Path
) -> None:
    values = dataclasses.asdict(ERRORS)
    names = ("from_percent", "laboratory_sd", "field_sd")
    values["levels"] = [dict(zip(names, level, strict=True)) for level in ERRORS.levels]
    write_set(own_folder(workplace) / "lab", error_model=values)
    material = scored(workplace, tmp_path, "lab")
    (case,) = counted_cases(workplace, local_person(), material)
    assert (case.positive, case.negative, case.index) == (60, 140, 0.3)
    assert case.error_model == ERRORS
    near = near_cutoffs(material, (case,), parse_cutoffs("<=5,<30"))
    (code,) = material.algorithm[0].result_codes
    shown = get_result(workplace, local_person(), code).measurement.total
    assert shown is not None
    assert near.rows[0].total is not None
    assert (near.rows[0].total.low, near.rows[0].total.high) == pytest.approx((shown.low, shown.high))
    assert near.rows[0].answer.above == pytest.approx(0.5)
    assert (near.rows[0].readers_below, near.rows[0].readers_above) == (2, 1)
    write_set(own_folder(workplace) / "lab", seed=1, error_model=values)
    (replaced,) = counted_cases(workplace, local_person(), material)
    assert replaced.error_model is None
    assert replaced.why == "The model set lab was replaced after scoring: score again for probabilities."


def test_a_set_without_an_error_model_or_that_is_gone_withholds_with_its_reason(
    workplace: Workplace, tmp_path: Path
) -> None:
    write_set(own_folder(workplace) / "plain")
    material = scored(workplace, tmp_path, "plain")
    (case,) = counted_cases(workplace, local_person(), material)
    assert case.why == "The card of the model set plain holds no error model."
    shutil.rmtree(own_folder(workplace) / "plain")
    (gone,) = counted_cases(workplace, local_person(), material)
    assert gone.error_model is None
    assert gone.why
