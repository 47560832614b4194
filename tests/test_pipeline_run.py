"""A whole run with a backend that knows nuclei by color, on drawn pictures with known truth."""

import dataclasses
import threading

import numpy as np
import pytest

from ki67.errors import Cancelled, ModelError, PictureError
from ki67.pipeline.artifacts import load_run, save_run
from ki67.pipeline.measure import measure
from ki67.pipeline.plan import make_plan
from ki67.pipeline.run import cover_more, score_picture
from ki67.types import GridMap, Parameters, PixelSize, Progress, Rect
from tests.pipeline_fakes import (
    GLASS,
    ArrayPicture,
    ColorBackend,
    draw_scene,
    fake_models,
    matched_share,
)

HALF = PixelSize(0.5, "given")
SMALL = Parameters(tile_px=256, overlap_px=32)


def run(picture, *, parameters=SMALL, mpp=0.5, backend=None, models=None, **more):
    return score_picture(
        picture,
        pixel_size=PixelSize(mpp, "given"),
        models=models or fake_models(),
        backend=backend or ColorBackend(),
        parameters=parameters,
        seed=0,
        **more,
    )


def counted(record):
    """Positive and negative nuclei in the tumor above the threshold."""
    found = record.candidates
    inside = found.score >= record.parameters.score_threshold
    if record.tumor_map is not None:
        inside &= record.tumor_map.at(found.x_px, found.y_px) >= record.parameters.tumor_border
    return int((inside & found.is_positive).sum()), int((inside & ~found.is_positive).sum())


def test_every_nucleus_is_found_once_with_its_class_and_place_whatever_lies_on_tile_borders():
    plan = make_plan(ArrayPicture(np.zeros((700, 900, 3), np.uint8)).info, HALF, SMALL)
    cuts = [tile.x.core_start for tile in plan.layout.tiles if tile.x.core_start]
    on_cuts = tuple(
        (cut + shift, 40.0 + 25 * i)
        for cut in sorted(set(cuts))
        for i, shift in enumerate((-1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 1))
    )
    scene = draw_scene(900, 700, seed=1, extra=on_cuts)
    record = run(scene.picture)
    assert len(record.candidates) == len(scene.x)
    assert matched_share(record.candidates, scene.x, scene.y, distance=0.6) == 1
    assert counted(record) == (scene.positive.sum(), (~scene.positive).sum())


@pytest.mark.parametrize("mpp", [0.25, 0.2273, 0.5, 0.71])
def test_positions_are_full_resolution_pixel_centres_at_any_pixel_size(mpp):
    scene = draw_scene(int(300 / mpp), int(240 / mpp), seed=2, mpp=mpp)
    record = run(scene.picture, mpp=mpp)
    assert len(record.candidates) == len(scene.x)
    assert matched_share(record.candidates, scene.x, scene.y, distance=0.4 / mpp) == 1
    tree = np.array([np.hypot(record.candidates.x_px - x, record.candidates.y_px - y).argmin()
                     for x, y in zip(scene.x, scene.y, strict=True)])  # fmt: skip
    shift = np.array([np.mean(record.candidates.x_px[tree] - scene.x),
                      np.mean(record.candidates.y_px[tree] - scene.y)])  # fmt: skip
    assert np.abs(shift * mpp).max() < 0.05


def test_another_tile_size_gives_the_same_nuclei_and_the_same_map():
    scene = draw_scene(1100, 900, seed=3, tumor=(200, 150, 800, 700))
    runs = [
        run(scene.picture, parameters=Parameters(tile_px=tile_px, overlap_px=overlap_px))
        for tile_px, overlap_px in ((256, 32), (512, 64), (1024, 64))
    ]
    for other in runs[1:]:
        assert counted(other) == counted(runs[0])
        assert np.abs(other.tumor_map.values.astype(int) - runs[0].tumor_map.values).max() <= 1


def test_a_shift_by_37_px_moves_no_nucleus_of_the_common_area():
    scene = draw_scene(1000, 800, seed=4)
    whole = run(scene.picture).candidates
    shifted = run(ArrayPicture(scene.rgb[37:, 37:])).candidates
    common = (whole.x_px >= 57) & (whole.y_px >= 57)
    here = (shifted.x_px >= 20) & (shifted.y_px >= 20)
    assert here.sum() == common.sum()
    moved = dataclasses.replace(
        shifted, **{name: getattr(shifted, name)[here] for name in shifted.__dataclass_fields__}
    )
    assert matched_share(moved, whole.x_px[common] - 37, whole.y_px[common] - 37, distance=0.5) == 1


def test_the_tumor_map_lies_over_the_tumor_and_nuclei_outside_it_stay_candidates():
    scene = draw_scene(900, 700, seed=5, tumor=(300, 200, 600, 500))
    record = run(scene.picture)
    inside = (scene.x > 304) & (scene.x < 596) & (scene.y > 204) & (scene.y < 496)
    outside = (scene.x < 290) | (scene.x > 610) | (scene.y < 190) | (scene.y > 510)
    assert (record.tumor_map.at(scene.x, scene.y)[inside] >= 0.5).all()
    assert (record.tumor_map.at(scene.x, scene.y)[outside] < 0.1).all()
    assert (record.tumor_map.values >= 128).sum() * 4.0 == pytest.approx(300 * 300 * 0.25, rel=0.03)
    covered = record.covered_map.at(scene.x, scene.y) > 0
    assert len(record.candidates) == covered.sum()
    assert (covered & outside).any()


def test_step_2_runs_only_where_the_tumor_reaches_the_tile():
    scene = draw_scene(1600, 400, seed=6, tumor=(20, 20, 200, 380))
    backend = ColorBackend()
    record = run(scene.picture, backend=backend)
    assert 0 < backend.cell_tiles < backend.tumor_tiles
    covered = record.covered_map
    assert covered.at(np.float32([100]), np.float32([100])) == 1
    assert covered.at(np.float32([1500]), np.float32([100])) == 0
    assert record.candidates.x_px.max() < 600


def test_without_the_tumor_mask_step_2_covers_all_tissue_and_there_is_no_tumor_map():
    scene = draw_scene(900, 700, seed=7, tumor=(300, 200, 600, 500))
    record = run(scene.picture, parameters=dataclasses.replace(SMALL, use_tumor_mask=False))
    assert record.tumor_map is None
    assert record.models["tumor"] is None
    assert (record.covered_map.values == 255).all()
    assert len(record.candidates) == len(scene.x)


def test_all_white_glass_has_no_tissue_no_tumor_and_no_nuclei():
    generator = np.random.default_rng(0)
    noise = generator.integers(-3, 4, (600, 600, 3))
    glass = (np.array(GLASS) + noise).astype(np.uint8)
    backend = ColorBackend()
    record = run(ArrayPicture(glass), backend=backend)
    assert not record.tissue_map.values.any()
    assert not record.tumor_map.values.any()
    assert len(record.candidates) == 0
    assert (backend.tumor_tiles, backend.cell_tiles) == (0, 0)


def test_a_region_of_interest_gives_the_nuclei_of_the_whole_picture_that_lie_in_it():
    scene = draw_scene(1000, 800, seed=8)
    roi = Rect(213, 117, 391, 402)
    whole = run(scene.picture).candidates
    record = run(scene.picture, parameters=dataclasses.replace(SMALL, roi=roi))
    inside = (whole.x_px >= 212.5) & (whole.x_px < 603.5) & (whole.y_px >= 116.5) & (whole.y_px < 518.5)
    assert len(record.candidates) == inside.sum()
    assert matched_share(record.candidates, whole.x_px[inside], whole.y_px[inside], distance=0.1) == 1
    assert record.tumor_map.at(np.float32([213, 603, 650]), np.float32([117, 518, 300])).tolist()[2] == 0
    assert record.parameters.roi == roi


def test_a_region_outside_the_picture_is_refused_with_both_named():
    scene = draw_scene(300, 300, seed=9)
    with pytest.raises(PictureError, match=r"400,0,50,50 lies outside the picture of 300 × 300"):
        run(scene.picture, parameters=dataclasses.replace(SMALL, roi=Rect(400, 0, 50, 50)))


def test_cancelling_raises_and_ends_the_reading_thread():
    scene = draw_scene(1000, 800, seed=10)
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        run(
            scene.picture,
            progress=seen.append,
            cancelled=lambda: any(each.stage == "cells" and each.done for each in seen),
        )
    assert not [each for each in threading.enumerate() if each.name.startswith("reader")]


def test_progress_goes_through_the_stages_in_order_and_never_back():
    scene = draw_scene(900, 700, seed=11)
    seen: list[Progress] = []
    run(scene.picture, progress=seen.append, backend=ColorBackend(batch_size=4))
    stages = list(dict.fromkeys(each.stage for each in seen))
    assert stages == ["read", "tissue", "tumor", "cells"]
    for stage in stages:
        steps = [each for each in seen if each.stage == stage]
        assert [each.done for each in steps] == sorted(each.done for each in steps)
        assert steps[-1].done == steps[-1].total


def test_batches_of_tiles_give_what_single_tiles_give():
    scene = draw_scene(900, 700, seed=12)
    one, four = run(scene.picture), run(scene.picture, backend=ColorBackend(batch_size=4))
    assert np.array_equal(one.candidates.x_px, four.candidates.x_px)
    assert np.array_equal(one.tumor_map.values, four.tumor_map.values)


def test_the_run_stores_every_parameter_it_used_and_repeats_from_them():
    scene = draw_scene(600, 500, seed=13)
    record = run(scene.picture)
    left_open = [
        name
        for name, value in dataclasses.asdict(record.parameters).items()
        if value is None and name != "roi"
    ]
    assert left_open == []
    again = run(scene.picture, parameters=record.parameters)
    assert again.parameters == record.parameters
    assert np.array_equal(again.candidates.score, record.candidates.score)


def test_counting_again_from_the_stored_run_gives_the_same_integers(tmp_path):
    scene = draw_scene(900, 700, seed=18, tumor=(300, 200, 600, 500))
    record = run(scene.picture)
    save_run(tmp_path / "run", record)
    first, again = measure(record), measure(load_run(tmp_path / "run"))
    assert (first.positive, first.negative) == (again.positive, again.negative) == counted(record)
    assert first.positive > 0
    assert first.bootstrap == again.bootstrap


def test_covering_more_adds_the_missing_tiles_and_keeps_the_numbers_of_nuclei():
    scene = draw_scene(1600, 400, seed=14, tumor=(20, 20, 400, 380))
    backend = ColorBackend()
    backend.tumor = lambda batch: np.zeros(batch.shape[:3], np.float32)
    nothing = run(scene.picture, backend=backend)
    assert len(nothing.candidates) == 0
    left = np.zeros((1, 2), np.uint8)
    left[0, 0] = 255
    half = cover_more(
        scene.picture, nothing, GridMap(left, 800), models=fake_models(), backend=ColorBackend()
    )
    full = cover_more(
        scene.picture, half, GridMap(np.full((1, 2), 255, np.uint8), 800),
        models=fake_models(), backend=ColorBackend(),
    )  # fmt: skip
    assert 0 < len(half.candidates) < len(full.candidates) == len(scene.x)
    assert np.array_equal(full.candidates.x_px[: len(half.candidates)], half.candidates.x_px)
    assert (full.covered_map.values == 255).all()
    assert full.tumor_map is nothing.tumor_map
    idle = ColorBackend()
    same = cover_more(
        scene.picture, full, GridMap(np.full((1, 2), 255, np.uint8), 800), models=fake_models(), backend=idle
    )
    assert same is full
    assert idle.cell_tiles == 0


def test_covering_more_with_another_model_is_refused():
    scene = draw_scene(300, 300, seed=15)
    record = run(scene.picture)
    other = fake_models()
    other = dataclasses.replace(other, cells=dataclasses.replace(other.cells, sha256="1" * 64))
    with pytest.raises(ModelError, match="another model"):
        cover_more(scene.picture, record, record.tissue_map, models=other, backend=ColorBackend())


def test_a_model_set_without_step_1_runs_only_without_the_mask():
    scene = draw_scene(300, 300, seed=16)
    with pytest.raises(ModelError, match="no net for the tumor step"):
        run(scene.picture, models=fake_models(with_tumor=False))
    record = run(
        scene.picture,
        models=fake_models(with_tumor=False),
        parameters=dataclasses.replace(SMALL, use_tumor_mask=False),
    )
    assert len(record.candidates) == len(scene.x)


def test_a_picture_that_fails_in_mid_run_raises_its_own_error():
    scene = draw_scene(900, 700, seed=17)

    class Vanishing(ArrayPicture):
        def read_scaled(self, x, y, width, height, *, px_per_out):
            if px_per_out < 4 and x > 300:
                raise PictureError("gone.svs: the file can no longer be read; check the slide folder.")
            return super().read_scaled(x, y, width, height, px_per_out=px_per_out)

    with pytest.raises(PictureError, match="can no longer be read"):
        run(Vanishing(scene.rgb))
