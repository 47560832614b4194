"""What an analysis is made from: readings, the algorithm's pooled values, filters, exclusions."""

from __future__ import annotations

from pathlib import Path

import pytest

from ki67.errors import NotAllowed, StoreError
from ki67.study.material import Selection, StudyMaterial, gather
from ki67.study.plans import AnalysisPlan, save_plan
from ki67.study.readings import (
    ALGORITHM,
    NewReading,
    ReadingKey,
    change_reading,
    enter_readings,
    withdraw_reading,
)
from ki67.study.studies import create_study, exclude_case
from ki67.study.workplace import Workplace
from tests.pages_store import add_result
from tests.stores import ANALYST, LOCAL, READER


@pytest.fixture
def study(workplace: Workplace, tmp_path: Path) -> str:
    """Three cases read by two readers in two sessions; T1 and T2 scored, T1 with a second picture."""
    create_study(workplace, LOCAL, code="S1", title="Three tumors", site="breast")
    rows = [
        NewReading(ReadingKey(f"T{case}", f"O{reader}", session=session), 10.0 * case + reader)
        for case in (1, 2, 3)
        for reader in (1, 2)
        for session in ("1", "2")
    ]
    rows += [
        NewReading(ReadingKey("T1", "O1", method="hot spot"), 40.0),
        NewReading(ReadingKey("T4", "O1"), None, reason="blurred", patient_code="P4"),
        NewReading(ReadingKey("T1", ALGORITHM), 77.0),
        NewReading(ReadingKey("T3", ALGORITHM), 33.0),
    ]
    enter_readings(workplace, LOCAL, "S1", rows)
    for seed, (case, positive, negative) in enumerate((("T1", 60, 440), ("T2", 100, 400)), start=1):
        add_result(
            workplace,
            tmp_path,
            case_code=case,
            site="breast",
            positive=positive,
            negative=negative,
            seed=seed,
        )
    (tmp_path / "second").mkdir()
    add_result(
        workplace, tmp_path / "second", case_code="T1", site="breast", positive=140, negative=360, seed=9
    )
    return "S1"


def value_of(material: StudyMaterial, case: str, reader: str) -> list[float]:
    taken = material.readings
    return [
        float(value)
        for code, name, value in zip(taken.cases, taken.readers, taken.values, strict=True)
        if (code, name) == (case, reader)
    ]


def test_the_algorithms_value_pools_the_counts_of_a_cases_pictures(workplace: Workplace, study: str) -> None:
    material = gather(workplace, ANALYST, study)
    first = next(each for each in material.algorithm if each.case_code == "T1")
    assert (first.positive, first.negative) == (200, 800)
    assert first.value_percent == pytest.approx(20.0)
    assert len(first.result_codes) == 2
    assert first.models == "test-set"
    # a scored case takes its results, another one what was imported
    assert value_of(material, "T1", ALGORITHM) == [pytest.approx(20.0)]
    assert value_of(material, "T2", ALGORITHM) == [pytest.approx(20.0)]
    assert value_of(material, "T3", ALGORITHM) == [33.0]


def test_only_one_scoring_method_takes_part_and_the_plans_by_default(
    workplace: Workplace, study: str
) -> None:
    material = gather(workplace, ANALYST, study)
    assert (material.method, material.plan_written) == ("global", False)
    assert material.methods == ("global", "hot spot")
    assert value_of(material, "T1", "O1") == [11.0, 11.0]
    save_plan(workplace, LOCAL, study, AnalysisPlan(method="hot spot"))
    hot = gather(workplace, ANALYST, study)
    assert (hot.method, hot.plan_written, hot.plan_after_readings) == ("hot spot", True, True)
    assert value_of(hot, "T1", "O1") == [40.0]
    assert value_of(hot, "T3", ALGORITHM) == []  # the imported value is a global one
    assert value_of(gather(workplace, ANALYST, study, Selection(method="global")), "T1", "O1") == [11.0, 11.0]


def test_readers_sessions_and_cases_are_chosen_and_the_algorithm_stays(
    workplace: Workplace, study: str
) -> None:
    chosen = Selection(sessions=("2",), readers=("O2",), without_cases=("T2",))
    material = gather(workplace, ANALYST, study, chosen)
    assert value_of(material, "T1", "O2") == [12.0]
    assert value_of(material, "T1", "O1") == []
    assert value_of(material, "T2", "O2") == []
    assert value_of(material, "T1", ALGORITHM) == [pytest.approx(20.0)]
    assert material.readers == ("O1", "O2")
    assert material.sessions == ("1", "2")
    for wrong in (Selection(readers=("O9",)), Selection(sessions=("7",))):
        with pytest.raises(StoreError, match="This study has no"):
            gather(workplace, ANALYST, study, wrong)


def test_what_took_no_part_is_counted_with_its_reason(workplace: Workplace, study: str) -> None:
    exclude_case(workplace, LOCAL, study, "T2", reason="no tumor")
    material = gather(workplace, ANALYST, study)
    assert "T2" not in material.cases
    assert [(each.what, each.count, each.why) for each in material.exclusions] == [
        ("cases", 1, "left out by the study or by the filter"),
        ("readings of O1", 1, "not assessable"),
        ("cases", 1, "without a result of the algorithm"),
    ]
    assert material.readings.empty == 1


def test_patients_come_with_their_cases_and_a_reader_gets_nothing(workplace: Workplace, study: str) -> None:
    enter_readings(workplace, LOCAL, study, [NewReading(ReadingKey("T5", "O1"), 5.0, patient_code="P5")])
    taken = gather(workplace, ANALYST, study).readings
    assert taken.patients[taken.cases.index("T5")] == "P5"
    assert taken.patients[taken.cases.index("T1")] == "T1"
    with pytest.raises(NotAllowed):
        gather(workplace, READER, study)
    with pytest.raises(StoreError, match="There is no study S2"):
        gather(workplace, ANALYST, "S2")


def test_a_changed_reading_counts_once_with_its_last_value_and_a_withdrawn_one_not(
    workplace: Workplace, study: str
) -> None:
    key = ReadingKey("T1", "O1")
    for value in (14.0, 15.0):
        change_reading(workplace, LOCAL, study, NewReading(key, value), reason="a slip")
    withdraw_reading(workplace, LOCAL, study, ReadingKey("T2", "O1"), reason="the wrong slide")
    withdraw_reading(workplace, LOCAL, study, ReadingKey("T1", "O1", method="hot spot"), reason="not asked")
    material = gather(workplace, ANALYST, study)
    assert sorted(value_of(material, "T1", "O1")) == [11.0, 15.0]
    assert value_of(material, "T2", "O1") == [21.0]
    assert material.methods == ("global",)


def test_results_are_taken_from_the_cases_of_the_study_alone(
    workplace: Workplace, study: str, tmp_path: Path
) -> None:
    add_result(workplace, tmp_path, case_code="T9", site="breast", positive=10, negative=490, seed=4)
    assert [each.case_code for each in gather(workplace, ANALYST, study).algorithm] == ["T1", "T2"]
