"""Files that cannot be scored: each gives one sentence with file, fault and remedy, and leaves nothing."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ki67.errors import PictureError
from ki67.pipeline import images
from ki67.pipeline.images import open_picture, probe
from ki67.types import Rect
from tests.picture_files import (
    PATIENT,
    colors,
    smooth,
    write_dicom,
    write_image,
    write_png_header,
    write_svs,
    write_tiff,
)

PIXELS = smooth(400, 300)
CUTS = [0.02, 0.3, 0.6, 0.9, 0.97, 0.999]


def refusal(path: Path, *, name: str | None = None, max_pixels: int | None = None) -> str:
    """The sentence a picture is refused with, by `probe` or on reading all of it; checks its form."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(PictureError) as refused:  # noqa: PT012 - the fault may show in either
        probe(path, name=name, max_pixels=max_pixels)
        with open_picture(path, name=name, max_pixels=max_pixels) as picture:
            picture.read(Rect(0, 0, picture.info.width_px, picture.info.height_px))
    sentence = str(refused.value)
    assert f"“{name or path.name}”" in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    fault, _, remedy = sentence.rpartition(": ")
    assert fault
    assert remedy
    assert sorted(path.parent.iterdir()) == before
    return sentence


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: max(1, int(len(data) * share))])
    return path


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "is not there: check the path" in refusal(tmp_path / "a.png")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder, not a picture" in refusal(tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert "is empty (0 bytes): copy or export the picture again" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "svs", "dcm", "ndpi"])
def test_text_renamed_to_a_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"notes.{suffix}"
    path.write_text("patient 12: scored by hand\n" * 20)
    assert "is not a picture that can be read here: use PNG, JPEG, TIFF" in refusal(path)


@pytest.mark.parametrize("suffix", ["gif", "bmp", "webp"])
def test_other_picture_formats_are_refused(tmp_path: Path, suffix: str) -> None:
    path = write_image(tmp_path / f"a.{suffix}", PIXELS)
    assert "is not a picture that can be read here" in refusal(path)


@pytest.mark.parametrize(
    "first", [b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]
)
@pytest.mark.parametrize("rest", [b"", bytes(500), bytes(range(256)) * 4, b"\xff" * 500])
def test_a_picture_s_first_bytes_with_anything_behind_are_refused(
    tmp_path: Path, first: bytes, rest: bytes
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(first + rest)
    assert "copy or export the picture again" in refusal(path)


@pytest.mark.parametrize("share", CUTS)
def test_a_truncated_png_is_refused_with_file_fault_and_remedy(tmp_path: Path, share: float) -> None:
    path = cut(write_image(tmp_path / "a.png", colors(400, 300)), share)
    assert "is cut off (its end is missing): copy or export" in refusal(path)


@pytest.mark.parametrize("share", CUTS)
@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_refused_with_file_fault_and_remedy(
    tmp_path: Path, share: float, progressive: bool
) -> None:
    exif = Image.Exif()
    exif[0x9286] = "x" * 200 + "\xff\xd9"
    path = write_image(tmp_path / "a.jpg", colors(400, 300), progressive=progressive, exif=exif)
    assert "is cut off (its end is missing): copy or export" in refusal(cut(path, share))


def test_an_end_marker_within_a_preview_does_not_hide_a_truncated_jpeg(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg", colors(400, 300))
    data = path.read_bytes()
    preview = b"Exif\0\0" + write_image(tmp_path / "b.jpg", colors(32, 32)).read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    path.write_bytes((data[:2] + segment + data[2:])[:-5000])
    assert "is cut off" in refusal(path)


@pytest.mark.parametrize("share", CUTS)
@pytest.mark.parametrize("kind", ["stripped", "tiles", "jpeg tiles", "levels", "description first"])
def test_a_truncated_tiff_is_refused_with_file_fault_and_remedy(
    tmp_path: Path, share: float, kind: str
) -> None:
    path = tmp_path / "a.tif"
    if kind == "stripped":
        Image.fromarray(PIXELS).save(path, compression="tiff_lzw")  # its directory lies at the end
    elif kind == "levels":
        with tifffile.TiffWriter(path) as writer:
            writer.write(PIXELS, photometric="rgb", tile=(64, 64))
            writer.write(PIXELS[::2, ::2].copy(), photometric="rgb", tile=(64, 64), subfiletype=1)
    else:
        jpeg = {"compression": "jpeg"} if kind == "jpeg tiles" else {}
        text = {"description": "x" * 3000} if kind == "description first" else {}
        write_tiff(path, PIXELS, tile=(64, 64), **jpeg, **text)
    sentence = refusal(cut(path, share))
    assert "cut off" in sentence or "damaged" in sentence or "is not a picture" in sentence
    assert "copy or export" in sentence or "use PNG" in sentence


@pytest.mark.parametrize("share", CUTS)
def test_a_truncated_svs_is_refused_with_file_fault_and_remedy(tmp_path: Path, share: float) -> None:
    path = write_svs(tmp_path / "a.svs", smooth(900, 700), label=True)
    assert "copy or export the picture again" in refusal(cut(path, share))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_dicom_is_refused_without_its_patient(tmp_path: Path, share: float) -> None:
    sentence = refusal(cut(write_dicom(tmp_path / "a.dcm", PIXELS), share))
    assert PATIENT not in sentence
    assert "damaged" in sentence


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "svs"])
def test_a_file_whose_end_was_never_written_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "svs":
        write_svs(path, colors(400, 300))
    elif kind == "tif":
        write_tiff(path, colors(400, 300), tile=(64, 64), compression="jpeg")
    else:
        write_image(path, colors(400, 300))
    data = path.read_bytes()
    kept = len(data) * 2 // 3
    path.write_bytes(data[:kept] + bytes(len(data) - kept))  # the right length, but zeros
    assert "copy or export the picture again" in refusal(path)


@pytest.mark.parametrize("kind", ["png", "jpg", "lzw", "tiles"])
def test_damage_in_the_middle_is_refused_and_not_painted_gray(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"
    pixels = colors(400, 300)
    if kind == "png":
        write_image(path, pixels, format="PNG")
    elif kind == "jpg":
        write_image(path, smooth(1200, 900) + pixels.repeat(3, axis=0).repeat(3, axis=1) // 16, format="JPEG")
    else:
        write_tiff(path, pixels, compression="zlib", **({"tile": (64, 64)} if kind == "tiles" else {}))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).integers(0, 255, 3000, np.uint8).tobytes()
    path.write_bytes(bytes(data))
    assert "is damaged (its pixels cannot be decoded): copy or export" in refusal(path)


def test_a_16_bit_picture_is_refused(tmp_path: Path) -> None:
    deep = colors(64, 64).astype(np.uint16) * 257
    assert "has 16 bits per channel" in refusal(write_tiff(tmp_path / "a.tif", deep))
    assert "save it as 8-bit RGB" in refusal(tmp_path / "a.tif")
    png = write_png_header(tmp_path / "a.png", 64, 64, bits=16)
    assert "has 16 bits per channel" in refusal(png)
    assert "has 32 bits" in refusal(write_tiff(tmp_path / "b.tif", colors(64, 64).astype(np.float32)))


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_a_grayscale_picture_is_refused(tmp_path: Path, mode: str) -> None:
    gray = Image.fromarray(PIXELS).convert(mode)
    for suffix in ("png", "jpg", "tif"):
        if (mode, suffix) in {("LA", "jpg")}:
            continue
        path = tmp_path / f"a.{suffix}"
        gray.save(path)
        assert "is a grayscale picture" in refusal(path)
        assert "export it in color (8-bit RGB)" in refusal(path)


def test_a_cmyk_picture_is_refused(tmp_path: Path) -> None:
    for suffix in ("jpg", "tif"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(PIXELS).convert("CMYK").save(path)
        assert "is a CMYK picture: save it as 8-bit RGB" in refusal(path)


def test_another_color_space_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(PIXELS).convert("LAB").save(path)
    assert "is a CIELAB picture: save it as 8-bit RGB" in refusal(path)


def test_an_unknown_tiff_compression_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", PIXELS, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags[259].overwrite(52479)
    assert "uses a TIFF compression that is not read here (52479): save it with" in refusal(path)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (31, 500), (500, 2)])
def test_a_picture_too_small_to_score_is_refused(tmp_path: Path, width: int, height: int) -> None:
    for path in (
        write_image(tmp_path / "a.png", smooth(width, height)),
        write_image(tmp_path / "a.jpg", smooth(width, height)),
        write_tiff(tmp_path / "a.tif", smooth(width, height)),
    ):
        assert f"is too small to score ({width} × {height} px" in refusal(path)
        assert "export a larger region" in refusal(path)


def test_a_decompression_bomb_is_refused_by_its_pixels(tmp_path: Path) -> None:
    path = write_png_header(tmp_path / "a.png", 30_000, 30_000)
    sentence = refusal(path)
    assert "is too large (30,000 × 30,000 px = 900 megapixels; the limit is 500)" in sentence
    assert "save it as a tiled TIFF, crop it, or raise KI67_MAX_PIXELS" in sentence


def test_the_limit_by_pixels_is_a_setting(tmp_path: Path) -> None:
    path = write_png_header(tmp_path / "a.png", 30_000, 30_000)
    assert probe(path, max_pixels=10**9).width_px == 30_000
    small = write_tiff(tmp_path / "a.tif", PIXELS, tile=(64, 64))
    sentence = refusal(small, max_pixels=100_000)
    assert "400 × 300 px" in sentence
    assert "crop it, or raise KI67_MAX_PIXELS" in sentence
    assert "tiled" not in sentence


def test_a_tiled_tiff_of_30000_px_a_side_is_read_by_region(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    first = np.full((1024, 1024, 3), 200, np.uint8).tobytes()
    tiles = (b"" if number else first for number in range(900))
    tifffile.imwrite(
        path, tiles, shape=(30_000, 30_000, 3), dtype="uint8", photometric="rgb", tile=(1024, 1024)
    )
    with open_picture(path) as picture:
        assert picture.info.width_px == 30_000
        assert (picture.read(Rect(10, 10, 20, 20)) == 200).all()


def test_a_large_progressive_jpeg_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg", PIXELS, progressive=True)
    data = path.read_bytes()
    frame = data.index(b"\xff\xc2") + 5
    path.write_bytes(data[:frame] + struct.pack(">HH", 20_000, 20_000) + data[frame + 4 :])
    assert "is a large progressive JPEG (400 megapixels)" in refusal(path)


def test_the_name_to_be_shown_replaces_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "u4711").touch()
    sentence = refusal(tmp_path / "u4711", name="Fall 12 (é).png")
    assert "“Fall 12 (é).png”" in sentence
    assert "u4711" not in sentence


def test_a_file_that_vanishes_while_it_is_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiff(tmp_path / "a.tif", PIXELS, tile=(64, 64), compression="zlib")
    with open_picture(path) as picture:

        def gone(*_: object) -> bytes:
            raise OSError(116, "Stale file handle")

        monkeypatch.setattr(picture._source, "_read_bytes", gone)
        with pytest.raises(
            PictureError, match=r"“a\.tif” cannot be read \(Stale file handle\): check the disk"
        ):
            picture.read(Rect(0, 0, 100, 100))


def test_a_file_that_shrinks_while_it_is_read_is_said(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", PIXELS, tile=(64, 64), compression="zlib")
    with open_picture(path) as picture:
        cut(path, 0.5)
        with pytest.raises(PictureError, match=r"“a\.tif” is cut off"):
            picture.read(Rect(0, 0, 400, 300))


def test_refusing_a_picture_writes_nothing_to_standard_error_and_imports_no_torch(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", smooth(900, 700))
    cut(tmp_path / "a.svs", 0.7)
    program = (
        "import sys; from pathlib import Path; from ki67.errors import PictureError\n"
        "from ki67.pipeline.images import probe\n"
        "try: probe(Path(sys.argv[1]))\n"
        "except PictureError as error: print(error)\n"
        "print({'torch', 'openvino', 'streamlit'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.svs")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(images.__file__).parents[2],
    )
    assert done.stderr == ""
    assert "“a.svs” is cut off" in done.stdout
    assert done.stdout.endswith("set()\n")
