"""Quality flags: what a person should know before trusting the number. A flag never refuses a result.

The borders were set on Ki-67 fields of six laboratories, H&E fields of three collections, and the
former blurred by Gaussians: see the comments beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ki67.numbers import count, decimal, pixel_size
from ki67.types import ByteArray, Flag, RunRecord

FEWEST_NUCLEI = 500
# share of violet to pink hues: Ki-67 fields at most 0.18; H&E of colon, lung, seven organs above 0.5
MOST_PINK = 0.5
# fine: 0.33 and more on sharp fields at 0.5 µm/px, 0.17-0.31 when blurred by 1 µm
LEAST_FINE = 0.27
# medium: 0.19 and more on sharp fields, 0.11-0.16 when blurred by 1.5 µm
LEAST_MEDIUM = 0.17
MOST_UNCOVERED = 0.01
_PINK_HUES = (265.0, 350.0)


@dataclass(frozen=True)
class Found:
    """What was found, as far as flags ask; `uncovered_share`: 0-1 of the outline that is counted in.

    `everywhere`: every nucleus counts, because neither step 1 nor an outline says where the tumor is.
    """

    tumor_nuclei: int
    tissue_area_mm2: float
    tumor_area_mm2: float
    uncovered_share: float
    everywhere: bool


def quality_inputs(
    low_power_rgb: ByteArray, tissue_mask: npt.NDArray[np.bool_], sample_tiles: list[ByteArray]
) -> dict[str, float]:
    """What the flags need from the pixels: measured once with the run and stored with it.

    `low_power_rgb` H×W×3 and `tissue_mask` H×W of the same size; `sample_tiles`: a few tiles at
    0.5 µm/px that lie on tissue. Keys, each absent when it cannot be measured: `pink_share` (of the
    stained tissue, 0-1), `sharpness_fine` and `sharpness_medium` (medians over the tiles).
    """
    inputs: dict[str, float] = {}
    pink = _pink_share(low_power_rgb, tissue_mask)
    if pink is not None:
        inputs["pink_share"] = pink
    sharpness = [bands for bands in map(_sharpness, sample_tiles) if bands is not None]
    if sharpness:
        fine, medium = np.median(np.array(sharpness), axis=0)
        inputs["sharpness_fine"], inputs["sharpness_medium"] = float(fine), float(medium)
    return inputs


def quality_flags(record: RunRecord, found: Found) -> tuple[Flag, ...]:
    """The flags of a result. Each message is what was seen, then what it means."""
    return tuple(_flags(record, found))


def _flags(record: RunRecord, found: Found) -> Iterator[Flag]:
    if found.tissue_area_mm2 == 0:
        yield Flag("no_tissue", "No tissue found. The picture shows glass only, or a very pale stain.")
    elif found.tumor_area_mm2 == 0:
        yield Flag("no_tumor", "No tumor found. Nothing was counted.")
    if 0 < found.tumor_nuclei < FEWEST_NUCLEI:
        yield Flag(
            "fewer_than_500",
            f"Fewer than 500 tumor nuclei ({count(found.tumor_nuclei)}). The interval is wide.",
        )
    if record.quality_inputs.get("pink_share", 0.0) >= MOST_PINK:
        yield Flag("h_and_e", "The stain looks like H&E, not Ki-67. On H&E the index means nothing.")
    fine = record.quality_inputs.get("sharpness_fine", np.inf)
    if fine < LEAST_FINE or record.quality_inputs.get("sharpness_medium", np.inf) < LEAST_MEDIUM:
        yield Flag("blur", "The picture looks out of focus. Nuclei may be missed or misjudged.")
    if record.pixel_size.source == "given":
        yield Flag(
            "pixel_size_given",
            f"Pixel size entered by hand ({pixel_size(record.pixel_size.mpp)}). "
            "A wrong size changes every count.",
        )
    if found.everywhere:
        yield Flag("no_tumor_mask", "Counted without the tumor mask. Nuclei outside the tumor count too.")
    if found.uncovered_share > MOST_UNCOVERED:
        yield Flag(
            "outline_not_covered",
            f"No nuclei were looked for in {decimal(100 * found.uncovered_share, decimals=0)} % of the "
            "outline. Its count is too low there.",
        )


def _pink_share(rgb: ByteArray, tissue: npt.NDArray[np.bool_]) -> float | None:
    """Share of the stained tissue pixels with a hue from violet to pink; None without stained tissue."""
    hue, saturation, _ = cv2.split(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV))
    stained = tissue & (saturation > 0.08)
    if not stained.any():
        return None
    hues = hue[stained]
    return float(np.mean((hues >= _PINK_HUES[0]) & (hues <= _PINK_HUES[1])))


def _sharpness(tile: ByteArray) -> tuple[float, float] | None:
    """Variance below 1 px over that of 1-2 px, and of 1-2 px over that of 2-4 px (Gaussian bands).

    None for a tile without structure.
    """
    gray = cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY).astype(np.float32)
    blurred = [cv2.GaussianBlur(gray, (0, 0), sigma) for sigma in (1.0, 2.0, 4.0)]
    fine, medium, coarse = (
        float(np.var(sharp - soft)) for sharp, soft in zip([gray, *blurred[:-1]], blurred, strict=True)
    )
    if coarse < 4.0:
        return None
    return fine / medium, medium / coarse
