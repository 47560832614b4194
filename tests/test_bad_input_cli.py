"""Bad input to `python -m ki67 score`: one sentence with file, fault and remedy; store and folder stay."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.as_before import held_by
from tests.bad_pictures import BAD_PICTURES, BadPicture, check_sentence
from tests.picture_files import PATIENT, write_dicom, write_image
from tests.pipeline_fakes import draw_scene
from tests.score_place import Place, earlier_score, place_with_a_score, scene_png  # noqa: F401
from tests.stores import holds

VIOLET, EOSIN = (96, 52, 140), (236, 160, 198)


@pytest.mark.parametrize("bad", BAD_PICTURES, ids=lambda bad: bad.name)
def test_a_picture_that_cannot_be_scored_is_named_with_fault_and_remedy(
    place: Place, bad: BadPicture
) -> None:
    sentence = place.refusal(bad.make(place.pictures))
    check_sentence(sentence, f"“{bad.name}”", bad.fault, bad.remedy, hidden=str(place.folder))


def test_bad_pictures_do_not_keep_a_good_one_out(place: Place) -> None:
    good = scene_png(place.pictures / "good.png")
    bad = [each.make(place.pictures) for each in BAD_PICTURES]
    before = held_by(place.out)
    assert place.score(*bad[:6], good, *bad[6:]) == 1
    listed = place.capture.readouterr().err.splitlines()[-len(bad) - 1 :]
    assert listed[0] == f"{len(bad)} of {len(bad) + 1} not scored:"
    for each, line in zip(BAD_PICTURES, listed[1:], strict=True):
        check_sentence(line, f"“{each.name}”", each.fault, each.remedy)
    after = held_by(place.out).files
    assert {name: content for name, content in after.items() if not name.startswith("good")} == {
        **before.files,
        "index.json": after["index.json"],
    }
    assert place.rows("pictures") == 2
    assert place.rows("results") == 2


def test_damage_that_only_reading_finds_leaves_no_output_folder_behind(place: Place) -> None:
    path = scene_png(place.pictures / "half written.png")
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(200) + data[middle + 200 :])
    shutil.rmtree(place.out)
    sentence = place.refusal(path)
    check_sentence(sentence, "“half written.png”", "is damaged", "copy or export the picture again")
    assert not place.out.exists()


def test_a_palette_picture_is_scored_as_its_colors(place: Place) -> None:
    scene = Image.fromarray(draw_scene(300, 260, seed=2).rgb).quantize(200)
    scene.save(place.pictures / "palette.png")
    scene.convert("RGB").save(place.pictures / "colors.png")
    assert place.score(place.pictures / "palette.png", place.pictures / "colors.png") == 0
    counts = [
        [json.loads((place.out / name / "summary.json").read_text())[key] for key in ("positive", "negative")]
        for name in ("palette", "colors")
    ]
    assert counts[0] == counts[1]
    assert min(counts[0]) > 0


def test_the_limit_by_pixels_is_a_setting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KI67_MAX_PIXELS", "70000")
    sentence = place.refusal(scene_png(place.pictures / "large.png"))
    check_sentence(sentence, "“large.png”", "300 × 260 px", "raise KI67_MAX_PIXELS")
    monkeypatch.setenv("KI67_MAX_PIXELS", "many")
    sentence = place.refusal(place.pictures / "large.png")
    check_sentence(sentence, "KI67_MAX_PIXELS", "“many” cannot be used", "give a whole number of pixels")


def test_all_white_glass_is_not_assessable_with_the_reason(place: Place) -> None:
    write_image(place.pictures / "glass.png", np.full((300, 300, 3), 255, np.uint8))
    assert place.score(place.pictures / "glass.png") == 0
    summary = json.loads((place.out / "glass" / "summary.json").read_text())
    assert summary["index_percent"] is None
    assert summary["index_ci_low"] is None
    assert summary["reason"] == "no tissue found"
    (flag,) = (flag for flag in summary["qc"] if flag["code"] == "no_tissue")
    check_sentence(flag["message"], "No tissue found", "glass only")


def test_h_and_e_is_scored_with_a_flag_that_says_so(place: Place) -> None:
    scene = draw_scene(400, 400, seed=4, ground=EOSIN, nuclei=(VIOLET, VIOLET))
    write_image(place.pictures / "he.png", scene.rgb)
    assert place.score(place.pictures / "he.png") == 0
    flags = {
        flag["code"]: flag["message"]
        for flag in json.loads((place.out / "he/summary.json").read_text())["qc"]
    }
    check_sentence(flags["h_and_e"], "looks like H&E, not Ki-67", "choose the Ki-67 section")


@pytest.mark.parametrize(
    ("mpp", "fault"),
    [
        ("0", "is 0, but must be above 0"),
        ("-0.5", "is -0.5, but must be above 0"),
        ("50", "is 50 µm/px, outside 0.05–4"),
        ("nan", "is nan, but must be above 0"),
    ],
)
def test_an_impossible_pixel_size_is_refused_for_the_picture_by_name(
    place: Place, mpp: str, fault: str
) -> None:
    sentence = place.refusal(scene_png(place.pictures / "a b.png"), options=(f"--mpp={mpp}", "--store"))
    check_sentence(sentence, "“a b.png”", fault, "enter µm per pixel, for example 0.25")


def test_a_pixel_size_in_words_is_bad_usage(place: Place) -> None:
    before = place.held()
    with pytest.raises(SystemExit) as stopped:
        place.score(scene_png(place.pictures / "a.png"), options=("--mpp", "small", "--store"))
    assert stopped.value.code == 2
    last = place.capture.readouterr().err.splitlines()[-1]
    assert "--mpp" in last
    assert "“small” is not a number; give one such as 0.25" in last
    assert place.held() == before


def test_a_picture_without_pixel_size_is_asked_for_it(place: Place) -> None:
    sentence = place.refusal(scene_png(place.pictures / "a.png"), options=("--store",))
    check_sentence(sentence, "“a.png”", "does not say how large its pixels are", "Give it with --mpp")


def test_two_files_of_the_same_name_get_a_folder_and_a_result_each(place: Place) -> None:
    for number in (1, 2):
        (place.pictures / str(number)).mkdir()
        scene_png(place.pictures / str(number) / "field.png", seed=number)
    assert place.score(place.pictures / "1" / "field.png", place.pictures / "2" / "field.png") == 0
    index = json.loads((place.out / "index.json").read_text())
    assert index["field"] == str(place.pictures / "1" / "field.png")
    assert index["field-2"] == str(place.pictures / "2" / "field.png")
    assert place.rows("results") == 3


def test_the_same_picture_twice_is_stored_once(place: Place) -> None:
    first = scene_png(place.pictures / "a.png")
    second = Path(shutil.copy(first, place.pictures / "copy of a.png"))
    assert place.score(first, second) == 0
    counts = {table: place.rows(table) for table in ("pictures", "runs", "results", "cases")}
    assert counts == dict.fromkeys(counts, 2)
    before = held_by(place.home)
    assert place.score(second) == 0
    assert held_by(place.home) == before


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Größe µ 7 (é).png", "Größe µ 7 (é)"),
        ("a b  c.png", "a b  c"),
        ("..png", "picture"),
        ("...png", "picture"),
        (".hidden.png", ".hidden"),
        ("index.json.png", "index.json-2"),
        ("[0] 100 %.png", "[0] 100 %"),
        ("ä" * 124 + ".png", "ä" * 124),
    ],
)
def test_a_strange_name_gets_a_folder_of_its_own_inside_the_output_folder(
    place: Place, name: str, folder: str
) -> None:
    before = held_by(place.folder).files
    picture = scene_png(place.pictures / name)
    assert place.score(picture) == 0
    assert json.loads((place.out / folder / "summary.json").read_text())["image"] == name
    assert json.loads((place.out / "index.json").read_text())[folder] == str(picture)
    after = held_by(place.folder).files
    new = {path for path in after if path not in before and not path.startswith(("home/", "pictures/"))}
    assert all(path == f"out/{folder}" or path.startswith(f"out/{folder}/") for path in new)
    assert {path for path in before if path not in after} == set()
    stem = os.fsencode(Path(name).stem)
    assert len(stem) < 5 or holds(place.home, stem) == []


def test_a_path_upwards_is_only_a_way_to_the_picture(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    scene_png(place.pictures / "a.png")
    (place.folder / "elsewhere").mkdir()
    monkeypatch.chdir(place.folder / "elsewhere")
    assert place.score(Path("../pictures/a.png")) == 0
    assert (place.out / "a" / "summary.json").is_file()
    assert list((place.folder / "elsewhere").iterdir()) == []
    sentence = place.refusal(Path("../../../gone.png"))
    check_sentence(sentence, "“gone.png” is not there", "check the path")


def test_nothing_of_a_dicom_patient_is_in_store_or_output_afterwards(place: Place) -> None:
    path = write_dicom(place.pictures / "slide.dcm", draw_scene(300, 260, seed=3).rgb)
    assert PATIENT.encode() in path.read_bytes()
    assert place.score(path, options=("--store",)) == 0
    shown = place.capture.readouterr()
    assert json.loads((place.out / "slide" / "summary.json").read_text())["mpp"] == 0.25
    assert place.rows("results") == 2
    for identifying in (PATIENT, "Mustermann", "Erika", "4711"):
        assert holds(place.out, identifying.encode()) == []
        assert holds(place.home, identifying.encode()) == []
        assert identifying not in shown.out + shown.err
