"""Pictures that are refused, each with the fault and the remedy that its sentence has to name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.picture_files import colors, smooth, write_image, write_png_header, write_svs, write_tiff

COPY_AGAIN = "copy or export the picture again"
PIXELS = smooth(400, 300)


@dataclass(frozen=True)
class BadPicture:
    """`name` is the file's; `write` makes it; its sentence holds `fault` and `remedy`."""

    name: str
    write: Callable[[Path], object]
    fault: str
    remedy: str

    def make(self, folder: Path) -> Path:
        """The file, below a folder."""
        path = folder / self.name
        self.write(path)
        return path


def _cut(write: Callable[[Path], object], *, share: float = 0.6) -> Callable[[Path], object]:
    """What writes a file and takes its end away."""

    def write_and_cut(path: Path) -> None:
        write(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write_and_cut


def _anisotropic(path: Path) -> None:
    write_tiff(path, PIXELS, resolution=(40_000, 33_333), resolutionunit="CENTIMETER")


BAD_PICTURES = (
    BadPicture("leere Datei.png", lambda path: path.touch(), "is empty (0 bytes)", COPY_AGAIN),
    BadPicture(
        "Notiz über Größe.png",
        lambda path: path.write_text("patient 12: scored by hand\n" * 20),
        "is not a picture that can be read here",
        "use PNG, JPEG, TIFF",
    ),
    BadPicture("half.jpg", _cut(lambda path: write_image(path, colors(400, 300))), "is cut off", COPY_AGAIN),
    BadPicture(
        "half.tif",
        _cut(lambda path: write_tiff(path, colors(400, 300), tile=(64, 64))),
        "is cut off",
        COPY_AGAIN,
    ),
    BadPicture("half.svs", _cut(lambda path: write_svs(path, smooth(900, 700))), "is cut off", COPY_AGAIN),
    BadPicture(
        "deep.tif",
        lambda path: write_tiff(path, PIXELS.astype(np.uint16) * 257),
        "has 16 bits per channel",
        "save it as 8-bit RGB",
    ),
    BadPicture(
        "deep.png",
        lambda path: write_png_header(path, 400, 300, bits=16),
        "has 16 bits per channel",
        "save it as 8-bit RGB",
    ),
    BadPicture(
        "gray.png",
        lambda path: Image.fromarray(PIXELS).convert("L").save(path),
        "is a grayscale picture",
        "export it in color",
    ),
    BadPicture(
        "print.jpg",
        lambda path: Image.fromarray(PIXELS).convert("CMYK").save(path),
        "is a CMYK picture",
        "save it as 8-bit RGB",
    ),
    BadPicture(
        "dot.png",
        lambda path: write_image(path, smooth(1, 1)),
        "is too small to score (1 × 1 px",
        "export a larger region",
    ),
    BadPicture(
        "bomb.png",
        lambda path: write_png_header(path, 30_000, 30_000),
        "is too large (30,000 × 30,000 px = 900 megapixels; the limit is 500)",
        "crop it, or raise KI67_MAX_PIXELS",
    ),
    BadPicture(
        "skewed.tif",
        _anisotropic,
        "has pixels that are not square (0.25 × 0.3 µm)",
        "the same scale in x and y",
    ),
)
BY_NAME = {bad.name: bad for bad in BAD_PICTURES}


def check_sentence(sentence: str, *parts: str, hidden: str = "") -> None:
    """A sentence for people: one line with all the parts, without a traceback and without `hidden`."""
    assert "\n" not in sentence
    assert sentence.rstrip().endswith(".")
    assert "Traceback" not in sentence
    assert not hidden or hidden not in sentence
    for part in parts:
        assert part in sentence, f"{part!r} is not in {sentence!r}"
