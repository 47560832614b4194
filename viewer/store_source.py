"""The app's `ViewerSource`: pictures, results, evaluations of the store, as the acting person may see them.

st.App("main.py", routes=routes(StoreSource(workplace, person)))
"""

from __future__ import annotations

import json
from typing import BinaryIO

import numpy as np
from shapely.geometry import MultiPolygon

from ki67.pipeline.outlines import parse_outline
from ki67.study.detection import error_layer, is_layer_code
from ki67.study.error_marks import ErrorMarks
from ki67.study.people import Person
from ki67.study.pictures import add_upload, get_picture, viewing_path
from ki67.study.results import NucleiLayer, ResultView, get_result, nuclei_layer, tumor_layer
from ki67.study.workplace import UnknownCode as NotInStore
from ki67.study.workplace import Workplace
from viewer.sources import (
    INVENTED_NEGATIVE,
    INVENTED_POSITIVE,
    MISSED_NEGATIVE,
    MISSED_POSITIVE,
    NEGATIVE,
    NOT_COUNTED_NEGATIVE,
    NOT_COUNTED_POSITIVE,
    POSITIVE,
    REMOVED_NEGATIVE,
    REMOVED_POSITIVE,
    WRONG_NEGATIVE,
    WRONG_POSITIVE,
    Circle,
    Nuclei,
    Ring,
    RunOverlay,
    UnknownCode,
    ViewedPicture,
)

# In the order of `ki67.study.error_marks.KINDS`: the kind for a positive, for a negative mark.
KIND_OF_MARK = (
    (POSITIVE, NEGATIVE),
    (MISSED_POSITIVE, MISSED_NEGATIVE),
    (INVENTED_POSITIVE, INVENTED_NEGATIVE),
    (WRONG_POSITIVE, WRONG_NEGATIVE),
    (REMOVED_POSITIVE, REMOVED_NEGATIVE),
)


class StoreSource:
    """Answers the viewer's routes from the store.

    A run is named by the code of its result, or by that of a field of an evaluation and a way of counting
    (`ki67.study.detection.layer_code`).
    """

    def __init__(self, workplace: Workplace, person: Person) -> None:
        self._workplace = workplace
        self._person = person

    def picture(self, code: str) -> ViewedPicture:
        """The stored picture; raises `UnknownCode`, or StoreError when its file is not there just now."""
        try:
            stored = get_picture(self._workplace, self._person, code)
        except NotInStore as error:
            raise UnknownCode(str(error)) from error
        path = viewing_path(self._workplace, self._person, code)
        return ViewedPicture(path, stored.info.width_px, stored.info.height_px, stored.info.metadata_mpp)

    def overlay(self, code: str) -> RunOverlay:
        """What to draw for a result, or for a field of an evaluation; raises `UnknownCode`."""
        if is_layer_code(code):
            return self._errors(code)
        try:
            result = get_result(self._workplace, self._person, code)
        except NotInStore as error:
            raise UnknownCode(str(error)) from error
        tumor = tumor_layer(self._workplace, self._person, code)
        outline = None
        if result.outline is not None:
            outline = parse_outline(result.outline.encode("utf8"), name="The stored outline")
        return RunOverlay(
            mpp=result.pixel_size.mpp,
            tumor_map=tumor.tumor_map,
            tumor_border=rings_of_geojson(tumor.border_geojson),
            outline=() if outline is None else rings_of(outline.tumor),
            outline_excluded=() if outline is None else rings_of(outline.exclude),
            hot_spot=hot_spot_of(result),
            nuclei=nuclei_of(nuclei_layer(self._workplace, self._person, code)),
        )

    def _errors(self, code: str) -> RunOverlay:
        try:
            layer = error_layer(self._workplace, self._person, code)
        except NotInStore as error:
            raise UnknownCode(str(error)) from error
        return RunOverlay(
            mpp=layer.mpp,
            tumor_map=layer.tumor_map,
            tumor_border=rings_of_geojson(layer.border_geojson),
            nuclei=errors_of(layer.marks),
        )

    def add_upload(self, stream: BinaryIO, original_name: str) -> str:
        """Store an uploaded picture and return its code."""
        return add_upload(self._workplace, self._person, stream, original_name).code


def hot_spot_of(result: ResultView) -> Circle | None:
    """The result's hot spot as a circle in pixels, labelled with its area."""
    spot = result.measurement.hot_spot
    if spot is None:
        return None
    radius_px = spot.radius_um / result.pixel_size.mpp
    return Circle(spot.x_px, spot.y_px, radius_px, f"Hot spot {spot.area_mm2:.1f} mm²")


def nuclei_of(layer: NucleiLayer) -> Nuclei:
    """The store's nuclei with the kinds that the viewer draws."""
    kind = np.where(
        layer.counted,
        np.where(layer.positive, POSITIVE, NEGATIVE),
        np.where(layer.positive, NOT_COUNTED_POSITIVE, NOT_COUNTED_NEGATIVE),
    )
    return Nuclei(layer.x_px, layer.y_px, kind.astype(np.uint8), layer.number)


def errors_of(marks: ErrorMarks) -> Nuclei:
    """The marks of an evaluation with the kinds that the viewer draws; numbered in their order."""
    kind = np.array(KIND_OF_MARK, np.uint8)[marks.kind, np.where(marks.positive, 0, 1)]
    return Nuclei(marks.x_px, marks.y_px, kind, np.arange(len(kind), dtype=np.uint32))


def rings_of(shape: MultiPolygon) -> tuple[Ring, ...]:
    """Every ring, outer and inner, of polygons."""
    lines = [ring for polygon in shape.geoms for ring in (polygon.exterior, *polygon.interiors)]
    return tuple(tuple((float(x), float(y)) for x, y, *_ in line.coords) for line in lines)


def rings_of_geojson(text: str) -> tuple[Ring, ...]:
    """Every ring, outer and inner, of the polygons of a GeoJSON text."""
    content = json.loads(text)
    features = content["features"] if content["type"] == "FeatureCollection" else [content]
    geometries = [feature.get("geometry", feature) for feature in features]
    found: list[Ring] = []
    for geometry in geometries:
        polygons = geometry["coordinates"]
        if geometry["type"] == "Polygon":
            polygons = [polygons]
        for polygon in polygons:
            found.extend(tuple((float(x), float(y)) for x, y, *_ in ring) for ring in polygon)
    return tuple(found)
