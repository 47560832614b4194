"""The benchmark of a large study: the study it builds, what it prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.study import StudyTime, measure_study, study_text
from bench.study_store import (
    SD_CASE,
    SD_READER,
    STUDY,
    Size,
    csv_of,
    empty_study,
    import_table,
    readings_of,
    store_results,
)
from ki67.study.material import gather
from ki67.study.people import local_person
from ki67.study.readings import ALGORITHM


def test_the_readings_are_balanced_and_spread_as_stated() -> None:
    values = readings_of(Size(400, 30, 2))
    assert values.shape == (400, 31, 2)
    assert np.isfinite(values[:, 1:]).all()
    assert np.isnan(values[:, 0, 1]).all()
    assert np.isfinite(values[:, 0, 0]).all()
    logs = np.log(values[:, 1:] + 0.01)
    assert logs.mean(axis=(1, 2)).std() == pytest.approx(SD_CASE, rel=0.15)
    assert logs.mean(axis=(0, 2)).std() == pytest.approx(SD_READER, rel=0.4)
    assert np.array_equal(values, readings_of(Size(400, 30, 2)), equal_nan=True)


def test_the_store_holds_what_was_drawn(tmp_path: Path) -> None:
    size = Size(4, 3, 2)
    values = readings_of(size)
    workplace = empty_study(tmp_path / "store", draws=100)
    stored = import_table(workplace, csv_of(values))
    assert (stored.added, stored.known) == (size.readings, 0)
    store_results(workplace, values[:, 0, 0], scratch=tmp_path)
    material = gather(workplace, local_person(), STUDY)
    assert material.plan.bootstrap == 100
    taken = material.readings
    keys = zip(taken.cases, taken.readers, taken.sessions, strict=True)
    found = dict(zip(keys, taken.values.tolist(), strict=True))
    assert len(found) == size.readings + size.cases
    assert found["B-0002", "R3", "2"] == values[1, 3, 1]
    for case in range(size.cases):
        scored = found[f"B-{case + 1:04d}", ALGORITHM, "1"]
        assert scored == pytest.approx(values[case, 0, 0], abs=0.101)  # to the nearest of 500 nuclei


def test_every_part_is_measured_and_one_over_its_floor_is_marked(tmp_path: Path) -> None:
    report = measure_study(Size(12, 3, 2), repeats=2, draws=100, seed=3, folder=tmp_path)
    assert [each.floor_seconds for each in report.times] == [2.0, 10.0, 10.0]
    assert [(each.n, len(each.runs)) for each in report.times] == [(72, 2)] * 3
    assert all(each.seconds == min(each.runs) for each in report.times)
    assert "over" not in study_text(replace(report, times=(_taking(1.99),)))
    text = study_text(replace(report, times=(_taking(2.01),)))
    assert text.splitlines()[0] == "12 cases × 3 readers × 2 sessions, balanced, seed 3:"
    assert text.splitlines()[2].split()[-4:] == ["72", "2.01", "2", "over"]


def _taking(seconds: float) -> StudyTime:
    return StudyTime("Agreement", 72, "readings", seconds, (seconds,), 2.0)
