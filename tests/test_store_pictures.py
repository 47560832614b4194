"""Pictures in the store: recognised by content, kept without names and tags, refused without a trace."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from ki67.errors import NotAllowed, PictureError, StoreError
from ki67.pipeline.images import open_picture, probe
from ki67.settings import Settings
from ki67.study import files, pictures
from ki67.study.pictures import add_file, add_upload, get_picture
from ki67.study.records import keep_outline
from ki67.study.workplace import Workplace, open_workplace
from ki67.types import ByteArray, Rect
from tests.picture_files import PATIENT, colors, smooth, write_dicom, write_image, write_svs, write_tiff
from tests.stores import ANALYST, LOCAL, READER, files_below, holds, png

LIMIT_BYTES = 1_500_000


@pytest.fixture
def database_url() -> str:
    """These tests are about files: one kind of database is enough."""
    return ""


def pixels_of(path: Path) -> ByteArray:
    with open_picture(path) as picture:
        return picture.read(Rect(0, 0, picture.info.width_px, picture.info.height_px))


def upload(workplace: Workplace, content: bytes, name: str = "a.png") -> pictures.StoredPicture:
    return add_upload(workplace, LOCAL, io.BytesIO(content), name)


def test_an_upload_is_kept_pixel_for_pixel(workplace: Workplace) -> None:
    pixels = colors(700, 600)
    stored = upload(workplace, png(pixels))
    assert (stored.info.width_px, stored.info.height_px, stored.info.file_format) == (700, 600, "PNG")
    assert stored.info.metadata_mpp is None
    assert not stored.known
    assert np.array_equal(pixels_of(pictures.scoring_path(workplace, LOCAL, stored.code)), pixels)
    assert stored.code not in stored.sha256


def test_a_duplicate_upload_is_recognised_whatever_its_name(workplace: Workplace) -> None:
    content = png(colors(80, 60))
    first = upload(workplace, content, "a.png")
    before = files_below(workplace.home)
    second = upload(workplace, content, "b.png")
    assert second.known
    assert (second.code, second.sha256) == (first.code, first.sha256)
    assert files_below(workplace.home) == before


def test_two_files_of_the_same_name_are_two_pictures(workplace: Workplace) -> None:
    first = upload(workplace, png(colors(80, 60, seed=1)), "field.png")
    second = upload(workplace, png(colors(80, 60, seed=2)), "field.png")
    assert first.code != second.code
    assert not second.known


@pytest.mark.parametrize(
    "name",
    ["Erika Müstermann ü.png", "../../etc/Erika.png", "..\\Erika.png", "a/Erika.png", "", "Erika\0.png"],
)
def test_the_original_name_is_nowhere_in_the_store(workplace: Workplace, name: str) -> None:
    stored = upload(workplace, png(colors(80, 60)), name)
    assert holds(workplace.home, b"Erika") == []
    assert {path.name for path in workplace.home.iterdir()} <= {
        "incoming", "pictures", "ki67.sqlite", "ki67.sqlite-wal", "ki67.sqlite-shm",
    }  # fmt: skip
    assert get_picture(workplace, LOCAL, stored.code).sha256 == stored.sha256


def test_nothing_of_a_dicom_patient_stays_after_an_upload(workplace: Workplace, tmp_path: Path) -> None:
    pixels = colors(300, 200)
    path = write_dicom(tmp_path / "a.dcm", pixels)
    stored = upload(workplace, path.read_bytes(), "a.dcm")
    assert PATIENT.encode() in path.read_bytes()
    for identifying in (PATIENT.encode(), b"Mustermann", b"4711"):
        assert holds(workplace.home, identifying) == []
    assert np.array_equal(pixels_of(pictures.scoring_path(workplace, LOCAL, stored.code)), pixels)
    assert stored.info.metadata_mpp == pytest.approx(0.25)
    assert (stored.info.file_format, stored.known) == ("DICOM", False)


def test_two_dicom_slides_on_their_way_are_not_taken_for_one(workplace: Workplace, tmp_path: Path) -> None:
    whole = write_dicom(tmp_path / "a.dcm", colors(300, 200), series="1.2.3")
    other = write_dicom(tmp_path / "b.dcm", colors(150, 100), series="1.2.3", kind="RESAMPLED", mpp=0.5)
    left = workplace.home / "incoming" / "u0" / "upload.dcm"
    left.parent.mkdir(parents=True)
    shutil.copy(other, left)
    stored = upload(workplace, whole.read_bytes(), "a.dcm")
    assert (stored.info.width_px, stored.info.height_px) == (300, 200)


def test_an_aperio_slide_loses_label_and_description_and_keeps_its_tiles(
    workplace: Workplace, tmp_path: Path
) -> None:
    path = write_svs(tmp_path / "a.svs", smooth(600, 500), label=True)
    stored = upload(workplace, path.read_bytes(), "a.svs")
    kept = pictures.scoring_path(workplace, LOCAL, stored.code)
    assert holds(workplace.home, b"Mustermann") == []
    assert holds(workplace.home, b"Aperio") == []
    assert stored.info.metadata_mpp == pytest.approx(0.25)
    assert probe(kept).metadata_mpp == pytest.approx(0.25)
    with tifffile.TiffFile(path) as original, tifffile.TiffFile(kept) as copy:
        assert [page.shape for page in copy.pages] == [(500, 600, 3)]
        assert copy.pages[0].compression == original.pages[0].compression
        assert copy.pages[0].databytecounts == original.pages[0].databytecounts
    assert np.array_equal(pixels_of(kept), pixels_of(path))


def test_a_tiled_jpeg_pyramid_keeps_its_levels(workplace: Workplace, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = smooth(1024, 768)
    with tifffile.TiffWriter(path) as writer:
        for level in range(3):
            writer.write(
                np.ascontiguousarray(pixels[:: 2**level, :: 2**level]),
                tile=(256, 256),
                compression="jpeg",
                photometric="rgb",
                subfiletype=1 if level else 0,
                resolution=(40_000 / 2**level, 40_000 / 2**level),
                resolutionunit="CENTIMETER",
                description=f"{PATIENT} {level}",
            )
    stored = upload(workplace, path.read_bytes(), "a.tif")
    kept = pictures.scoring_path(workplace, LOCAL, stored.code)
    assert openslide.OpenSlide(kept).level_dimensions == ((1024, 768), (512, 384), (256, 192))
    assert pictures.viewing_path(workplace, LOCAL, stored.code) == kept
    assert np.array_equal(pixels_of(kept), pixels_of(path))
    assert holds(workplace.home, b"Mustermann") == []


@pytest.mark.parametrize("place", ["tile", "tables"])
def test_text_inside_jpeg_tiles_stays_behind(workplace: Workplace, tmp_path: Path, place: str) -> None:
    buffer = io.BytesIO()
    tile, comment = smooth(256, 256), PATIENT.encode()
    options = {"comment": comment} if place == "tile" else {}
    Image.fromarray(tile).save(buffer, "JPEG", quality=95, subsampling=0, **options)
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        iter([buffer.getvalue()]),
        shape=(256, 256, 3),
        dtype=np.uint8,
        tile=(256, 256),
        photometric="ycbcr",
        subsampling=(1, 1),
        compression="jpeg",
        jpegtables=None if place == "tile" else b"\xff\xd8" + segment + b"\xff\xd9",
    )
    assert b"Mustermann" in path.read_bytes()
    stored = upload(workplace, path.read_bytes(), "a.tif")
    assert holds(workplace.home, b"Mustermann") == []
    kept = pictures.scoring_path(workplace, LOCAL, stored.code)
    assert np.array_equal(pixels_of(kept), pixels_of(path))


def test_text_of_png_jpeg_and_ome_stays_behind(workplace: Workplace, tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", PATIENT)
    write_image(tmp_path / "a.png", colors(64, 64), pnginfo=text)
    write_image(tmp_path / "a.jpg", smooth(64, 64), comment=PATIENT.encode())
    ome = {"axes": "YXS", "Description": PATIENT, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    tifffile.imwrite(tmp_path / "a.ome.tif", colors(64, 64, seed=3), photometric="rgb", metadata=ome)
    for name in ("a.png", "a.jpg", "a.ome.tif"):
        assert PATIENT.encode() in (tmp_path / name).read_bytes()
        upload(workplace, (tmp_path / name).read_bytes(), name)
    assert holds(workplace.home, b"Mustermann") == []


def test_a_large_flat_picture_gets_levels_for_the_viewer(workplace: Workplace) -> None:
    stored = upload(workplace, png(smooth(2600, 1500)))
    view = openslide.OpenSlide(pictures.viewing_path(workplace, LOCAL, stored.code))
    assert view.dimensions == (2600, 1500)
    assert view.level_count > 1
    assert probe(pictures.scoring_path(workplace, LOCAL, stored.code)).levels == 1
    with Image.open(io.BytesIO(pictures.thumbnail_jpeg(workplace, LOCAL, stored.code))) as preview:
        assert preview.size == (512, 295)


@pytest.mark.parametrize(
    ("content", "name", "fault"),
    [
        (b"", "leer.png", "empty"),
        (b"hello, this is no picture", "text.png", "not a picture"),
        (png(colors(300, 300))[:5000], "half.png", "half.png"),
        (png(colors(1, 1)), "one.png", "too small"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named_and_leaves_no_trace(
    workplace: Workplace, content: bytes, name: str, fault: str
) -> None:
    before = files_below(workplace.home)
    with pytest.raises(PictureError) as caught:
        upload(workplace, content, name)
    assert name in str(caught.value)
    assert fault in str(caught.value)
    assert files_below(workplace.home) == before
    assert list((workplace.home / "incoming").iterdir()) == []


def test_a_picture_over_the_limit_of_pixels_is_refused(tmp_path: Path, model_folder: Path) -> None:
    workplace = open_workplace(Settings(home=tmp_path / "home", models=model_folder, max_pixels=10_000))
    with pytest.raises(PictureError, match="too large"):
        upload(workplace, png(colors(200, 200)))


def test_a_dropped_file_of_a_slide_of_several_files_points_to_the_slide_folder(workplace: Workplace) -> None:
    with pytest.raises(PictureError, match=r"“a\.mrxs”.*folder"):
        upload(workplace, b"PK\3\4 an index without its data", "a.mrxs")
    assert files_below(workplace.home) == {}


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["spool", "pixels", "preview", "flush"])
def test_a_full_disk_is_said_and_leaves_the_store_as_it_was(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    upload(workplace, png(colors(90, 90, seed=1)))
    before = files_below(workplace.home)
    if step == "spool":
        monkeypatch.setattr(files, "CHUNK_BYTES", 8)
        stream = io.BytesIO(png(colors(90, 90, seed=2)))
        monkeypatch.setattr(Path, "open", full_disk)
    else:
        stream = io.BytesIO(png(colors(90, 90, seed=2)))
        target = {"pixels": (tifffile, "imwrite"), "preview": (Image.Image, "save"), "flush": (os, "fsync")}
        monkeypatch.setattr(*target[step], full_disk)
    with pytest.raises(StoreError, match=r"is full: free some space and try again\.$"):
        add_upload(workplace, LOCAL, stream, "a.png")
    monkeypatch.undo()
    assert files_below(workplace.home) == before
    assert list((workplace.home / "incoming").iterdir()) == []
    assert upload(workplace, png(colors(90, 90, seed=2))).known is False


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_files_that_may_not_grow_any_more_leave_the_store_as_it_was(workplace: Workplace, kind: str) -> None:
    """A real limit of the system: the PNG is too large to spool, the JPEG's pixels are too large to keep."""
    buffer = io.BytesIO()
    Image.fromarray(colors(900, 900)).save(buffer, kind, quality=40)
    assert (buffer.tell() > LIMIT_BYTES) == (kind == "PNG")
    before = files_below(workplace.home)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    try:
        with pytest.raises(StoreError, match="is full: free some space"):
            upload(workplace, buffer.getvalue())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert files_below(workplace.home) == before
    assert not upload(workplace, buffer.getvalue()).known


def test_a_row_that_cannot_be_written_takes_its_files_with_it(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_row(*_: object, **__: object) -> None:
        raise StoreError("The database cannot be written.")

    monkeypatch.setattr(pictures.queries, "add_picture", no_row)
    with pytest.raises(StoreError):
        upload(workplace, png(colors(90, 90)))
    monkeypatch.undo()
    assert files_below(workplace.home) == {}
    assert not upload(workplace, png(colors(90, 90))).known


def test_the_command_line_may_add_a_file_with_its_pixels(workplace: Workplace, tmp_path: Path) -> None:
    path = write_tiff(
        tmp_path / "Erika.tif", colors(70, 50), resolution=(40_000, 40_000), resolutionunit="CENTIMETER"
    )
    stored = add_file(workplace, LOCAL, path)
    assert stored.info.metadata_mpp == pytest.approx(0.25)
    assert add_file(workplace, LOCAL, path).known
    assert holds(workplace.home, b"Erika") == []


def test_only_coordinators_add_pictures_and_readers_see_no_results(workplace: Workplace) -> None:
    stored = upload(workplace, png(colors(80, 60)))
    for person in (READER, ANALYST):
        with pytest.raises(NotAllowed, match="may not add pictures"):
            add_upload(workplace, person, io.BytesIO(b""), "a.png")
        assert get_picture(workplace, person, stored.code).code == stored.code
        assert pictures.viewing_path(workplace, person, stored.code).is_file()
    with pytest.raises(NotAllowed):
        pictures.scoring_path(workplace, READER, stored.code)
    row = pictures.find_picture(workplace, stored.code)
    with pytest.raises(NotAllowed, match="may not add outlines"):
        keep_outline(workplace, READER, row, b"")


def test_an_unknown_code_is_said(workplace: Workplace) -> None:
    with pytest.raises(StoreError, match="no picture with this code"):
        get_picture(workplace, LOCAL, "p000000000000")


def test_what_killed_processes_left_goes_after_some_hours(workplace: Workplace) -> None:
    stored = upload(workplace, png(colors(80, 60)))
    old = [workplace.home / name for name in ("incoming/u1", "pictures/p1", "runs/n1")]
    young = workplace.home / "pictures" / "p2"
    for folder in (*old, young):
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"x")
    for folder in (*old, files.picture_folder(workplace.home, stored.code)):
        os.utime(folder, (0, 0))
    files.sweep(workplace.home, pictures={stored.code}, runs=set(), results=set(), evaluations=set())
    assert [folder.exists() for folder in old] == [False, False, False]
    assert young.exists()
    assert files.picture_folder(workplace.home, stored.code).exists()
