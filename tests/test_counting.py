"""One field by hand: what is false, what is ignored, and what kind of error an error is."""

from __future__ import annotations

import numpy as np
import pytest

from ki67.training.counting import Found, MatchRow, count_field, found_tumor
from ki67.training.figures import Faults, StepCounts, Tally
from ki67.training.folder import Kind, Nuclei

POS, NEG, OTHER, UNKNOWN = Kind.POSITIVE, Kind.NEGATIVE, Kind.OTHER, Kind.UNKNOWN
MPP = 0.5


def nuclei(*rows: tuple[float, float, Kind]) -> Nuclei:
    return Nuclei(
        np.array([(x, y) for x, y, _ in rows], np.float64).reshape(-1, 2),
        np.array([kind for *_, kind in rows], np.int8),
        np.arange(1, len(rows) + 1),
    )


def found(*rows: tuple[float, float, bool], in_tumor: list[bool] | None = None) -> Found:
    return Found(
        np.array([(x, y) for x, y, _ in rows], np.float64).reshape(-1, 2),
        np.array([positive for *_, positive in rows], bool),
        np.full(len(rows), 0.9),
        None if in_tumor is None else np.array(in_tumor),
    )


def count(truth: Nuclei, seen: Found, *, mpp: float = MPP) -> tuple[StepCounts, tuple[MatchRow, ...]]:
    return count_field(truth, seen, mpp=mpp, width_px=400, height_px=400)


def test_a_detection_between_an_unknown_nucleus_and_one_that_is_not_tumor_belongs_to_the_nearer() -> None:
    truth = nuclei((100, 100, UNKNOWN), (110, 100, OTHER))
    near_other, _ = count(truth, found((106, 100, False)))
    near_unknown, _ = count(truth, found((104, 100, False)))
    assert near_other.negative == Tally(0, 1, 0)
    assert near_unknown.negative == Tally(0, 0, 0)


def test_a_detection_on_each_of_the_two_is_one_false_and_one_ignored() -> None:
    truth = nuclei((100, 100, UNKNOWN), (105, 100, OTHER))
    both, rows = count(truth, found((101, 100, False), (104, 100, False)))
    assert both.negative == Tally(0, 1, 0)
    assert {row.found_x_px: row.outcome for row in rows if row.found_label} == {101: "ignored", 104: "false"}


def test_an_unknown_nucleus_does_not_excuse_a_call_in_the_wrong_class() -> None:
    truth = nuclei((100, 100, NEG), (107, 100, UNKNOWN))
    counts, _ = count(truth, found((101, 100, True)))
    assert counts.positive == Tally(0, 1, 0)
    assert counts.faults == Faults(wrong_class=1)
    assert counts.any == Tally(1, 0, 0)


def test_every_error_has_one_kind_and_the_kinds_add_up() -> None:
    truth = nuclei(
        (50, 50, POS), (100, 50, NEG), (150, 50, NEG), (200, 50, OTHER), (250, 50, POS), (300, 50, UNKNOWN)
    )
    seen = found(
        (50, 51, True),  # matched
        (53, 50, True),  # the same nucleus again
        (101, 50, True),  # the wrong class
        (200, 52, False),  # on a nucleus that is not tumor
        (350, 350, False),  # where nothing is
        (300, 51, False),  # unknown: ignored
    )
    counts, rows = count(truth, seen)
    assert counts.faults == Faults(missed=2, wrong_class=1, on_other=1, doubled=1, invented=1)
    assert counts.both.fp == 1 + 1 + 1 + 1
    assert counts.both.fn == 2 + 1
    places = {(row.outcome, row.fault, row.found_x_px or row.truth_x_px) for row in rows if row.fault}
    assert places == {
        ("missed", "missed", 150),
        ("missed", "missed", 250),
        ("missed", "wrong class", 100),
        ("false", "wrong class", 101),
        ("false", "doubled", 53),
        ("false", "on other", 200),
        ("false", "invented", 350),
    }


@pytest.mark.parametrize(("distance_um", "five", "ten"), [(1.2, 1, 1), (1.3, 0, 1), (2.4, 0, 1), (2.6, 0, 0)])
def test_five_and_ten_pixels_are_those_of_a_quarter_of_a_micrometre(
    distance_um: float, five: int, ten: int
) -> None:
    counts, _ = count(nuclei((100, 100, POS)), found((100 + distance_um / MPP, 100, True)))
    assert (counts.within_1_25_um.tp, counts.within_2_5_um.tp) == (five, ten)
    assert counts.positive == Tally(1, 0, 0)


def test_a_row_says_whether_the_mask_lets_a_detection_through() -> None:
    truth = nuclei((100, 100, POS), (200, 200, OTHER))
    _, rows = count(truth, found((100, 100, True), (200, 200, False), in_tumor=[True, False]))
    assert {row.found_x_px: row.in_tumor for row in rows if row.found_label} == {100: True, 200: False}
    _, rows = count(truth, found((100, 100, True)))
    assert [row.in_tumor for row in rows if row.found_label] == [None]


def test_found_tumor_nuclei_are_those_with_a_detection_of_either_class() -> None:
    truth = nuclei((100, 100, POS), (150, 100, OTHER), (200, 100, NEG), (300, 100, NEG))
    seen = found((100, 100, False), (150, 100, False), (201, 100, False))
    assert found_tumor(truth, seen.xy_px, mpp=MPP).tolist() == [True, True, False]
