"""Readings and plans in the store: nothing is overwritten, and it is known what came first."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from db.study_tables import Reading
from db.tables import NeverChanged
from ki67.errors import NotAllowed, StoreError
from ki67.study.plans import AnalysisPlan, current_plan, plan_history, save_plan
from ki67.study.readings import (
    FieldCount,
    NewReading,
    ReadingKey,
    change_reading,
    enter_readings,
    list_readings,
    reading_history,
    withdraw_reading,
)
from ki67.study.studies import (
    StudyCase,
    add_cases,
    create_study,
    exclude_case,
    get_study,
    list_studies,
    study_cases,
)
from ki67.study.workplace import Workplace, transaction
from tests.stores import ANALYST, LOCAL, READER


@pytest.fixture
def study(workplace: Workplace) -> str:
    return create_study(workplace, LOCAL, code="S1", title="Twenty tumors", site="breast").code


def reading(case: str, reader: str, value: float | None, **more: object) -> NewReading:
    key = {name: more.pop(name) for name in ("session", "replicate", "method") if name in more}
    return NewReading(ReadingKey(case, reader, **key), value, **more)  # type: ignore[arg-type]


def test_a_study_is_found_by_its_code_and_listed_newest_first(workplace: Workplace, study: str) -> None:
    create_study(workplace, LOCAL, code="S2", title="Another", site="neuroendocrine")
    assert [each.code for each in list_studies(workplace, ANALYST)] == ["S2", "S1"]
    assert get_study(workplace, ANALYST, study).site == "breast"
    with pytest.raises(StoreError, match="There is a study S1 already"):
        create_study(workplace, LOCAL, code="S1", title="Again", site="breast")
    with pytest.raises(StoreError, match="needs a title"):
        create_study(workplace, LOCAL, code="S3", title=" ", site="breast")


def test_a_reader_is_shown_no_study_and_no_reading(workplace: Workplace, study: str) -> None:
    for call in (
        lambda: list_studies(workplace, READER),
        lambda: list_readings(workplace, READER, study),
        lambda: current_plan(workplace, READER, study),
        lambda: enter_readings(workplace, READER, study, [reading("T1", "O1", 10.0)]),
    ):
        with pytest.raises(NotAllowed):
            call()


def test_readings_come_back_as_entered_with_author_and_time(workplace: Workplace, study: str) -> None:
    counted = reading(
        "T2", "O1", 20.0, positive=100, negative=400, fields=(FieldCount(100, 400, "high", 60.0),)
    )
    done = enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 12.5), counted])
    assert (done.added, done.known) == (2, 0)
    first, second = list_readings(workplace, ANALYST, study)
    assert (first.key.case_code, first.value_percent, first.version, first.author) == ("T1", 12.5, 1, "local")
    assert second.fields == (FieldCount(100, 400, "high", 60.0),)
    assert (second.positive, second.negative) == (100, 400)
    assert first.at.tzinfo is not None
    assert [case.code for case in study_cases(workplace, LOCAL, study)] == ["T1", "T2"]


def test_entering_the_same_again_adds_nothing_and_another_value_is_refused(
    workplace: Workplace, study: str
) -> None:
    enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 12.5)])
    again = enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 12.5), reading("T1", "O2", 9.0)])
    assert (again.added, again.known) == (1, 1)
    with pytest.raises(StoreError, match="case T1, reader O1, session 1, global is there already"):
        enter_readings(workplace, LOCAL, study, [reading("T3", "O1", 1.0), reading("T1", "O1", 13.0)])
    assert len(list_readings(workplace, LOCAL, study)) == 2


def test_sessions_replicates_and_methods_are_readings_of_their_own(workplace: Workplace, study: str) -> None:
    rows = [
        reading("T1", "O1", 10.0),
        reading("T1", "O1", 11.0, session="2"),
        reading("T1", "O1", 12.0, replicate="2"),
        reading("T1", "O1", 30.0, method="hot spot"),
    ]
    assert enter_readings(workplace, LOCAL, study, rows).added == 4


def test_a_change_is_a_new_row_with_its_reason_and_the_old_one_stays(
    workplace: Workplace, study: str
) -> None:
    enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 12.5)])
    with pytest.raises(StoreError, match="needs a reason"):
        change_reading(workplace, LOCAL, study, reading("T1", "O1", 15.0), reason=" ")
    change_reading(workplace, LOCAL, study, reading("T1", "O1", 15.0), reason="misread the sheet")
    (holds,) = list_readings(workplace, LOCAL, study)
    assert (holds.value_percent, holds.version, holds.reason) == (15.0, 2, "misread the sheet")
    assert [each.value_percent for each in reading_history(workplace, LOCAL, study)] == [12.5, 15.0]
    with pytest.raises(StoreError, match="no reading of case T9"):
        change_reading(workplace, LOCAL, study, reading("T9", "O1", 15.0), reason="x")


def test_a_withdrawn_reading_leaves_the_list_and_may_be_entered_again(
    workplace: Workplace, study: str
) -> None:
    enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 12.5)])
    withdraw_reading(workplace, LOCAL, study, ReadingKey("T1", "O1"), reason="wrong slide")
    assert list_readings(workplace, LOCAL, study) == ()
    enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 8.0)])
    states = [(each.version, each.state) for each in reading_history(workplace, LOCAL, study)]
    assert states == [(1, "value"), (2, "withdrawn"), (3, "value")]


def test_the_mapper_refuses_to_change_a_reading_in_place(workplace: Workplace, study: str) -> None:
    enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 12.5)])
    with transaction(workplace) as session:
        session.get_one(Reading, 1).value_percent = 99.0
        with pytest.raises(NeverChanged):
            session.flush()
        session.rollback()


def test_not_assessable_needs_a_reason_and_is_no_zero(workplace: Workplace, study: str) -> None:
    with pytest.raises(StoreError, match="say why it cannot be assessed"):
        enter_readings(workplace, LOCAL, study, [reading("T1", "O1", None)])
    enter_readings(workplace, LOCAL, study, [reading("T1", "O1", None, reason="no tumor")])
    (holds,) = list_readings(workplace, LOCAL, study)
    assert (holds.state, holds.value_percent, holds.reason) == ("not assessable", None, "no tumor")


@pytest.mark.parametrize("value", [-0.1, 100.1, 130.0])
def test_a_value_outside_a_percentage_is_refused_and_nothing_is_stored(
    workplace: Workplace, study: str, value: float
) -> None:
    with pytest.raises(StoreError, match="percentage 0–100"):
        enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 5.0), reading("T1", "O2", value)])
    assert list_readings(workplace, LOCAL, study) == ()


def test_a_case_of_another_site_or_patient_is_refused(workplace: Workplace, study: str) -> None:
    create_study(workplace, LOCAL, code="S2", title="Pancreas", site="neuroendocrine")
    add_cases(workplace, LOCAL, study, [StudyCase("T1", "P1")])
    with pytest.raises(StoreError, match="study S2 is of neuroendocrine"):
        enter_readings(workplace, LOCAL, "S2", [reading("T1", "O1", 1.0)])
    with pytest.raises(StoreError, match="patient code P1"):
        add_cases(workplace, LOCAL, study, [StudyCase("T1", "P2")])


def test_a_case_is_left_out_with_a_reason_and_taken_in_again(workplace: Workplace, study: str) -> None:
    add_cases(workplace, LOCAL, study, [StudyCase("T1", "P1"), StudyCase("T2", "P2")])
    exclude_case(workplace, LOCAL, study, "T2", reason="fixation failed")
    assert [case.excluded for case in study_cases(workplace, LOCAL, study)] == ["", "fixation failed"]
    exclude_case(workplace, LOCAL, study, "T2", reason="")
    assert [case.excluded for case in study_cases(workplace, LOCAL, study)] == ["", ""]
    with pytest.raises(StoreError, match="Case T9 is not in study S1"):
        exclude_case(workplace, LOCAL, study, "T9", reason="x")


def test_a_plan_written_first_is_frozen_by_the_first_reading(workplace: Workplace, study: str) -> None:
    assert current_plan(workplace, LOCAL, study) is None
    plan = AnalysisPlan(margin_points=3.0)
    assert not save_plan(workplace, LOCAL, study, plan).frozen
    enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 12.5)])
    holds = current_plan(workplace, LOCAL, study)
    assert holds is not None
    assert (holds.plan, holds.frozen, holds.after_readings) == (plan, True, False)
    with pytest.raises(StoreError, match="frozen"):
        save_plan(workplace, LOCAL, study, AnalysisPlan(margin_points=5.0))
    save_plan(workplace, LOCAL, study, AnalysisPlan(margin_points=5.0), reason="agreed with the board")
    states = [(each.version, each.after_readings) for each in plan_history(workplace, LOCAL, study)]
    assert states == [(1, False), (2, True)]


def test_a_plan_written_after_an_import_says_so(workplace: Workplace, study: str) -> None:
    enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 12.5)])
    assert save_plan(workplace, LOCAL, study, AnalysisPlan()).after_readings


def test_the_same_plan_again_is_no_new_version(workplace: Workplace, study: str) -> None:
    save_plan(workplace, LOCAL, study, AnalysisPlan())
    assert save_plan(workplace, LOCAL, study, AnalysisPlan()).version == 1


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (AnalysisPlan(criterion=1.2), "between 0 and 1"),
        (AnalysisPlan(margin_points=0.0), "more than 0"),
        (AnalysisPlan(acceptance_low_points=5.0, acceptance_high_points=-5.0), "lower and a higher"),
        (AnalysisPlan(acceptance_low_points=-5.0), "give both"),
        (AnalysisPlan(bootstrap=10), "at least 100"),
    ],
)
def test_a_plan_that_cannot_hold_is_refused(
    workplace: Workplace, study: str, plan: AnalysisPlan, sentence: str
) -> None:
    with pytest.raises(StoreError, match=sentence):
        save_plan(workplace, LOCAL, study, plan)
    assert current_plan(workplace, LOCAL, study) is None


def test_no_name_stands_in_the_tables_of_a_study(workplace: Workplace, study: str) -> None:
    enter_readings(workplace, LOCAL, study, [reading("T1", "O1", 12.5)])
    with workplace.engine.connect() as connection:
        people = [row[0] for row in connection.execute(text("SELECT code FROM people ORDER BY id"))]
    assert people == ["local", "O1"]
