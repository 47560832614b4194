"""The numbers and words of the page Agreement: known differences, analysis of variance by hand, edges."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ki67 import charts_export, charts_limits
from ki67.charts_limits import BandLine, DotCloud, FittedLine, LimitMark, LimitPanel
from ki67.errors import Ki67Error
from ki67.stats.bland_altman import ba_bias, ba_loa
from ki67.stats.forms import Pairs
from ki67.study import agreement_words, case_view, estimate_words
from ki67.study.agreement import Question, agreement, closeness_to_panel, every_statistic
from ki67.study.material import StudyMaterial
from ki67.study.plans import AnalysisPlan
from pages._study_filter import fingerprint, size_line
from tests.study_material import log_normal_table, study_of

Z = 1.959963984540054
RAW = Question(scale="raw")


def two_way(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean, variance of algorithm − one reader, variance of one reader − another, from the mean squares."""
    n, k = differences.shape
    mean = differences.mean()
    cases, readers = differences.mean(axis=1) - mean, differences.mean(axis=0) - mean
    rest = differences - mean - cases[:, None] - readers[None, :]
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    reader = max(0.0, (n * (readers**2).sum() / (k - 1) - error) / n)
    case = (k * (cases**2).sum() / (n - 1) - error) / k
    return float(mean), float(case + reader + error), float(2 * (reader + error))


def test_a_constant_ratio_on_the_log_scale_is_told_in_points_at_the_level() -> None:
    read = np.linspace(2.0, 60.0, 12)[:, None] * np.ones((1, 4))
    algorithm = (read[:, :1] + 0.1) * 0.8 - 0.1
    view = agreement(study_of(np.hstack([algorithm, read])), Question(scale="log2(x+0.1)"))
    expected = 2 * 20.1 * math.tanh(math.log(0.8) / 2)
    assert view.level == 20.0
    assert view.one_reader is not None
    assert view.one_reader.bias is not None
    for told in (view.one_reader.bias, view.one_reader.lower, view.one_reader.upper):
        assert told.value == pytest.approx(expected, abs=1e-9)
    assert agreement_words.answer(view).first == (
        f"At an index of 20 % the algorithm reads **{-expected:.1f} points lower** than one reader "
        f"(−{-expected:.1f} to −{-expected:.1f})."
    )


def test_limits_of_one_reader_and_between_readers_follow_from_the_mean_squares() -> None:
    table = log_normal_table(25, 6, seed=11, bias=0.9)
    view = agreement(study_of(table), RAW)
    mean, single, between = two_way(table[:, :1] - table[:, 1:])
    assert view.one_reader is not None
    assert view.readers is not None
    assert view.one_reader.bias is not None
    assert view.one_reader.bias.value == pytest.approx(mean)
    assert view.one_reader.lower.value == pytest.approx(mean - Z * math.sqrt(single))
    assert view.one_reader.upper.value == pytest.approx(mean + Z * math.sqrt(single))
    assert view.readers.bias is None
    assert view.readers.upper.value == pytest.approx(Z * math.sqrt(between))
    assert view.readers.lower.value == pytest.approx(-Z * math.sqrt(between))
    assert (view.one_reader.pairs, view.readers.pairs) == (150, 25 * 15)
    assert {view.one_reader.lower.target, view.readers.lower.target} == {"reader population"}
    assert view.warnings[0].startswith("The spread grows with the index")


def test_the_panel_is_that_of_these_readers_and_its_limits_are_bland_and_altmans() -> None:
    table = log_normal_table(20, 5, seed=3)
    view = agreement(study_of(table), RAW)
    d = table[:, 0] - np.median(table[:, 1:], axis=1)
    assert view.panel is not None
    assert view.panel.bias is not None
    assert view.panel.bias.value == pytest.approx(d.mean())
    assert view.panel.upper.value == pytest.approx(d.mean() + Z * d.std(ddof=1))
    assert view.panel.lower.target == "these readers"


def test_a_reader_compared_is_left_out_of_the_panel_of_both() -> None:
    table = log_normal_table(18, 5, seed=4)
    view = agreement(study_of(table), replace(RAW, reader="O2"))
    others = np.median(np.delete(table, [0, 2], axis=1), axis=1)
    algorithm, reader = view.left_out
    assert algorithm.name == "Algorithm − panel without O2"
    assert reader.name == "O2 − panel without O2"
    for compared, column in ((algorithm, 0), (reader, 2)):
        d = table[:, column] - others
        assert compared.bias is not None
        assert compared.bias.value == pytest.approx(d.mean())
        assert compared.upper.value == pytest.approx(d.mean() + Z * d.std(ddof=1))
        assert np.allclose(compared.dots.difference, d)
    mean_of = {name: each.value for name, each in closeness_to_panel(study_of(table))}
    own = [
        np.abs(table[:, column] - np.median(np.delete(table, [0, column], axis=1), axis=1)).mean()
        for column in range(1, 6)
    ]
    assert mean_of["One reader from the panel of the others"] == pytest.approx(np.mean(own))


def test_the_answer_is_that_of_the_comparison_the_plan_puts_first() -> None:
    view = agreement(study_of(log_normal_table(20, 5, seed=3)))
    assert view.panel is not None
    assert view.panel.bias is not None
    words = agreement_words.answer(view, "algorithm and panel")
    assert "than the panel of these readers" in words.first
    assert f"{abs(view.panel.bias.value or 0):.1f} points" in words.first
    assert "than one reader" in agreement_words.answer(view).first


def test_one_reader_alone_is_compared_by_bland_and_altman_and_named() -> None:
    table = log_normal_table(15, 1, seed=5)
    view = agreement(study_of(table), RAW)
    pairs = Pairs(("",) * 15, table[:, 1], table[:, 0])
    assert view.one_reader is not None
    assert view.one_reader.name == "Algorithm − reader O1"
    assert view.one_reader.bias is not None
    assert view.one_reader.bias.ci_low == pytest.approx(ba_bias(pairs).ci_low)
    assert view.one_reader.upper.ci_high == pytest.approx(
        ba_loa(pairs, side="upper", variant="exact individual").ci_high
    )
    assert (view.readers, view.panel) == (None, None)
    assert "On average the algorithm reads" in agreement_words.answer(view).first
    assert "reader O1" in agreement_words.answer(view).first


def test_missing_readings_are_used_by_intervals_that_can() -> None:
    table = log_normal_table(20, 5, seed=6)
    holes = np.random.default_rng(0).random((20, 5)) < 0.4
    table[:, 1:][holes] = np.nan
    view = agreement(study_of(table, plan=AnalysisPlan(bootstrap=200)))
    assert view.one_reader is not None
    assert view.one_reader.bias is not None
    assert view.one_reader.bias.variant == "two-way jackknife"
    assert view.one_reader.lower.variant == "two-way bootstrap"
    assert view.one_reader.lower.n == view.n_cases
    assert view.scale_why == "As planned."


def test_the_scale_follows_the_spread_unless_a_plan_names_it() -> None:
    growing = log_normal_table(40, 8, seed=7)
    rng = np.random.default_rng(8)
    even = rng.uniform(20, 60, (40, 1)) + rng.normal(0, 2, (40, 9))
    assert agreement(study_of(growing)).scale == "log2(x+0.1)"
    assert agreement(study_of(even)).scale == "raw"
    assert agreement(study_of(growing, plan=AnalysisPlan(scale="raw"))).scale == "raw"


def test_limits_on_the_log_scale_open_with_the_index() -> None:
    view = agreement(study_of(log_normal_table(30, 6, seed=9)))
    assert view.one_reader is not None
    lower, upper = view.one_reader.lower_curve.value, view.one_reader.upper_curve.value
    assert lower is not None
    assert upper is not None
    assert (np.diff(upper - lower) > 0).all()
    at = float(np.interp(view.level, view.levels, upper))
    assert at == pytest.approx(view.one_reader.upper.value, rel=1e-6)


def test_the_level_is_one_that_the_readings_reach() -> None:
    low = log_normal_table(20, 4, seed=10).clip(0.2, 9.0)
    assert agreement(study_of(low, site="neuroendocrine")).level == 3.0
    assert agreement(study_of(low)).level == 5.0
    assert agreement(study_of(low * 4)).level == 20.0
    assert agreement(study_of(low), Question(level=7.5)).level == 7.5


@pytest.mark.parametrize("cases", [0, 1, 2])
def test_very_few_cases_give_words_and_no_crash(cases: int) -> None:
    view = agreement(study_of(log_normal_table(3, 3, seed=1)[:cases]))
    words = agreement_words.answer(view)
    assert words.first
    assert "nan" not in f"{words}".lower()
    if cases == 1:
        assert "without an interval" in words.first


def test_equal_readings_read_as_high_as_each_other() -> None:
    table = np.repeat(np.linspace(5.0, 50.0, 10)[:, None], 4, axis=1)
    view = agreement(study_of(table))
    assert "**as high** as one reader (0.0 to 0.0)" in agreement_words.answer(view).first


def test_a_readers_study_without_algorithm_has_limits_between_readers() -> None:
    table = log_normal_table(20, 4, seed=12)
    with_algorithm = agreement(study_of(table), RAW)
    view = agreement(study_of(table, algorithm=False), RAW)
    assert view.one_reader is None
    assert view.scatter is None
    assert view.readers is not None
    assert with_algorithm.readers is not None
    assert view.readers.upper.value == pytest.approx(with_algorithm.readers.upper.value)


@pytest.mark.parametrize(
    ("low", "high", "word"), [(-90, 90, "passes"), (-1, 1, "does not pass"), (None, None, None)]
)
def test_planned_acceptance_limits_are_judged(
    low: float | None, high: float | None, word: str | None
) -> None:
    plan = AnalysisPlan(acceptance_low_points=low, acceptance_high_points=high)
    material = study_of(log_normal_table(25, 6, seed=13), plan=plan)
    verdict = agreement_words.acceptance(agreement(material), material)
    assert (verdict and verdict[0]) == word


def test_limits_inside_with_intervals_outside_are_borderline() -> None:
    material = study_of(log_normal_table(25, 6, seed=13), plan=AnalysisPlan())
    view = agreement(material)
    assert view.one_reader is not None
    lower, upper = view.one_reader.lower, view.one_reader.upper
    assert lower.value is not None
    assert upper.value is not None
    plan = AnalysisPlan(acceptance_low_points=lower.value - 0.01, acceptance_high_points=upper.value + 0.01)
    verdict = agreement_words.acceptance(view, replace(material, plan=plan))
    assert verdict is not None
    assert verdict[0] == "borderline"


def with_repeats(material: StudyMaterial, factor: float) -> StudyMaterial:
    """The algorithm has a second image of each case, `factor` times the first."""
    held = material.readings
    again = [row for row, reader in enumerate(held.readers) if reader == "algorithm"]

    def more(names: tuple[str, ...], new: tuple[str, ...] | None = None) -> tuple[str, ...]:
        return names + (new or tuple(names[row] for row in again))

    readings = replace(
        held,
        cases=more(held.cases),
        readers=more(held.readers),
        sessions=more(held.sessions),
        replicates=more(held.replicates, ("2",) * len(again)),
        patients=more(held.patients),
        values=np.concatenate([held.values, (held.values[again] * factor).clip(0, 100)]),
    )
    return replace(material, readings=readings)


def test_proportional_bias_is_corrected_only_where_the_algorithms_own_error_is_known() -> None:
    table = log_normal_table(40, 5, seed=14)
    table[:, 0] **= 0.6
    alone = agreement(study_of(table)).scatter
    assert alone is not None
    assert (alone.proportional.word, alone.proportional.corrected) == ("not interpretable", None)
    repeated = agreement(with_repeats(study_of(table), 1.2)).scatter
    assert repeated is not None
    assert repeated.proportional.word == "shown"
    assert agreement_words.proportional_sentence(repeated).startswith(
        "Proportional bias, corrected: **shown**"
    )


def test_all_statistics_are_of_the_algorithm_and_name_what_they_are() -> None:
    material = study_of(log_normal_table(8, 3, seed=15), plan=AnalysisPlan(bootstrap=100))
    found = every_statistic(material)
    names = {each.statistic for each in found}
    assert {"ba_bias", "lin_ccc", "single_reader_bias", "deming_slope", "williams_index"} <= names
    rows = estimate_words.rows(found)
    assert len(rows) == len(found)
    assert all(len(row) == len(estimate_words.COLUMNS) for row in rows)
    assert all(row[-1] for row in rows if row[3] is None)  # undefined: the reason is said
    assert every_statistic(study_of(log_normal_table(8, 3, seed=15), algorithm=False)) == ()


def test_many_pairs_are_drawn_in_part_and_the_caption_says_so() -> None:
    view = agreement(study_of(log_normal_table(30, 20, seed=16)))
    assert view.readers is not None
    assert view.readers.dots.x.size == 1500
    assert view.readers.dots.total == 30 * 190
    assert "1,500 of 5,700 pairs drawn" in agreement_words.size_caption(view, (view.readers,))


def test_a_case_is_told_with_its_readings_and_the_algorithm() -> None:
    view = case_view.case_of(study_of(np.array([[20.0, 10.0, 30.0, 24.0]]), sessions=2), "T1")
    assert view.algorithm_words == "Algorithm **20.0 %**, imported: without counts, no interval."
    assert view.readings[0] == ("O1", "1", "10.0", "−10.0")
    assert len(view.readings) == 6
    assert view.panel_words.startswith("Median of 6 readings 24.1 %, from 10.0 to 30.3 %")


def test_the_size_line_counts_readings_of_people_and_the_fingerprint_follows_the_values() -> None:
    table = log_normal_table(6, 3, seed=17)
    material = study_of(table)
    assert size_line(material) == "6 tumors · 18 readings · 0 excluded"
    assert fingerprint(material) == fingerprint(study_of(table))
    assert fingerprint(material) != fingerprint(study_of(table * 1.001))
    assert fingerprint(material) != fingerprint(study_of(table, plan=AnalysisPlan(margin_points=3)))


def figure_of_limits() -> tuple[LimitPanel, LimitMark]:
    levels = np.array([0.0, 10.0, 20.0])
    line = BandLine(levels / 10, levels / 20, levels / 5)
    dots = DotCloud(np.array([5.0]), np.array([1.0]), ("T1",), ("T1 · O1",))
    return LimitPanel("A − B", "algorithm", dots, levels, None, line, line), LimitMark(
        "algorithm", (0.5, None, None), (-2.0, -3.0, -1.0), (2.0, 1.0, 3.0)
    )


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_dots_carry_their_case_and_titles_stand_over_their_panels(mode: charts_limits.Mode) -> None:
    panel, mark = figure_of_limits()
    figure = charts_limits.limits([panel], [mark], level=20, mode=mode)
    assert [trace.customdata for trace in figure.data if trace.customdata is not None] == [("T1",)]
    titles = [note.text for note in figure.layout.annotations[:2]]
    assert titles == ["<b>A − B</b>", "<b>Limits at 20 %</b>"]
    assert figure.layout.annotations[0].x < figure.layout.annotations[1].x
    assert figure.layout.yaxis.range == (-figure.layout.yaxis.range[1], figure.layout.yaxis.range[1])
    assert figure.layout.xaxis2.ticktext == ("◆",)
    lines = [(shape.type, shape.x0, shape.x1, shape.y0) for shape in figure.layout.shapes]
    assert ("line", 20, 20, 0) in lines  # the level
    assert ("line", 0, 1, 0) in lines  # no difference


def test_a_figure_becomes_a_file_with_title_note_and_research_use_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dots = DotCloud(np.array([5.0]), np.array([6.0]), ("T1",), ("T1",))
    figure = charts_limits.scatter(
        dots, [FittedLine("Line", 0.0, 1.0)], x_title="x, %", y_title="y, %", mode="light"
    )
    finished = charts_export.finished(figure, "A title", "n = 1")
    assert finished.layout.annotations[-1].text == "n = 1 · Research use only"
    assert finished.layout.title.text == "<b>A title</b>"
    assert figure.layout.title.text is None
    assert charts_export.csv_of([("a", "b"), ("T1", 1.5), ("T2", None)]) == (
        b"\xef\xbb\xbfa,b\nT1,1.5\nT2,\n"
    )
    monkeypatch.setenv("BROWSER_PATH", "")
    monkeypatch.setenv("PATH", "")
    assert charts_export.browser() is None
    with pytest.raises(Ki67Error, match="need Chromium or Chrome"):
        charts_export.png(figure, "A title", "n = 1")
