"""Williams' index, the alternative annotator test, leave one reader out: values by hand and oracles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ki67.errors import DataError
from ki67.stats.alternative_annotator import STATISTICS, alternative_annotator_test
from ki67.stats.concordance import lin_ccc
from ki67.stats.forms import Pairs
from ki67.stats.leave_one_out import leave_one_out, leave_one_out_difference
from ki67.stats.panel_table import tabulate
from ki67.stats.williams import williams_index
from tests.test_stats_panel import BY_HAND, long, simulated


def test_williams_index_by_hand():
    # D(algorithm, R1) = 1, D(algorithm, R2) = 4, D(R1, R2) = 5: (1 + 1/4)/2 over 1/5
    assert williams_index(BY_HAND, variant="jackknife").value == pytest.approx(3.125)


def test_williams_index_is_about_1_for_an_algorithm_that_reads_like_a_reader():
    rng = np.random.default_rng(5)
    level = rng.normal(size=(300, 1)) * 10 + 40
    readings = level + rng.normal(size=(300, 6))
    found = williams_index(long(level[:, 0] + rng.normal(size=300), readings))
    assert found.value == pytest.approx(1, abs=0.1)
    assert found.ci_low < 1 < found.ci_high
    assert found.target == "reader population"


def test_williams_index_is_undefined_where_two_agree_in_every_case_and_for_one_reader():
    assert williams_index(long([1, 2, 3], [[1, 1], [2, 2], [4, 4]])).reason == "zero_variance"
    assert williams_index(long([1, 2, 3], [[1], [2], [4]])).reason == "too_few"
    two = williams_index(simulated(k=2))
    assert (two.value is not None, two.ci_low, two.reason) == (True, None, "too_few")
    assert williams_index(simulated(k=2), variant="jackknife").ci_low is not None


def test_an_algorithm_in_the_middle_of_the_readers_passes_and_a_wild_one_does_not():
    rng = np.random.default_rng(6)
    level = rng.uniform(5, 60, size=200)
    readings = level[:, None] + rng.normal(size=(200, 5)) * 4
    good = alternative_annotator_test(long(level, readings), epsilon=0.1)
    assert (good.winning_rate.value, good.passes) == (1.0, True)
    assert good.advantage.value > 0.6
    wild = alternative_annotator_test(long(level + 30, readings), epsilon=0.1)
    assert (wild.winning_rate.value, wild.passes) == (0.0, False)
    assert wild.advantage.value < 0.05


@pytest.mark.parametrize("n", [20, 45])
def test_p_values_and_decisions_are_those_of_the_paper_s_steps(n):
    data = simulated(n=n, seed=7)
    table = tabulate(data)
    found = alternative_annotator_test(data, epsilon=0.2)
    expected = []
    for j in range(5):
        others = np.delete(table.readings, j, axis=1)
        own = -np.sqrt(((table.readings[:, j, None] - others) ** 2).mean(axis=1))
        algorithm = -np.sqrt(((table.algorithm[:, None] - others) ** 2).mean(axis=1))
        d = (own >= algorithm).astype(float) - (algorithm >= own)
        assert found.tests[j].algorithm_wins == pytest.approx((algorithm >= own).mean())
        test = (
            stats.wilcoxon(d - 0.2, alternative="less")
            if n < 30
            else stats.ttest_1samp(d, 0.2, alternative="less")
        )
        expected.append(test.pvalue)
    assert [test.p for test in found.tests] == pytest.approx(expected)
    # Benjamini & Yekutieli: the largest rank i with p(i) <= i/m · q/(1 + 1/2 + … + 1/m), and all before it
    order, bound = np.argsort(expected), np.arange(1, 6) / 5 * 0.05 / (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5)
    below = np.flatnonzero(np.array(expected)[order] <= bound)
    rejected = np.zeros(5, bool)
    rejected[order[: below.max() + 1 if below.size else 0]] = True
    assert [test.rejected for test in found.tests] == rejected.tolist()
    assert found.winning_rate.value == pytest.approx(rejected.mean())
    assert (found.winning_rate.n, found.winning_rate.ci_low) == (5, None)


def test_a_tie_is_won_by_both():
    found = alternative_annotator_test(long([1, 2, 3, 4], [[1, 5], [2, 5], [3, 5], [4, 5]]), epsilon=0.2)
    assert (found.tests[0].algorithm_wins, found.tests[0].reader_wins) == (1.0, 1.0)
    assert found.tests[0].p == pytest.approx(0.5**4)


def test_without_an_epsilon_there_is_an_advantage_and_no_verdict():
    found = alternative_annotator_test(simulated(), epsilon=None)
    assert (found.winning_rate.value, found.winning_rate.reason) == (None, "not_measured")
    assert found.passes is None
    assert found.advantage.ci_low < found.advantage.value < found.advantage.ci_high
    with pytest.raises(DataError, match="ε"):
        alternative_annotator_test(simulated(), epsilon=1.5)


def test_the_alternative_annotator_test_needs_two_readers():
    found = alternative_annotator_test(long([1, 2], [[1], [2]]), epsilon=0.2)
    assert (found.winning_rate.reason, found.advantage.reason, found.tests) == ("too_few", "too_few", ())


def test_the_registry_s_winning_rate_takes_epsilon_from_the_params():
    rate = STATISTICS["algorithm_and_readers", "alt_test_winning_rate", "Benjamini-Yekutieli"]
    data = simulated()
    wanted = alternative_annotator_test(data, epsilon=0.2, transform="ln").winning_rate
    assert rate(data, {"epsilon": 0.2, "transform": "ln"}) == wanted
    assert rate(data, {}).reason == "not_measured"


def test_each_reader_is_compared_with_the_median_of_the_others():
    data = simulated()
    table = tabulate(data)
    left = leave_one_out(data)
    assert [one.name for one in left] == ["R1", "R2", "R3", "R4", "R5"]
    others = np.median(np.delete(table.readings, 2, axis=1), axis=1)
    assert left[2].reader.bias.value == pytest.approx(float((table.readings[:, 2] - others).mean()))
    assert left[2].algorithm.ccc.value == lin_ccc(Pairs(table.cases, others, table.algorithm)).value
    assert left[2].algorithm.bias.target == "these readers"
    sizes = [
        abs(table.readings[:, j] - np.median(np.delete(table.readings, j, axis=1), axis=1)) for j in range(5)
    ]
    found = leave_one_out_difference(data, statistic="leave_one_out_mad_reader", variant="jackknife")
    assert found.value == pytest.approx(float(np.mean(sizes)))


def test_an_algorithm_that_copies_a_reader_is_as_far_from_the_others_as_he_is():
    table = tabulate(simulated())
    copied = leave_one_out(long(table.readings[:, 0], table.readings))
    assert copied[0].reader.mae.value == copied[0].algorithm.mae.value


def test_leaving_readers_out_has_limits_for_both_targets():
    data = simulated()
    these = leave_one_out_difference(data, statistic="leave_one_out_mad_diff", variant="jackknife")
    everyone = leave_one_out_difference(data, statistic="leave_one_out_mad_diff")
    assert (these.value, these.target) == (everyone.value, "these readers")
    assert everyone.ci_high - everyone.ci_low > these.ci_high - these.ci_low
    assert (
        leave_one_out_difference(long([1, 2], [[1], [3]]), statistic="leave_one_out_mad_diff").reason
        == "too_few"
    )
    assert leave_one_out(long([1, 2], [[1], [3]])) == ()
