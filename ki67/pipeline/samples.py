"""A few squares of tissue at the nets' scale, and what they measure without running a net."""

from __future__ import annotations

import numpy as np

from ki67.pipeline.light import estimate_light
from ki67.pipeline.plan import Plan, make_plan
from ki67.pipeline.quality import quality_inputs
from ki67.pipeline.reading import Clock, ReadablePicture, Watch
from ki67.pipeline.tissue import find_tissue, measure_light, read_low_power
from ki67.types import ByteArray, GridMap, Parameters, PixelSize, never_cancelled, no_progress

SAMPLE_PX = 256
SAMPLES = 12


def read_samples(picture: ReadablePicture, plan: Plan, tissue: GridMap) -> list[ByteArray]:
    """At most 12 squares of 256 px (less where the region is smaller), spread evenly over the tissue in
    reading order. They lie within the region, and none covers the middle of another.
    """
    scale = plan.px_per_net
    left, top = (int(np.ceil(edge / scale)) for edge in (plan.rect.x, plan.rect.y))
    width = max(1, int((plan.rect.x + plan.rect.width) / scale) - left)
    height = max(1, int((plan.rect.y + plan.rect.height) / scale) - top)
    across, down = min(SAMPLE_PX, width), min(SAMPLE_PX, height)
    rows, columns = np.nonzero(tissue.values)
    picked = np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows))).astype(np.intp)
    ys = (tissue.origin_y_px + (rows[picked] + 0.5) * tissue.px_per_cell) / scale
    xs = (tissue.origin_x_px + (columns[picked] + 0.5) * tissue.px_per_cell) / scale
    corners: list[tuple[int, int]] = []
    for x, y in zip(xs, ys, strict=True):
        x0 = min(max(int(x) - across // 2, left), left + width - across)
        y0 = min(max(int(y) - down // 2, top), top + height - down)
        if all(abs(x0 - x1) >= across // 2 or abs(y0 - y1) >= down // 2 for x1, y1 in corners):
            corners.append((x0, y0))
    return [picture.read_scaled(x, y, across, down, px_per_out=scale) for x, y in corners]


def measure_picture(picture: ReadablePicture, pixel_size: PixelSize) -> dict[str, float]:
    """The quality inputs of a whole picture, as a run of it stores them; no net is needed.

    Raises PictureError when the picture can no longer be read.
    """
    plan = make_plan(picture.info, pixel_size, Parameters())
    watch = Watch(no_progress, never_cancelled, Clock())
    low_power = read_low_power(picture, mpp=pixel_size.mpp, watch=watch)
    white, threshold = measure_light(low_power.rgb)
    tissue = low_power.grid(find_tissue(low_power.rgb, white_point=white, threshold=threshold), plan.rect)
    return quality_inputs(
        low_power.over(tissue),
        tissue.values > 0,
        read_samples(picture, plan, tissue),
        light=estimate_light(low_power.rgb),
    )
