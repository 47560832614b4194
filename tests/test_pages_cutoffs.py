"""The pages Cut-offs and Planning: empty, too little, whole; planning without any data."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ki67.study.plans import AnalysisPlan
from ki67.study.workplace import Workplace
from tests.pages_store import empty_workplace, open_page, words_of  # noqa: F401
from tests.study_material import log_normal_table
from tests.study_store import store_study
from tests.test_pages import NOT_IN_THE_APP

CUTOFFS, PLANNING = "pages/cutoffs.py", "pages/planning.py"


@pytest.mark.usefixtures("workplace")
def test_on_an_empty_store_cutoffs_say_what_will_stand_there_and_planning_works() -> None:
    app = open_page(CUTOFFS)
    assert not app.exception
    assert app.title[0].value == "Cut-offs"
    assert app.header[0].value == "Readings of people beside the algorithm will stand here."
    app = app.switch_page(PLANNING).run()
    assert not app.exception
    assert not app.error
    assert app.header[0].value == (
        "**20 tumors** are needed to show that 95 % of differences lie within ± 15 points, **31** for the "
        "95 % intervals of both limits of agreement to lie within them."
    )
    assert [row["Tumors"] for row in app.table[0].value.to_dict("records")] == ["20", "31"]
    assert not NOT_IN_THE_APP.search(words_of(app))


def test_the_answer_the_kappas_the_moves_and_the_cases_near_a_cutoff(workplace: Workplace) -> None:
    store_study(workplace, log_normal_table(20, 5, seed=1))
    app = open_page(CUTOFFS)
    assert not app.exception
    assert not app.error
    assert re.fullmatch(
        r"The algorithm and the panel median put \*\*\d+ of 20 tumors\*\* into the same class "
        r"\(\d+\.\d %, \d+\.\d–\d+\.\d\)(; the algorithm puts \d+ higher, \d+ lower)?\.",
        app.header[0].value,
    )
    rows = app.table[0].value.to_dict("records")
    assert [row["Statistic"] for row in rows] == [
        "Cohen’s kappa",
        "Cohen’s kappa, linear weights",
        "Cohen’s kappa, quadratic weights",
        "Gwet’s AC1",
        "Fleiss’ kappa",
        "Gwet’s AC1",
    ]
    assert {row["n"] for row in rows} == {"20"}
    assert rows[-1]["Interval speaks about"] == "reader population"
    assert not NOT_IN_THE_APP.search(words_of(app))
    app.segmented_control(key="cutoffs_plot").set_value("Reclassification").run()
    assert not app.exception
    assert "In a higher class" in words_of(app)
    app.segmented_control(key="cutoffs_plot").set_value("Near a cut-off").run()
    assert not app.exception
    assert "imported without counts of nuclei" in words_of(app)


def test_two_readers_and_other_classes_are_chosen_and_stand_in_the_address(workplace: Workplace) -> None:
    store_study(workplace, log_normal_table(12, 3, seed=2))
    app = open_page(CUTOFFS, rows="Reader O1", columns="Reader O2", classes="14 % cut-off")
    assert not app.exception
    assert app.header[0].value.startswith("Reader O2 and reader O1 put **")
    assert "< 14 %; ≥ 14 %" in words_of(app)


def test_a_study_without_cutoffs_says_who_sets_them(workplace: Workplace) -> None:
    store_study(workplace, log_normal_table(6, 2, seed=3), site="head and neck")
    app = open_page(CUTOFFS)
    assert not app.exception
    assert app.header[0].value == "Study S1 has no cut-offs yet."
    assert "the analysis plan of the study sets its own" in words_of(app)


def test_the_plan_of_a_study_sets_its_own_cutoffs_and_one_reader_is_enough_to_be_shown(
    workplace: Workplace,
) -> None:
    table = log_normal_table(8, 1, seed=4)
    store_study(workplace, table, site="head and neck", plan=AnalysisPlan(cutoffs="<15"))
    app = open_page(CUTOFFS)
    assert not app.exception
    assert app.header[0].value.startswith("The algorithm and the panel median put **")
    table[:, 0] = np.nan
    store_study(workplace, table, code="S2", site="head and neck", plan=AnalysisPlan(cutoffs="<15"))
    app = open_page(CUTOFFS, study="S2 · head and neck")
    assert not app.exception
    assert "the algorithm has no result of these tumors" in app.header[0].value


@pytest.mark.usefixtures("workplace")
def test_sample_sizes_for_icc_and_kappa_follow_what_is_typed() -> None:
    app = open_page(PLANNING, planning="ICC")
    assert not app.exception
    assert app.header[0].value.startswith("With 10 readers of each tumor **23 tumors** are needed")
    before = app.table[0].value.to_dict("records")[1]["Tumors"]
    app.number_input(key="icc_width").set_value(0.05).run()
    assert int(app.table[0].value.to_dict("records")[1]["Tumors"]) > 3 * int(before)
    app.segmented_control(key="planning").set_value("Kappa").run()
    assert not app.exception
    app.text_input(key="kappa_shares").set_value("50, 60").run()
    assert [error.value for error in app.error] == [
        "The shares 50, 60 sum to 110 %\\: they have to sum to 100 %."
    ]


@pytest.mark.usefixtures("workplace")
def test_a_whole_study_is_simulated_with_its_seed() -> None:
    app = open_page(PLANNING, planning="Whole study")
    assert not app.exception
    assert app.header[0].value.startswith("With 50 tumors and 10 readers the ICC may be expected as **0.")
    for key, value in (("study_cases", 12), ("study_readers", 4), ("study_draws", 10), ("study_seed", 7)):
        app.number_input(key=key).set_value(value)
    app.button[0].click().run()
    assert not app.exception
    assert not app.error
    assert app.header[0].value.startswith("With 12 tumors and 4 readers the ICC may be expected as **0.")
    words = words_of(app)
    assert "of 10 simulated studies, seed 7." in words
    assert "Algorithm − one reader, upper limit" in words
    assert not NOT_IN_THE_APP.search(words)
