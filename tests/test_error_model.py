"""The error model: parts recovered from fields whose parts are known, and the interval made with them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from ki67.errors import DataError, ModelError
from ki67.pipeline.cards import read_card, rewrite_card, write_model_folder
from ki67.pipeline.error_model import read_error_model
from ki67.pipeline.intervals import total_interval
from ki67.training.error_model import estimate_error_model, store_error_model
from ki67.training.figures import FieldFigures
from ki67.types import Interval
from tests.figures import counts, field
from tests.pipeline_fakes import fake_card

WEIGHTS = {"unet.conv.weight": np.zeros((2, 2), np.float32)}


def one(laboratory: str, number: int, truth: float, error: float, nuclei: int = 1000) -> FieldFigures:
    """A field whose found index lies `error` from the true one on the arcsine scale."""
    found = math.sin(math.asin(math.sqrt(truth)) + error) ** 2
    positive, called = round(nuclei * truth), round(nuclei * found)
    seen = counts(nuclei, 0, 0, found=(called, nuclei - called))
    return field(
        f"{laboratory}-{number}", truth=(positive, nuclei - positive), without=seen, source=laboratory
    )


def simulated(
    rng: np.random.Generator, *, laboratories: int, fields: int, laboratory_sd: float, field_sd: float
) -> list[FieldFigures]:
    """Fields of 100,000 nuclei (so that rounding to whole nuclei does not show) with a true index of 20 %."""
    made = []
    for laboratory in range(laboratories):
        common = rng.normal(0, laboratory_sd)
        made += [
            one(f"L{laboratory}", i, 0.2, common + rng.normal(0, field_sd), nuclei=100_000)
            for i in range(fields)
        ]
    return made


def test_both_parts_are_recovered_from_many_laboratories() -> None:
    made = simulated(np.random.default_rng(1), laboratories=60, fields=12, laboratory_sd=0.04, field_sd=0.02)
    model = estimate_error_model(made)
    assert model is not None
    (level,) = model["levels"]
    assert level["laboratory_sd"] == pytest.approx(0.04, rel=0.15)
    assert level["field_sd"] == pytest.approx(0.02, rel=0.06)
    assert (model["scale"], model["laboratories"], model["fields"]) == ("arcsine", 60, 720)
    assert model["counted"] == "without_step_1"


def test_the_parts_of_two_laboratories_are_those_worked_out_by_hand() -> None:
    made = [
        one("a", 0, 0.25, 0.05),
        one("a", 1, 0.25, 0.03),
        one("b", 0, 0.25, -0.02),
        one("b", 1, 0.25, 0.0),
    ]
    model = estimate_error_model(made)
    assert model is not None
    level = model["levels"][0]
    field_variance = 4 * 0.01**2 / 2  # four deviations of 0.01 and two laboratories' means
    between = (0.04**2 + 0.01**2) / 2 - field_variance / 2
    assert level["field_sd"] == pytest.approx(math.sqrt(field_variance), rel=0.03)
    assert level["laboratory_sd"] == pytest.approx(math.sqrt(between), rel=0.03)
    assert model["field_nuclei"] == 1000
    assert [(row["laboratory"], row["fields"]) for row in model["laboratory_errors"]] == [("a", 2), ("b", 2)]
    assert model["laboratory_errors"][0]["mean_error"] == pytest.approx(0.04, rel=0.03)


def test_a_bias_that_all_laboratories_share_belongs_to_the_laboratory_part() -> None:
    rng = np.random.default_rng(3)
    made = [one(f"L{i}", j, 0.25, 0.06 + rng.normal(0, 0.005)) for i in range(5) for j in range(6)]
    model = estimate_error_model(made)
    assert model is not None
    assert model["levels"][0]["laboratory_sd"] == pytest.approx(0.06, rel=0.1)


def test_smaller_fields_scatter_more_and_the_field_part_says_for_how_many_nuclei_it_holds() -> None:
    rng = np.random.default_rng(5)
    made = []
    for laboratory in range(20):
        for i, nuclei in enumerate((100_000, 100_000, 25_000, 400_000)):
            error = rng.normal(0, 0.03 * math.sqrt(100_000 / nuclei))
            made.append(one(f"L{laboratory}", i, 0.25, error, nuclei=nuclei))
    model = estimate_error_model(made)
    assert model is not None
    assert model["field_nuclei"] == 100_000
    assert model["levels"][0]["field_sd"] == pytest.approx(0.03, rel=0.15)


def test_a_total_interval_holds_the_index_of_a_laboratory_not_seen_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    held, studies = 0, 300
    for _ in range(studies):
        made = simulated(rng, laboratories=4, fields=8, laboratory_sd=0.05, field_sd=0.03)
        model = read_error_model(estimate_error_model(made) or {})
        found = 0.25
        error = rng.normal(0, 0.05) + rng.normal(0, 0.03)
        truth = math.sin(math.asin(math.sqrt(found)) - error) ** 2
        limits = total_interval(found, Interval(found, found), model, nuclei=100_000)
        held += limits.low <= truth <= limits.high
    assert 0.92 <= held / studies <= 1.0


def test_an_index_level_gets_parts_of_its_own_only_where_laboratories_and_fields_allow() -> None:
    rng = np.random.default_rng(9)

    def at(level: float, laboratories: int, fields: int, sd: float) -> list[FieldFigures]:
        return [
            one(f"L{i}", 100 * round(100 * level) + j, level, rng.normal(0, sd), nuclei=100_000)
            for i in range(laboratories)
            for j in range(fields)
        ]

    low, high = at(0.04, 4, 6, 0.01), at(0.2, 4, 6, 0.05)
    model = estimate_error_model(low + high)
    assert model is not None
    assert [level["from_percent"] for level in model["levels"]] == [0, 10]
    assert model["levels"][1]["field_sd"] > 3 * model["levels"][0]["field_sd"]
    assert [level["fields"] for level in model["levels"]] == [24, 24]
    few = estimate_error_model(low + at(0.2, 2, 6, 0.05))
    assert few is not None
    assert [level["from_percent"] for level in few["levels"]] == [0]


def test_one_laboratory_or_small_fields_give_no_error_model() -> None:
    alone = [one("a", i, 0.25, 0.01 * i) for i in range(6)]
    assert estimate_error_model(alone) is None
    small = [one(name, i, 0.25, 0.01, nuclei=40) for name in "ab" for i in range(3)]
    assert estimate_error_model(small) is None
    assert estimate_error_model([one("a", 0, 0.25, 0.01), one("b", 0, 0.25, 0.02)]) is None


def test_it_is_counted_with_step_1_where_every_field_was() -> None:
    made = [one(name, i, 0.25, 0.01 * i) for name in "ab" for i in range(3)]
    both = [dataclasses.replace(each, with_step_1=each.without_step_1) for each in made]
    model = estimate_error_model(both)
    assert model is not None
    assert model["counted"] == "with_step_1"


def test_the_error_model_of_a_cross_validation_goes_onto_a_card_whose_weights_stay(tmp_path: Path) -> None:
    written = write_model_folder(tmp_path / "cells", fake_card("cells"), WEIGHTS)
    model = estimate_error_model([one(name, i, 0.25, 0.01 * i) for name in "ab" for i in range(3)])
    (tmp_path / "crossval.json").write_text(json.dumps({"error_model": model}))
    card = store_error_model(tmp_path / "cells", tmp_path / "crossval.json")
    assert card == read_card(tmp_path / "cells")
    assert card.sha256 == written.sha256
    assert read_error_model(card.error_model).field_nuclei == 1000
    (tmp_path / "crossval.json").write_text(json.dumps({"error_model": None}))
    with pytest.raises(DataError, match="run crossval with --leave-out for two laboratories or more"):
        store_error_model(tmp_path / "cells", tmp_path / "crossval.json")


def test_a_card_of_other_weights_or_with_a_senseless_error_model_is_refused(tmp_path: Path) -> None:
    card = write_model_folder(tmp_path / "cells", fake_card("cells"), WEIGHTS)
    with pytest.raises(ModelError, match="of other weights"):
        rewrite_card(tmp_path / "cells", dataclasses.replace(card, sha256="1" * 64))
    with pytest.raises(ModelError, match="error_model is incomplete"):
        rewrite_card(tmp_path / "cells", dataclasses.replace(card, error_model={"scale": "arcsine"}))
    assert read_card(tmp_path / "cells") == card
