"""A large region: peak memory, counts against its parts, seconds per megapixel against small regions."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from ki67.pipeline.images import open_picture
from ki67.stains import Look
from ki67.synthetic import write_region
from ki67.synthetic_world import Architecture
from ki67.types import FloatArray, Rect

MPP = 0.25
BORDER_UM = 32.0  # left aside on each side of a cut: there a part lacks the context that the whole has
TUMOR = Architecture(everywhere=True)
LOOK = Look()


@dataclass(frozen=True)
class SizeReport:
    """Figures of one large region; `part_count` is the sum over the parts, borders aside in both."""

    side_px: int
    parts: int
    peak_bytes: int
    whole_count: int
    part_count: int
    count_difference: float
    seconds: float
    seconds_per_megapixel: float
    small_seconds_per_megapixel: tuple[float, float]
    time_ratio: float


@dataclass(frozen=True)
class _Scored:
    x: FloatArray
    y: FloatArray
    seconds: float
    peak_bytes: int
    light: tuple[float, ...]


def measure_size(models: Path, *, side_px: int, parts_a_side: int, small_px: int, folder: Path) -> SizeReport:
    """Scores a `side_px`² region between two `small_px`² ones, then its parts, each in its own process."""
    cache = folder / "nets"
    large, before, after = (folder / f"{name}.tif" for name in ("large", "before", "after"))
    write_region(large, side_px, side_px, mpp=MPP, seed=2, architecture=TUMOR, look=LOOK)
    for seed, path in ((3, before), (4, after)):
        write_region(path, small_px, small_px, mpp=MPP, seed=seed, architecture=TUMOR, look=LOOK)
    _score(before, models, cache)  # converts the nets
    first, whole, last = (_score(path, models, cache) for path in (before, large, after))
    part_px = side_px // parts_a_side
    part_count = 0
    for column in range(parts_a_side):
        for row in range(parts_a_side):
            corner = (column * part_px, row * part_px)
            part = _score(_cut_out(large, corner, part_px), models, cache, light=whole.light)
            part_count += _clear_of_cuts(part, corner, part_px=part_px, side_px=side_px)
    whole_count = _clear_of_cuts(whole, (0, 0), part_px=part_px, side_px=side_px)
    small = tuple(each.seconds / (small_px**2 / 1e6) for each in (first, last))
    per_megapixel = whole.seconds / (side_px**2 / 1e6)
    return SizeReport(
        side_px=side_px,
        parts=parts_a_side**2,
        peak_bytes=whole.peak_bytes,
        whole_count=whole_count,
        part_count=part_count,
        count_difference=abs(whole_count - part_count) / max(part_count, 1),
        seconds=whole.seconds,
        seconds_per_megapixel=per_megapixel,
        small_seconds_per_megapixel=(small[0], small[1]),
        time_ratio=per_megapixel / (sum(small) / 2),
    )


def _score(path: Path, models: Path, cache: Path, *, light: tuple[float, ...] = ()) -> _Scored:
    """Scores a picture in a process of its own, in the light given or its own."""
    out = path.with_suffix(".npz")
    command = [sys.executable, "-m", "bench.score_once", str(path), str(models), str(cache), str(out)]
    if light:
        command.append(",".join(str(each) for each in light))
    subprocess.run(command, check=True, cwd=Path(__file__).resolve().parents[1])
    with np.load(out) as found:
        seconds, peak_bytes = float(found["seconds"]), int(found["peak_bytes"])
        return _Scored(found["x"], found["y"], seconds, peak_bytes, tuple(found["light"].tolist()))


def _cut_out(large: Path, corner: tuple[int, int], side_px: int) -> Path:
    """A part of the picture as a picture of its own, with the same pixels."""
    path = large.with_name("part.tif")
    with open_picture(large) as picture:
        pixels = picture.read(Rect(corner[0], corner[1], side_px, side_px))
    per_cm = 1e4 / MPP
    tifffile.imwrite(
        path,
        pixels,
        tile=(512, 512),
        photometric="rgb",
        compression="deflate",
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
    )
    return path


def _clear_of_cuts(scored: _Scored, corner: tuple[int, int], *, part_px: int, side_px: int) -> int:
    """How many nuclei lie clear of the lines along which the whole is cut into parts."""
    clear = np.ones(len(scored.x), bool)
    for at in (scored.x + corner[0], scored.y + corner[1]):
        for cut in range(part_px, side_px, part_px):
            clear &= np.abs(at - cut) > BORDER_UM / MPP
    return int(clear.sum())
