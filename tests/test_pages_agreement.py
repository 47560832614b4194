"""The page Agreement: empty, too little, whole; the answer, the table with its signs, the parts folded."""

from __future__ import annotations

import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ki67.study.people import local_person
from ki67.study.plans import AnalysisPlan
from ki67.study.studies import create_study
from ki67.study.workplace import Workplace
from tests.pages_store import empty_workplace, open_page, words_of  # noqa: F401
from tests.study_material import log_normal_table
from tests.study_store import store_study
from tests.test_pages import NOT_IN_THE_APP

PAGE = "pages/agreement.py"


@pytest.mark.usefixtures("workplace")
def test_on_an_empty_store_it_says_what_will_stand_here_with_one_button() -> None:
    app = open_page(PAGE)
    assert not app.exception
    assert app.title[0].value == "Agreement"
    assert app.header[0].value == "Readings of people beside the algorithm will stand here."
    assert app.button(key="to_readings").label == "Import readings"


def test_a_study_without_readings_says_so(workplace: Workplace) -> None:
    create_study(workplace, local_person(), code="S1", title="A study", site="breast")
    app = open_page(PAGE)
    assert not app.exception
    assert app.header[0].value == "Study S1 has no readings yet."


def test_the_answer_leads_and_the_table_has_the_signs_of_the_plot(workplace: Workplace) -> None:
    plan = AnalysisPlan(acceptance_low_points=-60, acceptance_high_points=60)
    store_study(workplace, log_normal_table(20, 6, seed=1), plan=plan, sessions=2)
    app = open_page(PAGE)
    assert not app.exception
    assert not app.error
    assert re.fullmatch(
        r"At an index of 20 % the algorithm reads \*\*\d+\.\d points? (lower|higher)\*\* than one reader "
        r"\(−?\d+\.\d to −?\d+\.\d\)\.",
        app.header[0].value,
    )
    words = words_of(app)
    assert re.search(
        r"95 % of new differences are estimated to lie between −\d+\.\d and \d+\.\d points;", words
    )
    assert "20 tumors · 240 readings · 0 excluded" in words
    rows = app.table[0].value.to_dict("records")
    assert [row["At 20 %, points"] for row in rows] == [
        ":blue[◆] Algorithm − one reader",
        ":gray[●] One reader − another",
        "■ Algorithm − panel median",
    ]
    assert [row["Pairs"] for row in rows] == [120, 300, 20]
    assert rows[1]["95 % interval"] == "by construction"
    assert "Readings of session 1." in words
    assert "passes" in words
    assert "Primary analysis" in words
    app.multiselect(key="readers").set_value(["O1", "O3"]).run()
    assert "Secondary analysis" in words_of(app)
    assert "two-way analysis, cases and readers random" in words  # Method and settings
    assert not NOT_IN_THE_APP.search(words)


def test_panel_and_scatter_replace_the_plot_and_a_reader_is_compared(workplace: Workplace) -> None:
    store_study(workplace, log_normal_table(15, 4, seed=2))
    app = open_page(PAGE)
    app.segmented_control(key="view").set_value("Panel").run()
    assert not app.exception
    app.selectbox(key="compared").set_value("O2").run()
    assert not app.exception
    first = app.table[0].value.to_dict("records")
    assert [row["At 20 %, points"] for row in first] == [
        "■ Algorithm − panel without O2",
        ":orange[■] O2 − panel without O2",
    ]
    assert "One reader from the panel of the others" in words_of(app)
    app.segmented_control(key="view").set_value("Scatter").run()
    assert not app.exception
    words = words_of(app)
    assert "Passing–Bablok, slope" in words
    assert "Proportional bias" in words


def test_without_an_algorithm_the_readers_are_shown(workplace: Workplace) -> None:
    table = log_normal_table(12, 3, seed=3)
    table[:, 0] = np.nan
    store_study(workplace, table)
    app = open_page(PAGE)
    assert not app.exception
    assert "between two readers" in app.header[0].value
    assert "The algorithm has no result of these cases" in words_of(app)
    app.segmented_control(key="view").set_value("Scatter").run()
    assert "A scatter needs results of the algorithm" in words_of(app)


def test_the_filter_stands_in_the_address_and_leaves_readers_and_cases_out(workplace: Workplace) -> None:
    store_study(workplace, log_normal_table(10, 3, seed=4), code="S1")
    store_study(workplace, log_normal_table(8, 3, seed=5) * 0.9, code="S2")
    app = open_page(PAGE, study="S1", without="T3")
    assert not app.exception
    assert app.selectbox(key="study").value == "S1"
    assert "9 tumors · 27 readings · 1 excluded" in words_of(app)
    app.multiselect(key="readers").set_value(["O1"]).run()
    assert "9 tumors · 9 readings · 1 excluded" in words_of(app)
    assert "than reader O1" in app.header[0].value


def test_a_click_opens_the_case_with_every_reading() -> None:
    app = AppTest.from_function(open_case).run()
    assert not app.exception
    words = words_of(app)
    assert "Algorithm **20.0 %**, imported: without counts, no interval." in words
    assert [row["Reader"] for row in app.dataframe[0].value.to_dict("records")] == ["O1", "O2"]


def open_case() -> None:
    """A page that opens a case as a click does."""
    import numpy as np

    from pages import _study_parts
    from tests.study_material import study_of

    _study_parts.case_dialog(study_of(np.array([[20.0, 10.0, 30.0]])), "T1")
