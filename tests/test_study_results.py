"""Results: listed, opened, pooled over a case, counted again, downloaded; stored once."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ki67.errors import NotAllowed, StoreError
from ki67.pipeline.artifacts import load_run
from ki67.pipeline.measure import measure
from ki67.study import codec, demo, files, records, results
from ki67.study.codec import RunSettings
from ki67.study.model_sets import find_model_set
from ki67.study.records import StoredResult, store_score
from ki67.study.scoring import ScoreRequest, current_model_set, submit
from ki67.study.workplace import Workplace
from ki67.types import (
    ByteArray,
    Parameters,
    PixelSize,
    Progress,
    RunRecord,
    Site,
    never_cancelled,
    no_progress,
)
from tests.picture_files import write_image
from tests.stores import ANALYST, LOCAL, READER, FakeScorer, files_below, holds


def plain(size: int, *, gray: int) -> ByteArray:
    return np.full((size, size, 3), gray, np.uint8)


def run(workplace: Workplace, path: Path, *, mpp: float = 0.5, seed: int = 0, **fake: int) -> RunRecord:
    return FakeScorer(**fake)(  # type: ignore[arg-type]
        path,
        name="x",
        models=find_model_set(workplace),
        settings=RunSettings(PixelSize(mpp, "given"), Parameters(), seed),
        outline=None,
        progress=no_progress,
        cancelled=never_cancelled,
    )


def store(
    workplace: Workplace,
    folder: Path,
    *,
    picture: int = 0,
    case: str | None = "B-1",
    site: Site = "breast",
    size: int = 1200,
    seed: int = 0,
    **fake: int,
) -> StoredResult:
    path = folder / f"Erika {picture}.png"
    if not path.exists():
        write_image(path, plain(size, gray=200 + picture))
    record = run(workplace, path, seed=seed, **fake)
    return store_score(
        workplace,
        LOCAL,
        picture=path,
        record=record,
        measurement=measure(record),
        model_set="set-a",
        site=site,
        case_code=case,
    )


def test_a_stored_result_is_opened_with_the_numbers_that_were_measured(
    workplace: Workplace, tmp_path: Path
) -> None:
    stored = store(workplace, tmp_path, nuclei=3000, positive=500)
    view = results.get_result(workplace, LOCAL, stored.result_code)
    record = load_run(files.run_folder(workplace.home, view.run_code))
    expected = measure(record)
    got = view.measurement
    assert (got.positive, got.negative) == (500, 2500)
    assert np.array_equal(got.counted, expected.counted)
    assert np.array_equal(got.found, expected.found)
    assert codec.measurement_to_json(got) == codec.measurement_to_json(expected)
    assert got.hot_spot is not None
    assert got.hot_spot == expected.hot_spot
    assert (view.site, view.model_set, view.backend, view.seed) == ("breast", "set-a", "openvino", 0)
    assert view.parameters == record.parameters
    assert view.models == record.models
    assert (view.width_px, view.height_px, view.pixel_size) == (1200, 1200, PixelSize(0.5, "given"))
    assert view.person_code == "local"


def test_storing_the_same_score_again_finds_the_first(workplace: Workplace, tmp_path: Path) -> None:
    first = store(workplace, tmp_path)
    before = files_below(workplace.home)
    second = store(workplace, tmp_path)
    assert (first.known, second.known) == (False, True)
    assert second.result_code == first.result_code
    assert files_below(workplace.home) == before
    assert len(results.list_results(workplace, LOCAL)) == 1


def test_a_run_that_is_stored_already_is_counted_there_and_not_from_another_backend_s_run(
    workplace: Workplace, tmp_path: Path
) -> None:
    first = store(workplace, tmp_path, nuclei=3000, positive=500)
    path = next(tmp_path.glob("Erika *.png"))
    other = run(workplace, path, seed=0, nuclei=2900, positive=400)
    ring = [[0, 0], [1200, 0], [1200, 1200], [0, 1200], [0, 0]]
    outline = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    again = store_score(
        workplace,
        LOCAL,
        picture=path,
        record=other,
        measurement=measure(other),
        model_set="set-a",
        site="breast",
        case_code=first.case_code,
        outline_geojson=json.dumps({"type": "FeatureCollection", "features": [outline]}).encode(),
    )
    view = results.get_result(workplace, LOCAL, again.result_code)
    assert again.result_code != first.result_code
    assert (view.measurement.positive, view.measurement.negative) == (500, 2500)


def test_a_score_of_the_command_line_is_recognised_in_the_app(workplace: Workplace, tmp_path: Path) -> None:
    stored = store(workplace, tmp_path)
    request = ScoreRequest(picture_code=stored.picture_code, case_code="B-1", site="breast", mpp=0.5)
    (job,) = submit(workplace, LOCAL, [request])
    assert (job.state, job.recognised, job.result_code) == ("done", True, stored.result_code)


def test_without_a_case_code_the_next_free_one_is_taken_and_kept(
    workplace: Workplace, tmp_path: Path
) -> None:
    first = store(workplace, tmp_path, picture=0, case=None, site="other")
    second = store(workplace, tmp_path, picture=1, case=None, site="other")
    assert (first.case_code, second.case_code) == ("CASE-0001", "CASE-0002")
    again = store(workplace, tmp_path, picture=0, case=None, site="other", seed=1)
    assert (again.case_code, again.known) == ("CASE-0001", False)
    assert holds(workplace.home, b"Erika") == []


def test_a_case_pools_the_newest_runs_of_its_pictures_and_takes_the_highest_hot_spot(
    workplace: Workplace, tmp_path: Path
) -> None:
    old = store(workplace, tmp_path, picture=0, nuclei=3000, positive=2000, seed=5)
    new = store(workplace, tmp_path, picture=0, nuclei=3000, positive=300)
    other = store(workplace, tmp_path, picture=1, nuclei=2000, positive=600)
    small = store(workplace, tmp_path, picture=2, nuclei=100, positive=100, size=300)
    case = results.get_result(workplace, LOCAL, new.result_code).case
    assert case.result_codes == (new.result_code, other.result_code, small.result_code)
    assert old.result_code not in case.result_codes
    assert (case.pictures, case.positive, case.negative) == (3, 300 + 600 + 100, 2700 + 1400)
    assert case.wilson is not None
    assert case.wilson.low < 1000 / 5100 < case.wilson.high
    assert case.hot_spot_result == other.result_code
    spot = results.get_result(workplace, LOCAL, other.result_code).measurement.hot_spot
    assert spot is not None
    assert (case.hot_spot_positive, case.hot_spot_negative) == (spot.positive, spot.negative)


def test_only_runs_of_one_model_set_are_pooled(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store(workplace, tmp_path, picture=0, nuclei=1000, positive=100)
    record = run(workplace, tmp_path / "Erika 0.png", nuclei=900, positive=90)
    monkeypatch.setitem(record.models, "cells", codec.ModelRef("cell-net", "2.0", "c" * 64))
    write_image(tmp_path / "b.png", plain(1200, gray=150))
    for path in (tmp_path / "Erika 0.png", tmp_path / "b.png"):
        newer = store_score(
            workplace,
            LOCAL,
            picture=path,
            record=record,
            measurement=measure(record),
            model_set="set-b",
            site="breast",
            case_code="B-1",
        )
    old_case = results.get_result(workplace, LOCAL, first.result_code).case
    new_case = results.get_result(workplace, LOCAL, newer.result_code).case
    assert (old_case.pictures, old_case.positive, old_case.negative) == (1, 100, 900)
    assert (new_case.pictures, new_case.positive, new_case.negative) == (2, 180, 1620)


def test_results_are_listed_newest_first_searched_and_filtered(workplace: Workplace, tmp_path: Path) -> None:
    first = store(workplace, tmp_path, picture=0, case="B-1", nuclei=3000, positive=500)
    second = store(workplace, tmp_path, picture=1, case="N_2", site="neuroendocrine", nuclei=400, positive=4)
    third = store(workplace, tmp_path, picture=2, case="X+3", site="other", nuclei=0, positive=0)

    def listed(**options: object) -> list[str]:
        return [row.code for row in results.list_results(workplace, LOCAL, **options)]  # type: ignore[arg-type]

    assert listed() == [third.result_code, second.result_code, first.result_code]
    assert listed(search=" b-1 ") == [first.result_code]
    assert listed(search=second.picture_code[1:9]) == [second.result_code]
    assert listed(search="%") == []
    assert listed(search="+") == [third.result_code]
    assert listed(search="_") == [second.result_code]
    assert listed(site="neuroendocrine") == [second.result_code]
    assert listed(assessable=False) == [third.result_code]
    assert listed(assessable=True, flagged=True) == [second.result_code, first.result_code]
    assert listed(model_set="set-b") == []
    assert listed(limit=1) == [third.result_code]
    rows = results.list_results(workplace, LOCAL)
    assert rows[0].reason == "no tumor nuclei found"
    assert rows[0].sampling is None
    assert rows[0].hot_spot_positive is None
    assert rows[0].hot_spot_reason
    assert [flag.code for flag in rows[1].flags] == ["fewer_than_500", "pixel_size_given"]
    assert not rows[1].synthetic


def test_counting_again_with_another_threshold_is_a_new_row_and_runs_no_nets(
    workplace: Workplace, tmp_path: Path
) -> None:
    stored = store(workplace, tmp_path, nuclei=1000, positive=200)
    same = results.recount(workplace, LOCAL, stored.result_code, score_threshold=None)
    assert same == stored.result_code
    code = results.recount(workplace, LOCAL, stored.result_code, score_threshold=0.95)
    view = results.get_result(workplace, LOCAL, code)
    assert (view.measurement.positive, view.measurement.negative) == (0, 0)
    assert view.score_threshold == 0.95
    assert view.run_code == results.get_result(workplace, LOCAL, stored.result_code).run_code
    assert results.recount(workplace, LOCAL, code, score_threshold=0.95) == code
    assert [row.code for row in results.list_results(workplace, LOCAL)] == [code]
    with pytest.raises(StoreError, match=r"0\.05 is not between 0\.1 and 1"):
        results.recount(workplace, LOCAL, code, score_threshold=0.05)


def test_the_download_names_the_case_and_never_the_file(workplace: Workplace, tmp_path: Path) -> None:
    stored = store(workplace, tmp_path, case="B 1/7", nuclei=300, positive=60)
    downloaded = results.result_files(workplace, LOCAL, stored.result_code)
    start = f"B-1-7_{stored.result_code}_"
    assert sorted(downloaded) == [
        start + name
        for name in ("cells.csv", "cells.geojson", "overlay.png", "summary.json", "tumor.geojson")
    ]
    summary = json.loads(downloaded[f"{start}summary.json"])
    assert (summary["image"], summary["positive"], summary["negative"]) == ("B 1/7", 60, 240)
    assert summary["index_percent"] == pytest.approx(20)
    assert len(list(csv.reader(io.StringIO(downloaded[f"{start}cells.csv"].decode())))) == 301
    assert all(b"Erika" not in content for content in downloaded.values())
    assert downloaded[f"{start}overlay.png"].startswith(b"\x89PNG")


def test_layers_follow_the_stored_run(workplace: Workplace, tmp_path: Path) -> None:
    stored = store(workplace, tmp_path, nuclei=300, positive=60)
    layer = results.nuclei_layer(workplace, LOCAL, stored.result_code)
    assert layer.number.tolist() == list(range(300))
    assert (int(layer.positive.sum()), int(layer.counted.sum())) == (60, 300)
    tumor = results.tumor_layer(workplace, LOCAL, stored.result_code)
    assert tumor.tumor_map is not None
    border = json.loads(tumor.border_geojson)
    assert border["type"] == "MultiPolygon"
    xs, ys = zip(*border["coordinates"][0][0], strict=True)
    assert (min(xs), max(xs), min(ys), max(ys)) == (-0.5, 1199.5, -0.5, 1199.5)
    encoded = results.tumor_png(workplace, LOCAL, stored.result_code)
    assert encoded is not None
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(decoded, tumor.tumor_map.values)


def test_a_missing_run_folder_is_said(workplace: Workplace, tmp_path: Path) -> None:
    stored = store(workplace, tmp_path)
    files.remove(files.result_file(workplace.home, stored.result_code))
    with pytest.raises(StoreError, match="missing from the data folder"):
        results.get_result(workplace, LOCAL, stored.result_code)


def test_readers_are_shown_no_result_by_any_service(workplace: Workplace, tmp_path: Path) -> None:
    stored = store(workplace, tmp_path)
    code = stored.result_code
    for ask in (
        results.get_result,
        results.nuclei_layer,
        results.tumor_layer,
        results.tumor_png,
        results.result_files,
    ):
        with pytest.raises(NotAllowed):
            ask(workplace, READER, code)
    with pytest.raises(NotAllowed):
        results.list_results(workplace, READER)
    with pytest.raises(NotAllowed):
        results.recount(workplace, READER, code, score_threshold=0.5)
    assert results.get_result(workplace, ANALYST, code).code == code
    assert results.list_results(workplace, ANALYST)[0].code == code


@pytest.mark.parametrize("step", ["save_run", "write_whole_file"])
def test_a_full_disk_leaves_neither_run_nor_row(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store(workplace, tmp_path)
    before = files_below(workplace.home)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records, step, full_disk)
    with pytest.raises(StoreError, match="is full: free some space"):
        store(workplace, tmp_path, seed=1)
    monkeypatch.undo()
    assert files_below(workplace.home) == before
    assert len(results.list_results(workplace, LOCAL)) == 1
    assert not store(workplace, tmp_path, seed=1).known


def test_a_row_that_cannot_be_written_takes_the_run_with_it(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(workplace, tmp_path)
    before = files_below(workplace.home)

    def no_row(*_: object, **__: object) -> None:
        raise StoreError("The database was busy for too long.")

    monkeypatch.setattr(records.queries, "add_result", no_row)
    with pytest.raises(StoreError, match="busy"):
        store(workplace, tmp_path, seed=1)
    monkeypatch.undo()
    assert files_below(workplace.home) == before


def test_the_model_set_in_use_is_described(workplace: Workplace) -> None:
    info = current_model_set(workplace, READER)
    assert (info.name, info.tumor, info.cells) == ("set-a", "tumor-net 1.0", "cells-net 1.0")


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "DEMO_SIDE_PX", 256)


@pytest.mark.usefixtures("small_demo")
def test_one_click_puts_the_demonstration_region_into_the_queue(workplace: Workplace) -> None:
    job = demo.score_demo_region(workplace, LOCAL)
    assert (job.case_code, job.site, job.state) == ("DEMO-01", "breast", "waiting")
    assert demo.score_demo_region(workplace, LOCAL).code == job.code
    assert demo.add_demo_region(workplace, LOCAL).synthetic
    with pytest.raises(NotAllowed):
        demo.score_demo_region(workplace, READER)


@pytest.mark.usefixtures("small_demo")
def test_the_demonstration_study_has_two_cases_for_each_site_and_is_made_once(workplace: Workplace) -> None:
    scorer, steps = FakeScorer(), []
    made = demo.make_demo_study(workplace, LOCAL, progress=steps.append, scorer=scorer)
    assert [each.case_code for each in made] == [f"DEMO-0{number}" for number in range(1, 9)]
    rows = results.list_results(workplace, LOCAL)
    sites = [row.site for row in rows]
    assert {site: sites.count(site) for site in sites} == {
        "breast": 2,
        "neuroendocrine": 2,
        "head and neck": 2,
        "other": 2,
    }
    assert all(row.synthetic for row in rows)
    assert (steps[0], steps[-1]) == (Progress("case", 0, 8), Progress("case", 8, 8))
    again = demo.make_demo_study(workplace, LOCAL, scorer=scorer)
    assert [each.result_code for each in again] == [each.result_code for each in made]
    assert all(each.known for each in again)
    assert len(scorer.calls) == 8


def test_a_light_left_open_changes_no_key_and_a_given_one_does() -> None:
    open_light = RunSettings(PixelSize(0.5, "metadata"), Parameters(), seed=0)
    given = dataclasses.replace(open_light, parameters=Parameters(light=(240.0, 240.0, 240.0)))
    assert "light" not in codec.settings_to_json(open_light)["parameters"]
    assert codec.settings_from_json(codec.settings_to_json(open_light)) == open_light
    assert codec.settings_from_json(codec.settings_to_json(given)) == given
    assert codec.run_key("a", {}, open_light) != codec.run_key("a", {}, given)


def test_settings_of_a_run_survive_the_database() -> None:
    settings = RunSettings(
        pixel_size=PixelSize(0.25, "metadata"),
        parameters=Parameters(roi=codec.Rect(1, 2, 3, 4), white_point=(1.0, 2.0, 3.0)),
        seed=7,
        covered_outline="ab",
    )
    stored = json.loads(json.dumps(codec.settings_to_json(settings)))
    assert codec.settings_from_json(stored) == settings
