"""Every real picture of the development data: read, or refused with the right sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ki67.errors import PictureError, UnknownPixelSize
from ki67.pipeline.images import is_multi_file, open_picture, probe
from ki67.pipeline.pixel_size import choose_pixel_size
from ki67.types import PictureInfo

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

READ = {
    "fields/blue_cast_1.png": PictureInfo(512, 512, "PNG", None, 1),
    "fields/blue_cast_2.png": PictureInfo(512, 512, "PNG", None, 1),
    "fields/blue_cast_3.png": PictureInfo(512, 512, "PNG", None, 1),
    "fields/blue_cast_4.png": PictureInfo(512, 512, "PNG", None, 1),
    "fields/cytokeratin_ki67_double_stain.tif": PictureInfo(576, 576, "TIFF", None, 1),
    "fields/epiderm_ki67.jpg": PictureInfo(1936, 1460, "JPEG", None, 1),  # a bare 300 dpi
    "fields/gepnet_16.png": PictureInfo(980, 980, "PNG", None, 1),
    "fields/immunopy_20x.png": PictureInfo(2048, 1536, "PNG", None, 1),
    "fields/ki67_field_a.jpg": PictureInfo(4104, 2174, "JPEG", None, 1),  # a bare 96 dpi
    "fields/ki67_field_b.jpg": PictureInfo(4104, 2174, "JPEG", None, 1),
    "slides/CMU-1-Small-Region.svs": PictureInfo(2220, 2967, "SVS", 0.499, 1),
    "slides/boxes_pyramid.tiff": PictureInfo(300, 250, "TIFF", None, 4),  # a bare 72 dpi
    "slides/no_mpp_two_levels.svs": PictureInfo(4443, 3567, "SVS", None, 2),
    "slides/small-region.dcm": PictureInfo(957, 715, "DICOM", None, 1),  # 16.78 µm/px
}
REFUSED = {
    "slides/broken_unopenable.tiff": "uses a TIFF compression that is not read here",
    "slides/broken_unreadable.svs": "is damaged",
}


def data_file(relative: str) -> Path:
    path = DATA / relative
    if not path.exists():
        pytest.skip("needs ../shared (not part of the project)")
    return path


@pytest.mark.parametrize("relative", READ)
def test_a_real_picture_is_read_with_its_size_and_scale(relative: str) -> None:
    path, expected = data_file(relative), READ[relative]
    assert probe(path) == expected
    assert not is_multi_file(path)
    with open_picture(path) as picture:
        low = picture.thumbnail(256)
        half = picture.read_scaled(0, 0, expected.width_px // 2, expected.height_px // 2, px_per_out=2)
    assert max(low.shape[:2]) == 256
    assert np.abs(half.mean((0, 1)) - low.mean((0, 1))).max() < 2


@pytest.mark.parametrize("relative", REFUSED)
def test_a_broken_picture_is_refused_with_file_fault_and_remedy(relative: str) -> None:
    path = data_file(relative)
    with pytest.raises(PictureError) as refused:
        probe(path)
    assert f"“{path.name}” {REFUSED[relative]}" in str(refused.value)


@pytest.mark.parametrize("relative", [name for name, info in READ.items() if info.metadata_mpp is None])
def test_a_real_picture_without_a_usable_scale_asks_for_it(relative: str) -> None:
    path = data_file(relative)
    with pytest.raises(UnknownPixelSize, match="enter the pixel size"):
        choose_pixel_size(probe(path), None, name=path.name)


def test_no_picture_of_the_folders_is_left_out() -> None:
    data_file("slides")
    found = {
        str(path.relative_to(DATA)) for folder in ("fields", "slides") for path in (DATA / folder).iterdir()
    }
    assert found == set(READ) | set(REFUSED)
