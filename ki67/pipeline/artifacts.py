"""A run as files: maps as 8-bit PNG, every candidate in Parquet, the rest in run.json.

From these alone the same numbers are counted again, without the nets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ki67.atomic import whole_folder
from ki67.errors import StoreError
from ki67.types import (
    ByteArray,
    Candidates,
    GridMap,
    ModelRef,
    Parameters,
    PixelSize,
    Rect,
    RunRecord,
)

RUN_FILE = "run.json"
CANDIDATES_FILE = "candidates.parquet"
MAP_FILES = {"tumor": "tumor.png", "tissue": "tissue.png", "covered": "covered.png"}
FORMAT_VERSION = 1
_SCORES = ("x_px", "y_px", "positive_score", "negative_score")


def save_run(folder: Path, record: RunRecord) -> None:
    """Write a run into `folder`, as a whole or not at all; an older run there is replaced.

    Writes tumor.png (without step 1: not), tissue.png, covered.png, candidates.parquet (one row per
    candidate: `nucleus`, positions in full-resolution px, both class scores) and run.json. Raises
    StoreError when the folder cannot be written.
    """
    maps = {"tumor": record.tumor_map, "tissue": record.tissue_map, "covered": record.covered_map}
    document = {
        "format": FORMAT_VERSION,
        "notice": "Research use only",
        "width_px": record.width_px,
        "height_px": record.height_px,
        "pixel_size": asdict(record.pixel_size),
        "parameters": asdict(record.parameters),
        "maps": {name: _geometry(grid) for name, grid in maps.items()},
        "models": {task: asdict(model) if model else None for task, model in record.models.items()},
        "backend": record.backend,
        "device": record.device,
        "precision": record.precision,
        "seed": record.seed,
        "software_version": record.software_version,
        "started_at": record.started_at,
        "seconds": record.seconds,
        "quality_inputs": record.quality_inputs,
    }
    with whole_folder(folder) as partial:
        for name, grid in maps.items():
            if grid is not None:
                (partial / MAP_FILES[name]).write_bytes(png_bytes(grid.values))
        pq.write_table(_table(record.candidates), partial / CANDIDATES_FILE, compression="zstd")
        text = json.dumps(document, indent=1, allow_nan=False)
        (partial / RUN_FILE).write_text(text, encoding="utf-8")


def load_run(folder: Path) -> RunRecord:
    """The run that `save_run` wrote. Raises StoreError when a file is missing or broken."""
    try:
        document = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        if document["format"] > FORMAT_VERSION:
            raise StoreError(f"{folder} was written by a newer version of this program: update the program.")
        tissue, covered = _map(folder, "tissue", document), _map(folder, "covered", document)
        if tissue is None or covered is None:
            raise KeyError("maps")
        return RunRecord(
            width_px=document["width_px"],
            height_px=document["height_px"],
            pixel_size=PixelSize(**document["pixel_size"]),
            parameters=_parameters(document["parameters"]),
            tumor_map=_map(folder, "tumor", document),
            tissue_map=tissue,
            covered_map=covered,
            candidates=_candidates(folder / CANDIDATES_FILE),
            models={task: ModelRef(**ref) if ref else None for task, ref in document["models"].items()},
            backend=document["backend"],
            device=document["device"],
            precision=document["precision"],
            seed=document["seed"],
            software_version=document["software_version"],
            started_at=document["started_at"],
            seconds=document["seconds"],
            quality_inputs=document["quality_inputs"],
        )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise StoreError(
            f"The stored run {folder.name} is incomplete or damaged ({error}): score the picture again."
        ) from error


def png_bytes(values: ByteArray) -> bytes:
    """An 8-bit gray map as a lossless PNG, one pixel a cell."""
    worked, encoded = cv2.imencode(".png", values)
    if not worked:
        raise ValueError(f"a map of shape {values.shape} cannot be encoded")
    return encoded.tobytes()


def _geometry(grid: GridMap | None) -> dict[str, float] | None:
    if grid is None:
        return None
    return {
        "px_per_cell": grid.px_per_cell,
        "origin_x_px": grid.origin_x_px,
        "origin_y_px": grid.origin_y_px,
    }


def _map(folder: Path, name: str, document: Mapping[str, Any]) -> GridMap | None:
    geometry = document["maps"][name]
    if geometry is None:
        return None
    encoded = np.frombuffer((folder / MAP_FILES[name]).read_bytes(), np.uint8)
    values = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) if encoded.size else None
    if values is None:
        raise ValueError(f"{MAP_FILES[name]} is not a PNG")
    return GridMap(np.asarray(values, np.uint8), **geometry)


def _table(candidates: Candidates) -> pa.Table:
    columns: dict[str, Any] = {"nucleus": np.arange(len(candidates), dtype=np.int32)}
    columns |= {name: np.asarray(getattr(candidates, name), np.float32) for name in _SCORES}
    return pa.table(columns)


def _candidates(path: Path) -> Candidates:
    table = pq.read_table(path)
    frame: pd.DataFrame = table.to_pandas().sort_values("nucleus")
    x, y, positive, negative = (frame[name].to_numpy(np.float32) for name in _SCORES)
    return Candidates(x, y, positive, negative)


def _parameters(values: Mapping[str, Any]) -> Parameters:
    white, light, roi = values["white_point"], values.get("light"), values["roi"]
    return Parameters(
        **{
            **values,
            "white_point": tuple(white) if white is not None else None,
            "light": tuple(light) if light is not None else None,
            "roi": Rect(**roi) if roi is not None else None,
        }
    )
