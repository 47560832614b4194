"""The folder a score writes: summary.json, cells.csv, cells.geojson, tumor.geojson, overlay.png.

Percentages, not fractions, leave the program; what is not defined is null, never NaN or 0.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from shapely.geometry import MultiPolygon

from ki67.atomic import whole_folder
from ki67.index import ki67_index
from ki67.pipeline.images import Picture
from ki67.pipeline.outlines import CORNER_OFFSET_PX, Outline, geojson_geometry, mask_polygons
from ki67.pipeline.overlay import NEGATIVE_RGB, NOTICE, POSITIVE_RGB, TUMOR_RGB, draw_overlay
from ki67.pipeline.regions import region_of, tumor_area
from ki67.types import HotSpot, Interval, Measurement, RunRecord

SUMMARY_FILE = "summary.json"
CELLS_FILE = "cells.csv"
CELLS_GEOJSON_FILE = "cells.geojson"
TUMOR_GEOJSON_FILE = "tumor.geojson"
OVERLAY_FILE = "overlay.png"
_ROWS_AT_ONCE = 20_000


def write_result(
    folder: Path,
    record: RunRecord,
    measurement: Measurement,
    *,
    picture: Picture,
    image_name: str,
    sha256: str,
    outline: Outline | None = None,
) -> None:
    """Write the five files into `folder`, as a whole or not at all; an older folder is replaced.

    `image_name` is what stands in the summary as `image`: the file name on the command line, the
    case code everywhere else. `outline` is the one given to `measure`, if any. Raises StoreError
    when the folder cannot be written.
    """
    border = counted_border(record, measurement, outline)
    with whole_folder(folder) as partial:
        text = summary_json(record, measurement, image_name=image_name, sha256=sha256)
        (partial / SUMMARY_FILE).write_text(text, encoding="utf-8")
        write_cells_csv(partial / CELLS_FILE, record, measurement)
        write_cells_geojson(partial / CELLS_GEOJSON_FILE, record, measurement)
        (partial / TUMOR_GEOJSON_FILE).write_text(tumor_geojson(border), encoding="utf-8")
        rgb = draw_overlay(picture, record, measurement, border=border, outline=outline)
        _, encoded = cv2.imencode(Path(OVERLAY_FILE).suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        (partial / OVERLAY_FILE).write_bytes(encoded.tobytes())  # says why, where OpenCV only says no


def summary_json(record: RunRecord, measurement: Measurement, *, image_name: str, sha256: str) -> str:
    """The text of summary.json."""
    values = summary(record, measurement, image_name=image_name, sha256=sha256)
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def summary(record: RunRecord, measurement: Measurement, *, image_name: str, sha256: str) -> dict[str, Any]:
    """summary.json as plain values, keys in the order of the contract."""
    sampling = measurement.sampling
    values: dict[str, Any] = {
        "image": image_name,
        "sha256": sha256,
        "width_px": record.width_px,
        "height_px": record.height_px,
        "mpp": record.pixel_size.mpp,
        "mpp_source": record.pixel_size.source,
        "index_percent": _percent(ki67_index(measurement.positive, measurement.negative)),
        "index_ci_low": _percent(sampling.low) if sampling else None,
        "index_ci_high": _percent(sampling.high) if sampling else None,
        "ci_wilson": _pair(measurement.wilson),
        "ci_bootstrap": _pair(measurement.bootstrap),
        "total_interval": _pair(measurement.total),
        "seed": record.seed,
        "positive": measurement.positive,
        "negative": measurement.negative,
        "reason": measurement.reason,
        "tumor_area_mm2": measurement.tumor_area_mm2,
        "tissue_area_mm2": measurement.tissue_area_mm2,
        "hot_spot": _hot_spot(measurement.hot_spot),
        "qc": [asdict(flag) for flag in measurement.flags],
        "models": {
            task: asdict(model) if model else None
            for task, model in ((task, record.models.get(task)) for task in ("tumor", "cells"))
        },
        "backend": record.backend,
        "device": record.device,
        "precision": record.precision,
        "parameters": {
            **asdict(record.parameters),
            "score_threshold": measurement.score_threshold,
            "use_outline": measurement.outline_used,
        },
        "software_version": record.software_version,
        "started_at": record.started_at,
        "seconds": record.seconds,
        "notice": NOTICE,
    }
    if measurement.total is None:
        values["total_interval_reason"] = measurement.total_reason
    if measurement.hot_spot is None:
        values["hot_spot_reason"] = measurement.hot_spot_reason
    if measurement.outline_dice is not None:
        values["outline_dice"] = measurement.outline_dice
    return values


def write_cells_csv(path: Path, record: RunRecord, measurement: Measurement) -> None:
    """One row per nucleus found in the region; `in_tumor` 1 for those that count."""
    candidates, numbers = record.candidates, np.flatnonzero(measurement.found)
    with path.open("w", encoding="utf-8") as file:
        file.write("x_px,y_px,label,score,in_tumor,nucleus\n")
        for start in range(0, len(numbers), _ROWS_AT_ONCE):
            part = numbers[start : start + _ROWS_AT_ONCE]
            columns = (
                candidates.x_px[part].tolist(),
                candidates.y_px[part].tolist(),
                np.where(candidates.is_positive[part], "positive", "negative").tolist(),
                candidates.score[part].tolist(),
                measurement.counted[part].astype(int).tolist(),
                part.tolist(),
            )
            file.writelines(
                f"{x:.2f},{y:.2f},{label},{score:.4f},{counts},{number}\n"
                for x, y, label, score, counts, number in zip(*columns, strict=True)
            )


def write_cells_geojson(path: Path, record: RunRecord, measurement: Measurement) -> None:
    """The counted nuclei as points that QuPath opens, written in a stream."""
    candidates, numbers = record.candidates, np.flatnonzero(measurement.counted)
    tails = {
        name: json.dumps({"objectType": "detection", "classification": {"name": name, "color": color}})
        for name, color in (("Positive", POSITIVE_RGB), ("Negative", NEGATIVE_RGB))
    }
    with path.open("w", encoding="utf-8") as file:
        file.write(_collection_head())
        for start in range(0, len(numbers), _ROWS_AT_ONCE):
            part = numbers[start : start + _ROWS_AT_ONCE]
            x = (candidates.x_px[part].astype(np.float64) + CORNER_OFFSET_PX).tolist()
            y = (candidates.y_px[part].astype(np.float64) + CORNER_OFFSET_PX).tolist()
            names = np.where(candidates.is_positive[part], "Positive", "Negative").tolist()
            file.write(",\n" if start else "\n")
            file.write(
                ",\n".join(
                    '{"type": "Feature", "geometry": {"type": "Point", "coordinates": '
                    f'[{across:.2f}, {down:.2f}]}}, "properties": {tails[name]}}}'
                    for across, down, name in zip(x, y, names, strict=True)
                )
            )
        file.write("\n]}\n")


def tumor_geojson(border: MultiPolygon) -> str:
    """The border of the counted tumor as polygons that QuPath opens."""
    properties = {"objectType": "annotation", "classification": {"name": "Tumor", "color": TUMOR_RGB}}
    features = (
        json.dumps({"type": "Feature", "geometry": geojson_geometry(part), "properties": properties})
        for part in border.geoms
    )
    return _collection_head() + "\n" + ",\n".join(features) + "\n]}\n"


def counted_border(record: RunRecord, measurement: Measurement, outline: Outline | None) -> MultiPolygon:
    """The border of the tumor that was counted in, cut to the region, without exclusions.

    Without step 1 and without an outline in its place there is no border, and the result is empty.
    """
    area = tumor_area(record, outline=outline, use_outline=measurement.outline_used)
    if area.everything:
        return MultiPolygon()
    if area.outline is None:
        shape: shapely.Geometry = mask_polygons(area.mask)
    else:
        shape = area.outline.tumor
    if outline is not None:
        shape = shape.difference(outline.exclude)
    region = region_of(record)
    box = shapely.box(region.left_px, region.top_px, region.right_px, region.bottom_px)
    parts = shapely.get_parts(shape.intersection(box))
    return MultiPolygon([part for part in parts if isinstance(part, shapely.Polygon) and part.area > 0])


def _collection_head() -> str:
    return f'{{"type": "FeatureCollection", "notice": "{NOTICE}", "features": ['


def _hot_spot(spot: HotSpot | None) -> dict[str, Any] | None:
    if spot is None:
        return None
    return {
        "x_px": spot.x_px,
        "y_px": spot.y_px,
        "radius_um": spot.radius_um,
        "area_mm2": spot.area_mm2,
        "positive": spot.positive,
        "negative": spot.negative,
        "index_percent": _percent(ki67_index(spot.positive, spot.negative)),
        "ci_low": _percent(spot.interval.low),
        "ci_high": _percent(spot.interval.high),
        "total_interval": _pair(spot.total_interval),
        "expected_maximum_percent": _percent(spot.expected_maximum),
    }


def _percent(fraction: float | None) -> float | None:
    """In percent, without the dust of binary fractions (7/50 is 14.0, not 14.000000000000002)."""
    return None if fraction is None else round(100 * fraction, 10)


def _pair(limits: Interval | None) -> list[float | None] | None:
    return None if limits is None else [_percent(limits.low), _percent(limits.high)]
