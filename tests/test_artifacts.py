"""A stored run gives the same numbers again, and a damaged one is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from ki67.errors import StoreError
from ki67.pipeline.artifacts import load_run, save_run
from ki67.pipeline.measure import measure
from ki67.types import GridMap, Parameters, Rect, RunRecord
from tests.records import make_record, scattered


def a_run(**kwargs) -> RunRecord:
    rng = np.random.default_rng(1)
    x, y = scattered(8000, width_px=2000, height_px=2000, seed=2)
    tumor = rng.integers(0, 256, (500, 500)).astype(np.uint8)
    return make_record(
        x,
        y,
        rng.random(8000) < 0.3,
        width_px=2000,
        height_px=2000,
        tumor=tumor,
        score=rng.random(8000),
        seed=11,
        **kwargs,
    )


def test_a_loaded_run_counts_the_same_integers_and_the_same_intervals(tmp_path):
    record = a_run()
    save_run(tmp_path / "run", record)
    before, after = measure(record), measure(load_run(tmp_path / "run"))
    assert (after.positive, after.negative) == (before.positive, before.negative)
    assert np.array_equal(after.counted, before.counted)
    assert after.hot_spot == before.hot_spot
    assert (after.bootstrap, after.flags) == (before.bootstrap, before.flags)
    assert (after.tumor_area_mm2, after.tissue_area_mm2) == (before.tumor_area_mm2, before.tissue_area_mm2)


def test_every_field_of_the_record_comes_back(tmp_path):
    parameters = Parameters(
        roi=Rect(10, 20, 900, 800),
        white_point=(0.9, 0.91, 0.92),
        tissue_threshold=0.1,
        min_distance_um=3.5,
        score_threshold=0.4,
    )
    record = a_run(parameters=parameters, source="given")
    record = replace(record, tissue_map=GridMap(record.tissue_map.values, 4.0, 3.0, -2.0))
    save_run(tmp_path / "run", record)
    loaded = load_run(tmp_path / "run")
    for name in ("x_px", "y_px", "positive_score", "negative_score"):
        assert np.array_equal(getattr(loaded.candidates, name), getattr(record.candidates, name))
    for name in ("tumor_map", "tissue_map", "covered_map"):
        mine, theirs = getattr(record, name), getattr(loaded, name)
        assert np.array_equal(mine.values, theirs.values)
        assert replace(mine, values=None) == replace(theirs, values=None)
    hollow = {"candidates": None, "tumor_map": None, "tissue_map": None, "covered_map": None}
    assert replace(loaded, **hollow) == replace(record, **hollow)
    assert loaded.parameters == record.parameters


def test_candidates_are_a_parquet_table_with_numbers_and_both_scores(tmp_path):
    save_run(tmp_path / "run", a_run())
    table = pq.read_table(tmp_path / "run" / "candidates.parquet")
    assert table.column_names == ["nucleus", "x_px", "y_px", "positive_score", "negative_score"]
    assert table["nucleus"].to_pylist() == list(range(8000))


def test_a_run_without_step_one_or_without_candidates_is_stored_too(tmp_path):
    record = make_record([], [], [], parameters=Parameters(use_tumor_mask=False))
    save_run(tmp_path / "run", record)
    loaded = load_run(tmp_path / "run")
    assert loaded.tumor_map is None
    assert loaded.models["tumor"] is None
    assert len(loaded.candidates) == 0
    assert measure(loaded).reason == "no tumor nuclei found"


def test_saving_again_replaces_the_run_as_a_whole(tmp_path):
    save_run(tmp_path / "run", a_run())
    save_run(tmp_path / "run", make_record([], [], [], parameters=Parameters(use_tumor_mask=False)))
    assert not (tmp_path / "run" / "tumor.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["run.json", "tumor.png", "tissue.png", "candidates.parquet"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_run_is_refused_with_a_sentence(tmp_path, name, damage):
    save_run(tmp_path / "run", a_run())
    path = tmp_path / "run" / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:40] if damage == "cut" else b"")
    with pytest.raises(
        StoreError, match=r"The stored run run is incomplete or damaged .*score the picture again"
    ):
        load_run(tmp_path / "run")


def test_a_run_of_a_newer_version_is_refused(tmp_path):
    save_run(tmp_path / "run", a_run())
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(StoreError, match="newer version"):
        load_run(tmp_path / "run")
