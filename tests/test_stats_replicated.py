"""Repeated readings of two methods: the paper of 1986, special cases, and the edges."""

from __future__ import annotations

import numpy as np
import pytest

from ki67.errors import DataError
from ki67.stats import bland_altman as ba
from ki67.stats import replicated as rep
from ki67.stats.forms import ReplicatedPairs
from tests.stats_pairs import pefr, pefr_replicated


def repeats(*rows: tuple[str, str, str, float]) -> ReplicatedPairs:
    cases, methods, replicates, values = zip(*rows, strict=True)
    return ReplicatedPairs(cases, methods, replicates, np.array(values))


def first_only() -> ReplicatedPairs:
    data = pefr_replicated()
    kept = [index for index, replicate in enumerate(data.replicates) if replicate == "1"]
    return repeats(
        *((data.cases[i], data.methods[i], data.replicates[i], float(data.values[i])) for i in kept)
    )


def test_the_corrected_sd_of_1986_is_that_of_single_readings() -> None:
    """The paper corrects the SD of the means' differences, 33.2, to 37.7 l/min."""
    found = rep.ba_rep_sd_total(pefr_replicated())
    assert found.value == pytest.approx(37.7, abs=0.3)
    assert found.n == 17


def test_one_reading_each_gives_the_ordinary_limits_whatever_the_truth() -> None:
    data, plain = first_only(), -(ba.ba_loa(pefr(), side="upper").value or 0)
    assert rep.ba_rep_loa(data, side="lower").value == pytest.approx(plain)
    assert rep.ba_linked_loa(data, side="lower").value == pytest.approx(plain)
    assert rep.zou_loa(data, side="lower").value == pytest.approx(plain)
    total = rep.zou_var_total(data)
    sd = ba.ba_sd(pefr()).value or 0
    assert total.value == pytest.approx(sd**2)
    assert total.ci_low == pytest.approx(16 * sd**2 / 28.845, rel=1e-4)  # chi-square quantile, 16 df


def test_constant_truth_adds_the_scatter_that_averaging_took_away() -> None:
    data = repeats(
        ("a", "x", "1", 10), ("a", "x", "2", 14), ("a", "y", "1", 13),
        ("b", "x", "1", 20), ("b", "x", "2", 22), ("b", "y", "1", 20),
        ("c", "x", "1", 31), ("c", "x", "2", 29), ("c", "y", "1", 32),
    )  # fmt: skip
    means = np.array([1.0, -1.0, 2.0])
    within = (8 + 2 + 2) / 3
    assert rep.ba_rep_bias(data).value == pytest.approx(means.mean())
    assert rep.ba_rep_sd_total(data).value == pytest.approx(np.sqrt(means.var(ddof=1) + within / 2))


def test_varying_truth_uses_readings_taken_together() -> None:
    rows = [
        (case, method, str(moment), truth + (shift if method == "y" else 0.0))
        for case, shift, truths in (("a", 1.0, (10, 30)), ("b", 2.0, (20, 60)), ("c", 3.0, (5, 90)))
        for moment, truth in enumerate(truths)
        for method in "xy"
    ]
    data = repeats(*rows)
    assert rep.ba_linked_bias(data).value == pytest.approx(2)
    assert rep.ba_linked_sd_total(data).value == pytest.approx(1)  # the truth's jumps cancel
    assert (rep.ba_rep_sd_total(data).value or 0) > 20


def test_a_negative_component_between_cases_counts_as_nothing() -> None:
    data = repeats(
        *((case, method, str(k), value) for case in "abc" for k in (1, 2)
          for method, value in (("x", 0.0), ("y", (-1.0) ** k)))
    )  # fmt: skip
    assert rep.ba_linked_sd_total(data).value == pytest.approx(np.sqrt(2))


def test_a_case_without_one_of_the_methods_is_left_out_and_counted() -> None:
    data = repeats(("a", "x", "1", 1), ("a", "y", "1", 2), ("b", "x", "1", 3), ("c", "y", "1", float("nan")))
    bias = rep.ba_rep_bias(data)
    assert (bias.value, bias.n, bias.excluded) == (1, 1, 2)
    assert rep.ba_rep_sd_total(data).reason == "too_few"
    assert rep.ba_rep_bias(repeats(("a", "x", "1", 1), ("b", "y", "1", 2))).reason == "no_pairs"


def test_the_same_reading_twice_is_named_by_its_rows() -> None:
    twice = rep.zou_var_total(repeats(("a", "x", "1", 1), ("a", "y", "1", 2), ("a", "x", "1", 3)))
    assert (twice.value, twice.reason) == (None, "duplicate_key")
    assert "Rows 1 and 3" in twice.message


def test_a_third_method_is_refused() -> None:
    with pytest.raises(DataError, match="name the two methods x and y"):
        rep.ba_rep_bias(repeats(("a", "x", "1", 1), ("a", "z", "1", 2)))
