"""What the viewer draws over a picture, as data: nuclei, tumor probability, tumor border."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from shapely.geometry import mapping

from ki67.pipeline.artifacts import png_bytes
from ki67.pipeline.outputs import counted_border
from ki67.study.people import Person, require
from ki67.study.stored import find_result, measurement_of, outline_of, record_of
from ki67.study.workplace import Workplace
from ki67.types import FloatArray, GridMap


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
    """The tumor probability (None without step 1) and the border of what was counted in.

    `border_geojson` is one MultiPolygon whose (0, 0) is the centre of the first pixel; empty without border.
    """

    tumor_map: GridMap | None
    border_geojson: str


def nuclei_layer(workplace: Workplace, person: Person, code: str) -> NucleiLayer:
    """The nuclei of a result. Raises UnknownCode when there is none."""
    require(person, "coordinator", "analyst", doing="see results")
    row = find_result(workplace, code)
    candidates, measured = record_of(workplace, row).candidates, measurement_of(workplace, row)
    found = np.flatnonzero(measured.found)
    return NucleiLayer(
        number=found.astype(np.uint32),
        x_px=candidates.x_px[found],
        y_px=candidates.y_px[found],
        score=candidates.score[found],
        positive=candidates.is_positive[found],
        counted=measured.counted[found],
    )


def tumor_layer(workplace: Workplace, person: Person, code: str) -> TumorLayer:
    """The tumor map of a result and its border. Raises UnknownCode when there is none."""
    require(person, "coordinator", "analyst", doing="see results")
    row = find_result(workplace, code)
    record, measured = record_of(workplace, row), measurement_of(workplace, row)
    border = counted_border(record, measured, outline_of(row))
    return TumorLayer(tumor_map=record.tumor_map, border_geojson=json.dumps(mapping(border)))


def tumor_png(workplace: Workplace, person: Person, code: str) -> bytes | None:
    """The tumor map as an 8-bit gray PNG (value / 255 = probability), a pixel a cell; None without step 1."""
    require(person, "coordinator", "analyst", doing="see results")
    tumor_map = record_of(workplace, find_result(workplace, code)).tumor_map
    return None if tumor_map is None else png_bytes(tumor_map.values)
