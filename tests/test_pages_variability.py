"""The page Variability on an empty store, with one session, and with a study."""

from __future__ import annotations

import numpy as np
import pytest

from ki67.study.people import local_person
from ki67.study.readings import NewReading, ReadingKey, enter_readings
from ki67.study.studies import create_study
from ki67.study.workplace import Workplace
from tests.pages_store import empty_workplace, open_page, words_of

__all__ = ["empty_workplace"]
PAGE = "pages/variability.py"
LOCAL = local_person()


def add_study(workplace: Workplace, *, readers: int = 5, sessions: int = 1) -> None:
    """Twelve tumors from 2 to 57 %, read alike but for some noise; the algorithm reads 1 point more."""
    create_study(workplace, LOCAL, code="S1", title="Twelve tumors", site="breast")
    rng = np.random.default_rng(1)
    truth = np.linspace(2, 57, 12)
    rows = [
        NewReading(
            ReadingKey(f"T{case + 1}", f"O{reader + 1}", session=str(session + 1)),
            round(float(np.clip(truth[case] * np.exp(rng.normal(0, 0.1)), 0, 100)), 1),
        )
        for case in range(12)
        for reader in range(readers)
        for session in range(sessions)
    ]
    rows += [NewReading(ReadingKey(f"T{c + 1}", "algorithm"), float(truth[c]) + 1) for c in range(12)]
    enter_readings(workplace, LOCAL, "S1", rows)


def test_an_empty_store_says_what_will_stand_here_and_how_to_get_there(workplace: Workplace) -> None:
    app = open_page(PAGE)
    assert not app.exception
    assert "It needs a study" in words_of(app)
    assert "Import readings" in [button.label for button in app.button]


def test_the_answer_the_table_and_the_caption_tell_the_study(workplace: Workplace) -> None:
    add_study(workplace)
    app = open_page(PAGE)
    assert not app.exception
    words = words_of(app)
    assert "One reader agrees with another at ICC" in words
    assert "The algorithm lies inside the readers’ range in" in words
    assert "Needs two sessions; one has readings." in app.table[0].value.to_string()
    assert "not measured" in app.table[0].value.to_string()
    assert "An ICC rises with the spread of the cases." in words
    assert "12 tumors · 60 readings · 0 excluded" in words


@pytest.mark.parametrize("plot", ["Shares", "Reader bias", "Reader and tumor", "Spread"])
def test_each_plot_replaces_the_first(workplace: Workplace, plot: str) -> None:
    add_study(workplace, sessions=2)
    app = open_page(PAGE, plot=plot, study="S1")
    assert not app.exception
    assert "One reader agrees with another" in words_of(app)


def test_one_reader_alone_is_shown_without_an_agreement(workplace: Workplace) -> None:
    add_study(workplace, readers=1)
    app = open_page(PAGE)
    assert not app.exception
    assert "The agreement of the readers cannot be told" in words_of(app)
