"""A job through the real pipeline, with nets that know nuclei by color: the truth of a result is known."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from ki67.errors import PictureError
from ki67.pipeline.images import open_picture
from ki67.pipeline.run import score_picture
from ki67.settings import Settings
from ki67.study import results
from ki67.study.execute import NetScorer
from ki67.study.files import run_folder
from ki67.study.jobs import get_job
from ki67.study.model_sets import find_model_set
from ki67.study.pictures import add_upload
from ki67.study.scoring import ScoreRequest, submit
from ki67.study.stored import find_result, record_of
from ki67.study.workplace import Workplace
from ki67.types import Parameters, PixelSize
from tests.picture_files import write_image
from tests.pipeline_fakes import ColorBackend, Scene, draw_scene
from tests.stores import LOCAL, work_off


@pytest.fixture
def database_url() -> str:
    """These tests are about scoring: one kind of database is enough."""
    return ""


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[ColorBackend]:
    """Every backend that was loaded."""
    made: list[ColorBackend] = []

    def choose(*_: object, **__: object) -> ColorBackend:
        made.append(ColorBackend())
        return made[-1]

    monkeypatch.setattr("ki67.pipeline.backends.choose_backend", choose)
    return made


@pytest.fixture(scope="module")
def scene() -> Scene:
    """2,400 × 500 px of 0.5 µm: tumor on the left, nuclei of stroma on the right."""
    return draw_scene(2400, 500, seed=3, tumor=(0, 0, 500, 500))


def upload(workplace: Workplace, scene: Scene, folder: Path) -> str:
    path = write_image(folder / "a.png", scene.rgb)
    return add_upload(workplace, LOCAL, io.BytesIO(path.read_bytes()), "a.png").code


def score(workplace: Workplace, scorer: NetScorer, request: ScoreRequest) -> results.ResultView:
    (job,) = submit(workplace, LOCAL, [request])
    work_off(workplace, scorer)
    done = get_job(workplace, LOCAL, job.code)
    assert done.state == "done", done.message
    return results.get_result(workplace, LOCAL, done.result_code or "")


def test_a_job_counts_what_is_there_with_the_pixels_of_the_original(
    workplace: Workplace, scene: Scene, tmp_path: Path, loaded: list[ColorBackend]
) -> None:
    code = upload(workplace, scene, tmp_path)
    scorer = NetScorer(workplace.settings)
    view = score(workplace, scorer, ScoreRequest(code, "B-1", "breast", mpp=0.5))
    in_tumor = scene.x < 480
    assert view.measurement.positive + view.measurement.negative == pytest.approx(in_tumor.sum(), rel=0.05)
    record = record_of(workplace, find_result(workplace, view.code))
    with open_picture(tmp_path / "a.png") as original:
        direct = score_picture(
            original,
            pixel_size=PixelSize(0.5, "given"),
            models=find_model_set(workplace),
            backend=ColorBackend(),
            parameters=Parameters(),
            seed=0,
        )
    assert np.array_equal(record.candidates.x_px, direct.candidates.x_px)
    assert np.array_equal(record.candidates.positive_score, direct.candidates.positive_score)
    assert record.tumor_map is not None
    assert direct.tumor_map is not None
    assert np.array_equal(record.tumor_map.values, direct.tumor_map.values)
    assert record.parameters == direct.parameters
    assert run_folder(workplace.home, view.run_code).is_dir()


def test_the_nets_stay_loaded_from_job_to_job(
    workplace: Workplace, scene: Scene, tmp_path: Path, loaded: list[ColorBackend]
) -> None:
    code = upload(workplace, scene, tmp_path)
    scorer = NetScorer(workplace.settings)
    score(workplace, scorer, ScoreRequest(code, "B-1", "breast", mpp=0.5))
    score(workplace, scorer, ScoreRequest(code, "B-1", "breast", mpp=0.51))
    assert len(loaded) == 1
    score(workplace, scorer, ScoreRequest(code, "B-1", "breast", mpp=0.5, use_tumor_mask=False))
    assert len(loaded) == 2


def test_an_outline_in_place_of_the_tumor_is_searched_for_nuclei_where_the_map_is_low(
    workplace: Workplace, scene: Scene, tmp_path: Path, loaded: list[ColorBackend]
) -> None:
    code = upload(workplace, scene, tmp_path)
    ring = [[1800, 0], [2300, 0], [2300, 500], [1800, 500], [1800, 0]]
    outline = {
        "type": "Feature",
        "properties": {"classification": {"name": "Tumor"}},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    scorer = NetScorer(workplace.settings)
    request = ScoreRequest(
        code, "B-1", "breast", mpp=0.5, outline_geojson=json.dumps(outline).encode(), use_outline=True
    )
    view = score(workplace, scorer, request)
    inside = (scene.x > 1800) & (scene.x < 2300)
    assert inside.sum() > 50
    assert view.measurement.positive + view.measurement.negative == pytest.approx(inside.sum(), rel=0.05)
    assert "outline_not_covered" not in [flag.code for flag in view.measurement.flags]
    assert score(workplace, scorer, request).code == view.code


def test_a_picture_that_broke_since_it_was_added_is_said_by_its_case_code(
    workplace: Workplace, scene: Scene, tmp_path: Path, settings: Settings, loaded: list[ColorBackend]
) -> None:
    code = upload(workplace, scene, tmp_path)
    kept = workplace.home / "pictures" / code / "picture.tif"
    kept.write_bytes(kept.read_bytes()[:2000])
    (job,) = submit(workplace, LOCAL, [ScoreRequest(code, "B-1", "breast", mpp=0.5)])
    work_off(workplace, NetScorer(settings))
    failed = get_job(workplace, LOCAL, job.code)
    assert failed.state == "failed"
    assert "B-1" in failed.message
    assert str(workplace.home) not in failed.message
    with pytest.raises(PictureError, match="B-1"), open_picture(kept, name="B-1"):
        pass
