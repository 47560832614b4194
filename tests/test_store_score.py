"""A run that cannot be stored leaves the store as it was: no picture, no case, no half result."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from db import queries
from db.rows import FileCodes
from ki67.errors import StoreError
from ki67.pipeline.measure import measure
from ki67.study import records
from ki67.study.pictures import add_file
from ki67.study.records import StoredResult, store_score
from ki67.study.scoring import ScoreRequest, submit
from ki67.study.workplace import Workplace, reading
from tests.picture_files import colors, write_image
from tests.records import make_record, scattered
from tests.stores import LOCAL, files_below

OUTLINE = (
    b'{"type": "Feature", "properties": {"classification": {"name": "Tumor"}}, "geometry": {"type":'
    b' "Polygon", "coordinates": [[[0, 0], [300, 0], [300, 200], [0, 200], [0, 0]]]}}'
)


def picture_file(folder: Path, *, seed: int) -> Path:
    return write_image(folder / f"{seed}.png", colors(400, 300, seed=seed))


def store(
    workplace: Workplace, picture: Path, *, case_code: str | None = None, site: str = "breast"
) -> StoredResult:
    """Stores a run of known counts on a picture, with an outline beside it."""
    x, y = scattered(600, width_px=400, height_px=300, seed=0)
    record = make_record(x, y, x > 200, width_px=400, height_px=300)
    return store_score(
        workplace,
        LOCAL,
        picture=picture,
        record=record,
        measurement=measure(record),
        model_set="set-a",
        outline_geojson=OUTLINE,
        site=site,  # type: ignore[arg-type]  # a site as a table may name it
        case_code=case_code,
    )


def known(workplace: Workplace) -> tuple[FileCodes, list[str], dict[str, bytes]]:
    """Codes of everything that has files, codes of cases, and the files."""
    with reading(workplace) as session:
        codes = queries.codes_of_files(session)
        cases = sorted(queries.case_codes(session, prefix=""))
    return codes, cases, files_below(workplace.home)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs find no room any more."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records, "save_run", full)


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("case_code", [None, "B-1"])
def test_a_run_that_cannot_be_stored_takes_its_picture_and_case_with_it(
    workplace: Workplace, tmp_path: Path, case_code: str | None
) -> None:
    before = known(workplace)
    with pytest.raises(StoreError, match="is full: free some space and try again"):
        store(workplace, picture_file(tmp_path, seed=1), case_code=case_code)
    assert known(workplace) == before
    assert before[1] == []


@pytest.mark.usefixtures("full_disk")
def test_a_picture_that_was_there_before_stays_without_a_case(workplace: Workplace, tmp_path: Path) -> None:
    path = picture_file(tmp_path, seed=1)
    stored = add_file(workplace, LOCAL, path)
    before = known(workplace)
    with pytest.raises(StoreError, match="is full"):
        store(workplace, path, case_code="B-1")
    assert known(workplace) == before
    assert stored.code in before[0].pictures


def test_a_case_of_another_site_keeps_run_and_picture_out(workplace: Workplace, tmp_path: Path) -> None:
    store(workplace, picture_file(tmp_path, seed=1), case_code="B-1")
    before = known(workplace)
    with pytest.raises(StoreError, match="stored with the site breast"):
        store(workplace, picture_file(tmp_path, seed=2), case_code="B-1", site="other")
    assert known(workplace) == before
    assert before[1] == ["B-1"]


def test_a_new_picture_stays_when_somebody_else_uses_it_by_now(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture_file(tmp_path, seed=1)

    def used_then_full(*_: object, **__: object) -> None:
        code = add_file(workplace, LOCAL, path).code
        submit(workplace, LOCAL, [ScoreRequest(code, "B-2", "breast", mpp=0.5)])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records, "save_run", used_then_full)
    with pytest.raises(StoreError, match="is full"):
        store(workplace, path)
    codes, cases, files = known(workplace)
    assert len(codes.pictures) == 1
    assert cases == ["B-2"]
    assert any(name.endswith("picture.tif") for name in files)
