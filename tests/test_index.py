"""The formula, Wilson's interval, cut-offs and classes, and the text of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ki67 import numbers
from ki67.answers import answer
from ki67.index import ki67_index, wilson
from ki67.pipeline.measure import measure
from ki67.sites import IKWG, KI67_STRATUM, class_systems, classify, index_kind, leading_index
from ki67.types import Interval
from tests.records import make_record, scattered


def words(site, positive, negative):
    return [assignment.words for assignment in classify(site, positive, negative)]


def test_the_index_is_positive_over_all_and_undefined_without_nuclei():
    assert ki67_index(1, 3) == 0.25
    assert ki67_index(0, 10) == 0.0
    assert ki67_index(0, 0) is None


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="cannot be negative"):
        ki67_index(-1, 3)


@pytest.mark.parametrize(
    ("positive", "total", "low", "high"),
    [  # R. G. Newcombe, Stat Med 1998, table I, method 3 (score, without continuity correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_limits_of_newcombes_table(positive, total, low, high):
    limits = wilson(positive, total - positive)
    assert limits.low == pytest.approx(low, abs=5e-5)
    assert limits.high == pytest.approx(high, abs=5e-5)


def test_wilson_is_worked_out_by_hand_for_five_of_ten():
    # z² = 3.8415: centre 0.5, half = z/(1 + z²/10) · sqrt(0.025 + z²/400) = 0.26341
    limits = wilson(5, 5)
    assert limits.low == pytest.approx(0.23659, abs=1e-5)
    assert limits.high == pytest.approx(0.76341, abs=1e-5)
    assert wilson(0, 0) is None
    assert wilson(7, 0).high == 1.0


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_index_and_stays_inside_zero_and_one(positive, negative):
    limits = wilson(positive, negative)
    index = ki67_index(positive, negative)
    if index is not None:
        assert 0 <= limits.low <= index <= limits.high <= 1


def test_ikwg_borders_belong_to_the_outer_classes():
    assert words("breast", 5, 95)[0] == "≤ 5 %"
    assert words("breast", 501, 9499)[0] == "> 5 and < 30 %"
    assert words("breast", 2999, 7001)[0] == "> 5 and < 30 %"
    assert words("breast", 30, 70)[0] == "≥ 30 %"


def test_breast_also_has_14_and_20_with_the_border_above():
    assert words("breast", 14, 86)[1:] == ["≥ 14 %", "< 20 %"]
    assert words("breast", 1399, 8601)[1] == "< 14 %"
    assert words("breast", 20, 80)[2] == "≥ 20 %"


def test_both_neuroendocrine_borders_belong_to_the_middle():
    assert words("neuroendocrine", 299, 9701) == ["< 3 %"]
    assert words("neuroendocrine", 3, 97) == ["3–20 %"]
    assert words("neuroendocrine", 20, 80) == ["3–20 %"]
    assert words("neuroendocrine", 2001, 7999) == ["> 20 %"]
    assert class_systems("neuroendocrine")[0].name == "Ki-67 stratum"


@given(st.integers(1, 4000))
def test_an_index_exactly_on_a_border_is_never_moved_by_floating_point(hundreds):
    assert words("breast", 5 * hundreds, 95 * hundreds)[0] == "≤ 5 %"
    assert words("breast", 30 * hundreds, 70 * hundreds)[0] == "≥ 30 %"
    assert words("neuroendocrine", 20 * hundreds, 80 * hundreds) == ["3–20 %"]


def test_sites_without_classes_of_their_own_have_none():
    assert classify("head and neck", 10, 90) == ()
    assert classify("other", 10, 90) == ()
    assert classify("breast", 0, 0) == ()
    assert index_kind("neuroendocrine") == "hot spot"
    assert index_kind("other") == index_kind("breast") == "global"


def test_the_rulers_bands_cover_zero_to_hundred():
    assert [(b.low_percent, b.high_percent) for b in IKWG.bands()] == [(0, 5), (5, 30), (30, 100)]
    assert [b.words for b in KI67_STRATUM.bands()] == ["< 3 %", "3–20 %", "> 20 %"]


@pytest.mark.parametrize(
    ("positive", "negative", "text"),
    [
        (124, 876, "12.4 %"),
        (296, 9704, "2.96 %"),
        (3, 97, "3.0 %"),
        (2004, 7996, "20.04 %"),
        (29999, 70001, "29.999 %"),
        (1, 2499, "0.04 %"),
        (0, 2500, "0.0 %"),
        (2499, 1, "99.96 %"),
        (0, 0, "not assessable"),
    ],
)
def test_a_percentage_never_rounds_onto_or_across_a_border(positive, negative, text):
    assert numbers.percent(positive, negative) == text


@given(st.integers(0, 3000), st.integers(1, 3000))
def test_the_class_of_the_shown_percentage_is_the_class_of_the_counts(positive, negative):
    shown = numbers.percent_number(positive, negative)
    scale = 10 ** len(shown.split(".")[1])
    as_integer = int(shown.replace(".", ""))
    for site in ("breast", "neuroendocrine"):
        assert words(site, as_integer, 100 * scale - as_integer) == words(site, positive, negative)


def test_intervals_counts_areas_and_times_read_as_the_style_wants():
    assert numbers.percent_with_interval(124, 876, Interval(0.1012, 0.1512)) == "12.4 % (10.1–15.1)"
    assert numbers.interval(Interval(0.0, 0.1503)) == "0.0–15.0"
    assert numbers.interval(None) == ""
    assert numbers.percent_of(0.146) == "14.6 %"
    assert numbers.percent_of(0.14) == "14.0 %"
    assert numbers.interval(Interval(0.0299996, 0.2000004)) == "2.99996–20.00004"
    assert numbers.count(1216) == "1,216"
    assert numbers.area(0.44) == "0.44 mm²"
    assert numbers.area(0.0123) == "0.012 mm²"
    assert numbers.pixel_size(0.25) == "0.250 µm/px"
    assert numbers.moment("2026-11-24T09:12:44+00:00") == "2026-11-24 09:12"
    assert numbers.moment("2026-11-24T10:12:44+01:00") == "2026-11-24 09:12"
    assert numbers.duration(9.2) == "9 s"
    assert numbers.duration(125) == "2 min 5 s"
    assert numbers.duration(3840) == "1 h 4 min"


def test_minus_is_the_true_sign_and_zero_has_none():
    assert numbers.points(-2.9) == "−2.9 points"
    assert numbers.points(-0.04) == "0.0 points"
    assert numbers.points_interval(-2.9, 0.7) == "−2.9 to 0.7"
    assert numbers.icc(0.8773) == "0.88"
    assert numbers.icc(0.8001, verdict=True) == "0.8001"


def hot_tumor():
    x, y = scattered(9000, width_px=3000, height_px=3000, seed=4)
    return make_record(x, y, x % 10 < 1.2, width_px=3000, height_px=3000)


def test_breast_answers_with_the_global_index_and_its_ikwg_class():
    measurement = measure(hot_tumor())
    text = answer("breast", measurement)
    assert text.startswith("Global index **1")
    assert text.endswith(": IKWG class **> 5 and < 30 %**.")


def test_neuroendocrine_answers_with_the_hot_spot_and_its_stratum():
    measurement = measure(hot_tumor())
    leading = leading_index("neuroendocrine", measurement)
    assert leading.kind == "hot spot"
    assert leading.positive == measurement.hot_spot.positive
    assert answer("neuroendocrine", measurement).startswith("Hot-spot index **")
    assert "Ki-67 stratum **3–20 %**" in answer("neuroendocrine", measurement)


def test_without_a_hot_spot_the_global_index_leads_and_no_stratum_is_named():
    x, y = scattered(300, width_px=400, height_px=400, seed=1)
    measurement = measure(make_record(x, y, x < 40, width_px=400, height_px=400))
    leading = leading_index("neuroendocrine", measurement)
    assert leading.kind == "global"
    assert leading.fell_back
    assert leading.classes == ()
    text = answer("neuroendocrine", measurement)
    assert "No hot spot" in text
    assert "fewer than 500" in text
    assert "stratum" not in text


def test_no_nuclei_is_answered_in_words_with_the_reason():
    measurement = measure(make_record([], [], []))
    assert answer("breast", measurement) == "**Not assessable**: no tumor nuclei found."
    assert leading_index("breast", measurement).index is None
