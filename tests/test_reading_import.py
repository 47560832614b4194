"""Import of readings: every problem by row and column, nothing stored while one is open, nothing twice."""

from __future__ import annotations

import csv
import io
import zipfile

import pytest

from ki67.errors import DataError, NotAllowed, StoreError
from ki67.stats.readings import Columns, parse_readings
from ki67.study.people import Person
from ki67.study.plans import AnalysisPlan, current_plan, save_plan
from ki67.study.reading_export import export_study, readings_csv
from ki67.study.reading_form import TypedReading, check_typed, percent_typed
from ki67.study.reading_import import list_imports, preview_import, store_import
from ki67.study.reading_settings import ColumnChoice, ImportSettings, WideColumn, suggest_settings
from ki67.study.reading_sheet import read_sheet
from ki67.study.readings import (
    NewReading,
    ReadingKey,
    change_reading,
    enter_readings,
    list_readings,
    withdraw_reading,
)
from ki67.study.studies import StudyCase, add_cases, create_study, study_cases
from ki67.study.workplace import Workplace
from tests.imports import empty_study, looked_at, sheet_of, told, values, xlsx_of  # noqa: F401
from tests.stores import ANALYST, LOCAL, READER


@pytest.mark.usefixtures("study")
def test_a_long_table_is_stored_once_and_only_once(workplace: Workplace) -> None:
    text = "case,reader,session,ki67_percent\nT1,O1,1,12.5\nT1,O1,2,14\nT2,O1,1,\nT2,algorithm,1,9\n"
    preview = looked_at(workplace, text)
    assert (preview.new, preview.known, preview.empty, preview.ready) == (3, 0, 1, True)
    assert values(workplace) == {}
    stored = store_import(workplace, LOCAL, preview)
    assert (stored.added, stored.known) == (3, 0)
    assert values(workplace) == {
        ("T1", "O1", "1", "global"): 12.5,
        ("T1", "O1", "2", "global"): 14.0,
        ("T2", "algorithm", "1", "global"): 9.0,
    }
    again = looked_at(workplace, text)
    assert (again.new, again.known) == (0, 3)
    assert store_import(workplace, LOCAL, again).added == 0
    (made,) = list_imports(workplace, ANALYST, "S1")
    assert (made.added, made.known, made.sha256) == (3, 0, preview.sha256)
    assert {each.import_code for each in list_readings(workplace, LOCAL, "S1")} == {made.code}


@pytest.mark.usefixtures("study")
def test_every_problem_is_named_by_row_and_column_and_nothing_is_stored(workplace: Workplace) -> None:
    text = (
        "case,reader,value\nT1,O1,12.5\nT1,O2,high\nT1,O3,130\nT1,O4,130 %\n,O5,10\nT1,O1,13\n\n"
        'T2,O1,"12,5"\nT2,-x,abc\nT3,O1\n'
    )
    preview = looked_at(workplace, text)
    assert told(preview) == [
        (3, "value", "“high” is not a"),
        (4, "value", "130 is outside 0–100;"),
        (5, "value", "“130 %” carries a"),
        (6, "case", "the case is empty;"),
        (7, "value", "the reading of case"),
        (9, "value", "“12,5” has a decimal"),
        (10, "reader", "“-x” cannot be a"),
        (10, "value", "“abc” is not a"),
        (11, "case", "the row has 2"),
    ]
    assert not preview.ready
    assert "row 2 already" in preview.problems[4].sentence
    with pytest.raises(StoreError, match="settle every problem"):
        store_import(workplace, LOCAL, preview)
    assert values(workplace) == {}
    assert study_cases(workplace, LOCAL, "S1") == ()


@pytest.mark.usefixtures("study")
def test_a_decimal_comma_and_a_percent_sign_are_settled_for_a_whole_column(workplace: Workplace) -> None:
    text = "case;reader;value\nT1;O1;12,5 %\nT2;O1;7,25\nT3;O1;130 %\nT4;O1;8.5\n"
    preview = looked_at(workplace, text)
    assert preview.comma_columns == ("value",)
    assert preview.sign_columns == ("value",)
    choice = ColumnChoice("value", decimal_comma=True, percent_sign=True)
    settled = looked_at(workplace, text, choices=(choice,))
    assert told(settled) == [
        (4, "value", "130 is outside 0–100;"),
        (5, "value", "“8.5” has a decimal"),
    ]
    good = looked_at(workplace, "case;reader;value\nT1;O1;12,5 %\nT2;O1;7,25\n", choices=(choice,))
    assert [each.value_percent for each in good.readings] == [12.5, 7.25]


@pytest.mark.usefixtures("study")
def test_a_column_of_ones_and_less_raises_a_question_and_zeros_do_not(workplace: Workplace) -> None:
    wide = "case,O1,O2,O3\nT1,0.29,29,0\nT2,1,40,0\n"
    preview = looked_at(workplace, wide)
    assert [(each.kind, each.about) for each in preview.questions] == [("scale", "O1")]
    assert not preview.ready
    fractions = looked_at(workplace, wide, choices=(ColumnChoice("O1", scale="fraction"),))
    assert fractions.ready
    assert [each.value_percent for each in fractions.readings] == [29.0, 29.0, 0.0, 100.0, 40.0, 0.0]
    percent = looked_at(workplace, wide, choices=(ColumnChoice("O1", scale="percent"),))
    assert [each.value_percent for each in percent.readings][:2] == [0.29, 29.0]
    mixed = looked_at(workplace, "case,reader,value\nT1,O1,0.2\nT2,O1,30\n")
    assert mixed.ready
    assert "row 2" in mixed.warnings[0]


@pytest.mark.usefixtures("study")
def test_words_in_a_value_column_mean_what_a_person_says(workplace: Workplace) -> None:
    text = "case,reader,value,reason\nT1,O1,NA,\nT2,O1,-,\nT3,O1,,crush artefact\nT4,O1,,\n"
    preview = looked_at(workplace, text)
    assert preview.words == ("NA", "-")
    assert len(preview.problems) == 2
    settled = looked_at(workplace, text, unassessable_words=("NA",), missing_words=("-",))
    assert settled.ready
    assert [(each.key.case_code, each.value_percent, each.reason) for each in settled.readings] == [
        ("T1", None, "not assessable"),
        ("T3", None, "crush artefact"),
    ]
    assert (settled.unassessable, settled.empty) == (2, 2)


def test_a_case_of_another_spelling_site_or_patient_is_a_problem(workplace: Workplace, study: str) -> None:
    create_study(workplace, LOCAL, code="S9", title="Others", site="neuroendocrine")
    add_cases(workplace, LOCAL, "S9", [StudyCase("N-1", "N-1")])
    add_cases(workplace, LOCAL, study, [StudyCase("B-017", "P1")])
    text = (
        "case,reader,value,patient\nb017,O1,10,P1\nb017,O2,10,P1\nN-1,O1,10,N-1\nB-017,O1,10,P2\nX,O1,1,X\n"
    )
    preview = looked_at(workplace, text, new_cases=False)
    assert [(each.row, each.column) for each in preview.problems] == [
        (2, "case"),
        (4, "case"),
        (5, "case"),
        (6, "case"),
    ]
    sentences = [each.sentence for each in preview.problems]
    assert sentences[0] == "case b017 is not in the study; did you mean B-017? (1 more reading of it.)"
    assert "site neuroendocrine" in sentences[1]
    assert "patient code P1, not P2" in sentences[2]
    assert "let the import add new cases" in sentences[3]
    assert [row for row, *_ in told(looked_at(workplace, text))] == [4, 5]
    clash = looked_at(workplace, "case,reader,value,patient\nT1,O1,10,P1\nT1,O2,10,P2\n")
    assert clash.problems[0].sentence == "case T1 belongs to patient P1 in row 2 and to P2 here."


@pytest.mark.usefixtures("study")
def test_a_stored_reading_with_another_value_is_a_problem_until_it_was_withdrawn(
    workplace: Workplace,
) -> None:
    enter_readings(workplace, LOCAL, "S1", [NewReading(ReadingKey("T1", "O1"), 10.0)])
    text = "case,reader,value\nT1,O1,11\n"
    preview = looked_at(workplace, text)
    assert "is stored as 10 %" in preview.problems[0].sentence
    withdraw_reading(workplace, LOCAL, "S1", ReadingKey("T1", "O1"), reason="wrong sheet")
    assert store_import(workplace, LOCAL, looked_at(workplace, text)).added == 1


@pytest.mark.usefixtures("study")
def test_readings_stored_since_the_preview_stop_the_import_as_a_whole(workplace: Workplace) -> None:
    preview = looked_at(workplace, "case,reader,value\nT1,O1,10\nT2,O1,20\n")
    enter_readings(workplace, LOCAL, "S1", [NewReading(ReadingKey("T2", "O1"), 20.0)])
    with pytest.raises(StoreError, match="since this preview"):
        store_import(workplace, LOCAL, preview)
    assert len(values(workplace)) == 1
    assert list_imports(workplace, LOCAL, "S1") == ()


@pytest.mark.usefixtures("study")
def test_a_wide_table_has_reader_and_session_in_its_column_names(workplace: Workplace) -> None:
    text = "tumor,O7 session 1,O7 session 2,O8_s1\nT1,10,12,\nT2,20,22,24\n"
    sheet = sheet_of(text)
    assert suggest_settings(sheet).wide == (
        WideColumn("O7 session 1", "O7", "1"),
        WideColumn("O7 session 2", "O7", "2"),
        WideColumn("O8_s1", "O8", "1"),
    )
    preview = looked_at(workplace, sheet)
    assert preview.ready
    assert [
        (e.key.case_code, e.key.reader_code, e.key.session, e.value_percent) for e in preview.readings
    ] == [
        ("T1", "O7", "1", 10.0),
        ("T1", "O7", "2", 12.0),
        ("T2", "O7", "1", 20.0),
        ("T2", "O7", "2", 22.0),
        ("T2", "O8", "1", 24.0),
    ]
    assert preview.empty == 1


@pytest.mark.usefixtures("study")
def test_the_method_column_tells_readings_apart_and_unclear_entries_are_asked_about(
    workplace: Workplace,
) -> None:
    text = (
        "method,case,reader,value\nhot_spot,T1,O1,30\nunweighted_global,T1,O1,20\nweighted_global,T1,O1,21\n"
    )
    preview = looked_at(workplace, text)
    assert [(each.kind, each.about) for each in preview.questions] == [("level", "weighted_global")]
    levels = (*preview.settings.levels, ("weighted_global", "left out"))
    settled = looked_at(workplace, text, levels=levels)
    assert settled.left_out == (("weighted_global", 1),)
    store_import(workplace, LOCAL, settled)
    assert values(workplace) == {("T1", "O1", "1", "hot spot"): 30.0, ("T1", "O1", "1", "global"): 20.0}
    both = looked_at(workplace, text, levels=(*preview.settings.levels, ("weighted_global", "global")))
    assert "is in row 3 already" in both.problems[0].sentence


def test_an_excel_file_reads_as_its_csv_does_and_its_traps_are_named(
    workplace: Workplace, study: str
) -> None:
    rows: list[list[object]] = [
        ["case", "reader", "value"],
        [17, "O1", 12.5],
        ["T2", "O1", 12],
        [],
        ["T3", "O1", 0.12],
    ]
    sheet = read_sheet(xlsx_of(rows, percent=("C5",)), file_name="table.xlsx")
    assert sheet.rows == ((2, ("17", "O1", "12.5")), (3, ("T2", "O1", "12")), (5, ("T3", "O1", "12 %")))
    preview = looked_at(workplace, sheet)
    assert told(preview) == [(5, "value", "“12 %” carries a")]
    settled = looked_at(workplace, sheet, choices=(ColumnChoice("value", percent_sign=True),))
    assert [each.value_percent for each in settled.readings] == [12.5, 12.0, 12.0]
    with pytest.raises(DataError, match=r"formula without its value \(row 2\)"):
        read_sheet(xlsx_of([["case", "value"], ["T1", "=1+1"]]), file_name="table.xlsx")
    with pytest.raises(DataError, match="no sheet “Other”"):
        read_sheet(xlsx_of(rows), file_name="table.xlsx", sheet="Other")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"PK\x03\x04rubbish", "not an XLSX file"),
        (b"\xd0\xcf\x11\xe0\xa1", "old or protected Excel file"),
        (b"case,case\n1,2\n", "2 columns “case”"),
        (b'case,"reader\n', "not a CSV file"),
    ],
)
def test_a_file_that_is_no_table_gets_one_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_sheet(content, file_name="C:\\people\\table.csv")


@pytest.mark.usefixtures("study")
def test_a_column_that_is_missing_is_named(workplace: Workplace) -> None:
    sheet = sheet_of("case,reader,value\nT1,O1,10\n")
    for settings, sentence in (
        (ImportSettings(case="case", value="value"), "which column holds the reader"),
        (ImportSettings(case="case", reader="reader"), "which column holds the value"),
        (ImportSettings(case="case", reader="who", value="value"), "no column “who”"),
        (ImportSettings(shape="wide", case="case"), "choose one for each reader"),
    ):
        with pytest.raises(DataError, match=sentence):
            preview_import(workplace, LOCAL, "S1", sheet=sheet, settings=settings)
    with pytest.raises(NotAllowed):
        preview_import(workplace, READER, "S1", sheet=sheet, settings=suggest_settings(sheet))


@pytest.mark.usefixtures("study")
def test_a_typed_sheet_becomes_readings_and_a_slip_is_named_by_its_row(workplace: Workplace) -> None:
    typed = [
        TypedReading("T1", value="12,5"),
        TypedReading("T2"),
        TypedReading("T3", positive="60", negative="440"),
        TypedReading("T4", reason="blurred"),
        TypedReading("T5", value="abc"),
    ]
    more = {"reader": "O7", "session": "2", "method": "hot spot"}
    preview = check_typed(workplace, LOCAL, "S1", typed=typed, **more)  # type: ignore[arg-type]
    assert told(preview) == [(5, "Index, %", "“abc” is not a")]
    good = check_typed(workplace, LOCAL, "S1", typed=typed[:4], **more)  # type: ignore[arg-type]
    assert enter_readings(workplace, LOCAL, "S1", good.readings).added == 3
    assert values(workplace) == {
        ("T1", "O7", "2", "hot spot"): 12.5,
        ("T3", "O7", "2", "hot spot"): 12.0,
        ("T4", "O7", "2", "hot spot"): None,
    }
    assert percent_typed(" 7,5 ") == 7.5
    assert percent_typed("") is None
    with pytest.raises(DataError, match="outside 0–100"):
        percent_typed("101")


@pytest.mark.usefixtures("study")
def test_a_plan_written_after_an_import_is_marked(workplace: Workplace) -> None:
    store_import(workplace, LOCAL, looked_at(workplace, "case,reader,value\nT1,O1,10\n"))
    save_plan(workplace, LOCAL, "S1", AnalysisPlan())
    plan = current_plan(workplace, LOCAL, "S1")
    assert plan is not None
    assert (plan.frozen, plan.after_readings) == (True, True)


@pytest.mark.usefixtures("study")
def test_the_export_holds_everything_and_reads_back_the_same(workplace: Workplace) -> None:
    text = "case,reader,session,value,reason\nT1,O1,1,12.345678,\nT1,O2,1,15,\nT2,O1,1,,blurred\nT2,O2,1,8,\n"
    store_import(workplace, LOCAL, looked_at(workplace, text))
    change_reading(workplace, LOCAL, "S1", NewReading(ReadingKey("T2", "O2"), 9.0), reason="misread")
    packed = export_study(workplace, ANALYST, "S1")
    assert packed == export_study(workplace, ANALYST, "S1")
    archive = zipfile.ZipFile(io.BytesIO(packed))
    assert set(archive.namelist()) == {
        "codebook.txt", "readings.csv", "history.csv", "analysis.csv", "algorithm.csv", "cases.csv",
        "exclusions.csv", "plan.json",
    }  # fmt: skip
    history = list(csv.DictReader(io.StringIO(archive.read("history.csv").decode())))
    assert [(row["case"], row["reader"], row["version"]) for row in history][-1] == ("T2", "O2", "2")
    lines = list(csv.reader(io.StringIO(archive.read("analysis.csv").decode())))
    columns = Columns(
        "case", "reader", "value_percent", session="session", replicate="replicate", patient="patient"
    )
    ((_, readings),) = parse_readings(lines[0], lines[1:], columns, source="analysis.csv").groups
    assert readings.values.tolist() == [12.345678, 15.0, 9.0]
    assert "not assessable" in archive.read("exclusions.csv").decode()
    exported = readings_csv(list_readings(workplace, LOCAL, "S1"))
    again = looked_at(workplace, read_sheet(exported, file_name="readings.csv"))
    assert (again.new, again.known, again.problems) == (0, 4, ())
    with pytest.raises(NotAllowed):
        export_study(workplace, Person("x", frozenset({"reader"})), "S1")
