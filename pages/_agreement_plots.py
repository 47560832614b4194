"""The plots of the page Agreement, from its numbers to figures with their export."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from streamlit.delta_generator import DeltaGenerator

from ki67 import charts_limits
from ki67.charts import Mode
from ki67.study import agreement_drawn
from ki67.study.agreement import AgreementView
from ki67.study.agreement_rows import Comparison
from ki67.study.material import StudyMaterial
from pages import _study_parts


def limits(
    view: AgreementView,
    compared: Sequence[Comparison],
    material: StudyMaterial,
    menu: DeltaGenerator,
    *,
    key: str,
    beside: Comparison | None = None,
) -> None:
    """A panel for each comparison; `beside` has its limits at the level only; `menu` takes the export."""

    def draw(mode: Mode) -> go.Figure:
        panels = [agreement_drawn.panel_of(view, each) for each in compared]
        marks = [agreement_drawn.mark_of(each) for each in (*compared, *((beside,) if beside else ()))]
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
        menu=menu,
    )


def scatter(view: AgreementView, material: StudyMaterial, menu: DeltaGenerator) -> None:
    """Algorithm over panel with identity and regression."""
    shown = view.scatter
    if shown is None:
        return
    dots = shown.dots
    reference = f"panel {material.plan.reference}"
    cloud = agreement_drawn.scatter_cloud(shown, reference)
    _study_parts.plot(
        _study_parts.Plot(
            name=f"{material.study.code}_agreement_scatter",
            title="Algorithm over panel",
            note=f"Study {material.study.code}, {dots.total} tumors, {len(view.reader_names)} readers",
            alt="Algorithm's index over the panel's, with the line of identity and a regression line",
            draw=lambda mode: charts_limits.scatter(
                cloud,
                agreement_drawn.fitted_lines(shown),
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
        menu=menu,
    )


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
