"""Overlays as bytes for the browser: JSON for lines, raw arrays for nuclei, PNG for the tumor map."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ki67.types import ByteArray, GridMap
from viewer.sources import Nuclei, Ring, RunOverlay

NUCLEI_MAGIC = b"KI67"
LONGEST_MAP_SIDE = 4096


@dataclass(frozen=True)
class EncodedOverlay:
    """One run's overlay, ready to send. `nuclei` and `tumor` are None where the run has none."""

    lines: bytes
    nuclei: bytes | None
    tumor: bytes | None

    def __len__(self) -> int:
        return len(self.lines) + len(self.nuclei or b"") + len(self.tumor or b"")


def encode_overlay(overlay: RunOverlay) -> EncodedOverlay:
    """The three payloads of a run's overlay."""
    shown_map = None if overlay.tumor_map is None else reduce_map(overlay.tumor_map)
    spot = overlay.hot_spot
    lines = {
        "mpp": overlay.mpp,
        "map": None if shown_map is None else _map_place(shown_map),
        "border": [_flat(ring) for ring in overlay.tumor_border],
        "outline": [_flat(ring) for ring in overlay.outline],
        "excluded": [_flat(ring) for ring in overlay.outline_excluded],
        "hot_spot": None
        if spot is None
        else {"x": spot.x_px, "y": spot.y_px, "radius": spot.radius_px, "label": spot.label},
        "has_nuclei": overlay.nuclei is not None,
    }
    return EncodedOverlay(
        lines=json.dumps(lines, separators=(",", ":")).encode("utf8"),
        nuclei=None if overlay.nuclei is None else encode_nuclei(overlay.nuclei),
        tumor=None if shown_map is None else encode_map(shown_map.values),
    )


def encode_nuclei(nuclei: Nuclei) -> bytes:
    """`KI67`, the count n as uint32, then x (float32 n), y (float32 n), number (uint32 n), kind (uint8 n).

    Little-endian throughout; positions are full-resolution pixels, (0, 0) the centre of the first pixel.
    """
    count = len(nuclei.x_px)
    return b"".join(
        (
            NUCLEI_MAGIC,
            struct.pack("<I", count),
            np.asarray(nuclei.x_px, "<f4").tobytes(),
            np.asarray(nuclei.y_px, "<f4").tobytes(),
            np.asarray(nuclei.number, "<u4").tobytes(),
            np.asarray(nuclei.kind, np.uint8).tobytes(),
        )
    )


def reduce_map(grid: GridMap, longest_side: int = LONGEST_MAP_SIDE) -> GridMap:
    """The same map with whole blocks of cells averaged until its longest side fits (for display only)."""
    height, width = grid.values.shape
    factor = -(-max(height, width) // longest_side)
    if factor <= 1:
        return grid
    padded = np.pad(grid.values, ((0, -height % factor), (0, -width % factor)), mode="edge")
    rows, columns = padded.shape[0] // factor, padded.shape[1] // factor
    blocks = padded.reshape(rows, factor, columns, factor)
    values = np.round(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
    return GridMap(values, grid.px_per_cell * factor, grid.origin_x_px, grid.origin_y_px)


def encode_map(values: ByteArray) -> bytes:
    """An 8-bit gray PNG of a map: 0-255 stands for 0-1."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _map_place(grid: GridMap) -> dict[str, float]:
    height, width = grid.values.shape
    return {
        "px_per_cell": grid.px_per_cell,
        "origin_x": grid.origin_x_px,
        "origin_y": grid.origin_y_px,
        "width": width,
        "height": height,
    }


def _flat(ring: Ring) -> list[float]:
    return [round(float(value), 1) for point in ring for value in point]
