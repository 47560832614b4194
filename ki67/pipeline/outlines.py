"""Pathologists' outlines (GeoJSON as QuPath writes it) and the tumor border as polygons.

GeoJSON from QuPath counts from the *corner* of the first pixel, everything here from its centre:
0.5 is taken away on reading and added on writing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from ki67.errors import OutlineError
from ki67.types import FloatArray, GridMap

CORNER_OFFSET_PX = 0.5
_NUDGE_PX = 1e-6
_WANTED = "draw polygons classed Tumor (and Exclude, if any) in QuPath and export them as GeoJSON"


@dataclass(frozen=True)
class Outline:
    """Polygons in full-resolution pixels, (0, 0) the centre of the first pixel.

    `tumor` is not empty; `exclude` may be. Exclusions never count, whatever they overlap.
    """

    tumor: MultiPolygon
    exclude: MultiPolygon


def read_outline(path: Path, *, name: str | None = None) -> Outline:
    """Read a GeoJSON file; `name` is what to call it in a sentence (its file name if None).

    Raises OutlineError when it cannot be read or holds no polygon classed Tumor.
    """
    shown = name or path.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutlineError(
            f"{shown} cannot be read ({error.strerror}): check its path and rights."
        ) from error
    return parse_outline(content, name=shown)


def parse_outline(content: bytes, *, name: str) -> Outline:
    """The outline in the bytes of a GeoJSON file: a FeatureCollection, a list of features, or one feature.

    Classes are matched whatever their case; features of other classes are left out. Polygons that
    cross themselves are repaired. Raises OutlineError with one sentence.
    """
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise OutlineError(f"{name} is not GeoJSON: {_WANTED}.") from error
    classed: dict[str, list[Polygon]] = {"tumor": [], "exclude": []}
    for feature in _features(document, name):
        wanted = classed.get(_class_of(feature))
        if wanted is not None:
            wanted.extend(_polygons_of(feature, name))
    tumor = _union(classed["tumor"])
    if tumor.is_empty:
        raise OutlineError(f"{name} has no polygon classed Tumor: {_WANTED}.")
    return Outline(tumor, _union(classed["exclude"]))


def check_outline_meets(outline: Outline, *, width_px: int, height_px: int, name: str) -> None:
    """Raise OutlineError when the tumor polygons lie wholly outside a picture of this size."""
    picture = shapely.box(-0.5, -0.5, width_px - 0.5, height_px - 0.5)
    if outline.tumor.intersection(picture).area == 0:
        raise OutlineError(
            f"{name} lies wholly outside the picture ({width_px} × {height_px} px): "
            "export the outline from this picture, in pixels."
        )


def contains(shape: MultiPolygon, x_px: FloatArray, y_px: FloatArray) -> npt.NDArray[np.bool_]:
    """Which points lie in the polygons; half-open: left and top edges in, right and bottom edges out."""
    shapely.prepare(shape)
    x = np.asarray(x_px, np.float64) + _NUDGE_PX
    y = np.asarray(y_px, np.float64) + _NUDGE_PX
    return np.asarray(shapely.contains_xy(shape, x, y), dtype=bool)


def outline_cells(outline: Outline, grid: GridMap) -> GridMap:
    """The cells of a grid that lie in an outline's tumor: 255 there, 0 elsewhere."""
    return replace(grid, values=rasterize(outline.tumor, grid).astype(np.uint8) * np.uint8(255))


def rasterize(shape: MultiPolygon, grid: GridMap) -> npt.NDArray[np.bool_]:
    """Which cells of the grid have their centre in the polygons (even-odd along each row, half-open)."""
    height, width = grid.values.shape
    toggles = np.zeros((height, width + 1), np.uint8)
    for ring in _rings(shape):
        cols = (shapely.get_coordinates(ring)[:, 0] + 0.5 - grid.origin_x_px) / grid.px_per_cell - 0.5
        rows = (shapely.get_coordinates(ring)[:, 1] + 0.5 - grid.origin_y_px) / grid.px_per_cell - 0.5
        for x0, y0, x1, y1 in zip(cols[:-1], rows[:-1], cols[1:], rows[1:], strict=True):
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            crossed = np.arange(max(0, math.ceil(y0)), min(height, math.ceil(y1)))
            if len(crossed):
                at = np.ceil(x0 + (crossed - y0) * (x1 - x0) / (y1 - y0))
                toggles[crossed, np.clip(at, 0, width).astype(np.int64)] ^= 1
    return np.asarray(np.bitwise_xor.accumulate(toggles, axis=1)[:, :width], dtype=bool)


def dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float | None:
    """Dice 1945: 2 |A and B| / (|A| + |B|), 0-1; None when both masks are empty."""
    together = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / together if together else None


def mask_polygons(mask: GridMap) -> MultiPolygon:
    """The border of a mask's set cells as polygons with holes, in full-resolution pixels, centre origin.

    The border runs along the cells' outer sides; diagonal steps are cut, which moves it by less than
    a sixth of a cell.
    """
    contours, hierarchy = cv2.findContours(
        (mask.values > 0).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    if hierarchy is None:
        return MultiPolygon()
    shapes: list[BaseGeometry] = []
    for number, (_, _, child, parent) in enumerate(hierarchy[0]):
        if parent >= 0:
            continue
        holes = []
        while child >= 0:
            if len(contours[child]) >= 3:
                holes.append(contours[child][:, 0, :])
            child = hierarchy[0][child][0]
        shapes.append(_shape_of(contours[number][:, 0, :], holes))
    grown = shapely.buffer(np.array(shapes, dtype=object), 0.5, cap_style="square", join_style="mitre")
    cells = _union([part for shape in grown for part in _polygon_parts(shape)])
    scale, shift_x, shift_y = mask.px_per_cell, mask.origin_x_px, mask.origin_y_px
    moved = shapely.transform(
        shapely.simplify(cells, 0.25),
        lambda points: (points + 0.5) * scale - 0.5 + np.array([shift_x, shift_y]),
    )
    return _union(list(_polygon_parts(moved)))


def geojson_geometry(polygon: Polygon) -> dict[str, Any]:
    """A polygon as GeoJSON geometry with the corner origin, two decimals of a pixel."""
    rings = [polygon.exterior, *polygon.interiors]
    return {
        "type": "Polygon",
        "coordinates": [
            np.round(shapely.get_coordinates(ring) + CORNER_OFFSET_PX, 2).tolist() for ring in rings
        ],
    }


def _features(document: object, name: str) -> Sequence[Mapping[str, Any]]:
    features: object = document
    if isinstance(document, dict):
        features = document.get("features") if document.get("type") == "FeatureCollection" else [document]
    if not isinstance(features, list) or not all(
        isinstance(feature, dict) and feature.get("type") == "Feature" for feature in features
    ):
        raise OutlineError(f"{name} is JSON but not GeoJSON features: {_WANTED}.")
    return features


def _class_of(feature: Mapping[str, Any]) -> str:
    properties = feature.get("properties")
    classification = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(classification, dict):
        classification = classification.get("name")
    return classification.strip().lower() if isinstance(classification, str) else ""


def _polygons_of(feature: Mapping[str, Any], name: str) -> Iterator[Polygon]:
    geometry = feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or kind not in ("Polygon", "MultiPolygon"):
        raise OutlineError(
            f"{name} has a {_class_of(feature).capitalize()} that is not an area but "
            f"{kind or 'without geometry'}: draw it as a polygon."
        )
    coordinates: Any = geometry.get("coordinates")
    try:
        for rings in [coordinates] if kind == "Polygon" else coordinates:
            points = [np.asarray(ring, np.float64)[:, :2] - CORNER_OFFSET_PX for ring in rings]
            if not all(np.isfinite(ring).all() for ring in points):
                raise ValueError("a coordinate is not a number")
            yield from _polygon_parts(shapely.make_valid(Polygon(points[0], points[1:])))
    except (ValueError, TypeError, IndexError, shapely.errors.ShapelyError) as error:
        raise OutlineError(
            f"{name} has a polygon with broken coordinates: export it again from QuPath."
        ) from error


def _polygon_parts(shape: BaseGeometry) -> Iterator[Polygon]:
    for part in shapely.get_parts(shape):
        if isinstance(part, Polygon):
            if not part.is_empty:
                yield part
        elif hasattr(part, "geoms"):
            yield from _polygon_parts(part)


def _union(polygons: list[Polygon]) -> MultiPolygon:
    if not polygons:
        return MultiPolygon()
    return MultiPolygon(list(_polygon_parts(shapely.union_all(polygons))))


def _rings(shape: MultiPolygon) -> Iterator[BaseGeometry]:
    for polygon in shape.geoms:
        yield polygon.exterior
        yield from polygon.interiors


def _shape_of(contour: npt.NDArray[Any], holes: list[npt.NDArray[Any]]) -> BaseGeometry:
    """A contour through cell centres, which is a point, a line or a polygon, as a valid shape."""
    if len(contour) == 1:
        return shapely.Point(contour[0])
    if len(contour) == 2:
        return shapely.LineString(contour)
    return shapely.make_valid(Polygon(contour, holes))
