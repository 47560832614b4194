"""A long table of readings: what is read, what is refused by row and column, what is asked about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ki67.errors import DataError
from ki67.stats.grid import grid_of
from ki67.stats.readings import Columns, ReadingTable, natural_order, parse_readings, read_readings

PLAIN = Columns("case", "reader", "value")
FULL = Columns("case", "reader", "value", session="session", replicate="replicate", patient="patient")


def parsed(text: str, columns: Columns = PLAIN) -> ReadingTable:
    header, *rows = [tuple(line.split(",")) for line in text.strip().split("\n")]
    return parse_readings(header, rows, columns, source="table")


def problems(text: str, columns: Columns = PLAIN) -> list[str]:
    return [str(problem) for problem in parsed(text, columns).problems]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "readings.csv"
    path.write_bytes(content)
    return path


def test_readings_come_back_with_their_keys_and_values() -> None:
    table = parsed(
        "case,reader,session,replicate,patient,value\nT1,R1,1,1,P1,12.5\nT1,R1,2,1,P1,0\nT2,R2,1,1,P2,100",
        FULL,
    )
    ((name, readings),) = table.groups
    assert name == "all"
    assert (table.problems, table.warnings) == ((), ())
    assert readings.cases == ("T1", "T1", "T2")
    assert readings.readers == ("R1", "R1", "R2")
    assert readings.sessions == ("1", "2", "1")
    assert readings.patients == ("P1", "P1", "P2")
    assert readings.values.tolist() == [12.5, 0.0, 100.0]


def test_without_the_columns_session_and_replicate_are_1_and_the_patient_is_the_case() -> None:
    ((_, readings),) = parsed("case,reader,value\nT1,R1,5").groups
    assert (readings.sessions, readings.replicates, readings.patients) == (("1",), ("1",), ("T1",))


def test_an_empty_cell_is_a_missing_reading_and_is_counted() -> None:
    ((_, readings),) = parsed("case,reader,value\nT1,R1,5\nT1,R2,\nT2,R1,7").groups
    assert readings.values.tolist() == [5.0, 7.0]
    assert readings.empty == 1


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("130", "130 is outside 0–100"),
        ("-0.5", "-0.5 is outside 0–100"),
        ("about 20", "“about 20” is not a number"),
        ("nan", "“nan” is not a number"),
        ("1_0", "“1_0” is not a number"),
        ("20 %", "percent sign"),
    ],
)
def test_a_cell_that_is_no_percentage_is_named_by_row_and_column(cell: str, sentence: str) -> None:
    (problem,) = problems(f"case,reader,value\nT1,R1,5\nT2,R1,{cell}")
    assert problem.startswith("row 3, column value: ")
    assert sentence in problem


def test_a_decimal_comma_is_an_error_that_shows_how_to_write_it() -> None:
    table = parse_readings(("case", "reader", "value"), [("T1", "R1", "12,5")], PLAIN, source="table")
    assert str(table.problems[0]) == "row 2, column value: “12,5” has a decimal comma; write 12.5."


def test_an_unquoted_decimal_comma_is_a_row_too_wide() -> None:
    assert "4 cells and the header 3" in problems("case,reader,value\nT1,R1,12,5")[0]


def test_the_same_key_twice_is_an_error_that_names_both_rows() -> None:
    (problem,) = problems("case,reader,value\nT1,R1,5\nT1,R2,6\nT1,R1,5")
    assert problem == "row 4, column case: case T1, reader R1 is in row 2 already; keep one of the two."


def test_an_empty_cell_counts_as_a_key_too() -> None:
    assert len(problems("case,reader,value\nT1,R1,\nT1,R1,5")) == 1


def test_sessions_and_levels_make_a_key_its_own() -> None:
    sessions = Columns("case", "reader", "value", session="session")
    assert problems("case,reader,session,value\nT1,R1,1,5\nT1,R1,2,5", sessions) == []
    levels = Columns("case", "reader", "value", by="method")
    text = "case,reader,method,value\nT1,R1,global,5\nT1,R1,hot spot,9"
    assert problems(text, levels) == []
    assert [name for name, _ in parsed(text, levels).groups] == ["global", "hot spot"]


def test_a_key_cell_that_is_empty_is_named() -> None:
    assert problems("case,reader,value\n,R1,5") == [
        "row 2, column case: the cell is empty; every reading needs it."
    ]


def test_a_case_of_two_patients_is_named_by_row() -> None:
    patient = Columns("case", "reader", "value", patient="patient")
    (problem,) = problems("case,reader,patient,value\nT1,R1,P1,5\nT1,R2,P2,6", patient)
    assert problem == "row 3, column patient: case T1 belongs to patient P1 in row 2 and to P2 here."


def test_every_problem_of_a_table_is_told() -> None:
    assert len(problems("case,reader,value\nT1,R1,x\nT1,R2,200\nT1,R3,5\nT1,R3,5")) == 3


def test_fractions_raise_a_question() -> None:
    (warning,) = parsed("case,reader,value\nT1,R1,0.12\nT2,R1,0.3\nT3,R1,1").warnings
    assert "Every value of column value is 1 or less" in warning


def test_fractions_mixed_with_percentages_raise_a_question_that_names_the_rows() -> None:
    (warning,) = parsed("case,reader,value\nT1,R1,0.12\nT2,R1,0.3\nT3,R1,25\nT4,R1,40").warnings
    assert warning.startswith(
        "2 of 4 values of column value lie between 0 and 1, others are larger (row 2, 3)"
    )


def test_a_level_of_fractions_beside_one_of_percentages_is_named() -> None:
    levels = Columns("case", "reader", "value", by="method")
    text = "case,reader,method,value\nT1,R1,a,0.2\nT2,R1,a,0.5\nT1,R1,b,20\nT2,R1,b,50"
    assert parsed(text, levels).warnings[0].startswith("Every value of a is 1 or less")


@pytest.mark.parametrize("values", ["0\nT2,R1,0", "1\nT2,R1,2", "0\nT2,R1,30"])
def test_zeros_and_whole_percentages_raise_no_question(values: str) -> None:
    assert parsed(f"case,reader,value\nT1,R1,{values}").warnings == ()


def test_a_missing_column_is_an_error_that_lists_those_there(tmp_path: Path) -> None:
    path = written(tmp_path, b"case,pathologist,value\nT1,R1,5\n")
    with pytest.raises(DataError, match="no column “reader”; its columns are case, pathologist, value"):
        read_readings(path, PLAIN)


def test_semicolons_are_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="separated by semicolons: save it with commas"):
        read_readings(written(tmp_path, b"case;reader;value\nT1;R1;5\n"), PLAIN)


def test_the_first_problem_of_a_file_is_raised_and_the_others_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, b"case,reader,value\nT1,R1,5\nT1,R1,6\nT1,R2,130\n")
    with pytest.raises(DataError, match=r"row 3, column case: .*\(1 more problem after it\.\)"):
        read_readings(path, PLAIN)


@pytest.mark.parametrize("content", [b"", b"\n", b"case,reader,value\n\xff\xfe\n", b'case,"reader\n'])
def test_a_file_that_is_no_table_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError) as found:
        read_readings(written(tmp_path, content), PLAIN)
    assert "readings.csv" in str(found.value)


def test_a_byte_order_mark_blank_rows_and_outer_spaces_do_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffcase,reader,value\r\n T1 ,R1, 5 \r\n\r\n".encode())
    ((_, readings),) = read_readings(path, PLAIN).groups
    assert (readings.cases, readings.values.tolist()) == (("T1",), [5.0])


def test_names_stand_in_the_order_people_expect() -> None:
    assert natural_order(["R10", "R2", "R1", "algorithm"]) == ["R1", "R2", "R10", "algorithm"]


def test_a_grid_is_the_same_whatever_the_order_of_the_rows() -> None:
    lines = ["T2,R1,2,4", "T1,R2,1,3", "T1,R1,1,1", "T1,R1,2,2", "T1,algorithm,1,9"]
    sessions = Columns("case", "reader", "value", session="session")
    grids = []
    for order in (lines, lines[::-1]):
        ((_, readings),) = parsed("\n".join(["case,reader,session,value", *order]), sessions).groups
        grids.append(grid_of(readings))
    first, second = grids
    assert first.readers == second.readers == ("R1", "R2")
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.first(), [[1, 3], [np.nan, np.nan]])
    np.testing.assert_array_equal(first.session(1), [[2, np.nan], [4, np.nan]])
    np.testing.assert_array_equal(first.algorithm_first(), [9, np.nan])
    np.testing.assert_array_equal(first.panel(), [2, np.nan])


def test_replicates_that_are_row_numbers_are_refused_and_not_laid_out() -> None:
    rows = [("T1", "R1", str(number), "5") for number in range(9000)]
    rows += [(f"T{number}", "R1", "1", "5") for number in range(2, 9000)]
    columns = Columns("case", "reader", "value", replicate="row")
    ((_, readings),) = parse_readings(("case", "reader", "row", "value"), rows, columns, source="t").groups
    with pytest.raises(DataError, match="name the right columns"):
        grid_of(readings)


def test_the_readers_first_session_is_theirs_whatever_session_the_algorithm_is_filed_under() -> None:
    sessions = Columns("case", "reader", "value", session="session")
    ((_, readings),) = parsed("case,reader,session,value\nT1,algorithm,1,9\nT1,R1,2,4", sessions).groups
    grid = grid_of(readings)
    assert grid.sessions == ("2",)
    np.testing.assert_array_equal(grid.first(), [[4]])
    np.testing.assert_array_equal(grid.algorithm_first(), [9])
