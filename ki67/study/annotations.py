"""Nuclei that people marked on one picture: GeoJSON as QuPath writes it, or CSV of the annotated folders.

QuPath counts from the *corner* of the first pixel, everything here from its centre: 0.5 is taken away.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from ki67.errors import DataError
from ki67.pipeline.outlines import CORNER_OFFSET_PX

LABELS = ("positive", "negative", "other")
BEYOND_PX = 2.0
BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError)
_WANTED = "mark nuclei as points or areas classed Positive, Negative or Other in QuPath and export GeoJSON"


@dataclass(frozen=True)
class MarkedNucleus:
    """A nucleus by its centre in full-resolution pixels, (0, 0) the centre of the first pixel.

    `label` is positive, negative, other (a nucleus that is not tumor), or empty (of unknown kind).
    """

    x_px: float
    y_px: float
    label: str


@dataclass(frozen=True)
class Annotation:
    """Every nucleus marked on one picture; `left_out` counts marks of other classes, which mean nothing."""

    nuclei: tuple[MarkedNucleus, ...]
    left_out: int

    def count(self, label: str) -> int:
        """How many nuclei have this label."""
        return sum(nucleus.label == label for nucleus in self.nuclei)


def read_annotation(content: bytes, *, name: str, width_px: int, height_px: int) -> Annotation:
    """The nuclei in the bytes of a GeoJSON or CSV file (columns x_px, y_px, label).

    Raises DataError naming `name` and the fault: neither format, no tumor nucleus, a place outside the
    picture of this size.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no text file: {_WANTED}, or give a CSV file (UTF-8).") from error
    annotation = _of_geojson(text, name) if text.lstrip()[:1] in ("{", "[") else _of_csv(text, name)
    if not annotation.count("positive") + annotation.count("negative"):
        raise DataError(f"{name} marks no nucleus as positive or negative: {_WANTED}.")
    for nucleus in annotation.nuclei:
        across, down = nucleus.x_px + 0.5, nucleus.y_px + 0.5
        if not (-BEYOND_PX <= across <= width_px + BEYOND_PX and -BEYOND_PX <= down <= height_px + BEYOND_PX):
            raise DataError(
                f"{name} marks a nucleus at {across:.0f}, {down:.0f}, outside the picture of {width_px} × "
                f"{height_px} px: export the marks from this picture, in pixels."
            )
    return annotation


def annotation_csv(annotation: Annotation) -> bytes:
    """The nuclei as the CSV of an annotated folder."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("x_px", "y_px", "label"))
    writer.writerows(
        (round(nucleus.x_px, 3), round(nucleus.y_px, 3), nucleus.label) for nucleus in annotation.nuclei
    )
    return stream.getvalue().encode("utf-8")


def _of_geojson(text: str, name: str) -> Annotation:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DataError(f"{name} is not GeoJSON: {_WANTED}.") from error
    nuclei: list[MarkedNucleus] = []
    left_out = 0
    for feature in _features(document, name):
        label = _label_of(feature)
        if label is None:
            left_out += 1
            continue
        nuclei += [
            MarkedNucleus(x - CORNER_OFFSET_PX, y - CORNER_OFFSET_PX, label)
            for x, y in _centres(feature, name)
        ]
    return Annotation(tuple(nuclei), left_out)


def _features(document: object, name: str) -> list[Mapping[str, Any]]:
    features: object = document
    if isinstance(document, dict):
        features = document.get("features") if document.get("type") == "FeatureCollection" else [document]
    if not isinstance(features, list) or not all(
        isinstance(feature, dict) and feature.get("type") == "Feature" for feature in features
    ):
        raise DataError(f"{name} is JSON but not GeoJSON features: {_WANTED}.")
    return features


def _label_of(feature: Mapping[str, Any]) -> str | None:
    """The label that a feature's class stands for ("Tumor: Positive" is positive); None for another class."""
    properties = feature.get("properties")
    classification = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(classification, dict):
        classification = classification.get("name")
    if not isinstance(classification, str):
        return None
    word = classification.rpartition(":")[2].strip().lower()
    return word if word in LABELS else None


def _centres(feature: Mapping[str, Any], name: str) -> Iterator[tuple[float, float]]:
    """Each point of a feature, or the centroid of its area (of the nucleus where QuPath gives both)."""
    geometry = feature.get("nucleusGeometry") or feature.get("geometry")
    try:
        found: BaseGeometry = shape(geometry)
        parts = shapely.get_parts(found) if found.geom_type == "MultiPoint" else [found]
        places = [(part.centroid.x, part.centroid.y) for part in parts]
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        shapely.errors.ShapelyError,
    ) as fault:
        raise DataError(f"{name} has a mark with broken coordinates: export it again from QuPath.") from fault
    if not all(math.isfinite(value) for place in places for value in place):
        raise DataError(f"{name} has a mark with broken coordinates: export it again from QuPath.")
    yield from places


def _of_csv(text: str, name: str) -> Annotation:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if not {"x_px", "y_px", "label"} <= set(reader.fieldnames or ()):
        raise DataError(f"{name} needs the columns x_px, y_px and label: correct its first line.")
    return Annotation(tuple(_row(row, number, name) for number, row in enumerate(reader, start=2)), 0)


def _row(row: Mapping[str, str | None], number: int, name: str) -> MarkedNucleus:
    try:
        x, y = float(row["x_px"] or ""), float(row["y_px"] or "")
    except ValueError as error:
        raise DataError(f"{name}, line {number}: x_px or y_px is not a number: correct it.") from error
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DataError(f"{name}, line {number}: x_px or y_px is no place: correct it.")
    label = (row["label"] or "").strip().lower()
    if label and label not in LABELS:
        raise DataError(f"{name}, line {number}: the label “{label}” is not positive, negative or other.")
    return MarkedNucleus(x, y, label)
