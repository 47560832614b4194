"""The demonstration study: synthetic tumors of known index, simulated readers with stated components."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ki67.errors import NotAllowed
from ki67.study import demo_study
from ki67.study.demo_study import (
    STUDY_CODE,
    demo_study_there,
    load_demo_study,
    make_whole_study,
    simulated_readings,
    study_cases,
)
from ki67.study.material import Selection, gather
from ki67.study.plans import current_plan
from ki67.study.readings import list_readings
from ki67.study.workplace import Workplace
from ki67.types import Progress
from tests.stores import LOCAL, READER, FakeScorer


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_study, "SIDE_PX", 192)
    monkeypatch.setattr(demo_study, "TUMORS", 4)


def test_the_tumors_cover_low_and_high_indices_in_a_mixed_order() -> None:
    shares = [case.positive_share for case in study_cases()]
    assert min(shares) == pytest.approx(0.02)
    assert max(shares) == pytest.approx(0.55)
    assert shares != sorted(shares)
    assert len({case.seed for case in study_cases()}) == 4


def test_the_button_stores_plan_and_readings_and_queues_the_scoring_once(workplace: Workplace) -> None:
    steps: list[Progress] = []
    assert not demo_study_there(workplace, LOCAL)
    jobs = load_demo_study(workplace, LOCAL, progress=steps.append)
    assert demo_study_there(workplace, LOCAL)
    assert [job.state for job in jobs] == ["waiting"] * 4
    assert (steps[0], steps[-1]) == (Progress("case", 0, 4), Progress("case", 4, 4))
    readings = list_readings(workplace, LOCAL, STUDY_CODE)
    assert len(readings) == 4 * 30 * 2
    version = current_plan(workplace, LOCAL, STUDY_CODE)
    assert version is not None
    assert (version.frozen, version.after_readings) == (True, False)
    again = load_demo_study(workplace, LOCAL)
    assert [job.code for job in again] == [job.code for job in jobs]
    assert len(list_readings(workplace, LOCAL, STUDY_CODE)) == 4 * 30 * 2


def test_five_readers_say_where_they_looked(workplace: Workplace) -> None:
    load_demo_study(workplace, LOCAL)
    readings = list_readings(workplace, LOCAL, STUDY_CODE)
    with_region = {each.key.reader_code for each in readings if each.region_geojson}
    assert with_region == {"O01", "O02", "O03", "O04", "O05"}
    region = next(each for each in readings if each.region_geojson)
    corners = np.array(json.loads(region.region_geojson or "")["features"][0]["geometry"]["coordinates"][0])
    assert corners.min() >= 0
    assert corners.max() <= 192
    assert region.picture_code is not None


def test_scored_at_once_every_tumor_has_a_value_of_the_algorithm(workplace: Workplace) -> None:
    scorer = FakeScorer()
    assert make_whole_study(workplace, LOCAL, scorer=scorer) == 4
    material = gather(workplace, LOCAL, STUDY_CODE, Selection())
    assert len(material.algorithm) == 4
    assert material.study.synthetic
    assert len(material.readers) == 30
    assert material.sessions == ("1", "2")
    assert make_whole_study(workplace, LOCAL, scorer=scorer) == 4
    assert len(scorer.calls) == 4


def test_the_readers_have_the_components_that_the_plan_states() -> None:
    truths = np.full(4000, 30.0)
    logs = np.log(simulated_readings(truths))
    between_sessions = (logs[:, :, 0] - logs[:, :, 1]).std() / np.sqrt(2)
    assert between_sessions == pytest.approx(demo_study.SD_RESIDUAL, rel=0.03)
    readers = logs.mean(axis=(0, 2))
    assert readers.std(ddof=1) == pytest.approx(demo_study.SD_READER, rel=0.3)
    interaction = logs.mean(axis=2) - readers
    expected = np.hypot(demo_study.SD_READER_TUMOR, demo_study.SD_RESIDUAL / np.sqrt(2))
    assert interaction.std() == pytest.approx(expected, rel=0.03)


def test_readers_read_whole_percentages_and_halves_below_5() -> None:
    values = simulated_readings([0.0, 2.0, 12.0, 60.0])
    assert ((values * 2) % 1 == 0).all()
    assert (values[values >= 5] % 1 == 0).all()
    assert values.min() >= 0
    assert values.max() <= 100


def test_a_reader_may_not_load_it(workplace: Workplace) -> None:
    with pytest.raises(NotAllowed):
        load_demo_study(workplace, READER)
