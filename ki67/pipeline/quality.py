"""Quality flags: what a person should know before trusting the number. A flag never refuses a result.

The borders were set on the tuning half of `bench/gate_list.csv` and on Ki-67 fields of six laboratories
as they are; what to measure was chosen while looking at all of these fields, also at wrong scales.
`python -m bench.gate` prints what becomes of the other half.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ki67.numbers import count, decimal, pixel_size
from ki67.pipeline.colors import chromogen_hue, covered_share, green_share, read_pixels, stain_color
from ki67.pipeline.light import Light, estimate_light
from ki67.pipeline.texture import nucleus_width_um, red_density, sharpness, texture_um
from ki67.types import ByteArray, Flag, RunRecord

FEWEST_NUCLEI = 500
# share of violet to pink hues: Ki-67 fields at most 0.18; H&E of colon, lung, seven organs above 0.5
MOST_PINK = 0.5
# share of green in the density: Ki-67 fields at most 0.38, H&E 0.42 and more
MOST_GREEN = 0.4
# share of blue in the density: H&E at most 0.35, a red chromogen over the whole tissue 0.41
MOST_BLUE = 0.38
# hue of the chromogen: DAB 0.26 and more (epidermis 0.23), recolored to AEC at most 0.18, fast red below 0
LEAST_BROWN = 0.22
LEAST_BROWN_BLURRED = 0.0  # out of focus, brown and blue mix to what looks red
# fine: 0.33 and more on sharp fields at 0.5 µm/px, 0.17-0.31 when blurred by 1 µm
LEAST_FINE = 0.27
# medium: 0.19 and more on sharp fields, 0.11-0.16 when blurred by 1.5 µm
LEAST_MEDIUM = 0.17
# mean scale of the structure: at most 3.4 µm on sharp fields, 3.9 and more when blurred by 3 µm
COARSEST_TEXTURE_UM = 3.65
# width of nuclei: at most 12.0 µm on fields of the right pixel size; at twice that 39 of 40 lie above
WIDEST_NUCLEI_UM = 12.3
# geometric mean of that width and the scale of the structure: 3.5 and more; with half the pixel size 31 of 40
# fields lie below, the others are those with the largest nuclei
FINEST_NUCLEI_UM = 3.36
# of the samples or of the tissue at low power: without ink nothing
MOST_COVERED = 0.005
MOST_UNCOVERED = 0.01
# distance in color and in texture, in units of the farthest training field; blue casts at most 1.3 in color
FARTHEST = {"unlike_color": 1.5, "unlike_texture": 1.3}
SIZED_SAMPLES = 6  # nuclei are measured on these: more hardly change a median
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
    low_power_rgb: ByteArray,
    tissue_mask: npt.NDArray[np.bool_],
    sample_tiles: list[ByteArray],
    *,
    light: Light | None = None,
) -> dict[str, float]:
    """What the flags need from the pixels: measured once with the run and stored with it.

    `low_power_rgb` H×W×3 and `tissue_mask` H×W of the same size; `sample_tiles`: a few tiles at
    0.5 µm/px that lie on tissue; `light` that of the whole picture (None: that of `low_power_rgb`).
    Keys, each absent when it cannot be measured: `pink_share` (of the stained tissue, 0-1);
    `sharpness_fine` and `sharpness_medium` (medians over the tiles); `red_share`, `blue_share`,
    `stain_density` (see `colors.stain_color`), `green_share`, `chromogen_hue`; `nucleus_width_um` and
    `texture_um`; `covered_share` (ink, folds: 0-1 of the samples, or of the tissue at low power).
    """
    light = light or estimate_light(low_power_rgb)
    measured: dict[str, float | None] = {
        "pink_share": _pink_share(low_power_rgb, tissue_mask),
        "covered_share": covered_share(low_power_rgb, tissue_mask, sample_tiles, light=light),
    }
    bands = [each for each in map(sharpness, sample_tiles) if each is not None]
    if bands:
        fine, medium = np.median(np.array(bands), axis=0)
        measured |= {"sharpness_fine": float(fine), "sharpness_medium": float(medium)}
    pixels = read_pixels(sample_tiles, light)
    color = stain_color(pixels)
    if color is not None:
        measured |= dict(zip(("red_share", "blue_share", "stain_density"), color, strict=True))
        measured["green_share"] = green_share(sample_tiles, light)
    densities = [red_density(tile, light) for tile in sample_tiles[:SIZED_SAMPLES]]
    measured |= {
        "chromogen_hue": chromogen_hue(pixels),
        "nucleus_width_um": nucleus_width_um(densities),
        "texture_um": texture_um(densities),
    }
    return {key: value for key, value in measured.items() if value is not None}


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
    yield from look_flags(record.quality_inputs)
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


def look_flags(inputs: Mapping[str, float]) -> Iterator[Flag]:
    """The flags that are decided from the pixels alone: stain, focus, size, ink, likeness.

    `inputs` as `quality_inputs` gives them, with the distances of `looks.look_distances` where the
    model's card has a reference. What was not measured raises no flag.
    """
    blurred = _out_of_focus(inputs)
    pink = inputs.get("pink_share", 0.0) >= MOST_PINK or inputs.get("green_share", 0.0) >= MOST_GREEN
    h_and_e = pink and inputs.get("blue_share", 0.0) < MOST_BLUE
    if h_and_e:
        yield Flag(
            "h_and_e",
            "The stain looks like H&E, not Ki-67. On H&E the index means nothing: choose the Ki-67 section.",
        )
    elif inputs.get("chromogen_hue", np.inf) < (LEAST_BROWN_BLURRED if blurred else LEAST_BROWN):
        yield Flag(
            "red_chromogen",
            "The stain looks red, not brown. The models know DAB alone, so that AEC, fast red or a double "
            "stain is miscounted: score a DAB section.",
        )
    if blurred:
        yield Flag(
            "blur",
            "The picture looks out of focus. Nuclei may be missed or misjudged: take it again in focus.",
        )
    yield from _size_flags(inputs)
    if inputs.get("covered_share", 0.0) > MOST_COVERED and not h_and_e:  # dense eosin covers as ink does
        yield Flag(
            "pen",
            "Ink, a fold or dirt covers part of the picture. Nuclei there are missed or miscounted: "
            "choose a region without it.",
        )
    yield from _likeness_flags(inputs)


def _out_of_focus(inputs: Mapping[str, float]) -> bool:
    sharp = inputs.get("sharpness_fine", np.inf) >= LEAST_FINE
    sharp &= inputs.get("sharpness_medium", np.inf) >= LEAST_MEDIUM
    return not sharp or inputs.get("texture_um", 0.0) > COARSEST_TEXTURE_UM


def _size_flags(inputs: Mapping[str, float]) -> Iterator[Flag]:
    width, texture = inputs.get("nucleus_width_um"), inputs.get("texture_um")
    if width is None or texture is None:
        return
    if width > WIDEST_NUCLEI_UM:
        size = "large"
    elif math.sqrt(width * texture) < FINEST_NUCLEI_UM:
        size = "small"
    else:
        return
    yield Flag(
        "pixel_size_off",
        f"Nuclei look too {size} at this pixel size (about {decimal(width, decimals=0)} µm wide). "
        "Check the pixel size: a wrong one changes every count.",
    )


def _likeness_flags(inputs: Mapping[str, float]) -> Iterator[Flag]:
    far = [
        words
        for key, words in (("unlike_color", "stain color"), ("unlike_texture", "size or sharpness of nuclei"))
        if inputs.get(key, 0.0) > FARTHEST[key]
    ]
    if far:
        yield Flag(
            "unlike_training",
            f"The picture does not look like those the models learned from ({', '.join(far)}). "
            "Look at the marks before trusting the index.",
        )


def _pink_share(rgb: ByteArray, tissue: npt.NDArray[np.bool_]) -> float | None:
    """Share of the stained tissue pixels with a hue from violet to pink; None without stained tissue."""
    hue, saturation, _ = cv2.split(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV))
    stained = tissue & (saturation > 0.08)
    if not stained.any():
        return None
    hues = hue[stained]
    return float(np.mean((hues >= _PINK_HUES[0]) & (hues <= _PINK_HUES[1])))
