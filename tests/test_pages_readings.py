"""The pages Studies and Readings: empty, a study made and planned, a table imported, a sheet typed."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from ki67.study.people import local_person
from ki67.study.plans import AnalysisPlan, current_plan, plan_history, save_plan
from ki67.study.readings import (
    NewReading,
    ReadingKey,
    enter_readings,
    list_readings,
)
from ki67.study.studies import StudyCase, add_cases, create_study, list_studies, study_cases
from ki67.study.workplace import Workplace
from tests.pages_store import empty_workplace, open_page, words_of  # noqa: F401
from tests.test_pages import NOT_IN_THE_APP

STUDIES, READINGS = "pages/studies.py", "pages/readings.py"
LOCAL = local_person()


def made(workplace: Workplace, *, readings: bool = False) -> str:
    code = create_study(workplace, LOCAL, code="S1", title="Twenty tumors", site="breast").code
    if readings:
        rows = [NewReading(ReadingKey(f"T{n}", "O1"), 10.0 * n) for n in (1, 2)]
        enter_readings(workplace, LOCAL, code, [*rows, NewReading(ReadingKey("T1", "O2"), 2.96)])
    return code


def import_table(table: str, *, name: str = "table.csv") -> AppTest:
    """The page Readings with a table dropped into it."""
    app = open_page(READINGS, reading_part="Import a table")
    app.file_uploader[0].set_value((name, table.encode(), "text/csv")).run()
    assert not app.exception
    return app


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("path", [STUDIES, READINGS])
def test_every_page_opens_on_an_empty_store_and_says_what_to_do_next(path: str) -> None:
    app = open_page(path)
    assert not app.exception
    assert not app.error
    assert app.title
    assert len(app.button) == 1
    assert not NOT_IN_THE_APP.search(words_of(app))


def test_a_study_is_made_and_planned_before_the_first_reading(workplace: Workplace) -> None:
    app = open_page(STUDIES)
    app.text_input(key="new_code").set_value("S1")
    app.text_input(key="new_title").set_value("Twenty tumors")
    app.button(key="make_study").click().run()
    assert not app.exception
    assert [study.title for study in list_studies(workplace, LOCAL)] == ["Twenty tumors"]
    assert app.header[0].value == "**0 cases**, no reading; no plan yet."
    next(each for each in app.number_input if each.label == "Margin, points").set_value(3.0)
    app.button(key="save_plan").click().run()
    assert not app.exception
    version = current_plan(workplace, LOCAL, "S1")
    assert version is not None
    assert (version.plan.margin_points, version.after_readings) == (3.0, False)
    assert app.header[0].value.endswith("planned before the first reading.")


def test_a_frozen_plan_is_changed_only_with_a_reason_and_marked(workplace: Workplace) -> None:
    code = made(workplace)
    save_plan(workplace, LOCAL, code, AnalysisPlan(margin_points=3.0))
    enter_readings(workplace, LOCAL, code, [NewReading(ReadingKey("T1", "O1"), 10.0)])
    app = open_page(STUDIES)
    margin = next(each for each in app.number_input if each.label == "Margin, points")
    assert margin.value == 3.0
    margin.set_value(5.0)
    app.button(key="save_plan").click().run()
    assert "needs a reason" in app.error[0].value
    app.text_input(key="plan_reason").set_value("typing error")
    app.button(key="save_plan").click().run()
    assert [each.after_readings for each in plan_history(workplace, LOCAL, code)] == [False, True]
    assert app.header[0].value.endswith("planned after the readings were known.")
    app.segmented_control(key="study_part").set_value("History").run()
    rows = app.table[0].value.to_dict("records")
    assert rows[1]["Changed"] == "Margin, points: 3 → 5"
    assert rows[1]["Reason"] == "typing error"


def test_a_case_is_left_out_with_a_reason(workplace: Workplace) -> None:
    code = made(workplace)
    add_cases(workplace, LOCAL, code, [StudyCase("T1", "P1"), StudyCase("T2", "P2")])
    app = open_page(STUDIES, study_part="Cases")
    app.selectbox(key="case_out").set_value("T2").run()
    app.button(key="leave_out").click().run()
    assert "needs a reason" in app.error[0].value
    app.text_input(key="case_out_reason").set_value("no tumor")
    app.button(key="leave_out").click().run()
    assert [case.excluded for case in study_cases(workplace, LOCAL, code)] == ["", "no tumor"]
    app.text_area(key="new_cases").set_value("T3, P3\n\nT4")
    app.button(key="add_cases_button").click().run()
    assert not app.exception
    cases = study_cases(workplace, LOCAL, code)
    assert [(case.code, case.patient_code) for case in cases[2:]] == [("T3", "P3"), ("T4", "T4")]


def test_a_table_is_looked_at_then_stored_and_a_second_time_adds_nothing(workplace: Workplace) -> None:
    code = made(workplace)
    table = "case,reader,value\nT1,O1,12.5\nT1,O2,15\nT2,O1,\n"
    app = import_table(table)
    assert "**2 new readings** can be stored." in [each.value for each in app.header]
    assert "1 empty cell" in words_of(app)
    assert list_readings(workplace, LOCAL, code) == ()
    app.button(key="store_import").click().run()
    assert not app.exception
    assert "2 readings stored; 0 known before." in app.success[0].value
    stored = {
        (each.key.case_code, each.key.reader_code): each.value_percent
        for each in list_readings(workplace, LOCAL, code)
    }
    assert stored == {("T1", "O1"): 12.5, ("T1", "O2"): 15.0}
    again = import_table(table)
    assert again.button(key="store_import").disabled
    assert "**0 new readings** can be stored. Stored already: 2." in [each.value for each in again.header]


def test_problems_are_named_by_row_and_column_and_a_decimal_comma_is_settled_for_the_column(
    workplace: Workplace,
) -> None:
    code = made(workplace)
    app = import_table('case,reader,value\nT1,O1,"12,5"\nT2,O1,"130"\nT3,O1,NA\n')
    assert "Nothing can be stored yet: **3 problems**." in [each.value for each in app.header]
    rows = app.dataframe[0].value.to_dict("records")
    assert [(row["Row"], row["Column"]) for row in rows] == [(2, "value"), (3, "value"), (4, "value")]
    assert app.button(key="store_import").disabled
    comma = next(each for each in app.checkbox if "decimal commas" in each.label)
    comma.check().run()
    app.multiselect[0].set_value(["NA"]).run()
    assert [row["Row"] for row in app.dataframe[0].value.to_dict("records")] == [3]
    assert list_readings(workplace, LOCAL, code) == ()


def test_fractions_are_asked_about_and_multiplied_only_then(workplace: Workplace) -> None:
    code = made(workplace)
    app = import_table("case,O1,O2\nT1,0.125,15\nT2,0.5,40\n")
    assert "Nothing can be stored yet: **1 open question**." in [each.value for each in app.header]
    app.radio[0].set_value("fraction").run()
    assert "**4 new readings** can be stored." in [each.value for each in app.header]
    app.button(key="store_import").click().run()
    values = [each.value_percent for each in list_readings(workplace, LOCAL, code)]
    assert values == [12.5, 15.0, 50.0, 40.0]


def test_stored_readings_are_listed_without_rounding_across_a_cutoff(workplace: Workplace) -> None:
    made(workplace, readings=True)
    app = open_page(READINGS)
    assert not app.exception
    assert app.header[0].value.startswith("**3 readings** of 2 readers on 2 cases, in 1 session;")
    assert app.dataframe[0].value["Index, %"].tolist() == ["10.0", "2.96", "20.0"]
    assert not NOT_IN_THE_APP.search(words_of(app))


def test_a_sheet_has_a_row_for_each_case_beside_what_is_stored(workplace: Workplace) -> None:
    made(workplace, readings=True)
    app = open_page(READINGS, reading_part="Type a sheet")
    assert "Name the reader" in words_of(app)
    app.selectbox(key="sheet_reader").set_value("O2").run()
    assert not app.exception
    assert app.button(key="store_sheet").disabled
    assert "mitotic figures are positive" in words_of(app)
