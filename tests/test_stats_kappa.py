"""Kappas of two and of many readers, Gwet's family, Krippendorff's alpha."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from scipy import stats

from ki67.errors import DataError
from ki67.stats import gwet, kappa, krippendorff_alpha
from ki67.stats.coding import code
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Categories, Table
from ki67.stats.kappa_population import for_reader_population
from ki67.stats.weights import agreement_weights
from tests.stats_tables import FLEISS_1971, fleiss_1971, from_rows, krippendorff_2011

# Two readers of 25 cases, three classes.
TABLE = Table(np.array([[8.0, 2, 0], [1, 7, 2], [0, 1, 4]]), ("1", "2", "3"))
WEIGHTINGS = ("unweighted", "linear weights", "quadratic weights")


def close(estimate: Estimate, value: float, *, tolerance: float = 1e-9) -> bool:
    return estimate.value is not None and abs(estimate.value - value) <= tolerance


def limits(estimate: Estimate) -> tuple[float, float]:
    assert estimate.ci_low is not None
    assert estimate.ci_high is not None
    return estimate.ci_low, estimate.ci_high


def pairs_of(first: str, second: str, *, classes: str = "123") -> Categories:
    return from_rows([a + b for a, b in zip(first, second, strict=True)], classes=classes)


def test_fleiss_kappa_is_that_of_the_paper() -> None:
    found = kappa.fleiss_kappa(fleiss_1971())
    assert close(found, 0.430, tolerance=5e-4)
    assert (found.n, found.excluded, found.target) == (30, 0, "these readers")


def test_many_reader_kappas_of_fleiss_1971_are_those_of_r_irr() -> None:
    assert close(kappa.fleiss_kappa(fleiss_1971()), 0.430244520060141)
    assert close(kappa.light_kappa(fleiss_1971()), 0.459412144434595)
    assert close(kappa.conger_kappa(fleiss_1971()), 0.441808540329333)


def test_gwets_coefficients_of_fleiss_1971_are_those_of_r_irrcac() -> None:
    found = gwet.gwet_ac(fleiss_1971())
    assert found.statistic == "gwet_ac1"
    assert close(found, 0.447884515844564)
    assert limits(found) == pytest.approx((0.3340426537327289, 0.5617263779563991), abs=1e-9)
    general = gwet.fleiss_kappa_general(fleiss_1971())
    assert limits(general) == pytest.approx((0.3193952505721433, 0.5410937895481382), abs=1e-9)


def test_cohen_kappa_of_a_table_follows_from_its_definition() -> None:
    shares = TABLE.counts / 25
    seen = np.trace(shares)
    chance = shares.sum(axis=1) @ shares.sum(axis=0)
    assert close(kappa.cohen_kappa(TABLE), (seen - chance) / (1 - chance))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_standard_error_of_cohens_kappa_is_the_spread_of_simulated_kappas(weighting: str) -> None:
    shares = TABLE.counts / 25
    weights = agreement_weights(weighting, 3)
    n = 2000
    drawn = np.random.default_rng(1).multinomial(n, shares.ravel(), size=4000).reshape(-1, 3, 3) / n
    seen = (drawn * weights).sum(axis=(1, 2))
    chance = np.einsum("si,ij,sj->s", drawn.sum(axis=2), weights, drawn.sum(axis=1))
    spread = ((seen - chance) / (1 - chance)).std() * np.sqrt(n)
    assert np.sqrt(kappa.cohen_variance(shares, weights)) == pytest.approx(spread, rel=0.04)


def test_with_quadratic_weights_kappa_is_lins_concordance_of_the_class_numbers() -> None:
    counts = TABLE.counts
    found = kappa.cohen_kappa(TABLE, weighting="quadratic weights")
    rows, columns = np.repeat(np.indices((3, 3)).reshape(2, -1), counts.ravel().astype(int), axis=1)
    ccc = 2 * np.cov(rows, columns, ddof=0)[0, 1]
    ccc /= rows.var() + columns.var() + (rows.mean() - columns.mean()) ** 2
    assert close(found, ccc)


def test_a_class_that_nobody_used_keeps_its_place_in_the_weights() -> None:
    readings = pairs_of("112244", "122424", classes="1234")
    dropped = Categories(readings.cases, readings.readers, readings.values, ("1", "2", "4"))
    found = kappa.cohen_kappa(readings, weighting="linear weights")
    assert not close(kappa.cohen_kappa(dropped, weighting="linear weights"), found.value or 0)
    place = {"1": 0, "2": 1, "4": 3}
    apart = [abs(place[a] - place[b]) / 3 for a, b in zip("112244", "122424", strict=True)]
    by_chance = np.mean([abs(place[a] - place[b]) / 3 for a in "112244" for b in "122424"])
    assert close(found, 1 - np.mean(apart) / by_chance)


def test_for_two_readers_light_and_conger_are_cohen() -> None:
    cohen = kappa.cohen_kappa(TABLE).value or 0
    assert close(kappa.light_kappa(TABLE), cohen)
    assert close(kappa.conger_kappa(TABLE), cohen)


def test_the_jackknife_of_light_leaves_out_one_case_at_a_time() -> None:
    rows = ["112", "222", "331", "333", "122", "111", "232"]
    found = kappa.light_kappa(from_rows(rows, classes="123"))
    left_out = [
        kappa.light_kappa(from_rows(rows[:case] + rows[case + 1 :], classes="123")).value or 0
        for case in range(len(rows))
    ]
    error = np.sqrt(6 / 7 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    half = stats.t.ppf(0.975, 6) * error
    assert limits(found) == pytest.approx((found.value - half, found.value + half), abs=1e-12)


def test_perfect_agreement_in_several_classes_is_one_with_limits_of_one() -> None:
    readings = pairs_of("112233", "112233")
    for found in (kappa.cohen_kappa(readings), kappa.fleiss_kappa(readings), gwet.gwet_ac(readings)):
        assert close(found, 1)
        assert limits(found) == pytest.approx((1, 1))


def test_one_class_for_every_reading_leaves_kappa_undefined_and_ac1_at_one() -> None:
    readings = pairs_of("1111", "1111")
    for found in (
        kappa.cohen_kappa(readings),
        kappa.fleiss_kappa(readings),
        kappa.conger_kappa(readings),
        kappa.light_kappa(readings),
        gwet.fleiss_kappa_general(readings),
        krippendorff_alpha.krippendorff_alpha(readings, "nominal"),
    ):
        assert (found.value, found.ci_low, found.reason) == (None, None, "one_category")
        assert found.message
    assert close(gwet.gwet_ac(readings), 1)
    assert close(gwet.brennan_prediger(readings), 1)


def test_a_constant_reader_gives_a_kappa_of_zero() -> None:
    assert close(kappa.cohen_kappa(pairs_of("2222", "1233")), 0)


def test_light_is_undefined_when_one_pair_of_readers_is() -> None:
    found = kappa.light_kappa(from_rows(["111", "112", "113"], classes="123"))
    assert (found.value, found.reason) == (None, "one_category")


def test_kappas_of_complete_cases_leave_the_others_out_and_count_them() -> None:
    whole = ["112", "222", "331", "333"]
    found = kappa.fleiss_kappa(from_rows([*whole, "1.1", "..3"], classes="123"))
    assert close(found, kappa.fleiss_kappa(from_rows(whole, classes="123")).value or 0)
    assert (found.n, found.excluded) == (4, 2)


def test_a_single_rating_counts_in_the_prevalence_only() -> None:
    paired, single = (
        from_rows(["11", "12", "22"], classes="12"),
        from_rows(["11", "12", "22", "1."], classes="12"),
    )
    assert close(gwet.percent_agreement(paired), 2 / 3)
    assert close(gwet.percent_agreement(single), 2 / 3)
    share = (1 + 0.5 + 0 + 1) / 4
    chance = share**2 + (1 - share) ** 2
    assert close(gwet.fleiss_kappa_general(single), (2 / 3 - chance) / (1 - chance))


def test_brennan_prediger_takes_every_class_as_equally_likely() -> None:
    seen = np.trace(TABLE.counts) / 25
    assert close(gwet.brennan_prediger(TABLE), (3 * seen - 1) / 2)


def test_the_cases_of_a_patient_count_once_in_the_limits() -> None:
    rows = ["112", "222", "331", "333", "122", "111"]
    doubled = from_rows(rows * 2, classes="123")
    patients = {case: str(number % 6) for number, case in enumerate(dict.fromkeys(doubled.cases))}
    for statistic in (kappa.fleiss_kappa, kappa.conger_kappa, kappa.light_kappa, gwet.gwet_ac):
        once = statistic(from_rows(rows, classes="123"))
        assert limits(statistic(code(doubled, patients=patients))) == pytest.approx(limits(once), abs=1e-12)
        narrow = limits(statistic(doubled))
        assert narrow[1] - narrow[0] < 0.8 * (limits(once)[1] - limits(once)[0])


def test_cohens_limits_keep_the_cases_of_a_patient_together() -> None:
    first, second = "1122331232" * 2, "1123331332" * 2
    doubled = pairs_of(first, second)
    patients = {case: str(number % 10) for number, case in enumerate(dict.fromkeys(doubled.cases))}
    once = kappa.cohen_kappa(pairs_of(first[:10], second[:10]))
    assert limits(kappa.cohen_kappa(code(doubled, patients=patients))) == pytest.approx(
        limits(once), abs=1e-9
    )


def test_a_case_read_twice_by_a_reader_is_refused_with_its_name() -> None:
    readings = Categories(("A", "A", "A"), ("R1", "R2", "R2"), ("1", "1", "2"), ("1", "2"))
    for found in (
        kappa.cohen_kappa(readings),
        kappa.fleiss_kappa(readings),
        gwet.gwet_ac(readings),
        krippendorff_alpha.krippendorff_alpha(readings, "nominal"),
    ):
        assert (found.value, found.reason) == (None, "duplicate_key")
        assert "R2" in found.message


def test_no_shared_case_is_no_pairs_and_one_case_has_no_limits() -> None:
    apart = Categories(("A", "B"), ("R1", "R2"), ("1", "2"), ("1", "2"))
    assert kappa.cohen_kappa(apart).reason == "no_pairs"
    assert gwet.gwet_ac(apart).reason == "no_pairs"
    single = kappa.cohen_kappa(pairs_of("1", "2"))
    assert (single.value, single.ci_low, single.reason) == (0, None, "too_few")


def test_an_empty_table_and_no_readings_are_undefined_not_a_crash() -> None:
    empty = Categories((), (), (), ("1", "2"))
    assert kappa.fleiss_kappa(empty).reason == "too_few"
    assert gwet.gwet_ac(empty).reason == "no_pairs"
    assert kappa.cohen_kappa(Table(np.zeros((2, 2)), ("1", "2"))).reason == "no_pairs"


def test_a_class_without_a_name_and_a_third_reader_are_refused_in_a_sentence() -> None:
    with pytest.raises(DataError, match="not one of the classes"):
        kappa.cohen_kappa(pairs_of("14", "12"))
    with pytest.raises(DataError, match="two readers"):
        kappa.cohen_kappa(fleiss_1971())
    with pytest.raises(DataError, match="whole counts"):
        kappa.cohen_kappa(Table(np.array([[1.5, 1], [0, 2]]), ("1", "2")))


def test_ordinal_weights_follow_gwets_formula() -> None:
    expected = np.array(
        [[1, 5 / 6, 0.5, 0], [5 / 6, 1, 5 / 6, 0.5], [0.5, 5 / 6, 1, 5 / 6], [0, 0.5, 5 / 6, 1]]
    )
    assert agreement_weights("ordinal weights", 4) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_krippendorffs_example_has_his_alphas(level: str, published: float) -> None:
    found = krippendorff_alpha.krippendorff_alpha(krippendorff_2011(), level)
    assert close(found, published, tolerance=6e-4)
    assert (found.n, found.excluded) == (11, 1)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_alpha_is_that_of_the_package_krippendorff(level: str) -> None:
    rng = np.random.default_rng(5)
    drawn = np.clip(rng.integers(1, 6, (15, 1)) + rng.integers(-1, 2, (15, 4)), 1, 5).astype(float)
    drawn[rng.random(drawn.shape) < 0.2] = np.nan
    rows = ["".join("." if np.isnan(value) else str(int(value)) for value in row) for row in drawn]
    found = krippendorff_alpha.krippendorff_alpha(from_rows(rows, classes="12345"), level)
    expected = krippendorff.alpha(reliability_data=drawn.T, level_of_measurement=level)
    assert close(found, expected)


def without_reader(rows: list[str], reader: int) -> Categories:
    return from_rows([row[:reader] + row[reader + 1 :] for row in rows], classes="12345")


def test_limits_for_the_reader_population_add_the_readers_to_the_cases() -> None:
    here = gwet.gwet_ac(fleiss_1971())
    found = for_reader_population(fleiss_1971(), "gwet_ac1")
    assert (found.value, found.target) == (here.value, "reader population")
    assert found.variant == "unweighted, two-way jackknife"
    rows = FLEISS_1971.split()
    left_out = [gwet.gwet_ac(without_reader(rows, reader)).value for reader in range(6)]
    cases = ((limits(here)[1] - here.value) / stats.t.ppf(0.975, 29)) ** 2
    readers = 5 / 6 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)
    df = (cases + readers) ** 2 / (cases**2 / 29 + readers**2 / 5)
    half = stats.t.ppf(0.975, df) * (cases + readers) ** 0.5
    assert limits(found) == pytest.approx((found.value - half, found.value + half), abs=1e-12)


@pytest.mark.parametrize("name", ["fleiss_kappa", "conger_kappa", "light_kappa"])
def test_kappas_without_each_reader_are_those_of_the_readers_that_are_left(name: str) -> None:
    rows = FLEISS_1971.split()
    expected = [getattr(kappa, name)(without_reader(rows, reader)).value for reader in range(6)]
    assert kappa.without_each_reader(code(fleiss_1971()), name) == pytest.approx(expected, abs=1e-12)


def test_gwets_coefficients_without_each_reader_drop_the_cases_that_only_this_one_read() -> None:
    rows = ["1123", "22.2", "3..3", "331.", "1..."]
    for weighting in ("unweighted", "ordinal weights"):
        expected = [
            gwet.fleiss_kappa_general(without_reader(rows, reader), weighting=weighting).value
            for reader in range(4)
        ]
        codes = code(from_rows(rows, classes="12345"))
        assert gwet.without_each_reader(codes, "fleiss", weighting) == pytest.approx(expected, abs=1e-12)


def test_the_reader_population_needs_three_readers() -> None:
    found = for_reader_population(TABLE, "conger_kappa")
    assert (found.ci_low, found.reason) == (None, "too_few")
    assert found.value == kappa.conger_kappa(TABLE).value
    assert for_reader_population(pairs_of("11", "11"), "fleiss_kappa").reason == "one_category"
