"""Plots of classes, cut-offs and planning: they show what they are given, in both modes."""

from __future__ import annotations

import pytest

from ki67.charts import Mode
from ki67.charts_cutoffs import Matrix, Span, confusion, flow, near
from ki67.charts_planning import Expected, Line, curves, expected

MATRIX = Matrix(
    reference="Panel median",
    compared="Algorithm",
    classes=("≤ 5 %", "> 5 and < 30 %", "≥ 30 %"),
    counts=((2, 0, 0), (1, 1, 2), (0, 0, 0)),
    shares=((1.0, 0.0, 0.0), (0.25, 0.25, 0.5), (None, None, None)),
    keys=tuple(tuple(f"{row},{column}" for column in range(3)) for row in range(3)),
    of_algorithm=True,
)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_cell_tells_its_count_and_share_and_what_a_click_gives(mode: Mode) -> None:
    (cells,) = confusion(MATRIX, mode=mode).data
    assert cells.text[3:6] == ("<b>1</b><br>25 %", "<b>1</b><br>25 %", "<b>2</b><br>50 %")
    assert cells.text[6] == "0"
    assert cells.customdata[5] == "1,2"
    assert (cells.x[5], cells.y[5]) == (2, 1)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_flow_is_as_high_as_the_cases_and_tells_who_moves_by_an_arrow(mode: Mode) -> None:
    figure = flow(MATRIX, mode=mode)
    heights = sorted(round(float(ribbon.y[-1] - ribbon.y[0]), 6) for ribbon in figure.data)
    assert heights == pytest.approx([1 / 6, 1 / 6, 2 / 6, 2 / 6], abs=1e-6)
    texts = [note.text for note in figure.layout.annotations]
    assert {"▼ 1", "▲ 2"} <= set(texts)
    assert "> 5 and < 30 % · 4" in texts
    assert "≥ 30 % · 0" in texts


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_case_near_a_cutoff_has_both_intervals_and_its_code(mode: Mode) -> None:
    rows = [
        Span("T1", 4.0, (3.0, 5.5), (2.0, 7.0), "T1 · 4.0 %"),
        Span("T2", 31.0, (28.0, 34.0), None, "T2 · 31.0 %"),
    ]
    figure = near(rows, (5.0, 30.0), mode=mode)
    (marks,) = figure.data
    assert marks.customdata == ("T1", "T2")
    spans = [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.y0 == shape.y1]
    assert spans == [(2.0, 7.0), (3.0, 5.5), (28.0, 34.0)]
    assert [note.text for note in figure.layout.annotations] == ["5 %", "30 %"]
    assert figure.layout.yaxis.ticktext == ("T1", "T2")


def test_curves_of_planning_are_told_apart_by_their_dashes() -> None:
    lines = [Line("Exact test", (5, 10), (40, 80)), Line("Both limits", (5, 10), (20, 60))]
    figure = curves(lines, mode="light", x_title="Tumors", y_title="Chance, %", wanted=80, at=[10])
    assert [line.line.dash for line in figure.data] == ["solid", "dash"]
    assert len(figure.layout.shapes) == 2


def test_points_stand_apart_from_coefficients() -> None:
    rows = [Expected("Mean", "points", 0.3, -4.5, 5.1), Expected("ICC", "ICC", 0.81, 0.71, 0.88)]
    left, right = expected(rows, mode="dark", points="points").data
    assert (left.y, right.y) == (("Mean",), ("ICC",))
    assert left.text == ("Mean<br>0.3 (−4.5 to 5.1), points",)
    assert right.error_x.array[0] == pytest.approx(0.07)
