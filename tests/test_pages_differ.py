"""The page Why do we differ?, on an empty store and with a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from ki67.study.people import local_person
from ki67.study.readings import NewReading, ReadingKey, enter_readings
from ki67.study.studies import create_study
from ki67.study.workplace import Workplace
from tests.pages_store import empty_workplace, open_page, words_of
from tests.test_differences import region, score

__all__ = ["empty_workplace"]
PAGE = "pages/differ.py"


def test_an_empty_store_says_what_will_stand_here(workplace: Workplace) -> None:
    app = open_page(PAGE)
    assert not app.exception
    assert "It needs a study" in words_of(app)


def test_readings_without_a_result_ask_for_scoring(workplace: Workplace) -> None:
    create_study(workplace, local_person(), code="S1", title="Study", site="breast")
    enter_readings(workplace, local_person(), "S1", [NewReading(ReadingKey("T1", "O1"), 10.0)])
    app = open_page(PAGE)
    assert not app.exception
    assert "No tumor of this study has a result of the algorithm yet." in words_of(app)


@pytest.mark.parametrize("with_region", [True, False])
def test_the_answer_names_the_largest_part_first(
    workplace: Workplace, tmp_path: Path, with_region: bool
) -> None:
    create_study(workplace, local_person(), code="S1", title="Study", site="breast")
    picture = score(workplace, tmp_path, "T1")
    new = NewReading(
        ReadingKey("T1", "O1"),
        70.0,
        region_geojson=region(100, 99) if with_region else None,
        picture_code=picture if with_region else None,
    )
    enter_readings(workplace, local_person(), "S1", [new])
    app = open_page(PAGE)
    assert not app.exception
    words = words_of(app)
    if with_region:
        assert "What separates readers and algorithm: region **60 %**, tumor mask **20 %**" in words
        assert app.dataframe[0].value["Region"].tolist() == ["30.0"]
    else:
        assert "No reader gave a region" in words
        assert app.dataframe[0].value["Region"].tolist() == ["no region"]
