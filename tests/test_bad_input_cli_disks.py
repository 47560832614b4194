"""`python -m ki67 score` on bad disks, stores and models, and killed: one sentence; store and folder stay."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ki67.cli import main
from ki67.pipeline import outputs
from ki67.types import ByteArray, FloatArray
from tests.as_before import held_by, read_only, small_files_only
from tests.bad_pictures import check_sentence
from tests.picture_files import write_image, write_tiff
from tests.pipeline_fakes import ColorBackend, draw_scene
from tests.score_place import Place, earlier_score, place_with_a_score, scene_png  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent


def test_a_disk_that_fills_while_the_result_is_written_leaves_the_folder_as_it_was(place: Place) -> None:
    picture = scene_png(place.pictures / "earlier.png")  # would replace the earlier result
    sentence = place.refusal(picture, options=("--mpp", "0.5"), under=small_files_only(3000))
    check_sentence(sentence, "“earlier.png”", "is full", "free some space and try again")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_in_the_last_step_leaves_the_folder_as_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def failing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    picture = scene_png(place.pictures / "earlier.png")
    monkeypatch.setattr(os, "fsync", failing)
    sentence = place.refusal(picture, options=("--mpp", "0.5"))
    faults = {
        errno.ENOSPC: ("the disk is full", "free some space"),
        errno.EDQUOT: ("quota is used up", "free some space"),
        errno.EIO: ("Input/output error", "check the disk"),
    }
    check_sentence(sentence, "“earlier.png”", *faults[number])


@pytest.mark.parametrize(
    "writer",
    ["records.save_run", "records.write_whole_file", "pictures.write_clean"],
    ids=["run", "result", "picture"],
)
def test_a_full_disk_of_the_store_is_said_with_the_picture_and_the_store_is_as_before(
    place: Place, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"ki67.study.{writer}", full)
    before = held_by(place.home)
    assert place.score(scene_png(place.pictures / "new.png")) == 1
    (line,) = place.capture.readouterr().err.splitlines()
    check_sentence(line, "“new.png”", "KI67_HOME) is full", "free some space and try again")
    assert held_by(place.home) == before


def test_a_full_disk_is_found_before_anything_is_scored(place: Place) -> None:
    picture = scene_png(place.pictures / "a.png")
    sentence = place.refusal(picture, under=small_files_only(0))
    check_sentence(sentence, "The disk of the data folder (KI67_HOME) is full", "free some space")


def test_a_read_only_data_folder_is_said_before_anything_is_scored(place: Place) -> None:
    picture = scene_png(place.pictures / "a.png")
    sentence = place.refusal(picture, under=read_only(place.home))
    check_sentence(
        sentence, "data folder (KI67_HOME) cannot be written", "allow writing there", hidden=str(place.home)
    )


def test_a_read_only_output_folder_is_said_before_anything_is_scored(place: Place) -> None:
    picture = scene_png(place.pictures / "a.png")
    sentence = place.refusal(picture, under=read_only(place.out))
    check_sentence(sentence, str(place.out), "cannot be written to", "choose another --out folder")


def test_an_output_folder_below_a_file_is_refused(place: Place) -> None:
    shutil.rmtree(place.out)
    place.out.write_text("a file")
    assert place.score(scene_png(place.pictures / "a.png")) == 1
    (line,) = place.capture.readouterr().err.splitlines()
    check_sentence(line, str(place.out), "choose another --out")
    assert place.out.read_text() == "a file"


class Vanishing(ColorBackend):
    """In the first tile of nuclei, the folder of the picture goes away, as a network folder does."""

    def __init__(self, go: Callable[[], object]) -> None:
        super().__init__()
        self.go = go

    def cells(self, batch: ByteArray) -> FloatArray:
        if not self.cell_tiles:
            self.go()
        return super().cells(batch)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_a_folder_of_slides_that_vanishes_in_mid_run_is_said_and_the_next_picture_is_scored(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounted = place.folder / "mounted"
    mounted.mkdir()
    slide = mounted / f"slide.{kind}"
    write = write_image if kind == "png" else write_tiff
    write(slide, draw_scene(300, 260, seed=5).rgb)
    backend = Vanishing(lambda: shutil.rmtree(mounted))
    monkeypatch.setattr("ki67.pipeline.backends.choose_backend", lambda *_, **__: backend)
    before = held_by(place.out)
    assert place.score(slide, scene_png(place.pictures / "good.png")) == 1
    lines = place.capture.readouterr().err.splitlines()
    check_sentence(lines[0], f"“slide.{kind}” is not there", "whether its folder is still mounted")
    after = held_by(place.out).files
    assert not [name for name in after if name.startswith(("slide", ".slide"))]
    assert (place.out / "good" / "summary.json").is_file()
    assert {name: after[name] for name in before.files if name != "index.json"} == {
        name: content for name, content in before.files.items() if name != "index.json"
    }
    assert place.rows("pictures") == 2


def test_a_database_of_a_newer_version_is_said_before_anything_is_scored(place: Place) -> None:
    with closing(sqlite3.connect(place.home / "ki67.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    sentence = place.refusal(scene_png(place.pictures / "a.png"))
    check_sentence(
        sentence, "The database was written by a newer version of this software", "install that version"
    )


def test_the_demonstration_study_says_what_is_wrong_with_the_store_and_leaves_it(place: Place) -> None:
    before = held_by(place.home)
    with read_only(place.home):
        assert main(["demo"]) == 1
    with closing(sqlite3.connect(place.home / "ki67.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = held_by(place.home)
    assert main(["demo"]) == 1
    first, second = place.capture.readouterr().err.splitlines()
    check_sentence(first, "ki67 demo: ", "data folder (KI67_HOME) cannot be written", "allow writing there")
    check_sentence(second, "ki67 demo: ", "newer version of this software", "install that version")
    assert held_by(place.home) == newer
    assert newer.files == before.files


@pytest.mark.parametrize("folder_was_there", [True, False])
def test_weights_that_are_not_those_of_their_card_are_said_before_anything_is_scored(
    place: Place, model_folder: Path, monkeypatch: pytest.MonkeyPatch, folder_was_there: bool
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("KI67_HOME", str(place.home))
    models = shutil.copytree(model_folder, place.folder / "changed set")
    weights = models / "cells" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    if not folder_was_there:
        shutil.rmtree(place.out)
    picture = scene_png(place.pictures / "a.png")
    options = ("--mpp", "0.5", "--store", "--models", str(models), "--device", "cpu")
    sentence = place.refusal(picture, options=options)
    check_sentence(sentence, str(weights), "are not those of their card", "copy the model folder again")
    assert place.out.exists() == folder_was_there


def test_a_score_that_is_killed_in_the_middle_leaves_nothing_and_can_be_done_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = scene_png(place.pictures / "earlier.png")
    before = place.held()
    words = ["score", str(picture), "--out", str(place.out), "--mpp", "0.5", "--store"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fake_score", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "nets\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert place.held() == before
    assert place.score(picture) == 0
    assert place.held() != before


def test_what_a_killed_score_had_half_written_goes_with_a_later_one(place: Place) -> None:
    left = place.out / ".earlier.x1y2.partial"
    left.mkdir()
    (left / outputs.CELLS_FILE).write_text("x_px,y_px")
    os.utime(left, (0, 0))
    assert place.score(scene_png(place.pictures / "earlier.png")) == 0
    assert not left.exists()
    assert (place.out / "earlier" / outputs.CELLS_FILE).is_file()
