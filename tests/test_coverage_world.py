"""The truths of the coverage simulation are those of a very large study."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import coverage
from bench.coverage_world import (
    Setting,
    absolute_truth,
    panel_truth,
    population_truth,
    readers_truth,
    simulate,
)


@pytest.mark.parametrize("spread", ["equal", "falling"])
@pytest.mark.parametrize("scale", ["log", "raw"])
def test_population_truth_is_what_many_studies_average_to(scale, spread):
    setting = Setting(10, 4, scale=scale, spread=spread)
    many = simulate(setting, 40_000, np.random.default_rng(3))
    truth = population_truth(setting)
    between = [(many.readings[..., i] - many.readings[..., j]) ** 2 for i in range(4) for j in range(i)]
    loose = 0.02 if scale == "log" else 0.2  # squares of log-normal values settle slowly
    assert many.differences.mean() == pytest.approx(truth["single_reader_bias"], abs=loose)
    assert (many.differences**2).mean() == pytest.approx(truth["interch_msd_ai"], rel=loose)
    assert np.mean(between) == pytest.approx(truth["interch_msd_rr"], rel=loose)


def test_absolute_truth_is_what_many_studies_average_to():
    setting = Setting(10, 4, spread="falling")
    many = simulate(setting, 40_000, np.random.default_rng(4))
    pairs = [np.abs(many.readings[..., i] - many.readings[..., j]).mean() for i in range(4) for j in range(i)]
    difference = np.abs(many.differences).mean() - np.mean(pairs)
    assert difference == pytest.approx(absolute_truth(setting)["interch_mad_diff"], abs=0.003)


def test_truths_of_these_readers_follow_their_own_biases():
    setting = Setting(20, 3)
    effects = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    kept = readers_truth(setting, effects)
    assert kept["single_reader_bias"] == pytest.approx([0.1, -0.9])
    assert kept["interch_iei"][0] == pytest.approx(0.1**2 + 0.45**2 - 0.45**2)
    panel = panel_truth(setting, effects, np.random.default_rng(1))
    assert panel["panel_bias"] == pytest.approx([0.1, -0.9], abs=1e-9)
    width = panel["panel_loa_upper"] - panel["panel_loa_lower"]
    assert width[0] == pytest.approx(width[1])
    assert (panel["panel_ccc"] < 1).all()


def test_a_small_run_prints_each_interval_with_its_target_and_writes_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(coverage, "settings", lambda *, log_only: [Setting(6, 3)])
    coverage.main(["--draws", "8", "--resampled", "2", "--json", str(tmp_path / "coverage.json")])
    rows = json.loads((tmp_path / "coverage.json").read_text(encoding="utf8"))
    assert {row["target"] for row in rows} == {"reader population", "these readers"}
    assert {row["target"] for row in rows if row["statistic"].startswith("panel")} == {"these readers"}
    assert {row["draws"] for row in rows} == {8, 2}
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == coverage.HEAD
    assert len(printed) == len(rows) + 2
