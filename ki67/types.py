"""Values that travel between the layers: frozen, with units in their names.

Coordinates are full-resolution pixels of the input picture; (0, 0) is the *centre* of the first
pixel, so the picture spans [-0.5, width_px - 0.5). Scales are micrometres per pixel (µm/px).
An index is a fraction 0-1 inside the code; `*_percent` names mark 0-100.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int32]

Site = Literal["breast", "neuroendocrine", "head and neck", "other"]
SITES: tuple[Site, ...] = ("breast", "neuroendocrine", "head and neck", "other")
PixelSizeSource = Literal["metadata", "given"]


@dataclass(frozen=True)
class Rect:
    """A half-open rectangle of whole full-resolution pixels (left and top in, right and bottom out)."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class PixelSize:
    """Side of a full-resolution pixel in µm and where the number comes from."""

    mpp: float
    source: PixelSizeSource


@dataclass(frozen=True)
class PictureInfo:
    """What is known of a picture without reading its pixels.

    `metadata_mpp` is None when the file gives no usable scale; `levels` counts the resolutions
    stored in the file; `file_format` is a short name for people ("PNG", "SVS", "DICOM").
    """

    width_px: int
    height_px: int
    file_format: str
    metadata_mpp: float | None
    levels: int


@dataclass(frozen=True)
class Progress:
    """One step of long work: `done` of `total` units of `stage` (read, tissue, tumor, cells, index)."""

    stage: str
    done: int
    total: int


ReportProgress = Callable[[Progress], None]
IsCancelled = Callable[[], bool]


def no_progress(_: Progress) -> None:
    """Progress that nobody watches."""


def never_cancelled() -> bool:
    """A run that nobody can cancel."""
    return False


@dataclass(frozen=True)
class Parameters:
    """Everything that decides a run besides the picture, the models and the seed. Stored with each run.

    None means "estimate from the low-power picture, or take it from the model card"; the run stores
    the value that was used (`Run.parameters` has no None except `roi`).
    """

    net_mpp: float = 0.5
    tile_px: int = 1024
    overlap_px: int = 64
    map_mpp: float = 2.0
    tumor_border: float = 0.5
    step2_from_probability: float = 0.1
    candidate_floor: float = 0.1
    use_tumor_mask: bool = True
    score_threshold: float | None = None
    min_distance_um: float | None = None
    tissue_threshold: float | None = None
    white_point: tuple[float, float, float] | None = None
    light: tuple[float, float, float] | None = None
    roi: Rect | None = None


@dataclass(frozen=True)
class GridMap:
    """An 8-bit map laid over the picture: pixel (i, j) covers `px_per_cell` full-resolution pixels a side.

    Map pixel (row, col) covers x in [origin_x_px + col * px_per_cell - 0.5, ... + px_per_cell), y likewise.
    `values` 0-255 stands for 0.0-1.0 (value / 255).
    """

    values: ByteArray
    px_per_cell: float
    origin_x_px: float = 0.0
    origin_y_px: float = 0.0

    def at(self, x_px: FloatArray, y_px: FloatArray) -> FloatArray:
        """Values 0-1 at points (nearest cell; points outside the map give 0)."""
        cols = np.floor((x_px + 0.5 - self.origin_x_px) / self.px_per_cell).astype(np.int64)
        rows = np.floor((y_px + 0.5 - self.origin_y_px) / self.px_per_cell).astype(np.int64)
        height, width = self.values.shape
        inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        result = np.zeros(len(cols), np.float32)
        result[inside] = self.values[rows[inside], cols[inside]] / np.float32(255)
        return result


@dataclass(frozen=True)
class Candidates:
    """Every nucleus that step 2 proposed with score >= `Parameters.candidate_floor`, one array entry each.

    `score` is max(positive, negative class score) after normalization to 0-1; the label is positive
    where `positive_score >= negative_score`. The row number is the nucleus's number within its run.
    """

    x_px: FloatArray
    y_px: FloatArray
    positive_score: FloatArray
    negative_score: FloatArray

    def __len__(self) -> int:
        return len(self.x_px)

    @property
    def score(self) -> FloatArray:
        return np.maximum(self.positive_score, self.negative_score)

    @property
    def is_positive(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.positive_score >= self.negative_score)


@dataclass(frozen=True)
class ModelRef:
    """Which weights made a number: as in `summary.json`."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class RunRecord:
    """What the nets gave for one picture: the stored truth from which every number is counted again.

    `tumor_map` is the tumor probability (None without step 1). `tissue_map` is 255 on tissue.
    `covered_map` is 255 where step 2 was run. All cover the picture, or the ROI. `seconds` has the
    keys read, tumor, cells, post, total. `parameters` holds the values used, none left open.
    """

    width_px: int
    height_px: int
    pixel_size: PixelSize
    parameters: Parameters
    tumor_map: GridMap | None
    tissue_map: GridMap
    covered_map: GridMap
    candidates: Candidates
    models: dict[str, ModelRef | None]
    backend: str
    device: str
    precision: str
    seed: int
    software_version: str
    started_at: str
    seconds: dict[str, float]
    quality_inputs: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of an index as fractions 0-1."""

    low: float
    high: float


@dataclass(frozen=True)
class Flag:
    """A quality flag: a stable code and one sentence for people."""

    code: str
    message: str


@dataclass(frozen=True)
class HotSpot:
    """The circle that reads highest; its interval holds for the place found, not for a maximum."""

    x_px: float
    y_px: float
    radius_um: float
    area_mm2: float
    positive: int
    negative: int
    interval: Interval
    total_interval: Interval | None
    expected_maximum: float | None


@dataclass(frozen=True)
class Measurement:
    """Every number of a result, counted from a `RunRecord`. `None` with its reason, never 0, when undefined.

    `counted` marks the candidates that count (in the tumor, in the region, score >= threshold);
    `found` those with score >= threshold anywhere in the region. Both follow the order of
    `RunRecord.candidates`. `score_threshold` is the threshold that was counted with; `outline_used`
    says that a pathologist's outline replaced the tumor map.
    """

    positive: int
    negative: int
    reason: str | None
    wilson: Interval | None
    bootstrap: Interval | None
    sampling: Interval | None
    total: Interval | None
    total_reason: str | None
    tumor_area_mm2: float
    tissue_area_mm2: float
    hot_spot: HotSpot | None
    hot_spot_reason: str | None
    flags: tuple[Flag, ...]
    outline_dice: float | None
    counted: npt.NDArray[np.bool_]
    found: npt.NDArray[np.bool_]
    score_threshold: float | None = None
    outline_used: bool = False
