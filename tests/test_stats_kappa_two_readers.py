"""Two readers at a border and class by class: shares of agreement, tests, who moves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ki67.errors import DataError
from ki67.stats.contingency import (
    agreement_share,
    clopper_pearson,
    mcnemar,
    positive_share_difference,
    reclassified_share,
    stuart_maxwell,
)
from ki67.stats.crosstab import Fourfold, fourfold, reclassification
from ki67.stats.forms import Table
from tests.stats_tables import fleiss_1971, from_rows

# A. Stuart, Biometrika 42 (1955) 412-416: unaided vision of 7,477 women, right eye by left, best first.
VISION = Table(
    np.array(
        [[1520.0, 266, 124, 66], [234, 1512, 432, 78], [117, 362, 1772, 205], [36, 82, 179, 492]],
    ),
    ("1", "2", "3", "4"),
)
# M. W. Fagerland, S. Lydersen & P. Laake, BMC Med Res Methodol 13 (2013) 91: airway hyper-responsiveness
# of 21 children before and after stem cell transplantation.
AIRWAYS = Table(np.array([[12.0, 7], [1, 1]]), ("no", "yes"))


def test_mcnemars_p_values_of_the_airways_are_those_of_the_paper() -> None:
    assert mcnemar(AIRWAYS).value == pytest.approx(0.070, abs=5e-4)
    assert mcnemar(AIRWAYS, variant="mid-p").value == pytest.approx(0.039, abs=5e-4)


def test_the_difference_of_the_airways_has_the_published_newcombe_limits() -> None:
    found = positive_share_difference(AIRWAYS)
    assert found.value == pytest.approx(6 / 21)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.026, 0.507), abs=5e-4)


def test_the_vision_data_have_stuarts_chi_square() -> None:
    found = stuart_maxwell(VISION, statistic="stuart_maxwell_chi2")
    assert found.value == pytest.approx(11.96, abs=5e-3)
    assert found.params["df"] == 3
    assert stuart_maxwell(VISION).value == pytest.approx(stats.chi2.sf(found.value, 3))


def test_with_two_classes_stuart_maxwell_is_mcnemars_chi_square() -> None:
    assert stuart_maxwell(AIRWAYS, statistic="stuart_maxwell_chi2").value == pytest.approx((7 - 1) ** 2 / 8)


def test_a_class_that_nobody_used_takes_no_degree_of_freedom() -> None:
    padded = np.insert(np.insert(AIRWAYS.counts, 1, 0, axis=0), 1, 0, axis=1)
    found = stuart_maxwell(Table(padded, ("no", "perhaps", "yes")))
    assert found.params["df"] == 1
    assert found.value == pytest.approx(stuart_maxwell(AIRWAYS).value)


def test_without_disagreement_stuart_maxwell_is_undefined_and_mcnemar_is_one() -> None:
    same = Table(np.diag([4.0, 6.0]), ("no", "yes"))
    assert (stuart_maxwell(same).value, stuart_maxwell(same).reason) == (None, "zero_variance")
    assert mcnemar(same).value == 1
    assert mcnemar(same, variant="mid-p").value == 1


def test_the_border_gathers_the_classes_above_it() -> None:
    assert fourfold(VISION, positive_from="3") == Fourfold(
        both=1772 + 205 + 179 + 492,
        first_only=117 + 362 + 36 + 82,
        second_only=124 + 66 + 432 + 78,
        neither=1520 + 266 + 234 + 1512,
    )
    with pytest.raises(DataError, match="not a class above the lowest"):
        fourfold(VISION, positive_from="1")


def test_shares_of_agreement_are_their_definitions() -> None:
    values = {name: agreement_share(AIRWAYS, name).value for name in ("opa", "ppa", "npa")}
    assert values == pytest.approx({"opa": 13 / 21, "ppa": 1 / 2, "npa": 12 / 19})
    assert agreement_share(AIRWAYS, "positive_agreement").value == pytest.approx(2 / (2 + 8))
    assert agreement_share(AIRWAYS, "negative_agreement").value == pytest.approx(24 / (24 + 8))


def test_exact_limits_are_those_of_clopper_and_pearson() -> None:
    assert clopper_pearson(8, 10) == pytest.approx((0.4439, 0.9748), abs=5e-5)
    assert clopper_pearson(0, 10) == pytest.approx((0, 1 - 0.025**0.1))
    assert clopper_pearson(10, 10) == pytest.approx((0.025**0.1, 1))
    npa = agreement_share(AIRWAYS, "npa")
    assert (npa.ci_low, npa.ci_high) == pytest.approx(clopper_pearson(12, 19))


def test_exact_limits_of_positive_agreement_cover_at_least_their_confidence() -> None:
    shares, n = np.array([[0.55, 0.08], [0.12, 0.25]]), 40
    truth = 2 * shares[1, 1] / (2 * shares[1, 1] + shares[0, 1] + shares[1, 0])
    drawn = np.random.default_rng(3).multinomial(n, shares.ravel(), size=400).reshape(-1, 2, 2)
    found = [
        agreement_share(Table(table.astype(float), ("no", "yes")), "positive_agreement") for table in drawn
    ]
    covered = [one.ci_low <= truth <= one.ci_high for one in found if one.ci_low is not None]
    assert np.mean(covered) >= 0.94


def test_a_share_of_no_case_is_undefined() -> None:
    nobody = Table(np.array([[5.0, 0], [0, 0]]), ("no", "yes"))
    for name in ("ppa", "positive_agreement"):
        found = agreement_share(nobody, name)
        assert (found.value, found.ci_low, found.reason) == (None, None, "too_few")
    assert agreement_share(nobody, "npa").value == 1


def test_reclassification_counts_who_moves_where() -> None:
    table = reclassification(from_rows(["11", "12", "13", "22", "21", "33", "3.", "33"], classes="123"))
    assert table.counts == ((1, 1, 1), (1, 1, 0), (0, 0, 2))
    assert (table.n, table.excluded) == (7, 1)
    assert (table.stayed, table.moved_up, table.moved_down) == (4, 2, 1)
    assert table.row_shares()[2] == (0, 0, 1)


def test_the_share_of_an_unused_class_is_none() -> None:
    assert reclassification(from_rows(["11", "11"], classes="12")).row_shares()[1] == (None, None)


def test_reclassified_shares_carry_exact_limits() -> None:
    for name, moved in (("reclassified", 2181), ("reclassified_up", 1171), ("reclassified_down", 1010)):
        found = reclassified_share(VISION, name)
        assert found.value == pytest.approx(moved / 7477)
        assert (found.ci_low, found.ci_high) == pytest.approx(clopper_pearson(moved, 7477))


def test_more_than_two_readers_are_refused_and_nothing_shared_is_no_pairs() -> None:
    with pytest.raises(DataError, match="compares two readers"):
        mcnemar(fleiss_1971())
    assert mcnemar(from_rows(["1.", ".2"], classes="12")).reason == "no_pairs"
