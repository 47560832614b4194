"""Matching of found nuclei to true ones against brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ki67.training.matching import match


def by_brute_force(
    truth: npt.NDArray[np.float64], found: npt.NDArray[np.float64], radius: float
) -> tuple[int, float]:
    """The most pairs within the radius, and then the smallest sum of distances, over every assignment."""
    if len(truth) > len(found):
        truth, found = found, truth
    distance = cdist(truth, found)
    best = (0, 0.0)
    for order in permutations(range(len(found)), len(truth)):
        each = [distance[i, j] for i, j in enumerate(order) if distance[i, j] <= radius]
        if (len(each), -sum(each)) > (best[0], -best[1]):
            best = (len(each), sum(each))
    return best


def outcome(
    truth: npt.NDArray[np.float64], found: npt.NDArray[np.float64], partner: npt.NDArray[np.int64]
) -> tuple[int, float]:
    hit = partner >= 0
    return int(hit.sum()), float(np.linalg.norm(truth[hit] - found[partner[hit]], axis=1).sum())


@pytest.mark.parametrize("seed", range(30))
def test_matching_equals_brute_force_over_every_assignment(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = rng.uniform(0, 8, (rng.integers(0, 6), 2)), rng.uniform(0, 8, (rng.integers(0, 7), 2))
    count, total = outcome(truth, found, match(truth, found, radius=3.0))
    expected_count, expected_total = by_brute_force(truth, found, 3.0)
    assert count == expected_count
    assert total == pytest.approx(expected_total)


@pytest.mark.parametrize("seed", range(5))
def test_matching_in_groups_equals_one_assignment_over_the_whole_field(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 300, (700, 2))
    found = truth[rng.random(700) < 0.8] + rng.normal(0, 2.5, (1, 2))
    found = np.concatenate([found, rng.uniform(0, 300, (150, 2))])
    distance = cdist(truth, found)
    rows, cols = linear_sum_assignment(np.where(distance <= 4.0, distance, 1e6))
    whole = distance[rows, cols][distance[rows, cols] <= 4.0]
    count, total = outcome(truth, found, match(truth, found, radius=4.0))
    assert count == len(whole)
    assert total == pytest.approx(whole.sum())


def test_more_pairs_win_over_a_shorter_distance() -> None:
    truth = np.array([[0.0, 0.0], [3.0, 0.0]])
    found = np.array([[2.9, 0.0], [5.0, 0.0]])
    assert match(truth, found, radius=3.0).tolist() == [0, 1]


def test_a_pair_exactly_one_radius_apart_matches_and_one_beyond_does_not() -> None:
    truth = np.array([[0.0, 0.0], [100.0, 0.0]])
    found = np.array([[4.0, 0.0], [104.001, 0.0]])
    assert match(truth, found, radius=4.0).tolist() == [0, -1]


def test_no_partner_is_used_twice() -> None:
    partner = match(np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 0.0]]), radius=4.0)
    assert sorted(partner.tolist()) == [-1, -1, 0]
    assert partner[1] == 0


def test_an_empty_side_matches_nothing() -> None:
    none, one = np.zeros((0, 2)), np.array([[1.0, 1.0]])
    assert match(one, none, radius=4.0).tolist() == [-1]
    assert match(none, one, radius=4.0).tolist() == []
