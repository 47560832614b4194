"""Slides of a root stay where they are; nothing outside a root is reached, also not by a link."""

from __future__ import annotations

import io
from pathlib import Path

import openslide
import pytest

from ki67.errors import NotAllowed, PictureError, StoreError
from ki67.settings import Settings
from ki67.study import pictures
from ki67.study.pictures import add_from_slides, add_upload, list_slide_folder
from ki67.study.workplace import Workplace
from tests.as_before import held_by
from tests.picture_files import colors, smooth, write_dicom, write_image, write_svs
from tests.stores import ANALYST, LOCAL, READER, files_below


@pytest.fixture
def database_url() -> str:
    """These tests are about files: one kind of database is enough."""
    return ""


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(tmp_path: Path, model_folder: Path, slides: Path) -> Settings:
    return Settings(home=tmp_path / "home", models=model_folder, slides={"siteA": slides})


def test_a_slide_of_a_root_is_used_where_it_lies(workplace: Workplace, slides: Path) -> None:
    (slides / "2026").mkdir()
    path = write_svs(slides / "2026" / "Erika.svs", smooth(600, 500))
    stored = add_from_slides(workplace, LOCAL, root="siteA", relative="2026/Erika.svs")
    assert pictures.scoring_path(workplace, LOCAL, stored.code) == path.resolve()
    kept = [name for name in files_below(workplace.home) if not name.startswith("incoming")]
    assert sorted(Path(name).name for name in kept) == ["pyramid.tif", "thumbnail.jpg"]
    assert openslide.OpenSlide(pictures.viewing_path(workplace, LOCAL, stored.code)).dimensions == (600, 500)
    assert add_upload(workplace, LOCAL, io.BytesIO(path.read_bytes()), "b.svs").code == stored.code


def test_a_slide_folder_lists_folders_then_pictures(workplace: Workplace, slides: Path) -> None:
    (slides / "b folder").mkdir()
    (slides / "scan").mkdir()
    (slides / "scan.mrxs").write_bytes(b"index")
    (slides / ".hidden.svs").write_bytes(b"x")
    (slides / "notes.txt").write_bytes(b"x")
    write_image(slides / "A.png", colors(40, 40))
    listed = list_slide_folder(workplace, LOCAL, root="siteA")
    assert [(entry.name, entry.kind) for entry in listed] == [
        ("b folder", "folder"),
        ("A.png", "picture"),
        ("scan.mrxs", "picture"),
    ]
    assert listed[1].bytes == (slides / "A.png").stat().st_size
    assert list_slide_folder(workplace, LOCAL, root="siteA", relative="b folder") == []
    assert pictures.slide_roots(workplace, LOCAL) == ("siteA",)


@pytest.mark.parametrize(
    "relative", ["../secret.png", "sub/../../secret.png", "/etc/passwd", "link.png", "out/secret.png"]
)
def test_a_path_outside_a_slide_root_is_refused(
    workplace: Workplace, slides: Path, tmp_path: Path, relative: str
) -> None:
    write_image(tmp_path / "secret.png", colors(40, 40))
    (slides / "sub").mkdir()
    (slides / "link.png").symlink_to(tmp_path / "secret.png")
    (slides / "out").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="outside the slide folder siteA: choose a slide inside it"):
        add_from_slides(workplace, LOCAL, root="siteA", relative=relative)
    assert [entry.name for entry in list_slide_folder(workplace, LOCAL, root="siteA")] == ["sub"]
    with pytest.raises(StoreError, match="outside the slide folder"):
        list_slide_folder(workplace, LOCAL, root="siteA", relative="out")


def test_a_link_inside_a_slide_root_may_be_followed(workplace: Workplace, slides: Path) -> None:
    write_image(slides / "a.png", colors(40, 40))
    (slides / "b.png").symlink_to(slides / "a.png")
    first = add_from_slides(workplace, LOCAL, root="siteA", relative="a.png")
    assert add_from_slides(workplace, LOCAL, root="siteA", relative="b.png").code == first.code


@pytest.mark.parametrize("link", ["a file", "a folder", "the data folder", "a file of the series"])
def test_a_slide_with_a_part_outside_its_root_is_refused_and_the_store_stays(
    workplace: Workplace, slides: Path, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "Data0000.dat").write_bytes(b"pixels of somebody else")
    name, data = "scan.mrxs", slides / "scan"
    (slides / name).write_bytes(b"index")
    if link == "the data folder":
        data.symlink_to(outside)
    elif link == "a file of the series":
        name = "a.dcm"
        write_dicom(slides / name, colors(90, 80), series="1.2.3")
        write_dicom(outside / "b.dcm", colors(45, 40), series="1.2.3", kind="RESAMPLED", mpp=0.5)
        (slides / "b.dcm").symlink_to(outside / "b.dcm")
    else:
        data.mkdir()
        target = outside if link == "a folder" else outside / "Data0000.dat"
        (data / "Data0000.dat").symlink_to(target)
    before = held_by(workplace.home)
    with pytest.raises(StoreError) as caught:
        add_from_slides(workplace, LOCAL, root="siteA", relative=name)
    sentence = str(caught.value)
    assert f"“{name}”: A part of this slide lies outside the slide folder siteA" in sentence
    assert "put the whole slide inside it." in sentence
    assert str(outside) not in sentence
    assert held_by(workplace.home) == before


def test_a_slide_whose_parts_are_linked_within_its_root_is_looked_at(
    workplace: Workplace, slides: Path
) -> None:
    (slides / "parts").mkdir()
    (slides / "scan.mrxs").write_bytes(b"index")
    (slides / "scan").symlink_to(slides / "parts")
    with pytest.raises(PictureError, match="one part of a slide of several files"):  # as it is no real one
        add_from_slides(workplace, LOCAL, root="siteA", relative="scan.mrxs")


def test_a_slide_that_was_moved_is_found_again_by_its_content(workplace: Workplace, slides: Path) -> None:
    write_image(slides / "a.png", colors(40, 40))
    stored = add_from_slides(workplace, LOCAL, root="siteA", relative="a.png")
    (slides / "new").mkdir()
    (slides / "a.png").rename(slides / "new" / "b.png")
    with pytest.raises(StoreError, match="not in the slide folder siteA any more: put it back"):
        pictures.scoring_path(workplace, LOCAL, stored.code)
    assert add_from_slides(workplace, LOCAL, root="siteA", relative="new/b.png").code == stored.code
    assert pictures.scoring_path(workplace, LOCAL, stored.code) == (slides / "new" / "b.png").resolve()


def test_an_unknown_or_vanished_slide_root_is_named(workplace: Workplace, slides: Path) -> None:
    write_image(slides / "a.png", colors(40, 40))
    stored = add_from_slides(workplace, LOCAL, root="siteA", relative="a.png")
    with pytest.raises(StoreError, match="no slide folder of this name"):
        list_slide_folder(workplace, LOCAL, root="siteB")
    slides.rename(slides.with_name("away"))
    for ask in (
        lambda: list_slide_folder(workplace, LOCAL, root="siteA"),
        lambda: pictures.scoring_path(workplace, LOCAL, stored.code),
    ):
        with pytest.raises(
            StoreError, match="slide folder siteA is not there at the moment: connect it"
        ) as caught:
            ask()
        assert str(slides) not in str(caught.value)
    assert pictures.thumbnail_jpeg(workplace, LOCAL, stored.code)


def test_only_coordinators_look_at_slide_folders(workplace: Workplace) -> None:
    for person in (READER, ANALYST):
        with pytest.raises(NotAllowed, match="slide folders"):
            list_slide_folder(workplace, person, root="siteA")
        with pytest.raises(NotAllowed, match="add pictures"):
            add_from_slides(workplace, person, root="siteA", relative="a.png")
