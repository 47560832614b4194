from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from ki67.errors import PictureError, UnknownPixelSize
from ki67.pipeline.formats_tiff import ome_pixel_size_um
from ki67.pipeline.images import probe
from ki67.pipeline.pixel_size import choose_pixel_size, metadata_mpp, parse_mpp, um_per_unit, usable_mpp
from ki67.types import PictureInfo, PixelSize
from tests.picture_files import smooth, write_dicom, write_image, write_svs, write_tiff


def info(mpp: float | None) -> PictureInfo:
    return PictureInfo(1000, 800, "TIFF", mpp, 1)


@pytest.mark.parametrize("mpp", [0.05, 0.2286, 0.25, 0.499, 1.0, 4.0])
def test_a_microscope_s_pixel_size_is_usable(mpp: float) -> None:
    assert usable_mpp(mpp)


@pytest.mark.parametrize("dpi", [72, 96, 300])
def test_a_bare_screen_or_print_resolution_is_not_usable(dpi: int) -> None:
    assert not usable_mpp(25_400 / dpi)


@pytest.mark.parametrize("mpp", [0.0, -0.25, 0.0499, 4.001, 16.783, 352.78, float("nan"), float("inf")])
def test_a_pixel_size_outside_the_range_is_not_usable(mpp: float) -> None:
    assert not usable_mpp(mpp)


def test_the_metadata_s_pixel_size_is_taken_and_said_to_be_so() -> None:
    assert choose_pixel_size(info(0.499), None, name="a.svs") == PixelSize(0.499, "metadata")


def test_a_given_pixel_size_overrides_the_metadata() -> None:
    assert choose_pixel_size(info(0.499), 0.25, name="a.svs") == PixelSize(0.25, "given")
    assert choose_pixel_size(info(2.0), 0.5, name="a.svs") == PixelSize(0.5, "given")


def test_an_unknown_pixel_size_is_asked_for() -> None:
    with pytest.raises(
        UnknownPixelSize, match=r"“field a\.png” does not say how large.*enter the pixel size"
    ):
        choose_pixel_size(info(None), None, name="field a.png")


@pytest.mark.parametrize(("metadata", "given"), [(1.01, None), (None, 1.01), (0.5, 4.0)])
def test_a_scale_coarser_than_one_micrometre_is_refused(metadata: float | None, given: float | None) -> None:
    with pytest.raises(PictureError, match=r"“a\.tif” is too coarse to score.*export it at 20× or 40×"):
        choose_pixel_size(info(metadata), given, name="a.tif")


@pytest.mark.parametrize(
    ("given", "fault"), [(0.0, "must be above 0"), (-0.5, "must be above 0"), (50.0, "outside 0.05–4")]
)
def test_a_given_pixel_size_that_is_none_is_refused_with_file_fault_and_remedy(
    given: float, fault: str
) -> None:
    with pytest.raises(PictureError) as refused:
        choose_pixel_size(info(None), given, name="a.png")
    sentence = str(refused.value)
    assert "“a.png”" in sentence
    assert fault in sentence
    assert "enter µm per pixel" in sentence


@pytest.mark.parametrize(("text", "mpp"), [("0.25", 0.25), (" 0,5 ", 0.5), ("4", 4.0)])
def test_a_typed_pixel_size_is_read_with_point_or_comma(text: str, mpp: float) -> None:
    assert parse_mpp(text) == mpp


@pytest.mark.parametrize("text", ["0", "-1", "50", "abc", "", "nan", "inf", "0.25 µm", "1e-9"])
def test_a_typed_pixel_size_that_is_none_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(PictureError, match="enter µm per pixel, for example"):
        parse_mpp(text)


def test_pixels_that_are_not_square_are_refused() -> None:
    with pytest.raises(PictureError, match=r"“a\.tif” has pixels that are not square.*export it again"):
        metadata_mpp(0.25, 0.253, name="a.tif")


def test_one_usable_side_does_not_stand_for_both() -> None:
    with pytest.raises(PictureError, match="not square"):
        metadata_mpp(0.25, 352.78, name="a.tif")


def test_pixels_that_differ_by_less_than_one_percent_count_as_square() -> None:
    assert metadata_mpp(0.25, 0.252, name="a.tif") == pytest.approx(0.251)


@pytest.mark.parametrize(
    ("x", "y"), [(-1.0, 0.25), (None, 0.25), (0.25, None), (352.78, 352.78), (352.78, 264.58)]
)
def test_missing_or_unusable_sizes_are_unknown(x: float | None, y: float | None) -> None:
    assert metadata_mpp(x, y, name="a.tif") is None


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("µm", 1.0),
        ("\u03bcm", 1.0),
        ("\\u00B5m", 1.0),
        ("micron", 1.0),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("cm", 1e4),
        ("pm", 1e-6),
        ("m", 1e6),
        ("Å", 1e-4),
        ("inch", 25_400.0),
        ("pixel", None),
        ("reference frame", None),
        ("Mm", None),
    ],
)
def test_units_of_length_are_known_and_others_are_not(unit: str, um: float | None) -> None:
    assert um_per_unit(unit) == um


@pytest.mark.parametrize(
    ("size", "unit"), [(0.25, "µm"), (250.0, "nm"), (0.00025, "mm"), (250_000.0, "pm"), (2.5e-5, "cm")]
)
def test_the_pixel_size_of_ome_xml_is_read_in_its_unit(tmp_path: Path, size: float, unit: str) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path,
        smooth(128, 96),
        photometric="rgb",
        tile=(64, 64),
        metadata={
            "axes": "YXS",
            "PhysicalSizeX": size,
            "PhysicalSizeXUnit": unit,
            "PhysicalSizeY": size,
            "PhysicalSizeYUnit": unit,
        },
    )
    assert probe(path).file_format == "OME-TIFF"
    assert probe(path).metadata_mpp == pytest.approx(0.25)


def test_ome_s_default_unit_is_the_micrometre_and_other_images_do_not_count() -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image><Pixels SizeX="10" SizeY="10" PhysicalSizeX="9" PhysicalSizeY="9"/></Image>'
        '<Image><Pixels SizeX="128" SizeY="96" PhysicalSizeX="0.5" PhysicalSizeY="0.5"/></Image></OME>'
    )
    assert ome_pixel_size_um(xml, width_px=128, height_px=96) == (0.5, 0.5)
    assert ome_pixel_size_um(xml, width_px=20, height_px=20) == (None, None)


@pytest.mark.parametrize("xml", ["", "<OME", '<OME><Pixels SizeX="1" SizeY="1" PhysicalSizeX="x"/></OME>'])
def test_ome_xml_without_a_size_gives_none(xml: str) -> None:
    assert ome_pixel_size_um(xml, width_px=1, height_px=1) == (None, None)


@pytest.mark.parametrize(("per_unit", "unit"), [(40_000, "CENTIMETER"), (101_600, "INCH")])
def test_tiff_resolution_is_read_in_centimetres_and_inches(tmp_path: Path, per_unit: int, unit: str) -> None:
    path = write_tiff(
        tmp_path / "a.tif", smooth(64, 64), resolution=(per_unit, per_unit), resolutionunit=unit
    )
    assert probe(path).metadata_mpp == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("per_unit", "unit"),
    [(72, "INCH"), (96, "INCH"), (300, "INCH"), (28.3465, "CENTIMETER"), (40_000, "NONE")],
)
def test_a_bare_resolution_or_one_without_a_unit_is_unknown(
    tmp_path: Path, per_unit: float, unit: str
) -> None:
    path = write_tiff(
        tmp_path / "a.tif", smooth(64, 64), resolution=(per_unit, per_unit), resolutionunit=unit
    )
    assert probe(path).metadata_mpp is None


def test_tiff_resolution_that_differs_in_x_and_y_is_refused(tmp_path: Path) -> None:
    path = write_tiff(
        tmp_path / "a.tif", smooth(64, 64), resolution=(40_000, 20_000), resolutionunit="CENTIMETER"
    )
    with pytest.raises(PictureError, match=r"“a\.tif” has pixels that are not square"):
        probe(path)


def test_imagej_s_unit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth(64, 64), imagej=True, resolution=(4.0, 4.0), metadata={"unit": "um"})
    assert probe(path).metadata_mpp == pytest.approx(0.25)


def test_png_density_is_read(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", smooth(64, 64), dpi=(101_600, 101_600))
    assert probe(path).metadata_mpp == pytest.approx(0.25, rel=1e-4)
    assert probe(write_image(tmp_path / "b.png", smooth(64, 64), dpi=(300, 300))).metadata_mpp is None
    assert probe(write_image(tmp_path / "c.png", smooth(64, 64))).metadata_mpp is None


def test_jpeg_density_is_read(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg", smooth(64, 64), dpi=(50_800, 50_800))
    assert probe(path).metadata_mpp == pytest.approx(0.5)
    assert probe(write_image(tmp_path / "b.jpg", smooth(64, 64), dpi=(96, 96))).metadata_mpp is None
    per_cm = path.read_bytes().replace(b"JFIF\0\1\1\1\xc6\x70\xc6\x70", b"JFIF\0\1\1\2\x9c\x40\x9c\x40")
    (tmp_path / "c.jpg").write_bytes(per_cm)
    assert probe(tmp_path / "c.jpg").metadata_mpp == pytest.approx(0.25)


def test_a_slide_s_pixel_size_is_read_and_tested_alike(tmp_path: Path) -> None:
    pixels = smooth(300, 280)
    assert probe(write_svs(tmp_path / "a.svs", pixels, mpp=0.499)).metadata_mpp == 0.499
    assert probe(write_svs(tmp_path / "b.svs", pixels, mpp=352.78)).metadata_mpp is None
    assert probe(write_svs(tmp_path / "c.svs", pixels, mpp=None)).metadata_mpp is None
    (tmp_path / "d").mkdir()
    assert probe(write_dicom(tmp_path / "d" / "a.dcm", pixels)).metadata_mpp == pytest.approx(0.25)
    assert probe(write_dicom(tmp_path / "d" / "b.dcm", pixels, mpp=16.783)).metadata_mpp is None


def test_a_scale_survives_numpy_numbers() -> None:
    assert choose_pixel_size(info(None), float(np.float32(0.25)), name="a.png").mpp == 0.25
