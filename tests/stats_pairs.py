"""Pairs of readings for tests: a published table, and pairs with a known structure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ki67.stats.forms import Pairs, ReplicatedPairs

# Bland JM, Altman DG. Lancet 1986;327:307-310, table 1: peak expiratory flow (l/min) of 17 subjects, two
# readings with a Wright meter and two with a mini Wright meter.
WRIGHT = (
    (494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427),
    (490, 397, 512, 401, 470, 611, 415, 431, 638, 429, 420, 633, 275, 492, 165, 372, 421),
)
MINI = (
    (512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451),
    (525, 415, 508, 444, 500, 625, 460, 390, 642, 432, 420, 605, 227, 467, 268, 370, 443),
)


def pairs_of(x: npt.ArrayLike, y: npt.ArrayLike) -> Pairs:
    """Pairs with the case codes T1, T2, …"""
    x, y = np.asarray(x, float), np.asarray(y, float)
    return Pairs(tuple(f"T{number}" for number in range(1, x.size + 1)), x, y)


def pefr() -> Pairs:
    """First readings: x the mini meter, y the Wright meter, as the paper subtracts."""
    return pairs_of(MINI[0], WRIGHT[0])


def pefr_replicated() -> ReplicatedPairs:
    """Both readings of both meters: x Wright, y mini."""
    rows = [
        (str(case), method, str(replicate), float(value))
        for method, readings in (("x", WRIGHT), ("y", MINI))
        for replicate, column in enumerate(readings, start=1)
        for case, value in enumerate(column, start=1)
    ]
    cases, methods, replicates, values = zip(*rows, strict=True)
    return ReplicatedPairs(cases, methods, replicates, np.array(values))


def similar_pairs(n: int, *, seed: int, slope: float = 1.1, intercept: float = -0.5) -> Pairs:
    """n pairs with errors in both, y = intercept + slope · truth; one decimal, some ties."""
    random = np.random.default_rng(seed)
    truth = random.uniform(5, 60, n)
    x = truth + random.normal(0, 2, n)
    y = intercept + slope * truth + random.normal(0, 2, n)
    return pairs_of(np.round(x, 1), np.round(y, 1))
