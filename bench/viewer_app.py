"""A tiny app around the viewer alone: for its browser tests and its measurements.

    VIEWER_FOLDER=<folder> streamlit run bench/viewer_app.py

The folder holds pictures (`<code>.tif`, or any file that OpenSlide opens, with `<code>.run.npz` beside it).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import openslide
import pyvips
import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ki67.errors import PictureError
from ki67.types import GridMap
from viewer.routes import routes
from viewer.sources import Circle, Nuclei, RunOverlay, UnknownCode, ViewedPicture


class FolderSource:
    """Pictures and made-up runs of a folder; a run has its picture's code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def picture(self, code: str) -> ViewedPicture:
        path = next((p for p in self._folder.glob(f"{code}.*") if p.suffix != ".npz"), None)
        if path is None:
            raise UnknownCode("No picture has this code.")
        with openslide.OpenSlide(path) as slide:
            width, height = slide.dimensions
        return ViewedPicture(path, width, height, mpp=0.25)

    def overlay(self, code: str) -> RunOverlay:
        path = self._folder / f"{code}.run.npz"
        if not path.exists():
            raise UnknownCode("No run has this code.")
        with np.load(path) as data:
            ring = tuple((float(x), float(y)) for x, y in data["ring"])
            spot_x, spot_y, radius = (float(value) for value in data["spot"])
            border = tuple(tuple((float(x), float(y)) for x, y in line) for line in data["border"])
            return RunOverlay(
                mpp=0.25,
                tumor_map=GridMap(data["tumor"], float(data["px_per_cell"])),
                tumor_border=border,
                outline=(ring,),
                hot_spot=Circle(spot_x, spot_y, radius, "Hot spot 0.2 mm²"),
                nuclei=Nuclei(data["x"], data["y"], data["kind"], np.arange(len(data["x"]), dtype=np.uint32)),
            )

    def add_upload(self, stream: BinaryIO, original_name: str) -> str:
        code = f"upload{len(list(self._folder.glob('upload*')))}"
        fresh = self._folder / f"{code}.part"
        try:
            with fresh.open("wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
            if openslide.OpenSlide.detect_format(fresh) is None:
                raise PictureError(f"{original_name} is no picture that can be read; choose another file.")
            fresh.rename(self._folder / f"{code}.tif")
        finally:
            fresh.unlink(missing_ok=True)
        return code


def write_picture(folder: Path, code: str, side_px: int, *, seed: int) -> None:
    """A tissue-like picture of `side_px` squared as a tiled pyramid, by repeating one patch of 1,024 px."""
    generator = np.random.default_rng(seed)
    patch = np.full((1024, 1024, 3), (226, 216, 224), np.float32)
    rows, columns = np.mgrid[0:1024, 0:1024].astype(np.float32)
    for _ in range(700):
        x, y, radius = *generator.uniform(20, 1004, 2), generator.uniform(9, 14)
        color = (112, 70, 40) if generator.random() < 0.25 else (128, 134, 178)
        top, left = int(y) - 20, int(x) - 20
        window = np.s_[max(0, top) : top + 40, max(0, left) : left + 40]
        inside = np.hypot(columns[window] - x, (rows[window] - y) * 1.2) < radius
        patch[window][inside] = color
    patch += generator.normal(0, 6, patch.shape)
    tile = pyvips.Image.new_from_array(np.clip(patch, 0, 255).astype(np.uint8))
    times = -(-side_px // 1024)
    whole = tile.replicate(times, times).crop(0, 0, side_px, side_px)
    whole.tiffsave(
        str(folder / f"{code}.tif"),
        tile=True,
        tile_width=512,
        tile_height=512,
        pyramid=True,
        compression="jpeg",
        Q=80,
        bigtiff=True,
    )


def write_run(folder: Path, code: str, side_px: int, nuclei: int, *, seed: int) -> None:
    """A made-up run over that picture: `nuclei` nuclei, a smooth tumor map, its border, outline, hot spot."""
    generator = np.random.default_rng(seed)
    cells = min(2500, side_px // 4)
    px_per_cell = side_px / cells
    rows, columns = np.mgrid[0:cells, 0:cells] / cells
    tumor = 0.5 + 0.45 * np.sin(7 * columns) * np.cos(6 * rows)
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    centres = generator.uniform(0.15, 0.85, (40, 1, 2)) * side_px
    border = centres + 0.03 * side_px * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    np.savez(
        folder / f"{code}.run.npz",
        x=generator.uniform(0, side_px - 1, nuclei).astype(np.float32),
        y=generator.uniform(0, side_px - 1, nuclei).astype(np.float32),
        kind=generator.choice(4, nuclei, p=[0.2, 0.65, 0.05, 0.1]).astype(np.uint8),
        tumor=(255 * tumor).astype(np.uint8),
        px_per_cell=px_per_cell,
        ring=side_px * (0.5 + 0.42 * np.stack([np.cos(turn), np.sin(turn)], axis=-1)),
        border=border,
        spot=np.array([side_px / 2, side_px / 2, 0.15 * side_px]),
    )


app = st.App(
    Path(__file__).resolve().with_name("viewer_page.py"),
    routes=routes(FolderSource(Path(os.environ.get("VIEWER_FOLDER", ".")))),
)
