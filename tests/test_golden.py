"""The golden run: on published tables in a folder made here, and on the whole golden folder where it is."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.golden.__main__ import main
from tests.stats_pairs import MINI, WRIGHT
from tests.stats_tables import fleiss_1971, krippendorff_2011

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"
# P. E. Shrout & J. L. Fleiss, Psychol Bull 86 (1979) 420-428, table 2: six targets, four judges.
SHROUT_FLEISS = ((9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7))


def row(form: str, data: Any, statistic: str, variant: str, value: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{statistic} {variant}",
        "data": data,
        "form": form,
        "statistic": statistic,
        "variant": variant,
        "params": {},
        "value": value,
        "ci_low": None,
        "ci_high": None,
        "tol": 0.005,
        "role": "primary",
        "note": "",
        **more,
    }


def published_rows() -> list[dict[str, Any]]:
    """Values as their papers print them, with a tolerance of their rounding."""
    flow = "flow.csv"
    two_sd = {"coverage": 0.9544997, "alpha": 0.05}  # the paper's limits are mean ± 2 SD
    iccs = {"1,1": 0.17, "2,1": 0.29, "3,1": 0.71, "1,k": 0.44, "2,k": 0.62, "3,k": 0.91}
    classes = {"categories": list(krippendorff_2011().categories)}
    alphas = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849, "ratio": 0.797}
    return [
        row("pairs", flow, "ba_bias", "t", -2.1, tol=0.03),
        row("pairs", flow, "ba_sd", "plain", 38.8, tol=0.01),
        row("pairs", flow, "ba_loa_lower", "ba1986", -79.7, ci_low=-114.3, ci_high=-45.1, params=two_sd),
        row("pairs", flow, "ba_loa_upper", "ba1986", 75.5, ci_low=40.9, ci_high=110.1, params=two_sd),
        row("pairs", flow, "pearson", "Fisher z", 0.94),
        *(row("ratings", "judges.csv", f"ICC({name})", "F", value) for name, value in iccs.items()),
        row("categories", "patients.csv", "fleiss_kappa", "complete cases", 0.43, params=classes),
        *(
            row("categories", "units.csv", "krippendorff_alpha", level, value, tol=0.0006, params=classes)
            for level, value in alphas.items()
        ),
        row("none", None, "ba_loa_ci_halfwidth_over_sd", "ba1999", 0.8136, params={"n": 20}, tol=1e-4),
    ]


def write_folder(folder: Path, rows: Iterable[dict[str, Any]], edge_cases: Iterable[Any] = ()) -> Path:
    """A golden folder of the four published tables with the rows given."""
    (folder / "data").mkdir()
    flow = [(case, x, y) for case, (x, y) in enumerate(zip(MINI[0], WRIGHT[0], strict=True), start=1)]
    judges = [
        (case, f"J{judge}", value)
        for case, values in enumerate(SHROUT_FLEISS, start=1)
        for judge, value in enumerate(values, start=1)
    ]
    tables: dict[str, tuple[str, Iterable[tuple[Any, ...]]]] = {
        "flow.csv": ("case,x,y", flow),
        "judges.csv": ("case,reader,value", judges),
    }
    for name, classes in (("patients.csv", fleiss_1971()), ("units.csv", krippendorff_2011())):
        cells = zip(classes.cases, classes.readers, classes.values, strict=True)
        tables[name] = ("case,reader,category", cells)
    for name, (head, lines) in tables.items():
        with (folder / "data" / name).open("w", newline="", encoding="utf8") as file:
            csv.writer(file).writerows([head.split(","), *lines])
    document = {"rule": "", "rows": list(rows), "edge_cases": list(edge_cases)}
    (folder / "expected.json").write_text(json.dumps(document), encoding="utf8")
    return folder


def test_published_tables_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = published_rows()
    assert main([str(write_folder(tmp_path, rows))]) == 0
    assert capsys.readouterr().out == f"{len(rows)} passed, 0 failed\n"


def test_a_value_outside_its_tolerance_gets_a_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        row("ratings", "judges.csv", "ICC(2,1)", "F", 0.30, tol=1e-6, id="wrong"),
        row("ratings", "judges.csv", "ICC(2,1)", "F", 0.29, ci_low=0.5, id="wrong limit"),
        row("ratings", "judges.csv", "ICC(2,1)", "F", 0.29, ci_low=0.019, ci_high=0.761, id="right"),
    ]
    assert main([str(write_folder(tmp_path, rows))]) == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("wrong ratings ICC(2,1) (F): value 0.28976377")
    assert second.startswith("wrong limit ratings ICC(2,1) (F): ci_low 0.0187")
    assert last == "1 passed, 2 failed"


def test_what_cannot_be_computed_fails_by_name_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        row("ratings", "judges.csv", "ICC(9,9)", "F", 0.3),
        row("pairs", "absent.csv", "ba_bias", "t", 0.0),
        row("pairs", "judges.csv", "ba_bias", "t", 0.0),
        row("ratings", "judges.csv", "ICC(3,1)", "F", 0.71),
        row("ratings", "judges.csv", "ICC(3,1)", "F", 99.0, role="secondary"),
    ]
    assert main([str(write_folder(tmp_path, rows))]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert ["cannot be computed" in line for line in lines] == [True, True, True, False]
    assert lines[-1] == "1 passed, 3 failed"


def test_edge_cases_carry_their_data_and_judge_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    constant = {"case": [1, 2, 3], "x": [20.0, 20.0, 20.0], "y": [1.0, None, 40.0]}
    gone = {"value": "undefined", "ci_low": "undefined", "ci_high": "undefined"}
    cases = [
        row("pairs", constant, "ols_slope", "t", None) | gone | {"reason": "x_constant"},
        row("pairs", constant, "ba_n", "plain", 2) | {"reason": None},
        row("pairs", constant, "pearson", "Fisher z", None) | gone | {"reason": "too_few", "id": "reason"},
        row("pairs", constant, "ba_bias", "t", None) | gone | {"reason": "no_pairs", "id": "defined"},
        {"id": "prose", "form": None, "text": "not computed"},
    ]
    for case in cases[:-1]:
        case.pop("role")
    assert main([str(write_folder(tmp_path, [], cases))]) == 1
    reason, defined, last = capsys.readouterr().out.splitlines()
    assert reason == "reason pairs pearson (Fisher z): reason zero_variance instead of too_few"
    assert "value 0.5 instead of undefined" in defined
    assert last == "2 passed, 2 failed"


def test_a_folder_without_expected_values_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    assert "expected.json cannot be read" in capsys.readouterr().err


def test_bad_usage_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "python -m tests.golden DIR" in capsys.readouterr().err


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared (not part of the project)")
def test_every_golden_value_holds(capsys: pytest.CaptureFixture[str]) -> None:
    main([str(GOLDEN)])
    assert capsys.readouterr().out.splitlines()[-1].endswith(" passed, 0 failed")
