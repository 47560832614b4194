"""The command line as its users meet it: help, bad usage, unreadable files, and a real score."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ki67.cli import main
from ki67.cli_score import _Job, _remember
from ki67.errors import StoreError
from ki67.index import ki67_index
from ki67.settings import load_settings
from ki67.study.people import local_person
from ki67.study.results import list_results
from ki67.study.workplace import open_workplace
from ki67.synthetic import make_region
from ki67.types import PictureInfo

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("score", "train", "evaluate", "crossval", "agreement", "demo", "bench")
NO_NETS = (
    "import sys; from ki67.cli import main\n"
    "try: code = main(sys.argv[1:])\n"
    "except SystemExit as stop: code = stop.code\n"
    "print('torch' in sys.modules or 'openvino' in sys.modules); sys.exit(code)"
)
SUMMARY_KEYS = {
    "image sha256 width_px height_px mpp mpp_source index_percent index_ci_low index_ci_high ci_wilson",
    "ci_bootstrap total_interval seed positive negative reason tumor_area_mm2 tissue_area_mm2 hot_spot qc",
    "models backend device precision parameters software_version started_at seconds",
}


def light(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command and also learn whether it loaded torch or OpenVINO (last line of its output)."""
    words = [str(argument) for argument in arguments]
    return subprocess.run(
        [sys.executable, "-c", NO_NETS, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def region_png(path: Path, *, seed: int = 3, side: int = 384) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(make_region(side, side, mpp=0.5, seed=seed).rgb).save(path)
    return path


def read_summary(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "summary.json").read_text(encoding="utf8"))
    return found


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One `score` over two good pictures of the same stem and a bad one between them."""
    base = tmp_path_factory.mktemp("cli")
    bad = base / "bad.png"
    bad.write_bytes(b"this is text\n")
    images = [region_png(base / "a" / "field.png"), bad, region_png(base / "b" / "field.png", seed=4)]
    code = main(["score", *map(str, images), "--out", str(base / "out"), "--mpp", "0.5", "--device", "cpu"])
    assert code == 1
    return base / "out"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_without_loading_the_nets(command: str) -> None:
    shown = light(command, "--help")
    assert shown.returncode == 0
    assert f"ki67 {command}" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("score", "x.png"), "--out"),
        (("score", "x.png", "--out", "o", "--mpp", "small"), "“small” is not a number"),
        (("score", "x.png", "--out", "o", "--roi", "1,2,3"), "X,Y,W,H"),
        (("score", "x.png", "--out", "o", "--device", "tpu"), "--device"),
        (("score", "x.png", "y.png", "--out", "o", "--outline", "o.json"), "one picture only"),
        (("score", "x.png", "--out", "o", "--use-outline"), "--outline"),
        (("crossval", "--data", "d", "--by", "patient", "--seed", "0", "--out", "o"), "--folds"),
        (("train", "nuclei", "--data", "d", "--out", "o"), "nuclei"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_bad_usage_exits_2_and_names_the_fault(arguments: tuple[str, ...], fault: str) -> None:
    shown = light(*arguments)
    assert shown.returncode == 2
    assert fault in shown.stderr
    assert shown.stdout.splitlines()[-1] == "False"
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("content", [b"", b"only text, no picture\n"], ids=["empty", "text"])
def test_an_unreadable_picture_exits_1_with_one_sentence_and_writes_nothing(
    tmp_path: Path, content: bytes
) -> None:
    picture = tmp_path / "näme with spaces.png"
    picture.write_bytes(content)
    shown = light("score", picture, "--out", tmp_path / "out", "--mpp", "0.5")
    assert shown.returncode == 1
    assert picture.name in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1
    assert shown.stdout.splitlines()[-1] == "False"
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_result_is_never_replaced(tmp_path: Path) -> None:
    picture = region_png(tmp_path / "slide.png", side=64)
    (tmp_path / "slide").mkdir()
    (tmp_path / "slide" / "Dat_0000.dat").write_bytes(b"pixels")
    shown = light("score", picture, "--out", tmp_path, "--mpp", "0.5")
    assert shown.returncode == 1
    assert "choose another --out" in shown.stderr
    assert (tmp_path / "slide" / "Dat_0000.dat").read_bytes() == b"pixels"
    assert not (tmp_path / "index.json").exists()


@pytest.mark.parametrize("mpp", ["0", "-0.5", "50"])
def test_an_impossible_pixel_size_is_refused_by_name(tmp_path: Path, mpp: str) -> None:
    picture = region_png(tmp_path / "field.png", side=64)
    shown = light("score", picture, "--out", tmp_path / "out", f"--mpp={mpp}")
    assert shown.returncode == 1
    assert "field.png" in shown.stderr
    assert "µm" in shown.stderr
    assert not (tmp_path / "out").exists()


def test_a_picture_without_pixel_size_is_not_scored_but_asked_for(tmp_path: Path) -> None:
    shown = light("score", region_png(tmp_path / "field.png", side=64), "--out", tmp_path / "out")
    assert shown.returncode == 1
    assert "--mpp" in shown.stderr


def test_a_region_beyond_the_picture_is_refused(tmp_path: Path) -> None:
    picture = region_png(tmp_path / "field.png", side=64)
    shown = light("score", picture, "--out", tmp_path / "o", "--mpp", "0.5", "--roi", "0,0,65,10")
    assert shown.returncode == 1
    assert "64 × 64" in shown.stderr


def test_one_bad_picture_does_not_stop_the_others_and_equal_stems_get_a_number(scored: Path) -> None:
    folders = sorted(path.name for path in scored.iterdir() if path.is_dir())
    assert folders == ["field", "field-2"]
    index = json.loads((scored / "index.json").read_text(encoding="utf8"))
    assert {name: Path(image).parent.name for name, image in index.items()} == {"field": "a", "field-2": "b"}


def test_a_scored_picture_has_every_file_and_key_of_the_contract(scored: Path) -> None:
    files = {path.name for path in (scored / "field").iterdir()}
    assert {"summary.json", "cells.csv", "cells.geojson", "tumor.geojson", "overlay.png"} <= files
    summary = read_summary(scored / "field")
    assert set(" ".join(SUMMARY_KEYS).split()) <= set(summary)
    assert summary["mpp_source"] == "given"
    assert (summary["width_px"], summary["height_px"]) == (384, 384)


def test_summary_and_cells_tell_the_same_counts_and_index(scored: Path) -> None:
    summary = read_summary(scored / "field")
    with (scored / "field" / "cells.csv").open(encoding="utf8") as file:
        rows = [row for row in csv.DictReader(file) if row["in_tumor"] == "1"]
    positive = sum(row["label"] == "positive" for row in rows)
    negative = len(rows) - positive
    assert (summary["positive"], summary["negative"]) == (positive, negative)
    index = ki67_index(positive, negative)
    assert index is not None
    assert summary["index_percent"] == pytest.approx(100 * index)


def test_a_second_run_replaces_a_folder_as_a_whole(scored: Path) -> None:
    stray = scored / "field" / "stray.txt"
    stray.write_text("left over")
    image = scored.parent / "a" / "field.png"
    assert main(["score", str(image), "--out", str(scored), "--mpp", "0.5", "--device", "cpu"]) == 0
    assert not stray.exists()
    assert (scored / "field-2" / "summary.json").exists()


def test_a_failed_second_run_leaves_the_folder_as_it_was(scored: Path, tmp_path: Path) -> None:
    before = (scored / "field-2" / "summary.json").read_bytes()
    broken = tmp_path / "field-2.png"
    broken.write_bytes(b"")
    assert main(["score", str(broken), "--out", str(scored), "--mpp", "0.5"]) == 1
    assert (scored / "field-2" / "summary.json").read_bytes() == before


def test_white_glass_is_not_assessable_and_never_zero(tmp_path: Path) -> None:
    Image.fromarray(np.full((300, 300, 3), 255, np.uint8)).save(tmp_path / "glass.png")
    assert main(["score", str(tmp_path / "glass.png"), "--out", str(tmp_path / "o"), "--mpp", "0.5"]) == 0
    summary = read_summary(tmp_path / "o" / "glass")
    assert summary["index_percent"] is None
    assert summary["reason"]


def test_without_the_tumor_mask_every_row_counts(tmp_path: Path) -> None:
    picture = region_png(tmp_path / "field.png", side=256)
    assert main(["score", str(picture), "--out", str(tmp_path / "o"), "--mpp", "0.5", "--no-tumor-mask"]) == 0
    with (tmp_path / "o" / "field" / "cells.csv").open(encoding="utf8") as file:
        assert {row["in_tumor"] for row in csv.DictReader(file)} <= {"1"}
    models = read_summary(tmp_path / "o" / "field")["models"]
    assert isinstance(models, dict)
    assert models["tumor"] is None
    assert models["cells"]["sha256"]


def test_an_unknown_setting_stops_the_start_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KI67_HOMEE", str(tmp_path))
    picture = region_png(tmp_path / "field.png", side=64)
    assert main(["score", str(picture), "--out", str(tmp_path / "o"), "--mpp", "0.5"]) == 1
    assert "KI67_HOMEE" in capsys.readouterr().err


def outline_file(path: Path, *, corner: tuple[int, int], side: int) -> Path:
    """A square classed Tumor, in QuPath's coordinates (origin at the pixel corner)."""
    x, y = corner
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf8")
    return path


def test_an_outline_that_replaces_step_1_decides_which_nuclei_count(tmp_path: Path) -> None:
    picture = region_png(tmp_path / "field.png", side=256)
    outline = outline_file(tmp_path / "o.geojson", corner=(64, 64), side=128)
    options = ["--mpp", "0.5", "--outline", str(outline), "--use-outline", "--device", "cpu"]
    assert main(["score", str(picture), "--out", str(tmp_path / "o"), *options]) == 0
    with (tmp_path / "o" / "field" / "cells.csv").open(encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    inside = [63.5 <= float(row["x_px"]) < 191.5 and 63.5 <= float(row["y_px"]) < 191.5 for row in rows]
    assert any(inside)
    assert [row["in_tumor"] == "1" for row in rows] == inside


def test_a_list_of_patients_that_is_not_there_is_said_without_loading_the_nets(tmp_path: Path) -> None:
    region_png(tmp_path / "field.png", side=64)
    (tmp_path / "field.csv").write_text("x_px,y_px,label\n1,1,positive\n")
    (tmp_path / "manifest.csv").write_text("image,mpp\nfield.png,0.5\n")
    shown = light("evaluate", "--data", tmp_path, "--patients", tmp_path / "none.txt")
    assert shown.returncode == 1
    assert "none.txt" in shown.stderr
    assert shown.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("command", ["train cells", "evaluate", "crossval --by patient --folds 2 --seed 0"])
def test_a_broken_picture_of_an_annotated_folder_is_said_without_loading_the_nets(
    tmp_path: Path, command: str
) -> None:
    picture = region_png(tmp_path / "field.png", side=64)
    picture.write_bytes(picture.read_bytes()[:-40])
    (tmp_path / "field.csv").write_text("x_px,y_px,label\n1,1,positive\n")
    (tmp_path / "manifest.csv").write_text("image,mpp\nfield.png,0.5\n")
    shown = light(*command.split(), "--data", tmp_path, "--out", tmp_path / "out")
    assert shown.returncode == 1
    assert "“field.png” is cut off" in shown.stderr
    assert shown.stdout.splitlines()[-1] == "False"
    assert not (tmp_path / "out").exists()


def test_an_index_of_other_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("[not json")
    job = _Job(tmp_path / "a.png", tmp_path / "a", PictureInfo(64, 64, "PNG", None, 1))
    with pytest.raises(StoreError, match=r"index\.json is no index of earlier scores"):
        _remember(tmp_path, job)
    assert (tmp_path / "index.json").read_text() == "[not json"


def test_an_outline_beside_the_picture_is_refused(tmp_path: Path) -> None:
    picture = region_png(tmp_path / "field.png", side=64)
    outline = outline_file(tmp_path / "o.geojson", corner=(500, 500), side=50)
    shown = light("score", picture, "--out", tmp_path / "out", "--mpp", "0.5", "--outline", outline)
    assert shown.returncode == 1
    assert "o.geojson" in shown.stderr
    assert not (tmp_path / "out").exists()


def test_a_score_with_store_is_found_in_the_app_and_twice_is_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KI67_HOME", str(tmp_path / "home"))
    picture = region_png(tmp_path / "Mrs Smith.png", side=256)
    options = ["--mpp", "0.5", "--store", "--device", "cpu"]
    for _ in range(2):
        assert main(["score", str(picture), "--out", str(tmp_path / "o"), *options]) == 0
    workplace = open_workplace(load_settings())
    rows = list_results(workplace, local_person())
    summary = read_summary(tmp_path / "o" / "Mrs Smith")
    assert len(rows) == 1
    assert (rows[0].positive, rows[0].negative) == (summary["positive"], summary["negative"])
    assert "Smith" not in str(rows[0])


def test_a_store_that_cannot_be_used_is_said_before_anything_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("a file where the data folder should be")
    monkeypatch.setenv("KI67_HOME", str(tmp_path / "home"))
    picture = region_png(tmp_path / "field.png", side=64)
    assert main(["score", str(picture), "--out", str(tmp_path / "o"), "--mpp", "0.5", "--store"]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()
