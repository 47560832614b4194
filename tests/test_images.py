from __future__ import annotations

import hashlib
import shutil
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ki67.errors import PictureError
from ki67.pipeline import formats, formats_tiff, formats_tiff_pixels, images
from ki67.pipeline.formats_slide import slide_files
from ki67.pipeline.images import is_multi_file, open_picture, probe, sha256_of
from ki67.types import ByteArray, PictureInfo, Rect
from tests.picture_files import (
    PATIENT,
    colors,
    smooth,
    write_dicom,
    write_image,
    write_svs,
    write_tiff,
)

PIXELS = colors(300, 211)
TILES = {"tile": (64, 128)}
WHOLE = Rect(0, 0, 300, 211)

LOSSLESS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "PNG": ("PNG", lambda path: write_image(path, PIXELS, format="PNG")),
    "stripped": ("TIFF", lambda path: write_tiff(path, PIXELS, rowsperstrip=10)),
    "single strip": ("TIFF", lambda path: write_tiff(path, PIXELS)),
    "LZW": ("TIFF", lambda path: write_tiff(path, PIXELS, compression="lzw", predictor=True)),
    "Deflate tiles": ("TIFF", lambda path: write_tiff(path, PIXELS, compression="zlib", **TILES)),
    "planes apart": (
        "TIFF",
        lambda path: write_tiff(path, PIXELS.transpose(2, 0, 1).copy(), planarconfig="separate", **TILES),
    ),
    "BigTIFF": ("BigTIFF", lambda path: write_tiff(path, PIXELS, bigtiff=True, **TILES)),
    "big-endian": ("TIFF", lambda path: write_tiff(path, PIXELS, byteorder=">", **TILES)),
    "OME": ("OME-TIFF", lambda path: write_tiff(path, PIXELS, ome=True, metadata={"axes": "YXS"}, **TILES)),
}


def read_all(path: Path) -> ByteArray:
    with open_picture(path) as picture:
        return picture.read(Rect(0, 0, picture.info.width_px, picture.info.height_px))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_every_lossless_format_gives_its_pixels_back(tmp_path: Path, kind: str) -> None:
    file_format, write = LOSSLESS[kind]
    path = tmp_path / "picture.bin"  # the suffix does not count
    write(path)
    assert probe(path) == PictureInfo(300, 211, file_format, None, 1)
    np.testing.assert_array_equal(read_all(path), PIXELS)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_every_rectangle_equals_the_crop_of_the_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture.bin"
    LOSSLESS[kind][1](path)
    with open_picture(path) as picture:
        for rect in (Rect(0, 0, 1, 1), Rect(63, 60, 70, 90), Rect(299, 210, 1, 1), Rect(0, 63, 300, 2)):
            crop = PIXELS[rect.y : rect.y + rect.height, rect.x : rect.x + rect.width]
            np.testing.assert_array_equal(picture.read(rect), crop)


def test_parts_outside_the_picture_are_white(tmp_path: Path) -> None:
    with open_picture(write_tiff(tmp_path / "a.tif", PIXELS, **TILES)) as picture:
        region = picture.read(Rect(-5, -7, 320, 230))
        np.testing.assert_array_equal(region[7 : 7 + 211, 5 : 5 + 300], PIXELS)
        assert (region[:7] == 255).all()
        assert (region[:, :5] == 255).all()
        assert (region[7 + 211 :] == 255).all()
        assert (region[:, 5 + 300 :] == 255).all()
        assert (picture.read(Rect(5000, 0, 10, 10)) == 255).all()


def test_a_jpeg_is_read_as_others_read_it(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg", smooth(200, 100), quality=95)
    difference = read_all(path).astype(int) - np.asarray(Image.open(path))
    assert np.abs(difference).max() <= 1


def test_jpeg_tiles_are_read_within_the_loss_of_jpeg(tmp_path: Path) -> None:
    pixels = smooth(300, 211)
    path = write_tiff(tmp_path / "a.tif", pixels, compression="jpeg", tile=(64, 64))
    assert np.abs(read_all(path).astype(int) - pixels).mean() < 3


@pytest.mark.parametrize("kind", ["png", "tiff", "tiles", "premultiplied"])
def test_transparency_is_laid_on_white(tmp_path: Path, kind: str) -> None:
    alpha = np.repeat(np.array([0, 128, 255], np.uint8), 100)[None, :].repeat(211, axis=0)
    opacity = alpha[..., None] / 255
    expected = PIXELS * opacity + 255 * (1 - opacity)
    color = np.rint(PIXELS * opacity).astype(np.uint8) if kind == "premultiplied" else PIXELS
    rgba = np.dstack([color, alpha])
    path = tmp_path / "a.bin"
    if kind == "png":
        write_image(path, rgba, format="PNG")
    else:
        options = {"extrasamples": ["assocalpha" if kind == "premultiplied" else "unassalpha"]}
        write_tiff(path, rgba, **options, **(TILES if kind == "tiles" else {}))
    np.testing.assert_allclose(read_all(path), expected, atol=1.01)


def test_a_palette_picture_is_converted(tmp_path: Path) -> None:
    palette = Image.fromarray(smooth(120, 80)).quantize(64)
    expected = np.asarray(palette.convert("RGB"))
    for suffix in ("png", "tif"):
        path = tmp_path / f"a.{suffix}"
        palette.save(path)
        np.testing.assert_array_equal(read_all(path), expected)


def test_of_several_pages_the_largest_counts_and_of_equal_ones_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(colors(64, 64, seed=1), photometric="rgb")
        writer.write(PIXELS, photometric="rgb")
        writer.write(colors(300, 211, seed=2), photometric="rgb")
    assert probe(path).levels == 1
    np.testing.assert_array_equal(read_all(path), PIXELS)


@pytest.mark.parametrize("as_subifds", [False, True])
def test_reduced_directories_are_levels_and_other_pages_are_not(tmp_path: Path, as_subifds: bool) -> None:
    full = smooth(512, 256)
    path = tmp_path / "a.tif"
    options = {"photometric": "rgb", "tile": (64, 64), "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(full, subifds=2 if as_subifds else 0, **options)
        writer.write(full[::2, ::2].copy(), subfiletype=1, **options)
        writer.write(full[::4, ::4].copy(), subfiletype=1, **options)
        writer.write(colors(100, 100), photometric="rgb", metadata=None)
    assert probe(path).levels == 3
    with open_picture(path) as picture:
        low = picture.read_scaled(0, 0, 128, 64, px_per_out=4)
        np.testing.assert_array_equal(low, full[::4, ::4])
        fine = picture.read_scaled(0, 0, 256, 128, px_per_out=2)
    blocks = full.reshape(128, 2, 256, 2, 3).mean((1, 3))
    np.testing.assert_allclose(fine, blocks, atol=0.5)


def test_tiles_that_a_file_leaves_out_are_white(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tiles = [PIXELS[:64, :128].tobytes(), b""]
    tifffile.imwrite(path, iter(tiles), shape=(64, 256, 3), dtype="uint8", photometric="rgb", tile=(64, 128))
    pixels = read_all(path)
    np.testing.assert_array_equal(pixels[:, :128], PIXELS[:64, :128])
    assert (pixels[:, 128:] == 255).all()


def test_a_slide_is_read_by_openslide_without_its_label(tmp_path: Path) -> None:
    pixels = smooth(700, 500)
    path = write_svs(tmp_path / "a.svs", pixels, label=True)
    assert probe(path) == PictureInfo(700, 500, "SVS", 0.25, 1)
    assert np.abs(read_all(path).astype(int) - pixels).mean() < 3


def test_a_dicom_slide_gives_its_pixels_and_no_patient(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", PIXELS)
    info = probe(path)
    assert info == PictureInfo(300, 211, "DICOM", pytest.approx(0.25), 1)
    np.testing.assert_array_equal(read_all(path), PIXELS)
    assert PATIENT not in repr(info)


def test_a_thumbnail_keeps_the_shape_and_is_never_enlarged(tmp_path: Path) -> None:
    with open_picture(write_tiff(tmp_path / "a.tif", smooth(300, 211), **TILES)) as picture:
        assert picture.thumbnail(100).shape == (70, 100, 3)
        np.testing.assert_array_equal(picture.thumbnail(1000), smooth(300, 211))


@pytest.mark.parametrize("name", ["with space.png", "Gewebe [2] äöü é.png", "Ki-67 50%.png"])
def test_unusual_file_names_are_read(tmp_path: Path, name: str) -> None:
    path = write_image(tmp_path / name, PIXELS)
    np.testing.assert_array_equal(read_all(path), PIXELS)


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", PIXELS)
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not is_multi_file(path)


def test_a_dicom_series_is_one_slide_of_several_files(tmp_path: Path) -> None:
    series = "1.2.826.0.1.3680043.8.498.1"
    full = write_dicom(tmp_path / "full.dcm", smooth(256, 256), series=series)
    small = smooth(256, 256)[::2, ::2].copy()
    low = write_dicom(tmp_path / "low.dcm", small, series=series, kind="RESAMPLED", mpp=0.5)
    write_dicom(tmp_path / "other.dcm", PIXELS)
    (tmp_path / "notes.txt").write_text("no part of it")
    hashes = sorted(hashlib.sha256(each.read_bytes()).hexdigest() for each in (full, low))
    assert is_multi_file(full)
    assert sha256_of(full) == sha256_of(low) == hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def test_the_files_of_an_mrxs_slide_lie_in_the_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "a" / "sub").mkdir(parents=True)
    data = [tmp_path / "a" / "Data0000.dat", tmp_path / "a" / "Slidedat.ini", tmp_path / "a" / "sub" / "x"]
    for each in (*data, tmp_path / "a.mrxs", tmp_path / "b.mrxs"):
        each.write_text(each.name)
    assert slide_files(tmp_path / "a.mrxs", vendor="mirax") == [tmp_path / "a.mrxs", *data]


def test_the_files_of_a_vms_slide_are_those_that_its_index_names(tmp_path: Path) -> None:
    for name in ("a.jpg", "map.jpg", "other.jpg"):
        (tmp_path / name).write_text(name)
    index = tmp_path / "slide.vms"
    index.write_text("[Virtual Microscope Specimen]\nImageFile=a.jpg\nMapFile=map.jpg\nNoLayers=1\n")
    assert slide_files(index, vendor="hamamatsu") == [index, tmp_path / "a.jpg", tmp_path / "map.jpg"]


def test_a_file_that_cannot_be_hashed_is_said(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"“gone\.tif” is not there: check the path"):
        sha256_of(tmp_path / "gone.tif")


def test_one_level_of_a_dicom_series_alone_is_refused_with_a_pointer_to_the_slide_folder(
    tmp_path: Path,
) -> None:
    path = write_dicom(tmp_path / "low.dcm", smooth(128, 128), kind="RESAMPLED", mpp=0.5)
    with pytest.raises(PictureError, match=r"“low\.dcm” is one part of a slide.*KI67_SLIDES"):
        probe(path)


def test_an_index_file_without_its_slide_is_refused_with_a_pointer_to_the_slide_folder(
    tmp_path: Path,
) -> None:
    write_image(tmp_path / "upload", PIXELS, format="JPEG")  # an MRXS index is a JPEG
    with pytest.raises(PictureError, match=r"“slide\.mrxs” is one part of a slide.*KI67_SLIDES"):
        probe(tmp_path / "upload", name="slide.mrxs")


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has more than 10,000 px counts as large."""
    for module in (formats, formats_tiff, images):
        monkeypatch.setattr(module, "DECODED_WHOLE_PX", 10_000)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("kind", ["PNG", "LZW", "single strip"])
def test_a_large_picture_is_unpacked_once_and_its_copy_goes_on_closing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"
    LOSSLESS[kind][1](path)
    with open_picture(path) as picture:
        np.testing.assert_array_equal(picture.read(WHOLE), PIXELS)
        assert picture.info == probe(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.usefixtures("small_limits")
def test_a_given_scratch_folder_keeps_the_unpacked_copy_for_the_next_time(tmp_path: Path) -> None:
    path, scratch = write_image(tmp_path / "a.png", PIXELS), tmp_path / "scratch"
    with open_picture(path, scratch=scratch) as picture:
        np.testing.assert_array_equal(picture.read(WHOLE), PIXELS)
    (copy,) = scratch.iterdir()
    written = copy.stat().st_mtime_ns
    with open_picture(path, scratch=scratch) as picture:
        np.testing.assert_array_equal(picture.read(WHOLE), PIXELS)
    assert copy.stat().st_mtime_ns == written


@pytest.mark.usefixtures("small_limits")
def test_a_disk_without_room_for_the_copy_is_said_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, scratch = write_image(tmp_path / "a.png", PIXELS), tmp_path / "scratch"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(PictureError, match=r"“a\.png” needs a temporary copy.*no room.*free some space"):
        open_picture(path, scratch=scratch)
    assert list(scratch.iterdir()) == []


def test_reading_by_region_keeps_a_bounded_part_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats_tiff_pixels, "TILE_CACHE_BYTES", 2 << 20)
    path = tmp_path / "a.tif"
    tile = colors(256, 256)
    shape = (6000, 6000, 3)  # 108 MB
    tiles = (tile for _ in range(24 * 24))
    tifffile.imwrite(
        path, tiles, shape=shape, dtype="uint8", photometric="rgb", tile=(256, 256), compression="zlib"
    )
    with open_picture(path) as picture:
        tracemalloc.start()
        for y in range(0, 6000, 1000):
            for x in range(0, 6000, 1000):
                picture.read_scaled(x // 2, y // 2, 500, 500, px_per_out=2)
        picture.thumbnail(200)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 48e6


def test_several_threads_may_read_at_once(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", PIXELS, compression="zlib", tile=(32, 32))
    wrong: list[Rect] = []
    with open_picture(path) as picture:

        def read(seed: int) -> None:
            places = np.random.default_rng(seed).integers(0, 200, (60, 2))
            for x, y in places:
                rect = Rect(int(x), int(y), 40, 11)
                expected = np.full((11, 40, 3), 255, np.uint8)
                crop = PIXELS[rect.y : rect.y + 11, rect.x : rect.x + 40]
                expected[: crop.shape[0], : crop.shape[1]] = crop
                if not np.array_equal(picture.read(rect), expected):
                    wrong.append(rect)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
