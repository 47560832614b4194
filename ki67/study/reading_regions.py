"""The region of a reading: where the reader looked, as polygons on the picture of the case."""

from __future__ import annotations

import json
from typing import Any

from ki67.errors import OutlineError
from ki67.pipeline.outlines import check_outline_meets, parse_outline

_EXCLUDED = "exclude"


def region_geojson(content: bytes, *, name: str) -> str:
    """The polygons of a GeoJSON text as one FeatureCollection that `pipeline.outlines.parse_outline` reads.

    Every polygon counts as the region (class Tumor there), whatever its class, but those classed Exclude.
    Coordinates stay as they came: full-resolution pixels from the corner of the first pixel (QuPath).

    Args:
        name: what the text is called in a sentence.

    Raises:
        OutlineError: not GeoJSON, no polygon, broken coordinates.
    """
    try:
        document: Any = json.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise OutlineError(f"{name} is not GeoJSON: export the region from QuPath as GeoJSON.") from error
    geometries = _geometries(document, name)
    features = [
        {
            "type": "Feature",
            "geometry": geometry,
            "properties": {"classification": {"name": "Exclude" if excluded else "Tumor"}},
        }
        for geometry, excluded in geometries
    ]
    if all(excluded for _, excluded in geometries):
        raise OutlineError(f"{name} holds no region: draw it as a polygon and export it as GeoJSON.")
    text = json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":"))
    parse_outline(text.encode("utf8"), name=name)
    return text


def check_region_on_picture(region: str, *, width_px: int, height_px: int, name: str) -> None:
    """Raises OutlineError when a region lies wholly outside its picture."""
    outline = parse_outline(region.encode("utf8"), name=name)
    check_outline_meets(outline, width_px=width_px, height_px=height_px, name=name)


def _geometries(document: Any, name: str) -> list[tuple[dict[str, Any], bool]]:
    """Each geometry and whether it is excluded."""
    parts = document if isinstance(document, list) else [document]
    found: list[tuple[dict[str, Any], bool]] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "FeatureCollection" and isinstance(part.get("features"), list):
            found += _geometries(part["features"], name)
        elif kind == "Feature" and isinstance(part.get("geometry"), dict):
            found.append((part["geometry"], _is_excluded(part)))
        elif kind in ("Polygon", "MultiPolygon"):
            found.append((part, False))
        else:
            raise OutlineError(
                f"{name} is JSON but not GeoJSON areas: draw a polygon and export it as GeoJSON."
            )
    return found


def _is_excluded(feature: dict[str, Any]) -> bool:
    properties = feature.get("properties")
    classification = properties.get("classification") if isinstance(properties, dict) else None
    label = classification.get("name") if isinstance(classification, dict) else classification
    return isinstance(label, str) and label.strip().lower() == _EXCLUDED
