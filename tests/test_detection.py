"""Evaluations as jobs: asked for, carried out, left and found again, read back with known figures."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from db import evaluation_queries, queries
from ki67.errors import Cancelled, DataError, Ki67Error, StoreError
from ki67.pipeline.cards import write_model_folder
from ki67.pipeline.images import sha256_of
from ki67.settings import Settings
from ki67.study import detection, detection_words, evaluations
from ki67.study.annotated import evaluation_folder
from ki67.study.detection import DetectionView
from ki67.study.error_marks import KINDS
from ki67.study.evaluations import StoredAnnotation, get_evaluation
from ki67.study.pictures import add_upload
from ki67.study.scoring import ScoreRequest, submit
from ki67.study.workplace import Workplace, open_workplace, transaction
from ki67.types import IsCancelled, RunRecord
from tests.evaluated import MISLABELLED, annotated_folder, counted_labels, measure_all
from tests.pipeline_fakes import fake_card
from tests.stores import LOCAL, READER, FakeScorer, holds, work_off

SIX = ["p1", "p2", "p3", "p4", "p5", "p6"]


@pytest.fixture
def database_url() -> str:
    """One database is enough here: the queue's rules are tested on both with jobs."""
    return ""


@pytest.fixture
def rooted(settings: Settings, tmp_path: Path) -> Workplace:
    """A store with a slide folder that holds one annotated folder of two fields."""
    annotated_folder(tmp_path / "slides" / "breast" / "set", patients=["p1", "p2"])
    return open_workplace(settings.model_copy(update={"slides": {"lab": tmp_path / "slides"}}))


@dataclass(frozen=True)
class Measured:
    """A store with a finished evaluation of six fields of six patients, and its annotated folder."""

    workplace: Workplace
    code: str
    folder: Path

    @property
    def view(self) -> DetectionView:
        return detection.get_detection(self.workplace, LOCAL, self.code)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Measured:
    top = tmp_path_factory.mktemp("measured")
    folder = annotated_folder(top / "slides" / "breast" / "set", patients=SIX)
    settings = Settings(home=top / "home", models=model_folder, slides={"lab": top / "slides"})
    workplace = open_workplace(settings)
    return Measured(workplace, folder_measured(workplace), folder)


def zipped(folder: Path, *, top: str = "set/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"{top}{path.name}")
        archive.writestr("__MACOSX/set/._manifest.csv", b"x")
    return buffer.getvalue()


def folder_measured(workplace: Workplace) -> str:
    view = evaluations.evaluate_folder(workplace, LOCAL, root="lab", relative="breast/set", name="Set 1")
    measure_all(workplace)
    return view.code


def test_a_folder_of_a_slide_root_is_measured_with_known_figures(measured: Measured) -> None:
    marked = counted_labels(measured.folder)
    tumor = marked["positive"] + marked["negative"]
    view = measured.view
    headline = view.report.headline
    assert headline.with_step_1 is not None
    assert headline.without_step_1 is not None
    masked, unmasked = headline.with_step_1.summary, headline.without_step_1.summary
    assert (masked.fields, masked.patients, masked.patients_known) == (6, 6, True)
    assert masked.faults.wrong_class == 6 * MISLABELLED
    assert masked.other == marked["other"]
    assert masked.other_counted == 0
    assert unmasked.other_counted == marked["other"]
    assert unmasked.recall == pytest.approx((tumor - 6 * MISLABELLED) / tumor)
    assert unmasked.precision == pytest.approx((tumor - 6 * MISLABELLED) / (tumor + marked["other"]))
    assert headline.with_step_1.intervals.f1 is not None
    assert view.left_out == 0
    assert {field.source for field in view.figures} == {"left", "right"}


def test_no_file_name_reaches_what_is_kept(measured: Measured) -> None:
    assert not holds(evaluation_folder(measured.workplace.home, measured.code), b"Muster")
    assert [field.image for field in measured.view.figures][:2] == ["F-01", "F-02"]


def test_the_files_are_those_of_the_command_line(measured: Measured) -> None:
    code = measured.code
    files = detection.detection_files(measured.workplace, LOCAL, code)
    assert set(files) == {f"{code}_evaluation.json", f"{code}_fields.csv", f"{code}_matches.csv"}
    written = json.loads(files[f"{code}_evaluation.json"])
    assert written["research_use_only"] is True
    report = measured.view.report
    assert report.headline.with_step_1 is not None
    assert written["headline"]["with_step_1"]["f1"] == report.headline.with_step_1.summary.f1
    assert files[f"{code}_fields.csv"].count(b"\n") == 7


def test_a_picture_that_a_net_was_trained_on_is_left_out_of_the_figures(
    rooted: Workplace, tmp_path: Path
) -> None:
    folder = tmp_path / "slides" / "breast" / "set"
    models = tmp_path / "trained" / "mine"
    digest = sha256_of(folder / "Frau Muster 0.png")
    for task in ("tumor", "cells"):
        card = fake_card(task, training_images=(digest,) if task == "cells" else ())
        write_model_folder(models / task, card, {"weight": np.zeros((2, 2), np.float32)})
    workplace = open_workplace(rooted.settings.model_copy(update={"models": models}))
    code = folder_measured(workplace)
    view = detection.get_detection(workplace, LOCAL, code)
    assert view.left_out == 1
    assert view.report.headline.with_step_1 is not None
    assert view.report.headline.with_step_1.summary.fields == 1
    assert "1 left out" in detection_words.size_line(view)


def test_a_zip_of_a_folder_is_measured_and_its_pictures_are_kept_as_codes(
    workplace: Workplace, tmp_path: Path
) -> None:
    folder = annotated_folder(tmp_path / "set", patients=["a", "b"])
    view = evaluations.evaluate_upload(workplace, LOCAL, stream=io.BytesIO(zipped(folder)), name="Two")
    assert view.state == "waiting"
    measure_all(workplace)
    found = detection.get_detection(workplace, LOCAL, view.code)
    assert found.evaluation.state == "done"
    assert found.report.headline.with_step_1 is not None
    assert not found.report.headline.with_step_1.enough
    assert found.report.headline.with_step_1.intervals.f1 is None
    assert "too few" in detection_words.answer(found).first
    assert not holds(workplace.home, b"Muster")
    assert not (evaluation_folder(workplace.home, view.code) / "data").exists()


def test_a_picture_without_a_patient_stands_for_its_own_and_the_answer_says_so(
    workplace: Workplace, tmp_path: Path
) -> None:
    folder = annotated_folder(tmp_path / "set", patients=["a", "b"], known_patients=False)
    view = evaluations.evaluate_upload(workplace, LOCAL, stream=io.BytesIO(zipped(folder)), name="Both")
    measure_all(workplace)
    found = detection.get_detection(workplace, LOCAL, view.code)
    assert [field.patient for field in found.figures] == [field.image for field in found.figures]
    assert "stand for their own" in detection_words.answer(found).second


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_what_is_no_zip_is_refused_and_nothing_stays(workplace: Workplace, content: bytes) -> None:
    with pytest.raises(DataError, match="unpacked as ZIP"):
        evaluations.evaluate_upload(workplace, LOCAL, stream=io.BytesIO(content), name="X")
    assert not list((workplace.home / "evaluations").glob("*"))
    assert evaluations.list_evaluations(workplace, LOCAL) == []


def test_a_zip_whose_manifest_names_a_picture_that_is_not_there_is_refused_without_a_path(
    workplace: Workplace,
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.csv", "image,mpp\ngone.png,0.5\n")
    with pytest.raises(DataError, match=r"^manifest\.csv, line 2") as caught:
        evaluations.evaluate_upload(workplace, LOCAL, stream=io.BytesIO(buffer.getvalue()), name="X")
    assert str(workplace.home) not in str(caught.value)
    assert not list((workplace.home / "evaluations").glob("*"))


def test_a_zip_cannot_write_beside_its_folder(workplace: Workplace, tmp_path: Path) -> None:
    folder = annotated_folder(tmp_path / "set", patients=["a"])
    buffer = io.BytesIO(zipped(folder))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("../../outside.txt", b"x")
        archive.writestr("/absolute.txt", b"x")
    buffer.seek(0)
    evaluations.evaluate_upload(workplace, LOCAL, stream=buffer, name="X")
    assert not list(tmp_path.rglob("outside.txt"))
    assert not list(tmp_path.rglob("absolute.txt"))


def test_marks_on_a_stored_picture_are_measured_with_the_pixel_size_of_its_run(
    workplace: Workplace, tmp_path: Path
) -> None:
    folder = annotated_folder(tmp_path / "set", patients=["a"])
    picture = (folder / "Frau Muster 0.png").read_bytes()
    stored = add_upload(workplace, LOCAL, io.BytesIO(picture), "a.png")
    submit(workplace, LOCAL, [ScoreRequest(stored.code, "B-1", "breast", patient_code="P-9", mpp=0.5)])
    work_off(workplace, FakeScorer())
    marks = (folder / "Frau Muster 0.csv").read_bytes()
    view = evaluations.evaluate_stored(
        workplace, LOCAL, annotations=[StoredAnnotation(stored.code, marks, "a.csv", mpp=0.5)], name="Marks"
    )
    measure_all(workplace)
    found = detection.get_detection(workplace, LOCAL, view.code)
    (field,) = found.figures
    assert (field.patient, field.patient_known, field.source) == ("P-9", True, "Marks")
    assert field.truth_positive + field.truth_negative > 50
    assert field.with_step_1 is not None
    assert field.with_step_1.faults.wrong_class == MISLABELLED
    assert found.pictures["F-01"] == detection.FieldPicture(stored.code, 0.5)


def test_marks_without_a_pixel_size_are_refused(workplace: Workplace, tmp_path: Path) -> None:
    folder = annotated_folder(tmp_path / "set", patients=["a"])
    stored = add_upload(workplace, LOCAL, io.BytesIO((folder / "Frau Muster 0.png").read_bytes()), "a.png")
    marks = (folder / "Frau Muster 0.csv").read_bytes()
    with pytest.raises(Ki67Error, match="pixel size"):
        evaluations.evaluate_stored(
            workplace, LOCAL, annotations=[StoredAnnotation(stored.code, marks, "a.csv")], name="Marks"
        )
    assert evaluations.list_evaluations(workplace, LOCAL) == []


def test_the_marks_over_a_field_are_its_errors(measured: Measured) -> None:
    field = measured.view.figures[0]
    layers = {
        step: detection.error_layer(
            measured.workplace, LOCAL, detection.layer_code(measured.code, field.image, step)
        )
        for step in detection.STEPS
    }
    masked, unmasked = layers["with_step_1"].marks, layers["without_step_1"].marks
    assert field.with_step_1 is not None
    assert field.without_step_1 is not None
    assert masked.count("wrong class") == MISLABELLED
    assert not masked.positive[masked.kind == KINDS.index("wrong class")].any()  # they are marked negative
    assert masked.count("missed") == field.with_step_1.faults.missed
    assert masked.count("invented") == 0
    assert masked.count("removed") >= field.truth_other  # and those of unknown kind
    assert unmasked.count("invented") == field.truth_other
    assert unmasked.count("removed") == 0
    assert layers["with_step_1"].tumor_map is not None
    assert json.loads(layers["with_step_1"].border_geojson)["coordinates"]
    assert layers["without_step_1"].tumor_map is None
    assert layers["with_step_1"].mpp == 0.5


def test_the_answer_leads_with_f1_its_interval_and_the_protocol(measured: Measured) -> None:
    view = measured.view
    answer = detection_words.answer(view)
    assert answer.first.startswith("The nets find nuclei and their class with F1 **0.")
    assert answer.first.endswith(").")
    assert "6 fields of 6 patients, none seen in training." in answer.second
    assert "Matched one to one within 4 µm, class by class; no border is excluded." in answer.second
    rows = detection_words.way_rows(view)
    assert [row.name for row in rows] == ["With step 1", "Without step 1", "Difference"]
    assert rows[0].not_tumor.startswith("0 of ")
    assert [row.difference for row in rows] == [False, False, True]
    assert rows[2].f1 is not None
    assert rows[2].f1 > 0
    words = detection_words.mask_sentence(view)
    assert words.startswith("Step 1 moves F1 by +0.")
    assert "counted nuclei that are not tumor." in words
    worst = detection_words.worst(view)
    assert "3 in the wrong class" in detection_words.reason_in_words(worst[0])


def test_an_evaluation_can_be_cancelled_while_it_runs_and_started_again(rooted: Workplace) -> None:
    view = evaluations.evaluate_folder(rooted, LOCAL, root="lab", relative="breast/set", name="Set 1")
    asked = threading.Event()

    def slow(field: object, *, models: object, cancelled: IsCancelled) -> RunRecord:
        if not asked.is_set():
            evaluations.cancel_evaluation(rooted, LOCAL, view.code)
            asked.set()
        while not cancelled():
            threading.Event().wait(0.05)
        raise Cancelled("Cancelled: nothing was stored.")

    measure_all(rooted, runner=slow)
    assert get_evaluation(rooted, LOCAL, view.code).state == "cancelled"
    assert not (evaluation_folder(rooted.home, view.code) / "result").exists()
    with pytest.raises(StoreError, match="is cancelled"):
        detection.get_detection(rooted, LOCAL, view.code)
    evaluations.restart_evaluation(rooted, LOCAL, view.code)
    measure_all(rooted)
    assert get_evaluation(rooted, LOCAL, view.code).state == "done"


def test_an_expired_lease_is_seen_as_interrupted(rooted: Workplace) -> None:
    view = evaluations.evaluate_folder(rooted, LOCAL, root="lab", relative="breast/set", name="Set 1")
    with transaction(rooted) as session:
        row = evaluation_queries.claim_evaluation(session, worker="w1", lease_seconds=-1)
    assert row is not None
    assert get_evaluation(rooted, LOCAL, view.code).state == "interrupted"
    assert queries.now() - view.created_at < timedelta(minutes=5)


def test_a_field_that_cannot_be_run_fails_the_evaluation_with_its_sentence(rooted: Workplace) -> None:
    view = evaluations.evaluate_folder(rooted, LOCAL, root="lab", relative="breast/set", name="Set 1")

    def broken(field: object, *, models: object, cancelled: IsCancelled) -> RunRecord:
        raise StoreError("The disk is full: free some space.")

    measure_all(rooted, runner=broken)
    seen = get_evaluation(rooted, LOCAL, view.code)
    assert (seen.state, seen.message) == ("failed", "The disk is full: free some space.")


def test_removing_an_evaluation_takes_its_files_and_leaves_the_pictures(rooted: Workplace) -> None:
    code = folder_measured(rooted)
    pictures = set((rooted.home / "pictures").iterdir())
    evaluations.remove_evaluation(rooted, LOCAL, code)
    assert evaluations.list_evaluations(rooted, LOCAL) == []
    assert not evaluation_folder(rooted.home, code).exists()
    assert set((rooted.home / "pictures").iterdir()) == pictures


def test_a_reader_is_shown_no_figure(measured: Measured) -> None:
    for ask in (detection.get_detection, evaluations.get_evaluation, detection.detection_files):
        with pytest.raises(Ki67Error, match="may not"):
            ask(measured.workplace, READER, measured.code)


def test_a_folder_without_manifest_is_refused(rooted: Workplace) -> None:
    with pytest.raises(DataError, match=r"manifest\.csv"):
        evaluations.evaluate_folder(rooted, LOCAL, root="lab", relative="breast", name="Set 1")


def test_names_are_suggested_in_turn(rooted: Workplace) -> None:
    assert evaluations.suggest_name(rooted, LOCAL) == "Set 1"
    evaluations.evaluate_folder(rooted, LOCAL, root="lab", relative="breast/set", name="Set 1")
    assert evaluations.suggest_name(rooted, LOCAL) == "Set 2"
