from __future__ import annotations

import errno
import tracemalloc
from pathlib import Path

import numpy as np
import openslide
import pytest
import pyvips
import tifffile

from ki67.errors import PictureError
from ki67.pipeline import formats, formats_tiff, images, pyramid
from ki67.pipeline.images import open_picture, probe
from ki67.pipeline.pyramid import make_pyramid
from ki67.types import Rect
from tests.picture_files import PATIENT, colors, smooth, write_dicom, write_image, write_svs, write_tiff

WIDTH, HEIGHT = 1500, 1100


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has more than 10,000 px counts as large."""
    for module in (formats, formats_tiff, images, pyramid):
        monkeypatch.setattr(module, "DECODED_WHOLE_PX", 10_000)


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "svs", "dcm"])
def test_a_flat_picture_gets_levels_that_openslide_reads(tmp_path: Path, kind: str) -> None:
    pixels = smooth(WIDTH, HEIGHT)
    path, out = tmp_path / f"a.{kind}", tmp_path / "out" / "pyramid.tif"
    out.parent.mkdir()
    if kind == "svs":
        write_svs(path, pixels)
    elif kind == "dcm":
        write_dicom(path, pixels)
    elif kind == "tif":
        write_tiff(path, pixels, tile=(64, 64), compression="zlib")
    else:
        write_image(path, pixels)
    make_pyramid(path, out)
    assert [each.name for each in out.parent.iterdir()] == ["pyramid.tif"]
    with openslide.OpenSlide(out) as slide:
        assert slide.level_dimensions == ((1500, 1100), (750, 550), (375, 275))
        seen = np.asarray(slide.read_region((700, 600), 0, (300, 200)))[..., :3]
    assert np.abs(seen.astype(int) - pixels[600:800, 700:1000]).mean() < 3


def test_a_pyramid_keeps_the_pixel_size_and_nothing_else_of_the_file(tmp_path: Path) -> None:
    path, out = write_svs(tmp_path / "a.svs", smooth(WIDTH, HEIGHT), label=True), tmp_path / "pyramid.tif"
    make_pyramid(path, out)
    assert probe(out).metadata_mpp == pytest.approx(0.25)
    with openslide.OpenSlide(out) as slide:
        assert not slide.associated_images
    assert PATIENT.encode() not in out.read_bytes()


def test_a_pyramid_of_a_picture_without_pixel_size_has_none(tmp_path: Path) -> None:
    out = tmp_path / "pyramid.tif"
    make_pyramid(write_image(tmp_path / "a.jpg", smooth(WIDTH, HEIGHT), dpi=(96, 96)), out)
    assert probe(out).metadata_mpp is None


@pytest.mark.usefixtures("small_limits")
def test_a_picture_that_must_be_unpacked_gets_a_lossless_pyramid_that_serves_the_nets(tmp_path: Path) -> None:
    pixels = colors(700, 520)
    path, out = write_image(tmp_path / "a.png", pixels, dpi=(50_800, 50_800)), tmp_path / "pyramid.tif"
    make_pyramid(path, out)
    with open_picture(path, pixels_from=out, scratch=tmp_path / "unused") as picture:
        np.testing.assert_array_equal(picture.read(Rect(0, 0, 700, 520)), pixels)
        assert picture.info == probe(path)
    assert not (tmp_path / "unused").exists()
    with openslide.OpenSlide(out) as slide:
        assert slide.level_count == 2


def test_a_jpeg_pyramid_never_stands_in_for_the_original_pixels(tmp_path: Path) -> None:
    pixels = colors(700, 520)
    path, out = write_tiff(tmp_path / "a.tif", pixels, tile=(64, 64)), tmp_path / "pyramid.tif"
    make_pyramid(path, out)
    with open_picture(path, pixels_from=out) as picture:
        np.testing.assert_array_equal(picture.read(Rect(0, 0, 700, 520)), pixels)


@pytest.mark.usefixtures("small_limits")
def test_a_pyramid_of_another_picture_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "pyramid.tif"
    make_pyramid(write_image(tmp_path / "a.png", colors(700, 520)), out)
    other = write_image(tmp_path / "b.png", colors(701, 520))
    with pytest.raises(PictureError, match=r"“b\.png” are not those of the picture: import it again"):
        open_picture(other, pixels_from=out)


def test_a_damaged_picture_leaves_no_pyramid(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", colors(400, 300))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 100] = bytes(100)
    path.write_bytes(bytes(data))
    with pytest.raises(PictureError, match=r"“a\.png” is damaged"):
        make_pyramid(path, tmp_path / "pyramid.tif")
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]


def test_a_full_disk_is_said_and_leaves_the_earlier_pyramid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_image(tmp_path / "a.png", colors(400, 300)), tmp_path / "pyramid.tif"
    out.write_bytes(b"earlier")

    def full(*_: object, **__: object) -> None:
        raise pyvips.Error("unable to call tiffsave", "wbuffer_write: write failed\nNo space left on device")

    monkeypatch.setattr(pyvips.Image, "tiffsave", full, raising=False)
    with pytest.raises(PictureError, match=r"“a\.png” needs a temporary copy.*free some space"):
        make_pyramid(path, out)
    assert out.read_bytes() == b"earlier"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.png", "pyramid.tif"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = write_tiff(tmp_path / "a.tif", colors(400, 300)), tmp_path / "pyramid.tif"

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tifffile, "imwrite", fail)
    with pytest.raises(OSError, match="Read-only"):
        make_pyramid(path, out)
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


def test_making_a_pyramid_keeps_a_bounded_part_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tile = colors(512, 512)
    tifffile.imwrite(
        path,
        (tile for _ in range(100)),
        shape=(5120, 5120, 3),
        dtype="uint8",
        photometric="rgb",
        tile=(512, 512),
        compression="zlib",
    )
    tracemalloc.start()
    make_pyramid(path, tmp_path / "pyramid.tif")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 140e6  # the tile cache; the picture has 79 MB more than a row of tiles
