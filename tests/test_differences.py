"""Why do we differ: the split into region, tumor mask and calls, on runs whose counts are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ki67.errors import NotAllowed
from ki67.pipeline.measure import measure
from ki67.study.differences import Split, differences, part_shares
from ki67.study.material import Selection, gather
from ki67.study.readings import NewReading, ReadingKey, enter_readings
from ki67.study.records import store_score
from ki67.study.studies import create_study
from ki67.study.workplace import Workplace
from tests.pages_store import draw_png
from tests.records import make_record
from tests.stores import LOCAL, READER

SIDE = 400


def strip(count: int, positive: int, x: float) -> tuple[list[float], list[float], list[bool]]:
    """`count` nuclei one below the other at `x`, the first `positive` of them positive."""
    ys = np.linspace(20, SIDE - 20, count)
    return [x] * count, ys.tolist(), [place < positive for place in range(count)]


def region(x: int, width: int) -> str:
    """A full-height band of the picture, as QuPath exports it."""
    corners = [[x, 0], [x + width, 0], [x + width, SIDE], [x, SIDE], [x, 0]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]})


def score(workplace: Workplace, folder: Path, case: str, *, seed: int = 0) -> str:
    """Left half tumor, right half not.

    Far left 10 of 50 positive, middle left 30 of 50, right (no tumor) 0 of 100: the picture's code.
    """
    bands = [strip(50, 10, 50.0), strip(50, 30, 150.0), strip(100, 0, 300.0)]
    x, y, positive = ([value for band in bands for value in band[part]] for part in range(3))
    tumor = np.zeros((SIDE // 4, SIDE // 4), np.uint8)
    tumor[:, : SIDE // 8] = 255
    record = make_record(x, y, positive, width_px=SIDE, height_px=SIDE, tumor=tumor, seed=seed)
    stored = store_score(
        workplace,
        LOCAL,
        picture=draw_png(folder / f"{case}.png", seed=seed, side_px=SIDE),
        record=record,
        measurement=measure(record),
        model_set="test-set",
        site="breast",
        case_code=case,
    )
    return stored.picture_code


def read(workplace: Workplace, rows: list[NewReading]) -> None:
    enter_readings(workplace, LOCAL, "S1", rows)


@pytest.fixture(autouse=True)
def study(workplace: Workplace) -> None:
    create_study(workplace, LOCAL, code="S1", title="Study", site="breast")


def splits(workplace: Workplace) -> tuple[Split, ...]:
    return differences(workplace, LOCAL, gather(workplace, LOCAL, "S1", Selection())).splits


def test_a_region_within_the_tumor_changes_the_index_and_not_the_mask(
    workplace: Workplace, tmp_path: Path
) -> None:
    picture = score(workplace, tmp_path, "T1")
    middle = region(100, 99)
    read(
        workplace,
        [NewReading(ReadingKey("T1", "O1"), 70.0, region_geojson=middle, picture_code=picture)],
    )
    (split,) = splits(workplace)
    assert split.algorithm_percent == pytest.approx(40.0)  # 40 of 100
    # own: mask on 40 %, off 40 of 200 = 20 %; middle band: 30 of 50 = 60 % either way
    assert split.region == pytest.approx(((60 - 40) + (60 - 20)) / 2)
    assert split.mask == pytest.approx(((20 - 40) + (60 - 60)) / 2)
    assert split.calls == pytest.approx(10.0)
    assert split.region + split.mask + split.calls == pytest.approx(split.difference)
    assert split.sentence() == (
        "O1 70.0 %, algorithm 40.0 %: region + 30.0, tumor mask − 10.0, calls + 10.0 points."
    )


def test_a_region_that_takes_in_stroma_shows_in_the_mask(workplace: Workplace, tmp_path: Path) -> None:
    picture = score(workplace, tmp_path, "T1")
    everything = region(0, SIDE)
    read(
        workplace,
        [NewReading(ReadingKey("T1", "O1"), 20.0, region_geojson=everything, picture_code=picture)],
    )
    (split,) = splits(workplace)
    assert (split.region, split.mask, split.calls) == (pytest.approx(0), pytest.approx(-20), pytest.approx(0))


def test_a_reader_without_a_region_has_no_region_part(workplace: Workplace, tmp_path: Path) -> None:
    score(workplace, tmp_path, "T1")
    read(workplace, [NewReading(ReadingKey("T1", "O1"), 50.0)])
    (split,) = splits(workplace)
    assert split.region is None
    assert split.mask == pytest.approx(-20.0)
    assert split.calls == pytest.approx(30.0)
    assert "no region was given" in split.sentence()


def test_a_region_without_a_nucleus_cannot_be_split_and_is_counted(
    workplace: Workplace, tmp_path: Path
) -> None:
    picture = score(workplace, tmp_path, "T1")
    empty = region(200, 50)
    read(
        workplace,
        [NewReading(ReadingKey("T1", "O1"), 50.0, region_geojson=empty, picture_code=picture)],
    )
    found = differences(workplace, LOCAL, gather(workplace, LOCAL, "S1", Selection()))
    assert (found.splits, found.not_split) == ((), 1)


def test_tumors_without_a_result_are_counted_and_the_worst_case_comes_first(
    workplace: Workplace, tmp_path: Path
) -> None:
    for number, value in ((1, 45.0), (2, 90.0), (3, 10.0)):
        picture = score(workplace, tmp_path, f"T{number}", seed=number)
        read(
            workplace,
            [
                NewReading(
                    ReadingKey(f"T{number}", "O1"), value, region_geojson=region(0, 200), picture_code=picture
                )
            ],
        )
    read(workplace, [NewReading(ReadingKey("T9", "O1"), 5.0)])
    found = differences(workplace, LOCAL, gather(workplace, LOCAL, "S1", Selection()))
    assert found.without_result == 1
    assert [split.case_code for split in found.worst()] == ["T2", "T3", "T1"]
    assert [share.low for share in found.shares] == [None] * 3  # three patients are too few
    with pytest.raises(NotAllowed):
        differences(workplace, READER, gather(workplace, LOCAL, "S1", Selection()))


def a_split(patient: str, region_part: float, mask: float, calls: float) -> Split:
    total = region_part + mask + calls
    return Split("T", patient, "O", "1", 20 + total, 20.0, region_part, mask, calls, 0.0, "r", None, None)


def test_shares_are_those_of_the_absolute_parts_with_limits_over_patients() -> None:
    rows = [a_split(f"P{number}", 4.0, -1.0, 5.0 if number % 2 else -5.0) for number in range(12)]
    shares = part_shares(rows, seed=0, draws=500)
    assert [share.share for share in shares] == pytest.approx([0.4, 0.1, 0.5])
    assert [share.mean_points for share in shares] == pytest.approx([4.0, -1.0, 0.0])
    assert all(share.low == pytest.approx(share.share) == share.high for share in shares)  # all alike
    mixed = [*rows, *(a_split(f"Q{number}", 0.0, 0.0, 10.0) for number in range(12))]
    calls = part_shares(mixed, seed=0, draws=500)[2]
    assert calls.low is not None
    assert calls.high is not None
    assert calls.low < 0.75 < calls.high
    again = part_shares(mixed, seed=0, draws=500)[2]
    assert (again.low, again.high) == (calls.low, calls.high)


def test_no_difference_and_no_reading_have_no_shares() -> None:
    assert part_shares([], seed=0, draws=100) == ()
    assert part_shares([a_split("P", 0.0, 0.0, 0.0)], seed=0, draws=100) == ()
