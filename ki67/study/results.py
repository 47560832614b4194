"""Results of the store: listed, opened, downloaded. A result knows which run, models and settings made it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from ki67.study.people import Person
from ki67.study.workplace import Workplace
from ki67.types import (
    Flag,
    FloatArray,
    GridMap,
    Interval,
    Measurement,
    ModelRef,
    Parameters,
    PixelSize,
    Rect,
    Site,
)


@dataclass(frozen=True)
class ResultRow:
    """A line of the list. Counts are integers; texts and classes are made from them by `ki67.sites`, `numbers`.

    `hot_spot_positive`/`negative` are None without a hot spot. `reason` is set when not assessable.
    """

    code: str
    picture_code: str
    case_code: str
    site: Site
    positive: int
    negative: int
    sampling: Interval | None
    reason: str | None
    hot_spot_positive: int | None
    hot_spot_negative: int | None
    hot_spot_interval: Interval | None
    hot_spot_reason: str | None
    flags: tuple[Flag, ...]
    model_set: str
    created_at: datetime
    synthetic: bool


@dataclass(frozen=True)
class CaseSummary:
    """A case over the newest runs of its pictures with one model set: counts pooled, the highest hot spot.

    `pictures` counts the pictures that contribute. `hot_spot_result` is the result the hot spot is from.
    """

    case_code: str
    patient_code: str
    site: Site
    pictures: int
    positive: int
    negative: int
    wilson: Interval | None
    hot_spot_positive: int | None
    hot_spot_negative: int | None
    hot_spot_interval: Interval | None
    hot_spot_result: str | None
    result_codes: tuple[str, ...]


@dataclass(frozen=True)
class ResultView:
    """A result with everything that made it; no path and no file name.

    `megapixels` is the size that was scored. `outline` is GeoJSON text or None.
    """

    code: str
    run_code: str
    picture_code: str
    site: Site
    width_px: int
    height_px: int
    pixel_size: PixelSize
    parameters: Parameters
    roi: Rect | None
    measurement: Measurement
    case: CaseSummary
    models: dict[str, ModelRef | None]
    model_set: str
    backend: str
    device: str
    precision: str
    seed: int
    software_version: str
    started_at: str
    seconds: dict[str, float]
    score_threshold: float | None
    outline: str | None
    use_outline: bool
    created_at: datetime
    person_code: str
    synthetic: bool


@dataclass(frozen=True)
class NucleiLayer:
    """Every nucleus found (score ≥ threshold), for drawing: `number` is its stable number within the run."""

    number: npt.NDArray[np.uint32]
    x_px: FloatArray
    y_px: FloatArray
    score: FloatArray
    positive: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TumorLayer:
    """The tumor probability (None without step 1) and its border as GeoJSON text (corner origin removed:
    (0, 0) is the centre of the first pixel)."""

    tumor_map: GridMap | None
    border_geojson: str


def list_results(
    workplace: Workplace,
    person: Person,
    *,
    search: str = "",
    site: Site | None = None,
    flagged: bool | None = None,
    assessable: bool | None = None,
    model_set: str | None = None,
    limit: int | None = None,
) -> list[ResultRow]:
    """The newest result of each run, newest first.

    Args:
        search: part of a case code, patient code or picture code, whatever the case of its letters.
        flagged, assessable: True or False filters, None does not.
    """
    raise NotImplementedError


def get_result(workplace: Workplace, person: Person, code: str) -> ResultView:
    """One result with its measurement and its case. Raises StoreError when there is none."""
    raise NotImplementedError


def nuclei_layer(workplace: Workplace, person: Person, code: str) -> NucleiLayer:
    """The nuclei of a result, for the viewer."""
    raise NotImplementedError


def tumor_layer(workplace: Workplace, person: Person, code: str) -> TumorLayer:
    """The tumor map of a result and its border, for the viewer."""
    raise NotImplementedError


def tumor_png(workplace: Workplace, person: Person, code: str) -> bytes | None:
    """The tumor map as an 8-bit gray PNG (value / 255 = probability), one pixel a cell; None without step 1."""
    raise NotImplementedError


def recount(
    workplace: Workplace,
    person: Person,
    code: str,
    *,
    score_threshold: float | None = None,
    outline_geojson: bytes | None = None,
    use_outline: bool = False,
) -> str:
    """Counts a run again from its stored map and candidates; a new result row, whose code is returned.

    The same settings again give the result already there.
    """
    raise NotImplementedError


def result_files(workplace: Workplace, person: Person, code: str) -> dict[str, bytes]:
    """The files of the Download menu by name: `<case>_<result>_summary.json`, `…_cells.csv`, `…_cells.geojson`,
    `…_tumor.geojson`, `…_overlay.png`. `image` in the summary is the case code."""
    raise NotImplementedError
