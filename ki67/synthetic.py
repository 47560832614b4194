"""Synthetic Ki-67 regions with an exact answer for every nucleus and for the tumor.

Nests of tumor nuclei, septa and stroma with spindle nuclei, fibres and vessels, lymphocytes;
counterstain and DAB mixed by Beer–Lambert; a look per laboratory and scanner. The tissue is a
function of seed and place (`ki67/synthetic_world.py`): any window of one seed shows the same tissue
to the last bit, so a region of any size is made by tiles, without seams, in bounded memory.

`make_region` gives a region in memory, `write_region` a file with its truth beside it,
`write_annotated_folder` several of them as training and evaluation read them.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyvips
import tifffile

from ki67.errors import DataError
from ki67.stains import Look, random_look
from ki67.synthetic_drawing import Scene, render
from ki67.synthetic_noise import Window
from ki67.synthetic_world import TUMOR, Architecture, Nuclei, World, random_architecture
from ki67.types import ByteArray, FloatArray, Progress, ReportProgress, no_progress

if TYPE_CHECKING:
    from _csv import Writer as _CsvWriter

STANDARD_LOOK = Look()  # the look that the shipped nets know best
_TILE_PX = 1024  # side of what is drawn at once, and height of the bands of a file
_FILE_TILE_PX = 512


@dataclass(frozen=True)
class TruthTable:
    """n nuclei of a region. (0, 0) is the centre of its first pixel; semi-axes in pixels.

    `label` is "positive" or "negative" for tumor nuclei, "other" for stromal nuclei and lymphocytes,
    whether stained or not. `angle` is that of the major axis in radians, x towards y.
    """

    x_px: FloatArray
    y_px: FloatArray
    label: npt.NDArray[np.str_]
    semi_major_px: FloatArray
    semi_minor_px: FloatArray
    angle: FloatArray

    def __len__(self) -> int:
        return len(self.x_px)


@dataclass(frozen=True)
class SyntheticRegion:
    """A region: `rgb` H×W×3 at `mpp` µm/px, the truth of each nucleus centred in it, the tumor (H×W bool)."""

    rgb: ByteArray
    mpp: float
    nuclei: TruthTable
    tumor_mask: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WrittenRegion:
    """What was written: the picture, its truth beside it, and what the truth amounts to."""

    picture: Path
    nuclei_csv: Path
    tumor_png: Path
    positive: int
    negative: int
    other: int
    tumor_area_mm2: float


def make_region(
    width_px: int,
    height_px: int,
    *,
    mpp: float = 0.5,
    seed: int,
    positive_share: float = 0.2,
    look: Look | None = None,
    architecture: Architecture | None = None,
    left_px: int = 0,
    top_px: int = 0,
) -> SyntheticRegion:
    """A region of the seed's tissue, whose upper left pixel is (`left_px`, `top_px`) of that tissue.

    `positive_share` (0-1) is the chance of each tumor nucleus to be positive. `look` and `architecture`
    None: drawn from the seed, so that each seed is another laboratory and another tumor. For a region
    that is all tumor of one density give `Architecture(everywhere=True)`.
    Raises DataError for a size or share that makes no sense.
    """
    _check_size(width_px, height_px, mpp=mpp)
    scene = _scene(seed, positive_share=positive_share, look=look, architecture=architecture)
    rgb = np.empty((height_px, width_px, 3), np.uint8)
    tumor = np.empty((height_px, width_px), bool)
    tables = []
    for y in range(0, height_px, _TILE_PX):
        for x in range(0, width_px, _TILE_PX):
            window = Window(
                left_px + x, top_px + y, min(_TILE_PX, width_px - x), min(_TILE_PX, height_px - y), mpp
            )
            inner = (slice(y, y + window.height), slice(x, x + window.width))
            rgb[inner], tumor[inner], nuclei = render(scene, window)
            tables.append(_truth(nuclei, window, left_px=left_px, top_px=top_px))
    return SyntheticRegion(rgb, mpp, _joined(tables), tumor)


def write_region(
    path: Path,
    width_px: int,
    height_px: int,
    *,
    mpp: float = 0.25,
    seed: int,
    positive_share: float = 0.2,
    look: Look | None = None,
    architecture: Architecture | None = None,
    compression: Literal["jpeg", "deflate"] = "jpeg",
    progress: ReportProgress = no_progress,
) -> WrittenRegion:
    """The same region as a tiled TIFF (`path`, .tif or .tiff) of any size, in bands of 1,024 rows.

    The pixel size stands in its resolution tag; "jpeg" is quality 90 without chroma subsampling,
    "deflate" loses nothing. `<stem>.csv` (x_px, y_px, label, semi-axes, angle) and `<stem>.tumor.png`
    are written beside it as for annotated folders. Nothing half-written is left. Raises DataError.
    """
    _check_size(width_px, height_px, mpp=mpp)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise DataError(f"{path.name} must be a TIFF: give a name that ends in .tif.")
    scene = _scene(seed, positive_share=positive_share, look=look, architecture=architecture)
    writer = _RegionWriter(scene, width_px, height_px, mpp)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as name:
        temporary = Path(name)
        writer.write(temporary, compression=compression, progress=progress)
        csv_path, mask_path = path.with_suffix(".csv"), path.with_suffix(".tumor.png")
        for made, target in (("r.csv", csv_path), ("r.png", mask_path), ("r.tif", path)):
            with (temporary / made).open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary / made, target)
    counts = writer.counts
    return WrittenRegion(
        picture=path,
        nuclei_csv=csv_path,
        tumor_png=mask_path,
        positive=counts["positive"],
        negative=counts["negative"],
        other=counts["other"],
        tumor_area_mm2=writer.tumor_px * (mpp / 1000) ** 2,
    )


def write_annotated_folder(
    folder: Path, *, count: int, side_px: int, mpp: float = 0.5, seed: int
) -> list[WrittenRegion]:
    """`count` square regions with looks, tumors and shares drawn from the seed, and their manifest.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    shares = np.random.default_rng([seed, 5]).beta(0.8, 2.2, count)
    written = [
        write_region(
            folder / f"synthetic_{number:03d}.tif",
            side_px,
            side_px,
            mpp=mpp,
            seed=seed + number,
            positive_share=float(share),
            compression="deflate",
        )
        for number, share in enumerate(shares)
    ]
    rows = [f"{region.picture.name},{mpp},synthetic-{seed + i},synthetic" for i, region in enumerate(written)]
    temporary = folder / ".manifest.csv.part"
    temporary.write_text("\n".join(["image,mpp,patient,source", *rows, ""]), encoding="utf-8")
    os.replace(temporary, folder / "manifest.csv")
    return written


class _RegionWriter:
    """Draws a region band by band; counts what it drew."""

    def __init__(self, scene: Scene, width_px: int, height_px: int, mpp: float) -> None:
        self.scene, self.width, self.height, self.mpp = scene, width_px, height_px, mpp
        self.counts = {"positive": 0, "negative": 0, "other": 0}
        self.tumor_px = 0

    def write(
        self, folder: Path, *, compression: Literal["jpeg", "deflate"], progress: ReportProgress
    ) -> None:
        """Writes r.tif, r.csv and r.png into `folder`; the mask passes through a raw file on disk."""
        jpeg = compression == "jpeg"
        per_cm = 10_000 / self.mpp
        with (
            (folder / "r.csv").open("w", newline="", encoding="utf-8") as table,
            (folder / "r.raw").open("wb") as mask,
        ):
            rows = csv.writer(table, lineterminator="\n")
            rows.writerow(["x_px", "y_px", "label", "semi_major_px", "semi_minor_px", "angle"])
            tifffile.imwrite(
                folder / "r.tif",
                self._tiles(rows, mask, progress),
                shape=(self.height, self.width, 3),
                dtype=np.uint8,
                bigtiff=self.width * self.height > 1_200_000_000,
                tile=(_FILE_TILE_PX, _FILE_TILE_PX),
                photometric="rgb",
                compression="jpeg" if jpeg else "adobe_deflate",
                compressionargs={"level": 90} if jpeg else {"level": 6},
                subsampling=(1, 1) if jpeg else None,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
        raw = pyvips.Image.rawload(str(folder / "r.raw"), self.width, self.height, 1)
        raw.pngsave(str(folder / "r.png"), compression=3)
        progress(Progress("draw", self.height, self.height))

    def _tiles(self, rows: _CsvWriter, mask: BinaryIO, progress: ReportProgress) -> Iterator[ByteArray]:
        for top in range(0, self.height, _TILE_PX):
            progress(Progress("draw", top, self.height))
            band, tumor = self._band(top, rows)
            mask.write((tumor.astype(np.uint8) * np.uint8(255)).tobytes())
            for y in range(0, len(band), _FILE_TILE_PX):
                for x in range(0, self.width, _FILE_TILE_PX):
                    yield np.ascontiguousarray(band[y : y + _FILE_TILE_PX, x : x + _FILE_TILE_PX])

    def _band(self, top: int, rows: _CsvWriter) -> tuple[ByteArray, npt.NDArray[np.bool_]]:
        height = min(_TILE_PX, self.height - top)
        rgb = np.empty((height, self.width, 3), np.uint8)
        tumor = np.empty((height, self.width), bool)
        for left in range(0, self.width, _TILE_PX):
            window = Window(left, top, min(_TILE_PX, self.width - left), height, self.mpp)
            across = slice(left, left + window.width)
            rgb[:, across], tumor[:, across], nuclei = render(self.scene, window)
            truth = _truth(nuclei, window, left_px=0, top_px=0)
            for label in self.counts:
                self.counts[label] += int((truth.label == label).sum())
            rows.writerows(_csv_rows(truth))
        self.tumor_px += int(tumor.sum())
        return rgb, tumor


def _csv_rows(truth: TruthTable) -> Iterator[tuple[str, ...]]:
    for i in range(len(truth)):
        yield (
            f"{truth.x_px[i]:.2f}",
            f"{truth.y_px[i]:.2f}",
            str(truth.label[i]),
            f"{truth.semi_major_px[i]:.2f}",
            f"{truth.semi_minor_px[i]:.2f}",
            f"{truth.angle[i]:.3f}",
        )


def _check_size(width_px: int, height_px: int, *, mpp: float) -> None:
    if min(width_px, height_px) < 1 or not 0.1 <= mpp <= 1:
        raise DataError(
            f"A synthetic region of {width_px} × {height_px} px at {mpp} µm/px cannot be made: "
            "give at least 1 × 1 px at 0.1 to 1 µm/px."
        )


def _scene(
    seed: int, *, positive_share: float, look: Look | None, architecture: Architecture | None
) -> Scene:
    if not 0 <= positive_share <= 1:
        raise DataError(f"The share of positive nuclei is {positive_share}: give a fraction from 0 to 1.")
    world = World(seed, architecture or random_architecture(seed), positive_share)
    return Scene(world, look or random_look(seed))


def _truth(nuclei: Nuclei, window: Window, *, left_px: int, top_px: int) -> TruthTable:
    """The nuclei centred in the window, half-open, in pixels of the region."""
    mpp = window.mpp
    x, y = nuclei.x_um / mpp, nuclei.y_um / mpp
    inside = (x >= window.x) & (x < window.x + window.width)
    inside &= (y >= window.y) & (y < window.y + window.height)
    kept = nuclei.pick(inside)
    label = np.where(kept.kind != TUMOR, "other", np.where(kept.positive, "positive", "negative"))
    return TruthTable(
        x_px=(x[inside] - left_px - 0.5).astype(np.float32),
        y_px=(y[inside] - top_px - 0.5).astype(np.float32),
        label=label,
        semi_major_px=(kept.semi_major_um / mpp).astype(np.float32),
        semi_minor_px=(kept.semi_minor_um / mpp).astype(np.float32),
        angle=kept.angle.astype(np.float32),
    )


def _joined(tables: list[TruthTable]) -> TruthTable:
    return TruthTable(
        **{
            part.name: np.concatenate([getattr(table, part.name) for table in tables])
            for part in fields(TruthTable)
        }
    )
