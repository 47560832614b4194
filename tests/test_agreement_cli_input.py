"""`python -m ki67 agreement` with thin, bad or odd tables: reasons, one sentence, never a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ki67.cli import main
from tests.agreement_runs import COLUMNS, run, table

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("rows", "n_cases", "n_readers"),
    [
        ([], 0, 0),
        ([("T1", "R1", "")], 0, 0),
        ([("T1", "R1", 5)], 1, 1),
        ([("T1", "algorithm", 5), ("T2", "algorithm", 6)], 2, 0),
        ([("T1", "R1", 5), ("T1", "R2", 6)], 1, 2),
        ([("T1", "R1", 5), ("T2", "R2", 6)], 2, 2),
        ([("T1", "R1", 5), ("T2", "R1", 5), ("T1", "R2", 5), ("T2", "R2", 5)], 2, 2),
        ([("T1", "R1", 0), ("T2", "R1", 100), ("T1", "algorithm", 0), ("T2", "algorithm", 100)], 2, 1),
    ],
    ids=[
        "no row",
        "no reading",
        "one reading",
        "no reader",
        "one case",
        "no common case",
        "constant",
        "0 and 100",
    ],
)
def test_tables_with_little_in_them_give_reasons_and_never_a_crash(
    tmp_path: Path, rows: list[tuple[Any, ...]], n_cases: int, n_readers: int
) -> None:
    path = table(tmp_path / "r.csv", "case,reader,value", rows)
    for more in ((), ("--log2", "--site", "neuroendocrine")):
        out = path.with_suffix(".json")
        assert main(["agreement", str(path), *COLUMNS, "--json", str(out), "--bootstrap", "5", *more]) == 0
        groups = json.loads(out.read_text(encoding="utf8"))["groups"]
        assert (groups["all"]["n_cases"], groups["all"]["n_readers"]) == (n_cases, n_readers)
        assert groups["all"]["verdict"]["word"] is None or n_cases > 1


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("T1,R1,130", "row 2, column value: 130 is outside 0–100"),
        ('T1,R1,"12,5"', "row 2, column value: “12,5” has a decimal comma"),
        ("T1,R1,5\nT1,R1,6", "row 3, column case: case T1, reader R1 is in row 2 already"),
    ],
)
def test_a_bad_table_is_one_sentence_with_its_row_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, sentence: str
) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"case,reader,value\n{rows}\n", encoding="utf8")
    assert main(["agreement", str(path), *COLUMNS, "--json", str(tmp_path / "o.json")]) == 1
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not (tmp_path / "o.json").exists()


def test_fractions_are_a_warning_on_standard_error_and_in_the_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("T1", "R1", 0.12), ("T2", "R1", 0.3), ("T3", "R1", 25), ("T4", "R1", 40)]
    group = run(table(tmp_path / "r.csv", "case,reader,value", rows))
    warning = "2 of 4 values of column value lie between 0 and 1"
    assert warning in group["warnings"][0]
    assert f"ki67 agreement: warning: {warning}" in capsys.readouterr().err


def test_an_algorithm_that_is_not_there_is_refused_and_a_look_alike_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "r.csv", "case,reader,value", [("T1", "Algorithm", 5), ("T1", "R1", 6)])
    assert main(["agreement", str(path), *COLUMNS, "--algorithm", "QuPath"]) == 1
    assert "has no reader “QuPath”" in capsys.readouterr().err
    assert run(path)["n_readers"] == 2
    assert "“Algorithm” is taken as a reader" in capsys.readouterr().err
    assert run(path, "--algorithm", "Algorithm")["n_readers"] == 1


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (("--cutoffs", "30,5"), "--cutoffs"),
        (("--criterion", "80"), "“80” is not an ICC between 0 and 1"),
        (("--bootstrap", "0"), "--bootstrap"),
        (("--site", "lung"), "--site"),
    ],
)
def test_bad_usage_exits_2_and_names_the_option(tmp_path: Path, more: tuple[str, ...], fault: str) -> None:
    words = ["agreement", str(tmp_path / "absent.csv"), *COLUMNS, *more]
    shown = subprocess.run(
        [sys.executable, "-m", "ki67", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 2
    assert fault in shown.stderr
    assert "Traceback" not in shown.stderr
