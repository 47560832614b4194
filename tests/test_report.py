"""The report on made-up fields: limits over patients, what step 1 changes, others, worst fields, table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import pytest

from ki67.training.evaluate_files import report_json
from ki67.training.figures import BINS, Faults, FieldFigures, ScoreBins, summarize
from ki67.training.reliability import reliability_of
from ki67.training.report import EVERY_PICTURE_TRAINED, NO_LABELLED_NUCLEI, TOO_FEW, report_of
from ki67.training.report_index import index_agreement
from ki67.training.report_intervals import Limits, Resampling
from ki67.training.report_others import other_share
from ki67.training.report_table import table_lines
from ki67.training.report_worst import worst_fields
from tests.figures import counts, field


def fields(number: int = 12, *, patients: int = 8, seed: int = 4) -> list[FieldFigures]:
    """Fields of unlike quality; the last patients have two each."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(number):
        truth = int(rng.integers(60, 200))
        positive = int(rng.integers(2, truth // 2))
        missed, invented, removed = (int(rng.integers(0, 30)) for _ in range(3))
        tp = truth - missed
        made.append(
            field(
                f"f{i}",
                truth=(positive, truth - positive),
                without=counts(tp, invented + removed, missed, found=(positive + 3, tp), other=removed),
                with_mask=counts(
                    tp - 2, invented, missed + 2, found=(positive + 1, tp - 5), other=removed // 3
                ),
                other=30,
                patient=f"P{i % patients}",
                lost=2,
            )
        )
    return made


def again_and_again(made: Sequence[FieldFigures], name: str, *, seed: int, draws: int) -> Limits:
    """The bootstrap done slowly: the fields of the drawn patients pooled anew by `summarize`."""
    patients = sorted({each.patient for each in made})
    drawn = np.random.default_rng(seed).multinomial(
        len(patients), np.full(len(patients), 1 / len(patients)), size=draws
    )
    values = []
    for times in drawn:
        chosen = [
            each
            for patient, count in zip(patients, times, strict=True)
            for each in made
            if each.patient == patient
            for _ in range(count)
        ]
        summary = summarize(chosen, "with_step_1")
        assert summary is not None
        where = summary.index if name.startswith("index_") else summary
        values.append(getattr(where, name.removeprefix("index_")))
    low, high = np.quantile(np.array(values), [0.025, 0.975])
    return Limits(float(low), float(high))


@pytest.mark.parametrize(
    "name",
    [
        "f1",
        "precision",
        "recall_positive",
        "f1_any_class",
        "f1_without_border",
        "f1_within_5_px",
        "f1_within_10_px",
        "other_share",
        "lost_share",
        "index_mean_absolute",
        "index_root_mean_square",
        "index_bias",
    ],
)
def test_the_limits_are_those_of_pooling_the_drawn_patients_anew(name: str) -> None:
    made = fields()
    limits = getattr(Resampling.of(made, seed=11, draws=60).intervals(made, "with_step_1"), name)
    slow = again_and_again(made, name, seed=11, draws=60)
    assert (limits.low, limits.high) == pytest.approx((slow.low, slow.high))


def test_limits_of_a_share_of_many_like_patients_are_those_of_theory() -> None:
    rng = np.random.default_rng(0)
    found = rng.binomial(50, 0.8, 200)
    made = [
        field(f"f{i}", truth=(0, 50), without=counts(int(k), 0, 50 - int(k), found=(0, int(k))))
        for i, k in enumerate(found)
    ]
    recall = report_of(made, seed=1).headline.without_step_1
    assert recall is not None
    limits = recall.intervals.recall
    assert limits is not None
    share = recall.summary.recall
    half = 1.96 * np.sqrt(0.8 * 0.2 / (200 * 50))
    assert (limits.low, limits.high) == pytest.approx((share - half, share + half), abs=0.0015)


def test_fields_of_one_patient_are_drawn_together_so_that_copies_add_nothing() -> None:
    single = fields(8, patients=8)
    copied = [dataclasses.replace(each, image=f"{each.image}-{i}") for each in single for i in range(5)]
    first, second = (report_of(made, seed=3).headline.with_step_1 for made in (single, copied))
    assert first is not None
    assert second is not None
    for name, limits in dataclasses.asdict(first.intervals).items():
        assert dataclasses.asdict(second.intervals)[name] == pytest.approx(limits), name


def test_the_same_seed_gives_the_same_report_and_the_report_says_which() -> None:
    assert report_of(fields(), seed=5) == report_of(fields(), seed=5)
    other = report_of(fields(), seed=6)
    assert other.seed == 6
    assert (
        other.headline.with_step_1.intervals.f1
        != report_of(fields(), seed=5).headline.with_step_1.intervals.f1
    )


def test_what_step_1_changes_is_paired_over_the_same_draws() -> None:
    made = fields(40, patients=40)
    difference = report_of(made).difference
    assert difference is not None
    with_mask, without = (summarize(made, step) for step in ("with_step_1", "without_step_1"))
    assert difference.f1.value == pytest.approx(with_mask.f1 - without.f1)
    assert difference.index_bias.value == pytest.approx(with_mask.index.bias - without.index.bias)
    assert difference.other_share.value == pytest.approx(with_mask.other_share - without.other_share)
    intervals = [report_of(made).headline.of(step).intervals.f1 for step in ("with_step_1", "without_step_1")]
    apart = np.hypot(*(each.high - each.low for each in intervals))
    assert difference.f1.limits.high - difference.f1.limits.low < 0.9 * apart
    same = [dataclasses.replace(each, with_step_1=each.without_step_1) for each in made]
    nothing = report_of(same).difference
    assert nothing.f1.value == 0
    assert nothing.f1.limits == Limits(0, 0)


def test_fewer_than_five_patients_give_figures_with_n_but_no_interval_and_no_verdict() -> None:
    made = fields(12, patients=4)
    figures = report_of(made).headline.with_step_1
    assert figures is not None
    assert (figures.enough, figures.reason) == (False, TOO_FEW)
    assert figures.summary.fields == 12
    assert figures.summary.f1 is not None
    assert figures.intervals.f1 is None
    assert figures.agreement.lower is None
    assert report_of(made).difference.f1.limits is None
    small = [
        dataclasses.replace(each, source="small" if i < 2 else "large") for i, each in enumerate(fields())
    ]
    rows = {row.source: row.figures.with_step_1 for row in report_of(small).by_source}
    assert (rows["small"].enough, rows["large"].enough) == (False, True)


def test_a_figure_that_fewer_than_five_patients_bear_has_no_interval() -> None:
    made = [dataclasses.replace(each, truth_other=30 if i < 4 else 0) for i, each in enumerate(fields())]
    intervals = report_of(made).headline.with_step_1.intervals
    assert intervals.other_share is None
    assert intervals.f1 is not None


def test_the_agreement_of_the_index_is_bland_and_altmans() -> None:
    found = (12, 18, 33, 41, 55)
    made = [
        field(f"f{i}", truth=(10 * (i + 1), 100 - 10 * (i + 1)), without=counts(90, 1, 1, found=(k, 100 - k)))
        for i, k in enumerate(found)
    ]
    agreement = index_agreement(made, "without_step_1")
    assert agreement is not None
    differences = np.array([2, -2, 3, 1, 5])
    assert agreement.bias == pytest.approx(differences.mean())
    assert agreement.sd == pytest.approx(differences.std(ddof=1))
    assert agreement.lower == pytest.approx(differences.mean() - 1.959964 * differences.std(ddof=1))
    assert agreement.upper_limits.low < agreement.upper < agreement.upper_limits.high
    assert [pair.found_percent for pair in agreement.pairs] == pytest.approx(list(found))


def test_others_counted_are_pooled_per_field_and_without_the_patient_who_has_most() -> None:
    made = [
        field(
            "a", truth=(5, 50), without=counts(50, 3, 5, found=(5, 48), other=150), other=222, patient="p1"
        ),
        field("b", truth=(5, 50), without=counts(50, 3, 5, found=(5, 48), other=10), other=40),
        field("c", truth=(5, 50), without=counts(50, 3, 5, found=(5, 48), other=5), other=10),
        field("d", truth=(5, 50), without=counts(50, 3, 5, found=(5, 48))),
    ]
    share = other_share(made, "without_step_1")
    assert share is not None
    assert (share.counted, share.other, share.share) == (165, 272, pytest.approx(165 / 272))
    assert share.largest_patient == "p1"
    assert share.share_without_largest == pytest.approx(15 / 50)
    assert [(row.image, row.counted, row.other) for row in share.fields] == [
        ("a", 150, 222),
        ("b", 10, 40),
        ("c", 5, 10),
    ]
    assert other_share(made[3:], "without_step_1") is None


def test_the_worst_fields_come_with_the_reason_in_words() -> None:
    faults = Faults(missed=12, wrong_class=3, on_other=40, doubled=0, invented=5)
    bad = field(
        "bad",
        truth=(20, 80),
        with_mask=counts(85, 48, 15, found=(10, 123), faults=faults),
        without=counts(95, 50, 5, found=(12, 133)),
        lost=10,
    )
    good = field("good", truth=(20, 80), with_mask=counts(99, 1, 1, found=(20, 80)))
    perfect = field("perfect", truth=(20, 80), with_mask=counts(100, 0, 0, found=(20, 80)))
    worst = worst_fields([good, perfect, bad], "with_step_1")
    assert [row.image for row in worst] == ["bad", "good"]
    assert worst[0].lost_to_mask == 10
    assert worst[0].reason == (
        "40 counted though not tumor, 10 lost to the tumor mask, 5 invented where no nucleus is marked, "
        "3 in the wrong class, 2 missed of 100 tumor nuclei; index 7.5 %, counted 20.0 %."
    )
    tiny = field("tiny", truth=(0, 1), without=counts(0, 9, 1, found=(0, 9), faults=Faults(1, 0, 9)))
    assert worst_fields([tiny], "without_step_1")[0].reason == (
        "Hardly any tumor: 9 counted though not tumor, 1 missed of 1 tumor nuclei; "
        "index 0.0 %, counted 0.0 %."
    )


def test_no_headline_says_why() -> None:
    trained = [dataclasses.replace(each, trained_cells=True) for each in fields()]
    assert report_of(trained).headline_reason == EVERY_PICTURE_TRAINED
    unlabelled = [field("a", truth=(0, 0))]
    assert report_of(unlabelled).headline_reason == NO_LABELLED_NUCLEI
    assert report_of([*unlabelled, *trained]).headline_reason == EVERY_PICTURE_TRAINED
    assert report_of(fields()).headline_reason is None


def test_the_reliability_diagram_pools_bins_and_weighs_the_gaps_by_candidates() -> None:
    empty = [0] * BINS

    def bins(at: int, candidates: int, true: int, score: float) -> ScoreBins:
        rows = [list(empty), list(empty), [0.0] * BINS]
        rows[0][at], rows[1][at], rows[2][at] = candidates, true, candidates * score
        return ScoreBins(*(tuple(row) for row in rows))

    made = [
        field(name, truth=(5, 50), without=dataclasses.replace(counts(50, 3, 5, found=(5, 48)), bins=own))
        for name, own in (
            ("a", bins(8, 30, 20, 0.85)),
            ("b", bins(8, 10, 10, 0.81)),
            ("c", bins(2, 60, 6, 0.3)),
        )
    ]
    diagram = reliability_of(made, "without_step_1")
    assert diagram is not None
    upper, lower = diagram.bins[8], diagram.bins[2]
    assert (upper.candidates, upper.share, upper.mean_score) == (40, 0.75, pytest.approx(0.84))
    assert upper.share_low < 0.75 < upper.share_high
    assert (lower.share, diagram.bins[0].share) == (pytest.approx(0.1), None)
    assert diagram.calibration_error == pytest.approx((40 * 0.09 + 60 * 0.2) / 100)
    assert reliability_of(fields(), "without_step_1") is None


def test_a_report_is_plain_json_with_limits_beside_the_figures() -> None:
    report = report_of(fields(), draws=40)
    raw = json.loads(json.dumps(report_json(report), allow_nan=False))
    figures = raw["headline"]["with_step_1"]
    assert figures["f1"] == report.headline.with_step_1.summary.f1
    assert figures["intervals"]["f1"]["low"] < figures["f1"] < figures["intervals"]["f1"]["high"]
    assert raw["protocol"]["radius_um"] == 4.0
    assert (raw["seed"], raw["draws"]) == (0, 40)
    assert raw["by_source"]["one"]["with_step_1"]["index"]["fields"] == 12
    assert raw["difference"]["f1"]["value"] == report.difference.f1.value


def test_the_table_names_every_source_and_what_step_1_does() -> None:
    made = [
        dataclasses.replace(each, source="small" if i < 2 else "large") for i, each in enumerate(fields())
    ]
    lines = list(table_lines(report_of(made, draws=100)))
    assert [line.split()[:2] for line in lines[1:7]] == [
        ["all", "with"],
        ["all", "without"],
        ["large", "with"],
        ["large", "without"],
        ["small", "with"],
        ["small", "without"],
    ]
    text = "\n".join(lines)
    assert "2*" in lines[5]
    assert "* fewer than five patients or fields: no interval and no verdict." in text
    assert "Step 1 changes F1 by " in text
    assert "Nuclei that are not tumor but counted, step 1 with: " in text
    assert "Tumor nuclei lost to the mask: 24 of " in text
    assert "Worst fields:" in text
