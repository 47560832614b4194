"""Classes from readings by the borders of the contract; the index and a cut-off."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from ki67.errors import DataError
from ki67.index import wilson
from ki67.pipeline.error_model import ErrorModel
from ki67.pipeline.intervals import total_interval
from ki67.sites import BREAST_14, IKWG, KI67_STRATUM
from ki67.stats.classes import (
    Border,
    categories_of,
    categories_of_pairs,
    classify_percent,
    cutoffs_of,
    parse_cutoffs,
)
from ki67.stats.cutoff import ModelSpread, class_probabilities, cutoff_answer
from ki67.stats.forms import Pairs, Ratings

SPREAD = ModelSpread("arcsine", laboratory_sd=0.02, field_sd=0.015, laboratories=6, field_nuclei=400)
TWENTY = Border(Decimal(20), belongs_below=False)


@pytest.mark.parametrize(
    ("value", "number"), [(0, 0), (5, 0), (5.0001, 1), (29.999, 1), (30, 2), (30.0, 2), (100, 2)]
)
def test_the_borders_of_the_working_group_hold(value: float, number: int) -> None:
    assert classify_percent(value, parse_cutoffs("<=5,<30")) == number


@pytest.mark.parametrize(("value", "number"), [(2.96, 0), (3, 1), (20, 1), (20.01, 2)])
def test_neuroendocrine_borders_lie_in_the_middle(value: float, number: int) -> None:
    assert classify_percent(value, cutoffs_of(KI67_STRATUM)) == number


def test_a_decimal_reading_is_compared_as_the_decimal_that_was_typed() -> None:
    for text in ("2.9", "14.1", "0.1", "33.3"):
        assert classify_percent(float(text), parse_cutoffs(text)) == 1
        assert classify_percent(float(text), parse_cutoffs(f"<={text}")) == 0


def test_a_bare_number_means_below_it_and_the_words_say_so() -> None:
    assert parse_cutoffs("14") == cutoffs_of(BREAST_14)
    assert parse_cutoffs("≤ 5 %, < 30") == cutoffs_of(IKWG)
    assert parse_cutoffs("<=5,<30").words == ("≤ 5 %", "> 5 and < 30 %", "≥ 30 %")
    assert parse_cutoffs("3,<=20").words == ("< 3 %", "≥ 3 and ≤ 20 %", "> 20 %")


@pytest.mark.parametrize("text", ["", "five", ">5", "30,5", "5,5", "0", "100", "5,,30", "-3", "1e1"])
def test_other_cut_offs_are_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(DataError, match="cut-off"):
        parse_cutoffs(text)


def test_counts_and_percentages_fall_into_the_same_class() -> None:
    borders = parse_cutoffs("<=5,<30").borders
    for positive, total in ((1, 20), (51, 1000), (3, 10), (299, 1000), (0, 7)):
        for border in borders:
            assert border.is_above_counts(positive, total) == border.is_above(100 * positive / total)


def test_missing_readings_stay_missing_and_a_missing_one_has_no_class() -> None:
    ratings = Ratings(("A", "A", "B"), ("R1", "R2", "R1"), np.array([5.0, np.nan, 31.5]))
    assert categories_of(ratings, parse_cutoffs("<=5,<30")).values == ("≤ 5 %", "", "≥ 30 %")
    pairs = Pairs(("A", "B"), np.array([4.0, np.nan]), np.array([14.0, 2.0]))
    classes = categories_of_pairs(pairs, parse_cutoffs("14"), readers=("panel", "algorithm"))
    assert classes.values == ("< 14 %", "", "≥ 14 %", "< 14 %")
    assert classes.readers == ("panel", "panel", "algorithm", "algorithm")
    with pytest.raises(ValueError, match="no class"):
        classify_percent(float("nan"), parse_cutoffs("14"))


def test_a_cut_off_on_a_limit_of_the_total_interval_has_two_and_a_half_percent_beyond() -> None:
    model = ErrorModel("arcsine", 6, 400, ((0, SPREAD.laboratory_sd, SPREAD.field_sd),))
    sampling = wilson(250, 750)
    assert sampling is not None
    total = total_interval(0.25, sampling, model, nuclei=1000)
    high = cutoff_answer(250, 750, border=Border(Decimal(100 * total.high), False), spread=SPREAD)
    low = cutoff_answer(250, 750, border=Border(Decimal(100 * total.low), False), spread=SPREAD)
    assert high.above == pytest.approx(0.025, abs=1e-6)
    assert low.below == pytest.approx(0.025, abs=1e-6)


def test_the_probability_is_that_of_the_parts_drawn_at_random() -> None:
    spread = ModelSpread("points", 0.02, 0.06, laboratories=1000, field_nuclei=500)
    answer = cutoff_answer(340, 1660, border=TWENTY, spread=spread)
    rng = np.random.default_rng(2)
    counted = rng.normal(0, (0.17 * 0.83 / 2000) ** 0.5, 200_000)
    truth = 0.17 + counted + rng.normal(0, 0.02, 200_000) + rng.normal(0, 0.03, 200_000)
    assert answer.above == pytest.approx((truth > 0.20).mean(), abs=0.006)
    assert (answer.above or 0) + (answer.below or 0) == pytest.approx(1)


def test_an_index_on_the_cut_off_is_as_likely_on_either_side() -> None:
    answer = cutoff_answer(200, 800, border=TWENTY, spread=SPREAD)
    assert answer.above == pytest.approx(0.5)
    assert (answer.settled, answer.by_counting, answer.nuclei_needed) == (False, False, None)


def test_the_nuclei_asked_for_settle_the_cut_off_and_one_fewer_do_not() -> None:
    spread = ModelSpread("arcsine", laboratory_sd=0.01, field_sd=0.01, laboratories=20, field_nuclei=300)
    answer = cutoff_answer(75, 225, border=TWENTY, spread=spread)
    assert answer.nuclei_needed is not None
    assert answer.nuclei_needed > 0
    assert "more nuclei" in answer.message
    total = 300 + answer.nuclei_needed
    for nuclei, settled in ((total + 40, True), (total - 40, False)):
        positive = round(nuclei / 4)
        again = cutoff_answer(positive, nuclei - positive, border=TWENTY, spread=spread)
        assert again.settled is settled


def test_when_the_models_own_error_spans_the_cut_off_no_counting_settles_it() -> None:
    wide = ModelSpread("arcsine", laboratory_sd=0.05, field_sd=0.03, laboratories=4, field_nuclei=100)
    for factor in (1, 1000):
        answer = cutoff_answer(22 * factor, 78 * factor, border=TWENTY, spread=wide)
        assert (answer.settled, answer.by_counting, answer.nuclei_needed) == (False, False, None)
        assert "cannot be settled by counting" in answer.message


def test_without_an_error_model_nothing_is_promised() -> None:
    answer = cutoff_answer(250, 750, border=TWENTY, spread=None)
    assert (answer.above, answer.below, answer.nuclei_needed) == (None, None, None)
    assert answer.reason == "not_measured"
    assert "no error model" in answer.message
    assert class_probabilities(250, 750, cutoffs=cutoffs_of(IKWG), spread=None) is None


def test_without_nuclei_the_answer_is_not_assessable() -> None:
    answer = cutoff_answer(0, 0, border=TWENTY, spread=SPREAD)
    assert (answer.above, answer.reason) == (None, "too_few")


def test_class_probabilities_sum_to_one_and_follow_the_index() -> None:
    likely = []
    for positive in (0, 20, 150, 290, 500, 1000):
        shares = class_probabilities(positive, 1000 - positive, cutoffs=cutoffs_of(IKWG), spread=SPREAD)
        assert shares is not None
        assert sum(shares) == pytest.approx(1)
        assert min(shares) >= 0
        likely.append(int(np.argmax(shares)))
    assert likely == [0, 0, 1, 1, 2, 2]


def test_an_error_model_that_makes_no_sense_is_refused() -> None:
    for sds, laboratories in (((-0.1, 0.1), 4), ((0.1, float("nan")), 4), ((0.1, 0.1), 1)):
        with pytest.raises(DataError, match="error model"):
            ModelSpread("arcsine", *sds, laboratories=laboratories, field_nuclei=100)
