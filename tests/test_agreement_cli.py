"""`python -m ki67 agreement`: a table of readings in, every statistic out, each error by its row."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ki67.cli import main
from ki67.stats.analysis import AnalysisSettings, analyse, find
from ki67.stats.analysis_readers import among_readers
from ki67.stats.grid import grid_of
from ki67.stats.ikwg import AreaLevel, FieldCount, ikwg_scores
from ki67.stats.readings import Columns, parse_readings
from ki67.stats.verdict import ikwg_verdict
from tests.agreement_runs import COLUMNS, matrix, pick, run, simulated_rows, simulated_study, table  # noqa: F401
from tests.test_golden import SHROUT_FLEISS

ROOT = Path(__file__).resolve().parent.parent
PHASE_3 = ROOT.parent / "shared" / "data" / "ikwg_phase3"
KEYS = {
    *("statistic", "variant", "value", "ci_low", "ci_high", "n", "method", "seed", "reason"),
    *("form", "params", "readers", "target", "message", "excluded"),
}
NEEDS_SHARED = "needs ../shared (not part of the project)"


def test_the_json_has_every_field_of_the_contract(study: dict[str, Any]) -> None:
    assert (study["n_cases"], study["n_readers"]) == (12, 3)
    assert set(study["verdict"]) == {"criterion", "word", "f_low", "gpq_low"}
    for estimate in study["estimates"]:
        assert set(estimate) == KEYS
        undefined = estimate["value"] is None
        assert not undefined or (estimate["reason"] and estimate["message"]), estimate
        assert estimate["target"] in ("these readers", "reader population", None)
        assert estimate["seed"] in (3, None)


def test_an_estimate_stands_once_under_its_name_readers_and_params(study: dict[str, Any]) -> None:
    keys = [
        json.dumps([one[name] for name in ("statistic", "variant", "form", "readers", "params")])
        for one in study["estimates"]
    ]
    assert len(keys) == len(set(keys))


def test_the_algorithm_is_never_a_reader_and_the_first_session_counts(study: dict[str, Any]) -> None:
    readings = matrix(simulated_rows())
    n, k = readings.shape
    case, reader = readings.mean(axis=1), readings.mean(axis=0)
    rest = readings - case[:, None] - reader[None, :] + readings.mean()
    ms_case, ms_reader = k * case.var(ddof=1), n * reader.var(ddof=1)
    ms_error = (rest**2).sum() / ((n - 1) * (k - 1))
    expected = (ms_case - ms_error) / (ms_case + (k - 1) * ms_error + k * (ms_reader - ms_error) / n)
    found = pick(study, "ICC(2,1)", "F")
    assert found["value"] == pytest.approx(expected, rel=1e-9)
    assert (found["n"], found["target"]) == (12, "reader population")


def test_the_algorithm_is_y_against_the_median_of_the_readers(study: dict[str, Any]) -> None:
    rows = simulated_rows()
    algorithm = np.array([value for _, reader, _, value in rows if reader == "algorithm"])
    difference = algorithm - np.median(matrix(rows), axis=1)
    bias = pick(study, "ba_bias", "t", ["panel", "algorithm"])
    assert bias["value"] == pytest.approx(difference.mean())
    assert bias["params"]["reference"] == "median"
    loa = pick(study, "ba_loa_upper", "ba1999", ["panel", "algorithm"])
    assert loa["value"] == pytest.approx(difference.mean() + 1.959963985 * difference.std(ddof=1))


def test_every_pair_of_readers_and_the_algorithm_with_each_is_there(study: dict[str, Any]) -> None:
    readings = matrix(simulated_rows())
    for first, second in ((1, 2), (1, 3), (2, 3)):
        difference = readings[:, second - 1] - readings[:, first - 1]
        found = pick(study, "ba_bias", "t", [f"R{first}", f"R{second}"])
        assert found["value"] == pytest.approx(difference.mean())
    for reader in (1, 2, 3):
        assert pick(study, "lin_ccc", "z-transform", [f"R{reader}", "algorithm"])["n"] == 12


def test_a_readers_sessions_are_compared_the_later_against_the_earlier(study: dict[str, Any]) -> None:
    rows = simulated_rows()
    difference = matrix(rows, 2)[:, 1] - matrix(rows, 1)[:, 1]
    found = pick(study, "ba_bias", "t", ["R2", "R2"])
    assert found["value"] == pytest.approx(difference.mean())
    assert found["params"]["sessions"] == ["1", "2"]


def test_components_use_every_session_and_those_with_sessions_have_names_of_their_own(
    study: dict[str, Any],
) -> None:
    assert pick(study, "vc_residual", "ML profile, raw")["n"] == 72
    assert pick(study, "vc_case_reader_session", "with sessions, ML profile, raw")["reason"] == "not_measured"
    assert pick(study, "vc_session", "with sessions, ML profile, raw")["value"] is not None


def test_the_classes_of_a_site_have_its_borders(study: dict[str, Any]) -> None:
    readings = matrix(simulated_rows())[:, :2]
    low, high = (readings > 5).astype(int), (readings >= 30).astype(int)
    classes = low + high
    counts = np.array([[((classes == (i, j)).all(axis=1)).sum() for j in range(3)] for i in range(3)]) / 12
    chance = float(counts.sum(axis=1) @ counts.sum(axis=0))
    found = pick(study, "cohen_kappa", "unweighted", ["R1", "R2"], classes="IKWG class")
    assert found["value"] == pytest.approx((np.trace(counts) - chance) / (1 - chance))
    assert found["params"]["categories"] == ["≤ 5 %", "> 5 and < 30 %", "≥ 30 %"]
    for border in found["params"]["categories"][1:]:
        pick(study, "opa", "exact", ["R1", "R2"], classes="IKWG class", positive_from=border)
    assert pick(study, "fleiss_kappa", "complete cases", classes="20 % cut-off")["n"] == 12
    levels = {one["params"]["level"] for one in study["estimates"] if one["statistic"] == "bias_at"}
    assert levels == {5.0, 14.0, 20.0, 30.0}


def test_the_algorithms_own_variability_is_not_measured_without_replicate_pictures(
    study: dict[str, Any],
) -> None:
    found = pick(study, "algorithm_image_sd", "chi-square", ["algorithm", "algorithm"])
    assert (found["value"], found["reason"]) == (None, "not_measured")


def test_shrout_and_fleiss_1979_come_out_as_printed(tmp_path: Path) -> None:
    rows = [
        (case, f"J{judge}", value)
        for case, values in enumerate(SHROUT_FLEISS, start=1)
        for judge, value in enumerate(values, start=1)
    ]
    group = run(table(tmp_path / "r.csv", "case,reader,value", rows))
    printed = {"1,1": 0.17, "2,1": 0.29, "3,1": 0.71, "1,k": 0.44, "2,k": 0.62, "3,k": 0.91}
    for name, value in printed.items():
        assert pick(group, f"ICC({name})", "F")["value"] == pytest.approx(value, abs=0.005)
    assert group["verdict"]["word"] == "does not pass"


def test_log2_analyses_log2_of_value_plus_a_tenth_and_points_stay_points(tmp_path: Path) -> None:
    rows = [("T1", "a", 0), ("T1", "b", 0), ("T2", "a", 10), ("T2", "b", 12)]
    rows += [("T3", "a", 20), ("T3", "b", 18), ("T4", "a", 40), ("T4", "b", 44)]
    group = run(table(tmp_path / "r.csv", "case,reader,value", rows), "--log2")
    logs = [0, 0.26065175452279954, -0.15120580409572337, 0.13717641910259992]
    bias = pick(group, "ba_bias", "t", ["a", "b"])
    assert bias["value"] == pytest.approx(np.mean(logs))
    assert bias["params"]["transform"] == "log2(x+0.1)"
    percent = pick(group, "ba_percent_bias", "t", ["a", "b"])
    assert (percent["value"], percent["n"], percent["excluded"]) == (pytest.approx(5.726437305384674), 3, 1)
    assert percent["params"]["transform"] == "none"
    assert pick(group, "vc_case", "ML profile, log2(x+0.1)")["value"] > 0


def test_levels_are_analysed_apart_and_missing_cells_are_counted(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [
        (case, reader, level, 5 * case) for level in "ab" for case in (1, 2, 3) for reader in ("R1", "R2")
    ]
    rows[-1] = (*rows[-1][:3], "")
    path = table(tmp_path / "r.csv", "case,reader,level,value", rows)
    whole = run(path, "--by", "level", by="a")
    missing = json.loads(path.with_suffix(".json").read_text(encoding="utf8"))["groups"]["b"]
    assert (whole["n_cases"], missing["n_cases"]) == (3, 3)
    found = pick(missing, "ICC(2,1)", "F")
    assert (found["n"], found["excluded"]) == (2, 1)
    perfect = pick(whole, "ICC(2,1)", "F")
    assert (perfect["value"], perfect["ci_low"], perfect["ci_high"]) == (1, 1, 1)


def test_replicates_give_limits_of_single_readings(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        (case, reader, replicate, round(float(value), 1))
        for case in range(8)
        for reader, shift in (("R1", 0), ("R2", 3))
        for replicate, value in enumerate(rng.normal(20 + case + shift, 2, 2), start=1)
    ]
    path = table(tmp_path / "r.csv", "case,reader,rep,value", rows)
    group = run(path, "--replicate", "rep")
    values = np.array([row[3] for row in rows]).reshape(8, 2, 2)
    bias = (values[:, 1] - values[:, 0]).mean()
    assert pick(group, "ba_rep_bias", "constant truth", ["R1", "R2"])["value"] == pytest.approx(bias)
    within = pick(group, "within_subject_sd", "chi-square", ["R1", "R1"], repeats=2)
    assert within["value"] == pytest.approx(math.sqrt(values[:, 0].var(axis=1, ddof=1).mean()))
    assert pick(group, "vc_case_reader", "ML profile, raw")["reason"] is None


def test_patients_widen_what_resamples_them_and_are_told(tmp_path: Path) -> None:
    rows = simulated_rows(sessions=1)
    path = table(tmp_path / "r.csv", "case,reader,session,value", rows)
    alone = pick(run(path), "interch_mad_diff", "jackknife")
    owned = [(*row, f"P{int(row[0][1:]) // 3}") for row in rows]
    path = table(tmp_path / "p.csv", "case,reader,session,value,patient", owned)
    group = run(path, "--patient", "patient")
    together = pick(group, "interch_mad_diff", "jackknife")
    assert together["value"] == pytest.approx(alone["value"])
    assert together["ci_low"] != pytest.approx(alone["ci_low"])
    assert any("12 cases are of 5 patients" in warning for warning in group["warnings"])


def test_the_table_for_people_shows_verdict_headline_and_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "r.csv", "case,reader,session,value", simulated_rows(sessions=1)[:-1])
    assert main(["agreement", str(path), *COLUMNS, "--bootstrap", "5"]) == 0
    shown = capsys.readouterr().out
    assert "all: 12 cases, 3 readers, scale none" in shown
    assert "1 cases: Not read by every reader" in shown
    assert "IKWG verdict: " in shown
    assert "Algorithm against the panel's median" in shown
    assert "--json FILE writes them all" in shown


def test_the_same_rows_in_another_order_give_the_same_estimates() -> None:
    columns = Columns("case", "reader", "value", session="session")
    rows = [tuple(map(str, row)) for row in simulated_rows(cases=6)]
    results = []
    for order in (rows, rows[::-1]):
        header = ("case", "reader", "session", "value")
        ((_, readings),) = parse_readings(header, order, columns, source="rows").groups
        results.append(analyse(readings, AnalysisSettings(bootstrap=20, seed=1)))
    first, second = results
    assert [one.value for one in first.estimates] == pytest.approx(
        [one.value for one in second.estimates], nan_ok=True
    )
    assert find(first.estimates, "ICC(2,1)", "F") is not None


@pytest.mark.skipif(not PHASE_3.is_dir(), reason=NEEDS_SHARED)
def test_the_working_groups_readings_get_their_iccs_and_verdicts() -> None:
    with (PHASE_3 / "scores.csv").open(encoding="utf8") as file:
        header, *rows = csv.reader(file)
    columns = Columns("case", "reader", "ki67_percent", by="method")
    expected = {
        "unweighted_global": (0.8773, "passes"),
        "weighted_global": (0.8708, "borderline: depends on the interval"),
        "hot_spot": (0.8456, "does not pass"),
    }
    groups = dict(parse_readings(header, rows, columns, source="scores.csv").groups)
    assert groups.keys() == expected.keys()
    for name, (icc, word) in expected.items():
        grid = grid_of(groups[name])
        estimates = among_readers(grid, AnalysisSettings(log2=True, bootstrap=20))
        found = find(estimates, "ICC(2,1)", "F")
        assert found is not None
        assert found.value == pytest.approx(icc, abs=0.0005)
        assert ikwg_verdict(grid.ratings()).word == word


@pytest.mark.skipif(not PHASE_3.is_dir(), reason=NEEDS_SHARED)
def test_the_working_groups_scores_follow_from_their_counts_but_for_two_cases() -> None:
    fields: dict[tuple[str, str], list[FieldCount]] = defaultdict(list)
    areas: dict[tuple[str, str], dict[AreaLevel, float]] = {}
    levels: tuple[AreaLevel, ...] = ("high", "medium", "low", "negligible")
    with (PHASE_3 / "fields.csv").open(encoding="utf8") as file:
        for line in csv.DictReader(file):
            key = line["case"], line["reader"]
            fields[key].append(FieldCount(line["field"], int(line["positive"]), int(line["total"])))
            areas[key] = {level: float(line[f"area_percent_{level}"]) for level in levels}
    different = set()
    with (PHASE_3 / "scores.csv").open(encoding="utf8") as file:
        for line in csv.DictReader(file):
            key = line["case"], line["reader"]
            score = getattr(ikwg_scores(fields[key], areas[key]), line["method"])
            if abs(100 * score - float(line["ki67_percent"])) > 1e-4:
                different.add(key)
    assert different == {("TB016", "A"), ("TB196", "N")}
