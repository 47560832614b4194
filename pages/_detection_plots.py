"""The three plots of an evaluation: index found against counted, sources, reliability of the scores."""

from __future__ import annotations

import streamlit as st

from ki67 import charts_agreement as plots
from ki67.charts_agreement import DifferencePanel, DifferencePoint, FigureMark, FigureRow, Line
from ki67.study import detection_words
from ki67.study.detection import STEPS, DetectionView, Figures, IndexAgreement, Limits
from ki67.study.detection_words import WAYS
from pages import _shell

CONFIG = {"displayModeBar": False}


def index(view: DetectionView) -> None:
    """Bland–Altman of the index, with and without step 1 side by side."""
    panels = [
        _panel(WAYS[step], figures.agreement)
        for step in STEPS
        if (figures := view.report.headline.of(step)) is not None and figures.agreement is not None
    ]
    if not panels:
        st.markdown(
            ":gray[No plot of the index: it needs fields with at least 50 tumor nuclei that no net was "
            "trained on.]"
        )
        return
    st.plotly_chart(
        plots.differences(
            panels,
            mode=_shell.mode(),
            x_title="Mean of found and counted index, %",
            y_title="Found − counted, points",
        ),
        theme=None,
        config=CONFIG,
        key=f"index_plot_{_shell.mode()}",
        alt="Difference of found and counted index over their mean, with and without step 1",
    )


def _panel(title: str, agreement: IndexAgreement) -> DifferencePanel:
    return DifferencePanel(
        title=f"{title}, n = {len(agreement.pairs)}",
        points=tuple(
            DifferencePoint(
                (pair.counted_percent + pair.found_percent) / 2,
                pair.found_percent - pair.counted_percent,
                f"{pair.image} · counted {pair.counted_percent:.1f} %, found {pair.found_percent:.1f} %",
            )
            for pair in agreement.pairs
        ),
        mean=_line(agreement.bias, agreement.bias_limits),
        lower=_line(agreement.lower, agreement.lower_limits),
        upper=_line(agreement.upper, agreement.upper_limits),
    )


def _line(value: float | None, limits: Limits | None) -> Line | None:
    if value is None:
        return None
    return Line(value, limits.low if limits else None, limits.high if limits else None)


def sources(view: DetectionView) -> None:
    """F1 of each source with its interval, with and without step 1."""
    rows = [
        FigureRow(
            report.source,
            tuple(
                _mark(figures, hollow=step == "without_step_1", way=WAYS[step])
                for step in STEPS
                if (figures := report.figures.of(step)) is not None
            ),
        )
        for report in view.report.by_source
    ]
    shown = [row for row in rows if row.marks]
    if not shown:
        st.markdown(":gray[No source has a picture that the nets never saw.]")
        return
    st.plotly_chart(
        plots.figures_by_row(shown, mode=_shell.mode(), x_title="F1"),
        theme=None,
        config=CONFIG,
        key=f"source_plot_{_shell.mode()}",
        alt="F1 of each source with its interval",
    )


def _mark(figures: Figures, *, hollow: bool, way: str) -> FigureMark:
    limits = figures.intervals.f1
    summary = figures.summary
    label = (
        f"{way}: F1 {detection_words.ratio(summary.f1)}"
        + (f" ({detection_words.ratio_interval(limits)})" if limits else "")
        + f", n = {summary.fields}"
    )
    return FigureMark(
        summary.f1, limits.low if limits else None, limits.high if limits else None, hollow, label
    )


def scores(view: DetectionView) -> None:
    """Whether a score means what it says: share of true nuclei over the mean score."""
    if not view.report.reliability:
        st.markdown(":gray[No picture that the nets never saw has scored nuclei.]")
        return
    diagram = view.report.reliability[0]
    points = [
        plots.ReliabilityPoint(each.mean_score, each.share, each.share_low, each.share_high, each.candidates)
        for each in diagram.bins
        if each.mean_score is not None
        and each.share is not None
        and each.share_low is not None
        and each.share_high is not None
    ]
    st.plotly_chart(
        plots.reliability(
            points,
            mode=_shell.mode(),
            x_title="Score of a nucleus, mean of its tenth",
            y_title="Share on a marked tumor nucleus",
        ),
        theme=None,
        config=CONFIG,
        key=f"score_plot_{_shell.mode()}",
        alt="Share of true nuclei over their score",
    )
    error = detection_words.ratio(diagram.calibration_error)
    st.caption(
        f"{WAYS[diagram.step]}, {diagram.fields} fields. On the dotted line a score of 0.8 is right eight "
        f"times in ten. Mean distance from it: {error}."
    )
