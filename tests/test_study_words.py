"""What the app says of a result: intervals in words, rows of the list, the export, the setup's questions."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import numpy as np
import pytest

from ki67.errors import PictureError, UnknownPixelSize
from ki67.sites import LeadingIndex, classify
from ki67.study import asking, explaining, listing
from ki67.study.jobs import JobView
from ki67.study.pictures import StoredPicture
from ki67.study.results import ResultRow
from ki67.types import Flag, Interval, Measurement, PictureInfo, Site

NOTHING = np.zeros(0, bool)


def leading(sampling: Interval | None, total: Interval | None, *, site: Site = "breast") -> LeadingIndex:
    return LeadingIndex("global", 100, 900, sampling, total, classify(site, 100, 900), False)


def measured(total_reason: str | None = None) -> Measurement:
    return Measurement(
        100, 900, None, None, None, None, None, total_reason, 1.0, 1.0, None, None, (), None, NOTHING, NOTHING
    )  # fmt: skip


def row(
    positive: int,
    negative: int,
    *,
    site: Site = "breast",
    spot: tuple[int, int] | None = None,
    code: str = "r1",
) -> ResultRow:
    return ResultRow(
        code=code,
        picture_code="p1",
        case_code="K-1",
        site=site,
        positive=positive,
        negative=negative,
        sampling=Interval(0.08, 0.12) if positive + negative else None,
        reason=None if positive + negative else "no tumor nuclei were found",
        hot_spot_positive=spot[0] if spot else None,
        hot_spot_negative=spot[1] if spot else None,
        hot_spot_interval=Interval(0.1, 0.2) if spot else None,
        hot_spot_reason=None if spot else "the region is too small",
        flags=(Flag("blur", "The picture looks out of focus. Nuclei may be missed."),),
        model_set="set",
        created_at=datetime(2026, 11, 24, 9, 12, tzinfo=UTC),
        synthetic=False,
    )


def test_two_intervals_inside_one_class_are_said_to_stay() -> None:
    words = explaining.interval_words(leading(Interval(0.08, 0.12), Interval(0.06, 0.15)), measured())
    assert words.sampling == "**8.0–12.0 %** sampling (bar)"
    assert words.total == "**6.0–15.0 %** with model error (line)"
    assert words.verdict == "95 % intervals. Both stay inside > 5 and < 30 %."


def test_an_interval_across_a_cutoff_leaves_the_class_unsettled() -> None:
    total_only = explaining.interval_words(leading(Interval(0.08, 0.12), Interval(0.04, 0.31)), measured())
    assert total_only.verdict.endswith("With model error it crosses 5 % and 30 %: the class is not settled.")
    alone = explaining.interval_words(leading(Interval(0.04, 0.12), None), measured("no error model"))
    assert alone.verdict == "95 % interval. It crosses 5 %: the class is not settled."
    assert alone.total == "With model error: not known. No error model."


def test_the_further_cutoffs_of_breast_follow_the_leading_classes() -> None:
    assert explaining.other_classes(leading(None, None)) == "Also < 14 % and < 20 %."
    assert explaining.other_classes(leading(None, None, site="neuroendocrine")) == ""


def test_a_flag_splits_into_its_name_and_the_rest() -> None:
    flag = Flag(
        "pixel_size_given", "Pixel size entered by hand (0.500 µm/px). A wrong size changes every count."
    )
    assert explaining.flag_parts(flag) == (
        "Pixel size entered by hand (0.500 µm/px).",
        "A wrong size changes every count.",
    )
    assert not explaining.focus_stain_tissue_expected((Flag("blur", "x. y."),))
    assert explaining.focus_stain_tissue_expected((flag,))


def test_a_neuroendocrine_row_leads_with_its_hot_spot_and_falls_back_without_a_class() -> None:
    with_spot = listing.leading_of(row(90, 910, site="neuroendocrine", spot=(162, 1666)))
    assert (with_spot.kind, with_spot.positive, with_spot.negative) == ("hot spot", 162, 1666)
    assert with_spot.classes[0].words == "3–20 %"
    without = listing.leading_of(row(90, 910, site="neuroendocrine"))
    assert (without.kind, without.fell_back, without.classes) == ("global", True, ())


def test_the_sentence_over_the_list_counts_flags_and_what_is_not_assessable() -> None:
    assert (
        listing.summary_sentence([row(90, 910), row(0, 0)])
        == "**2 results**, 2 with a flag, 1 not assessable."
    )
    assert listing.summary_sentence([row(90, 910)]).startswith("**1 result**,")


def test_the_exported_table_leaves_undefined_values_empty_and_says_research_use_only() -> None:
    text = listing.export_csv([row(90, 910), row(0, 0, code="r2")]).decode("utf8")
    first, second = csv.DictReader(io.StringIO(text))
    assert (float(first["index_percent"]), first["class"], first["flags"]) == (9.0, "> 5 and < 30 %", "blur")
    assert (second["index_percent"], second["ci_low"], second["class"]) == ("", "", "")
    assert second["reason"] == "no tumor nuclei were found"
    assert first["note"] == second["note"] == "Research use only"


def picture(metadata_mpp: float | None) -> StoredPicture:
    info = PictureInfo(100, 100, "PNG", metadata_mpp, 1)
    return StoredPicture("p1", "0" * 64, info, False, None, None, None, (), synthetic=False)


def test_a_typed_pixel_size_counts_as_typed_only_when_it_differs_from_the_files_own() -> None:
    assert asking.read_pixel_size("0.250", picture(0.2503), name="K-1") is None
    assert asking.read_pixel_size("0,25", picture(0.5), name="K-1") == 0.25
    assert asking.read_pixel_size("", picture(0.5), name="K-1") is None
    with pytest.raises(UnknownPixelSize):
        asking.read_pixel_size(" ", picture(None), name="K-1")
    for typed in ("abc", "0", "-1", "50", "2"):
        with pytest.raises(PictureError):
            asking.read_pixel_size(typed, picture(None), name="K-1")


def job(code: str, seconds_left: float | None) -> JobView:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    nothing_yet = ("waiting", "", 0, 0, {}, seconds_left, "", None, False, 0, now, None, None)
    return JobView(code, "p1", "K-1", "breast", 1.0, *nothing_yet)


def test_a_waiting_job_starts_when_the_ones_before_it_are_done() -> None:
    queue = [job("a", 9.0), job("b", 4.0), job("c", 1.0)]
    assert asking.seconds_until_start(queue, "a") == 0
    assert asking.seconds_until_start(queue, "c") == 13
    assert asking.seconds_until_start([job("a", None), job("b", 1.0)], "b") is None
