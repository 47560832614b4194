"""The plots of the page Agreement, from its numbers to figures with their export."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ki67 import charts_limits, numbers
from ki67.charts import Mode
from ki67.charts_limits import BandLine, DotCloud, FittedLine, LimitMark, LimitPanel
from ki67.study.agreement import AgreementView
from ki67.study.agreement_parts import Dots
from ki67.study.agreement_rows import Comparison, Curve, Estimate
from ki67.study.material import StudyMaterial
from pages import _study_parts


def limits(
    view: AgreementView,
    compared: Sequence[Comparison],
    material: StudyMaterial,
    *,
    key: str,
    beside: Comparison | None = None,
) -> None:
    """A panel for each comparison; `beside` has its limits at the level only."""

    def draw(mode: Mode) -> go.Figure:
        panels = [_panel(view, each) for each in compared]
        marks = [_mark(each) for each in (*compared, *((beside,) if beside else ()))]
        return charts_limits.limits(panels, marks, level=view.level, mode=mode)

    names = " and ".join(each.name for each in compared)
    _study_parts.plot(
        _study_parts.Plot(
            name=f"{material.study.code}_agreement_{key}",
            title=names,
            note=f"Study {material.study.code}, {view.n_cases} tumors, {len(view.reader_names)} readers",
            alt=f"{names}: differences over the mean of the two, with limits of agreement",
            draw=draw,
            rows=lambda: _rows(compared),
            click=lambda code: _study_parts.case_dialog(material, code),
        ),
        key=key,
    )


def scatter(view: AgreementView, material: StudyMaterial) -> None:
    """Algorithm over panel with identity and regression."""
    shown = view.scatter
    if shown is None:
        return
    dots = shown.dots
    lines = []
    if shown.slope.value is not None and shown.intercept.value is not None:
        lines.append(FittedLine("Passing–Bablok", shown.intercept.value, shown.slope.value))
    reference = f"panel {material.plan.reference}"
    cloud = DotCloud(
        dots.x,
        dots.y,
        dots.cases,
        tuple(
            f"{case}<br>{reference} {_number(x)} %, algorithm {_number(y)} %"
            for case, x, y in zip(dots.cases, dots.x.tolist(), dots.y.tolist(), strict=True)
        ),
    )
    _study_parts.plot(
        _study_parts.Plot(
            name=f"{material.study.code}_agreement_scatter",
            title="Algorithm over panel",
            note=f"Study {material.study.code}, {dots.total} tumors, {len(view.reader_names)} readers",
            alt="Algorithm's index over the panel's, with the line of identity and a regression line",
            draw=lambda mode: charts_limits.scatter(
                cloud,
                lines,
                x_title=f"{reference.capitalize()}, Ki-67 index, %",
                y_title="Algorithm, Ki-67 index, %",
                mode=mode,
            ),
            rows=lambda: [
                ("case", "panel_percent", "algorithm_percent"),
                *zip(dots.cases, dots.x.tolist(), dots.y.tolist(), strict=True),
            ],
            click=lambda code: _study_parts.case_dialog(material, code),
        ),
        key="scatter",
    )


def _panel(view: AgreementView, compared: Comparison) -> LimitPanel:
    return LimitPanel(
        title=compared.name,
        role=compared.role,
        dots=_cloud(compared.dots),
        levels=view.levels,
        bias=_band(compared.bias_curve) if compared.bias_curve else None,
        lower=_band(compared.lower_curve),
        upper=_band(compared.upper_curve),
    )


def _cloud(dots: Dots) -> DotCloud:
    texts = tuple(
        f"{case} · {who}<br>{_number(y)} − {_number(x)} %"
        for case, who, x, y in zip(dots.cases, dots.who, dots.x.tolist(), dots.y.tolist(), strict=True)
    )
    return DotCloud(dots.mean, dots.difference, dots.cases, texts)


def _band(curve: Curve) -> BandLine:
    return BandLine(curve.value, curve.low, curve.high)


def _mark(compared: Comparison) -> LimitMark:
    def three(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
        return (None, None, None) if estimate is None else (estimate.value, estimate.ci_low, estimate.ci_high)

    return LimitMark(compared.role, three(compared.bias), three(compared.lower), three(compared.upper))


def _rows(compared: Sequence[Comparison]) -> list[tuple[object, ...]]:
    """The dots drawn, comparison by comparison."""
    found: list[tuple[object, ...]] = [
        ("compared", "case", "who", "first_percent", "second_percent", "mean_percent", "difference_points")
    ]
    for each in compared:
        dots = each.dots
        columns = (dots.y, dots.x, dots.mean, dots.difference)
        found += [
            (each.name, case, who, *numbers_)
            for case, who, *numbers_ in zip(
                dots.cases, dots.who, *(column.tolist() for column in columns), strict=True
            )
        ]
    return found


def _number(value: float) -> str:
    return numbers.decimal(value, decimals=1)
