"""Model sets: a user's own is offered beside the shipped ones, shown by its card, compared with another."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from ki67.errors import ModelError, StoreError
from ki67.pipeline.cards import TrainingSource, write_model_folder
from ki67.settings import Settings
from ki67.study import card_words, model_compare, model_sets, scoring
from ki67.study.model_sets import ModelSetEntry, find_model_set, list_model_sets
from ki67.study.pictures import add_upload
from ki67.study.results import list_results
from ki67.study.scoring import ScoreRequest, submit
from ki67.study.workplace import Workplace, open_workplace
from ki67.types import RunRecord
from tests.picture_files import colors
from tests.pipeline_fakes import fake_card
from tests.stores import LOCAL, FakeScorer, png, work_off


@pytest.fixture
def database_url() -> str:
    return ""


def write_set(folder: Path, *, tumor: bool = True, seed: int = 0, **changes: object) -> Path:
    """A model set of weights next to nothing, different for each seed."""
    for task in ("tumor", "cells") if tumor else ("cells",):
        weights = {"weight": np.full((2, 2), seed, np.float32)}
        write_model_folder(folder / task, fake_card(task, **changes), weights)
    return folder


@pytest.fixture
def plain(tmp_path: Path) -> Workplace:
    """A store without a configured model set."""
    return open_workplace(Settings(home=tmp_path / "home"))


def own_set(workplace: Workplace, name: str, **changes: object) -> Path:
    return write_set(model_sets.own_folder(workplace) / name, **changes)  # type: ignore[arg-type]


def entry_of(workplace: Workplace, name: str) -> ModelSetEntry:
    return next(entry for entry in list_model_sets(workplace, LOCAL) if entry.name == name)


def test_a_users_own_set_is_offered_beside_the_shipped_ones_which_stay_the_usual(plain: Workplace) -> None:
    usual = scoring.current_model_set(plain, LOCAL).name
    own_set(plain, "mine")
    entries = list_model_sets(plain, LOCAL)
    assert (entries[0].name, entries[0].origin, entries[0].usual) == (usual, "shipped", True)
    assert (entries[1].name, entries[1].origin, entries[1].usual) == ("mine", "own", False)
    assert find_model_set(plain, "mine").cells.name == "test-cells"
    assert scoring.current_model_set(plain, LOCAL).name == usual


def test_a_configured_set_is_the_usual_one_and_the_others_stay(plain: Workplace, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "elsewhere" / "chosen")
    workplace = open_workplace(plain.settings.model_copy(update={"models": folder}))
    own_set(workplace, "mine")
    entries = list_model_sets(workplace, LOCAL)
    assert (entries[0].name, entries[0].origin, entries[0].usual) == ("chosen", "configured", True)
    assert {entry.name for entry in entries} > {"chosen", "mine"}


def test_a_set_with_the_name_of_a_shipped_one_never_takes_its_place(plain: Workplace) -> None:
    usual = find_model_set(plain)
    own_set(plain, usual.name)
    assert find_model_set(plain, usual.name).cells.sha256 == usual.cells.sha256
    assert [entry.origin for entry in list_model_sets(plain, LOCAL) if entry.name == usual.name] == [
        "shipped"
    ]


def test_a_broken_card_is_listed_with_its_fault_and_without_a_path(plain: Workplace) -> None:
    folder = own_set(plain, "broken")
    (folder / "cells" / "card.json").write_text("{}")
    entry = entry_of(plain, "broken")
    assert entry.cells is None
    assert entry.fault.startswith("broken/cells/card.json: the card's field")
    assert str(plain.home) not in entry.fault


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "nowhere"])
def test_a_name_that_is_no_installed_set_is_refused(plain: Workplace, name: str) -> None:
    with pytest.raises(ModelError):
        find_model_set(plain, name)


def test_a_picture_is_scored_with_the_set_that_was_chosen(workplace: Workplace) -> None:
    own_set(workplace, "mine", seed=3)
    code = add_upload(workplace, LOCAL, io.BytesIO(png(colors(400, 300))), "a.png").code
    submit(workplace, LOCAL, [ScoreRequest(code, "B-1", "breast", mpp=0.5, model_set="mine")])
    work_off(workplace, FakeScorer())
    assert [row.model_set for row in list_results(workplace, LOCAL)] == ["mine"]


def test_a_card_is_told_in_words_with_its_data_terms_figures_and_failures(plain: Workplace) -> None:
    own_set(
        plain,
        "mine",
        data=(TrainingSource("our lab", "ask first", 12),),
        known_failures=("Blurred pictures.",),
        figures={"held_out": {"f1": 0.8123, "images": 7}, "note": "short", "names": ["a", "b"]},
    )
    entry = entry_of(plain, "mine")
    assert entry.cells is not None
    facts = dict(card_words.facts(entry.cells))
    assert facts["Weights, sha256"] == entry.cells.sha256
    assert facts["Terms"] == "Research use only"
    assert facts["Name and version"] == "test-cells 1"
    (first, *_) = card_words.data_rows(entry)
    assert (first.source, first.terms, first.pictures) == ("our lab", "ask first", 12)
    assert card_words.failures(entry) == [
        ("Step 1, tumor", "Blurred pictures."),
        ("Step 2, nuclei", "Blurred pictures."),
    ]
    assert card_words.figure_rows(entry.cells.figures) == [
        ("Held out · F1", "0.812"),
        ("Held out · Pictures", "7"),
        ("Note", "short"),
        ("Names", "2 entries"),
    ]
    assert "both steps" in card_words.set_sentence(entry)


class TwoSets(FakeScorer):
    """Set *mine* calls twice as many nuclei positive."""

    def __call__(self, path: Path, **asked: object) -> RunRecord:  # type: ignore[override]
        models = asked["models"]
        self.positive = 240 if models.name == "mine" else 120  # type: ignore[attr-defined]
        return super().__call__(path, **asked)  # type: ignore[arg-type]


def scored_pictures(workplace: Workplace, sets: list[str | None], *, count: int) -> None:
    for number in range(count):
        pixels = colors(400, 300 + number)
        code = add_upload(workplace, LOCAL, io.BytesIO(png(pixels)), "a.png").code
        for name in sets:
            request = ScoreRequest(
                code, f"B-{number}", "breast", patient_code=f"P-{number // 2}", mpp=0.5, model_set=name
            )
            submit(workplace, LOCAL, [request])
    work_off(workplace, TwoSets())


def test_two_sets_are_compared_on_the_same_pictures_paired_over_patients(workplace: Workplace) -> None:
    own_set(workplace, "mine", seed=3)
    usual = find_model_set(workplace).name
    scored_pictures(workplace, [None, "mine"], count=4)
    found = model_compare.compare_model_sets(workplace, LOCAL, first=usual, second="mine")
    assert (len(found.pairs), found.patients, found.missing, found.not_assessable) == (4, 2, 0, 0)
    assert found.difference.value == pytest.approx(20.0)
    assert found.difference.n == 2
    assert (found.mean.value, found.mean.n) == (pytest.approx(20.0), 4)
    assert found.pairs[0].first_counts == (120, 480)
    back = model_compare.compare_model_sets(workplace, LOCAL, first="mine", second=usual)
    assert back.difference.value == pytest.approx(-20.0)


def test_pictures_that_one_set_lacks_are_counted_and_scored_with_the_same_settings(
    workplace: Workplace,
) -> None:
    own_set(workplace, "mine", seed=3)
    usual = find_model_set(workplace).name
    scored_pictures(workplace, [None], count=2)
    found = model_compare.compare_model_sets(workplace, LOCAL, first=usual, second="mine")
    assert (found.pairs, found.missing, found.difference.value, found.difference.reason) == (
        (),
        2,
        None,
        "no_pairs",
    )
    jobs = model_compare.score_missing(workplace, LOCAL, first=usual, second="mine")
    assert len(jobs) == 2
    work_off(workplace, TwoSets())
    after = model_compare.compare_model_sets(workplace, LOCAL, first=usual, second="mine")
    assert (len(after.pairs), after.missing) == (2, 0)
    with pytest.raises(StoreError, match="nothing left to score"):
        model_compare.score_missing(workplace, LOCAL, first=usual, second="mine")


def test_one_set_is_not_compared_with_itself(workplace: Workplace) -> None:
    with pytest.raises(StoreError, match="choose two"):
        model_compare.compare_model_sets(workplace, LOCAL, first="set-a", second="set-a")
