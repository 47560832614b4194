"""Jobs: a queue in a table, leases, progress, cancel; a worker that dies leaves nothing half-written."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import queries
from ki67.errors import ModelError, NotAllowed, PictureError, StoreError, UnknownPixelSize
from ki67.settings import Settings
from ki67.study import execute, jobs, records, results
from ki67.study.jobs import JobView, list_jobs
from ki67.study.pictures import add_from_slides, add_upload
from ki67.study.scoring import ScoreRequest, estimate_seconds, submit
from ki67.study.worker import work
from ki67.study.workplace import Workplace, open_workplace, reading
from ki67.types import Rect
from tests.picture_files import colors, write_image
from tests.stores import ANALYST, LOCAL, READER, FakeScorer, files_below, png, wait_for, work_off

OUTLINE = (
    b'{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "by Erika",'
    b' "classification": {"name": "Tumor"}}, "geometry": {"type": "Polygon", "coordinates":'
    b" [[[0, 0], [300, 0], [300, 200], [0, 200], [0, 0]]]}}]}"
)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def picture(workplace: Workplace, *, seed: int = 0) -> str:
    return add_upload(workplace, LOCAL, io.BytesIO(png(colors(400, 300, seed=seed))), "a.png").code


def request(workplace: Workplace, *, seed: int = 0, **options: object) -> ScoreRequest:
    values = {"picture_code": picture(workplace, seed=seed), "case_code": f"B-{seed}", "site": "breast"}
    return ScoreRequest(**{**values, "mpp": 0.5, **options})  # type: ignore[arg-type]


def one(workplace: Workplace, code: str) -> JobView:
    return jobs.get_job(workplace, LOCAL, code)


def test_a_submitted_picture_waits_is_scored_and_has_a_result(workplace: Workplace) -> None:
    (job,) = submit(workplace, LOCAL, [request(workplace)])
    assert (job.state, job.case_code, job.site, job.attempts) == ("waiting", "B-0", "breast", 0)
    assert job.megapixels == pytest.approx(0.12)
    work_off(workplace, FakeScorer())
    done = one(workplace, job.code)
    assert (done.state, done.attempts, done.message, done.recognised) == ("done", 1, "", False)
    assert done.result_code is not None
    assert done.started_at is not None
    assert done.finished_at is not None
    assert {"cells", "index"} <= set(done.stage_seconds)
    view = results.get_result(workplace, LOCAL, done.result_code)
    assert (view.measurement.positive, view.measurement.negative) == (120, 480)
    assert (view.pixel_size.mpp, view.pixel_size.source) == (0.5, "given")


def test_jobs_are_done_in_the_order_in_which_they_came(workplace: Workplace) -> None:
    submit(workplace, LOCAL, [request(workplace, seed=seed) for seed in (3, 1, 2)])
    scorer = FakeScorer()
    work_off(workplace, scorer)
    assert scorer.calls == ["B-3", "B-1", "B-2"]
    assert [job.case_code for job in list_jobs(workplace, LOCAL)] == ["B-2", "B-1", "B-3"]


def test_the_same_picture_with_the_same_settings_is_recognised(workplace: Workplace) -> None:
    (first,) = submit(workplace, LOCAL, [request(workplace)])
    (waiting,) = submit(workplace, LOCAL, [request(workplace)])
    assert waiting.code == first.code
    scorer = FakeScorer()
    work_off(workplace, scorer)
    (again,) = submit(workplace, LOCAL, [request(workplace)])
    assert (again.state, again.recognised) == ("done", True)
    assert again.result_code == one(workplace, first.code).result_code
    assert len(scorer.calls) == 1


@pytest.mark.parametrize(
    "other",
    [{"mpp": 0.4}, {"roi": Rect(0, 0, 200, 200)}, {"use_tumor_mask": False}, {"seed": 0, "mpp": 0.51}],
)
def test_other_settings_are_another_run(workplace: Workplace, other: dict[str, object]) -> None:
    scorer = FakeScorer()
    submit(workplace, LOCAL, [request(workplace)])
    work_off(workplace, scorer)
    (job,) = submit(workplace, LOCAL, [request(workplace, **other)])
    assert job.state == "waiting"
    work_off(workplace, scorer)
    assert len(scorer.calls) == 2
    assert len(results.list_results(workplace, LOCAL)) == 2


def test_an_outline_beside_the_tumor_only_counts_again_and_one_in_its_place_runs_again(
    workplace: Workplace,
) -> None:
    scorer = FakeScorer()
    submit(workplace, LOCAL, [request(workplace)])
    work_off(workplace, scorer)
    submit(workplace, LOCAL, [request(workplace, outline_geojson=OUTLINE)])
    work_off(workplace, scorer)
    assert len(scorer.calls) == 1
    (job,) = submit(workplace, LOCAL, [request(workplace, outline_geojson=OUTLINE, use_outline=True)])
    work_off(workplace, scorer)
    assert len(scorer.calls) == 2
    assert scorer.outlines[0] is None
    assert scorer.outlines[1] is not None
    view = results.get_result(workplace, LOCAL, one(workplace, job.code).result_code or "")
    assert view.use_outline
    assert view.outline is not None
    assert "Erika" not in view.outline
    layer = results.nuclei_layer(workplace, LOCAL, view.code)
    inside = (layer.x_px < 299.5) & (layer.y_px < 199.5)
    assert view.measurement.positive + view.measurement.negative == inside.sum()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"mpp": None}, UnknownPixelSize, "B-0"),
        ({"mpp": 0.0}, PictureError, "must be above 0"),
        ({"mpp": -1.0}, PictureError, "must be above 0"),
        ({"mpp": 50.0}, PictureError, "outside 0.05–4"),
        ({"mpp": 1.5}, PictureError, "too coarse"),
        ({"case_code": " "}, StoreError, "case code is empty"),
        ({"site": "liver"}, StoreError, "is not a site"),
        ({"roi": Rect(300, 0, 200, 100)}, StoreError, "reaches beyond the picture of 400 × 300 px"),
        ({"roi": Rect(-1, 0, 20, 10)}, StoreError, "reaches beyond the picture"),
        ({"use_outline": True}, StoreError, "no outline to count in"),
        ({"picture_code": "p0"}, StoreError, "no picture with this code"),
        ({"model_set": "none-such"}, ModelError, "none-such"),
        ({"model_set": "../x"}, ModelError, "not the name of a model set"),
    ],
)
def test_one_request_that_cannot_be_run_keeps_the_others_out_too(
    workplace: Workplace, options: dict[str, object], error: type[Exception], words: str
) -> None:
    good = request(workplace, seed=1)
    bad = request(workplace, **options)
    with pytest.raises(error, match=words):
        submit(workplace, LOCAL, [good, bad])
    assert list_jobs(workplace, LOCAL) == []
    with reading(workplace) as session:
        assert queries.case_by_code(session, "B-1") is None


def test_the_same_picture_under_another_case_code_is_refused(workplace: Workplace) -> None:
    submit(workplace, LOCAL, [request(workplace)])
    with pytest.raises(StoreError, match="belongs to case B-0 already"):
        submit(workplace, LOCAL, [request(workplace, case_code="B-9")])
    assert len(list_jobs(workplace, LOCAL)) == 1


def test_a_waiting_job_is_cancelled_at_once_and_can_be_started_again_or_removed(workplace: Workplace) -> None:
    (job,) = submit(workplace, LOCAL, [request(workplace)])
    assert jobs.cancel(workplace, LOCAL, job.code).state == "cancelled"
    assert jobs.restart(workplace, LOCAL, job.code).state == "waiting"
    with pytest.raises(StoreError, match="B-0 is waiting: there is nothing to start again"):
        jobs.restart(workplace, LOCAL, job.code)
    jobs.remove(workplace, LOCAL, job.code)
    assert list_jobs(workplace, LOCAL) == []
    with pytest.raises(StoreError, match="no job with this code"):
        one(workplace, job.code)


def test_a_running_job_is_cancelled_and_leaves_nothing(workplace: Workplace, stop: threading.Event) -> None:
    (job,) = submit(workplace, LOCAL, [request(workplace)])
    before = files_below(workplace.home)
    scorer = FakeScorer(steps=600, step_seconds=0.05)
    thread = threading.Thread(target=work, args=(workplace, scorer), kwargs={"stop": stop})
    thread.start()
    wait_for(lambda: one(workplace, job.code).done > 0, "progress")
    running = one(workplace, job.code)
    assert (running.state, running.stage, running.total) == ("running", "cells", 600)
    assert running.seconds_left is not None
    assert 0 < running.seconds_left < 600
    with pytest.raises(StoreError, match="is running: cancel it first"):
        jobs.remove(workplace, LOCAL, job.code)
    assert jobs.cancel(workplace, LOCAL, job.code).cancelling
    wait_for(lambda: one(workplace, job.code).state == "cancelled", "the cancel")
    stop.set()
    thread.join()
    assert files_below(workplace.home) == before
    assert results.list_results(workplace, LOCAL) == []


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (PictureError("“B-0” is damaged: copy it again."), "“B-0” is damaged: copy it again."),
        (OSError(5, "Input/output error"), "The picture cannot be read any more (Input/output error)"),
        (RuntimeError("x"), "The software made a mistake (RuntimeError)"),
        (MemoryError(), "The software made a mistake (MemoryError)"),
    ],
)
def test_a_job_that_fails_keeps_its_sentence_and_the_next_one_runs(
    workplace: Workplace, fault: Exception, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (bad,) = submit(workplace, LOCAL, [request(workplace)])
    before = files_below(workplace.home)
    work_off(workplace, FakeScorer(fault=fault))
    assert files_below(workplace.home) == before
    failed = one(workplace, bad.code)
    assert failed.state == "failed"
    assert failed.message.startswith(sentence)
    assert ("Traceback" in capfd.readouterr().err) == (not isinstance(fault, (PictureError, OSError)))
    jobs.restart(workplace, LOCAL, bad.code)
    work_off(workplace, FakeScorer())
    assert (one(workplace, bad.code).state, one(workplace, bad.code).attempts) == ("done", 2)


def test_a_full_disk_at_the_end_fails_the_job_and_leaves_the_store_as_it_was(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = submit(workplace, LOCAL, [request(workplace)])
    before = files_below(workplace.home)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records, "write_whole_file", full_disk)
    work_off(workplace, FakeScorer())
    monkeypatch.undo()
    failed = one(workplace, job.code)
    assert failed.message == "The disk of the data folder (KI67_HOME) is full: free some space and try again."
    assert files_below(workplace.home) == before
    assert results.list_results(workplace, LOCAL) == []


def test_a_slide_root_that_vanishes_in_mid_run_fails_the_job_with_its_name(
    tmp_path: Path, model_folder: Path
) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    write_image(slides / "a.png", colors(400, 300))
    workplace = open_workplace(
        Settings(home=tmp_path / "home", models=model_folder, slides={"siteA": slides})
    )
    code = add_from_slides(workplace, LOCAL, root="siteA", relative="a.png").code
    (job,) = submit(
        workplace, LOCAL, [ScoreRequest(picture_code=code, case_code="B-0", site="breast", mpp=0.5)]
    )

    class Vanishing(FakeScorer):
        def __call__(self, path: Path, **options: object) -> object:  # type: ignore[override]
            slides.rename(tmp_path / "away")
            raise PictureError("“B-0” is not there: check the path, or whether its folder is still mounted.")

    work_off(workplace, Vanishing())
    failed = one(workplace, job.code)
    assert failed.state == "failed"
    assert failed.message.startswith("The slide folder siteA is not there at the moment: connect it again")
    (tmp_path / "away").rename(slides)
    jobs.restart(workplace, LOCAL, job.code)
    work_off(workplace, FakeScorer())
    assert one(workplace, job.code).state == "done"


def test_the_time_of_a_job_is_estimated_from_earlier_runs(workplace: Workplace) -> None:
    assert estimate_seconds(workplace, LOCAL, megapixels=1) is None
    (first,) = submit(workplace, LOCAL, [request(workplace)])
    assert first.seconds_left is None
    work_off(workplace, FakeScorer())  # 6.5 s for 0.12 megapixels
    assert estimate_seconds(workplace, LOCAL, megapixels=1.2) == pytest.approx(65)
    (second,) = submit(workplace, LOCAL, [request(workplace, seed=1)])
    assert second.seconds_left == pytest.approx(6.5)


def test_readers_see_no_jobs_and_analysts_start_none(workplace: Workplace) -> None:
    (job,) = submit(workplace, LOCAL, [request(workplace)])
    with pytest.raises(NotAllowed):
        list_jobs(workplace, READER)
    assert list_jobs(workplace, ANALYST)[0].code == job.code
    for act in (jobs.cancel, jobs.restart, jobs.remove):
        with pytest.raises(NotAllowed):
            act(workplace, ANALYST, job.code)
    with pytest.raises(NotAllowed):
        submit(workplace, ANALYST, [])


def test_models_that_changed_since_the_job_was_asked_for_fail_it(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = submit(workplace, LOCAL, [request(workplace)])
    monkeypatch.setattr(execute, "models_used", lambda *_, **__: {"tumor": None, "cells": None})
    scorer = FakeScorer()
    work_off(workplace, scorer)
    assert one(workplace, job.code).message.startswith("The model set set-a changed since this job")
    assert scorer.calls == []
