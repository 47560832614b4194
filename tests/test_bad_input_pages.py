"""Bad input to the page Score and its upload route: a sentence in place, and the store stays as it was."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from db import job_queries
from ki67.errors import PictureError
from ki67.pipeline.cards import default_model_set
from ki67.settings import load_settings
from ki67.study import jobs, pictures, scoring
from ki67.study.execute import NetScorer
from ki67.study.people import local_person
from ki67.study.scoring import ScoreRequest
from ki67.study.workplace import Workplace, transaction
from ki67.types import ByteArray
from tests.as_before import held_by, read_only, small_files_only
from tests.bad_pictures import BAD_PICTURES, BadPicture, check_sentence
from tests.pages_store import add_result, draw_png, empty_workplace, open_page, words_of  # noqa: F401
from tests.picture_files import PATIENT, smooth, write_dicom, write_image, write_tiff
from tests.pipeline_fakes import ColorBackend, draw_scene
from tests.stores import FakeScorer, holds, png, work_off
from viewer.routes import routes
from viewer.store_source import StoreSource

VIOLET, EOSIN = (96, 52, 140), (236, 160, 198)
ANY_TYPE = "application/octet-stream"
WHITE = np.full((300, 300, 3), 255, np.uint8)


def drop(app: AppTest, *paths: Path) -> AppTest:
    """The page after these files were dropped on it."""
    files = [(path.name, path.read_bytes(), ANY_TYPE) for path in paths]
    return app.file_uploader[0].set_value(files).run()


def sentences(app: AppTest) -> list[str]:
    """What a page says in red, without the backslashes of Markdown."""
    assert not app.exception
    return [error.value.replace("\\", "") for error in app.error]


def only_sentence(app: AppTest) -> str:
    (sentence,) = sentences(app)
    return sentence


def codes_in_address(app: AppTest) -> list[str]:
    value = app.query_params["pictures"]
    return (value if isinstance(value, str) else value[0]).split(",")


def press(app: AppTest, label: str) -> AppTest:
    (button,) = (one for one in app.button if label in one.label)
    return button.click().run()


def send(workplace: Workplace, content: bytes, name: str) -> tuple[int, dict[str, str]]:
    """Status and answer of the upload route."""
    client = TestClient(Starlette(routes=routes(StoreSource(workplace, local_person()))))
    headers = {"origin": "http://testserver", "X-Ki67-Name": quote(name)}
    answer = client.post("/ki67/uploads", content=content, headers=headers)
    return answer.status_code, answer.json()


def add(workplace: Workplace, path: Path) -> str:
    """The code of a stored picture."""
    with path.open("rb") as stream:
        return pictures.add_upload(workplace, local_person(), stream, path.name).code


def submitted(workplace: Workplace, code: str, *, case_code: str = "B-7") -> str:
    """The code of a job for a stored picture."""
    request = ScoreRequest(picture_code=code, case_code=case_code, site="breast", mpp=0.5)
    return scoring.submit(workplace, local_person(), [request])[0].code


def scored(workplace: Workplace, code: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The code of the result of a stored picture, by nets that know nuclei by color."""
    monkeypatch.setattr("ki67.pipeline.backends.choose_backend", lambda *_, **__: ColorBackend())
    job = submitted(workplace, code)
    work_off(workplace, NetScorer(workplace.settings))
    done = jobs.get_job(workplace, local_person(), job)
    assert done.result_code is not None, done.message
    return done.result_code


@pytest.fixture
def filled(workplace: Workplace, tmp_path: Path) -> Workplace:
    """A store that holds a result."""
    add_result(workplace, tmp_path, case_code="B-1", site="breast", positive=60, negative=640)
    return workplace


def test_every_bad_picture_of_a_drop_gets_its_sentence_and_the_store_stays(
    filled: Workplace, tmp_path: Path
) -> None:
    (tmp_path / "drop").mkdir()
    before = held_by(filled.home)
    app = drop(open_page(), *(bad.make(tmp_path / "drop") for bad in BAD_PICTURES))
    for bad, sentence in zip(BAD_PICTURES, sentences(app), strict=True):
        check_sentence(sentence, f"“{bad.name}”", bad.fault, bad.remedy, hidden=str(filled.home))
    assert held_by(filled.home) == before
    assert app.header[0].value.startswith("Drop Ki-67 pictures")


@pytest.mark.parametrize("bad", BAD_PICTURES, ids=lambda bad: bad.name)
def test_a_bad_picture_sent_by_the_route_for_large_files_is_refused_with_its_sentence(
    filled: Workplace, tmp_path: Path, bad: BadPicture
) -> None:
    before = held_by(filled.home)
    status, answer = send(filled, bad.make(tmp_path).read_bytes(), bad.name)
    assert status == 422
    check_sentence(answer["message"], f"“{bad.name}”", bad.fault, bad.remedy, hidden=str(filled.home))
    assert held_by(filled.home) == before


def test_one_file_of_a_slide_of_several_is_refused_with_the_way_to_the_slide_folder(
    filled: Workplace, tmp_path: Path
) -> None:
    (tmp_path / "scan.mrxs").write_bytes(b"PK\3\4 an index without its data")
    before = held_by(filled.home)
    sentence = only_sentence(drop(open_page(), tmp_path / "scan.mrxs"))
    check_sentence(
        sentence, "“scan.mrxs” is one part of a slide of several files", "slide folder (KI67_SLIDES)"
    )
    assert held_by(filled.home) == before


def test_the_limit_by_pixels_is_a_setting_and_a_palette_picture_is_taken(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KI67_MAX_PIXELS", "130000")
    palette = tmp_path / "palette.png"
    Image.fromarray(smooth(400, 300)).quantize(64).save(palette)
    large = write_image(tmp_path / "large.png", smooth(400, 400))
    app = drop(open_page(), large, palette)
    check_sentence(only_sentence(app), "“large.png”", "400 × 400 px", "raise KI67_MAX_PIXELS")
    (code,) = codes_in_address(app)
    assert "400 × 300 px" in words_of(app).replace("\\", "")
    assert pictures.get_picture(workplace, local_person(), code).info.file_format == "PNG"


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("0", "is 0, but must be above 0"),
        ("-0.5", "is -0.5, but must be above 0"),
        ("50", "is 50 µm/px, outside 0.05–4"),
        ("wide", "“wide” is not a number"),
    ],
)
def test_a_pixel_size_that_is_none_is_said_at_its_case_and_nothing_is_scored(
    workplace: Workplace, tmp_path: Path, typed: str, fault: str
) -> None:
    code = add(workplace, draw_png(tmp_path / "a.png", side_px=300))
    before = held_by(workplace.home)
    app = open_page(pictures=code)
    app.text_input(key=f"case_{code}").set_value("B-7")
    app.selectbox(key=f"site_{code}").set_value("breast")
    app.text_input(key=f"mpp_{code}").set_value(typed).run()
    assert not app.exception
    (line,) = (text for text in (one.value.replace("\\", "") for one in app.markdown) if fault in text)
    assert "enter µm per pixel, for example 0.25" in line
    assert app.button(key="score_pictures").disabled
    assert app.text_input(key=f"mpp_{code}").value == typed
    assert held_by(workplace.home) == before


def test_a_pixel_size_in_the_table_of_many_names_the_cases_it_is_wrong_for(
    workplace: Workplace, tmp_path: Path
) -> None:
    codes = [add(workplace, draw_png(tmp_path / f"{n}.png", seed=n, side_px=200)) for n in range(4)]
    app = open_page(pictures=",".join(codes))
    app.selectbox[0].set_value("Breast")
    app.text_input[0].set_value("50").run()
    words = words_of(press(app, "Apply to all")).replace("\\", "")
    assert "The pixel size is missing or cannot be used" in words
    assert "CASE-0001, CASE-0002, CASE-0003, CASE-0004" in words
    assert "is 50 µm/px, outside 0.05–4: enter µm per pixel, for example 0.25" in words
    assert app.button(key="score_pictures").disabled


def test_the_same_picture_again_is_recognised_and_changes_nothing(filled: Workplace, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    again = Path(shutil.copy(tmp_path / "B-1.png", tmp_path / "again" / "Other name.png"))
    before = held_by(filled.home)
    app = drop(open_page(), again, again)
    assert sentences(app) == []
    assert len(codes_in_address(app)) == 1
    assert "Scored before: open the result" in words_of(app)
    assert held_by(filled.home) == before


@pytest.mark.parametrize(
    "name", ["../../../escape.png", "..\\..\\escape.png", "escape é ü.png", "e\0scape.png"]
)
def test_a_strange_name_sent_by_the_route_is_taken_and_kept_nowhere(
    workplace: Workplace, tmp_path: Path, name: str
) -> None:
    around = {path for path in tmp_path.rglob("*") if workplace.home not in path.parents}
    status, answer = send(workplace, png(smooth(90, 80)), name)
    assert status == 201, answer
    assert holds(workplace.home, b"escape") == []
    assert {path for path in tmp_path.rglob("*") if workplace.home not in path.parents} == around


def test_nothing_of_a_dicom_patient_is_in_store_or_page_after_its_score(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_dicom(tmp_path / "Mustermann.dcm", draw_scene(300, 260, seed=3).rgb)
    assert PATIENT.encode() in path.read_bytes()
    app = drop(open_page(), path)
    (code,) = codes_in_address(app)
    shown = open_page(result=scored(workplace, code, monkeypatch))
    assert sentences(shown) == []
    for identifying in (PATIENT, "Mustermann", "Erika", "4711"):
        assert holds(workplace.home, identifying.encode()) == []
        assert identifying not in words_of(app) + words_of(shown)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (WHITE, ("**Not assessable**", "No tissue found")),
        (
            draw_scene(400, 400, seed=4, ground=EOSIN, nuclei=(VIOLET, VIOLET)).rgb,
            ("The stain looks like H&E, not Ki-67", "choose the Ki-67 section"),
        ),
    ],
    ids=["glass", "H&E"],
)
def test_a_picture_that_is_no_ki67_is_scored_and_said_to_be_so(
    workplace: Workplace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pixels: ByteArray,
    words: Sequence[str],
) -> None:
    code = add(workplace, write_image(tmp_path / "a.png", pixels))
    app = open_page(result=scored(workplace, code, monkeypatch))
    assert sentences(app) == []
    shown = words_of(app).replace("\\", "")
    for each in words:
        assert each in shown


def test_a_full_disk_is_said_for_the_picture_and_the_store_is_as_before(
    filled: Workplace, tmp_path: Path
) -> None:
    path = draw_png(tmp_path / "new picture.png", seed=5, side_px=300)
    before = held_by(filled.home)
    app = open_page()
    with small_files_only(20_000):
        drop(app, path)
        answer = send(filled, path.read_bytes(), path.name)
    for sentence in (only_sentence(app), answer[1]["message"]):
        check_sentence(
            sentence, "“new picture.png”", "KI67_HOME) is full", "free some space", hidden=str(filled.home)
        )
    assert answer[0] == 507
    assert held_by(filled.home) == before


def test_a_data_folder_that_becomes_read_only_is_said_for_the_picture(
    filled: Workplace, tmp_path: Path
) -> None:
    path = draw_png(tmp_path / "new picture.png", seed=5, side_px=300)
    before = held_by(filled.home)
    app = open_page()
    with read_only(filled.home):
        drop(app, path)
    check_sentence(
        only_sentence(app), "“new picture.png”", "(KI67_HOME) cannot be written", "allow writing there"
    )
    assert held_by(filled.home) == before


def test_a_data_folder_that_is_read_only_from_the_start_is_said_on_the_page(filled: Workplace) -> None:
    before = held_by(filled.home)
    filled.engine.dispose()
    with read_only(filled.home):
        app = open_page()
    for sentence in sentences(app):
        check_sentence(
            sentence, "(KI67_HOME) cannot be written", "allow writing there", hidden=str(filled.home)
        )
    assert app.error
    assert held_by(filled.home) == before


def test_a_database_of_a_newer_version_is_said_on_the_page_and_left_as_it_is(filled: Workplace) -> None:
    with closing(sqlite3.connect(filled.home / "ki67.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = held_by(filled.home)
    app = open_page()
    for sentence in sentences(app):
        check_sentence(sentence, "The database was written by a newer version", "install that version")
    assert app.error
    assert held_by(filled.home) == before


def test_a_slide_folder_that_vanishes_in_mid_run_is_said_and_the_job_can_be_started_again(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    write_tiff(slides / "a.tif", draw_scene(300, 260, seed=5).rgb, tile=(64, 64))
    monkeypatch.setenv("KI67_SLIDES", f"siteA={slides}")
    here = Workplace(load_settings(), workplace.engine)
    job = submitted(here, pictures.add_from_slides(here, local_person(), root="siteA", relative="a.tif").code)
    before = held_by(here.home)

    class Vanishing(FakeScorer):
        def __call__(self, path: Path, **options: object) -> object:  # type: ignore[override]
            slides.rename(tmp_path / "away")
            raise PictureError("“B-7” cannot be read (Stale file handle): check the disk.")

    work_off(here, Vanishing())
    words = words_of(open_page())
    check_sentence(
        next(line for line in words.replace("\\", "").splitlines() if "Not scored" in line),
        "The slide folder siteA is not there at the moment",
        "connect it again and repeat",
        hidden=str(slides),
    )
    assert "B-7" in words.replace("\\", "")
    after = held_by(here.home)
    assert (after.files, after.rows | {"jobs": []}) == (before.files, before.rows | {"jobs": []})
    (tmp_path / "away").rename(slides)
    assert not press(open_page(), "Start again").exception
    work_off(here, FakeScorer())
    assert jobs.get_job(here, local_person(), job).state == "done"


def test_weights_that_are_not_those_of_their_card_fail_the_job_and_name_the_file(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "changed-set"
    for step in ("cells", "tumor"):
        (models / step).mkdir(parents=True)
        shutil.copy(default_model_set() / step / "card.json", models / step)
        (models / step / "weights.safetensors").write_bytes(b"other weights")
    monkeypatch.setenv("KI67_MODELS", str(models))
    here = Workplace(load_settings(), workplace.engine)
    submitted(here, add(here, draw_png(tmp_path / "a.png", side_px=300)))
    before = held_by(here.home)
    work_off(here, NetScorer(here.settings))
    words = words_of(open_page()).replace("\\", "")
    check_sentence(
        next(line for line in words.splitlines() if "Not scored" in line),
        "changed-set/cells/weights.safetensors",
        "are not those of their card",
        "copy the model folder again",
        hidden=str(models),
    )
    after = held_by(here.home)
    assert (after.files, after.rows | {"jobs": []}) == (before.files, before.rows | {"jobs": []})


def test_a_job_killed_in_the_middle_is_shown_as_interrupted_and_started_again(
    workplace: Workplace, tmp_path: Path
) -> None:
    job = submitted(workplace, add(workplace, draw_png(tmp_path / "a.png", side_px=300)))
    before = held_by(workplace.home)
    with transaction(workplace) as session:
        job_queries.claim_job(session, worker="w1", run_code="n1", lease_seconds=-1)
    (workplace.home / "runs" / "n1").mkdir(parents=True)
    (workplace.home / "runs" / "n1" / "candidates.parquet").write_bytes(b"half")
    app = open_page()
    words = words_of(app).replace("\\", "")
    assert "**Interrupted**" in words
    assert "Nothing was lost." in words
    after = held_by(workplace.home)
    assert (after.files, after.rows | {"jobs": []}) == (before.files, before.rows | {"jobs": []})
    press(app, "Start again")
    assert jobs.get_job(workplace, local_person(), job).state == "waiting"
    work_off(workplace, FakeScorer())
    assert jobs.get_job(workplace, local_person(), job).state == "done"
