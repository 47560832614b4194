"""The ruler shows what was computed: bands, cut-offs, both intervals, the value."""

from __future__ import annotations

import pytest

from ki67.charts import PALETTES, RulerValues, ruler, ruler_end, ruler_ticks, ruler_values
from ki67.sites import LeadingIndex, class_systems, classify
from ki67.types import Interval

NET = class_systems("neuroendocrine")[0].bands()


def net_values(index: float = 8.9) -> RulerValues:
    return RulerValues(index, (7.6, 10.3), (5.6, 13.1), NET, (3.0, 20.0))


def leading(positive: int, negative: int, *, fell_back: bool = False) -> LeadingIndex:
    classes = () if fell_back else classify("neuroendocrine", positive, negative)
    return LeadingIndex("global", positive, negative, Interval(0.07, 0.1), None, classes, fell_back)


def test_the_ruler_ends_at_a_round_number_with_room_for_the_last_class() -> None:
    assert ruler_end(net_values()) == 30
    assert ruler_end(net_values(index=70)) == 80
    assert ruler_end(RulerValues(99.0, None, None, (), ())) == 100
    assert ruler_end(RulerValues(0.4, (0.1, 0.9), None, (), ())) == 5


def test_every_cutoff_has_a_tick_and_no_two_ticks_collide() -> None:
    assert ruler_ticks(30, (3.0, 20.0)) == (0, 3, 10, 20, 30)
    assert ruler_ticks(45, (5.0, 14.0, 20.0, 30.0)) == (0, 5, 14, 20, 30, 45)
    assert ruler_ticks(100, (3.0, 20.0))[0] == 3  # 0 would lie under 3


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_thick_bar_is_sampling_thin_line_is_total_and_cutoffs_are_dotted(mode: str) -> None:
    figure = ruler(net_values(), mode=mode)
    palette = PALETTES[mode]
    boxes = [shape for shape in figure.layout.shapes if shape.fillcolor == palette.algorithm]
    assert [(box.x0, box.x1) for box in boxes] == [(7.6, 10.3)]
    lines = [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert [(line.x0, line.x1) for line in lines if line.y0 == line.y1] == [(5.6, 13.1)]
    assert [line.x0 for line in lines if line.line.dash == "dot"] == [3.0, 20.0]
    assert [line.x0 for line in lines if line.line.color == palette.ink] == [8.9]
    assert [note.text for note in figure.layout.annotations] == ["< 3", "3–20", "> 20"]
    assert figure.layout.height == 96


def test_values_come_from_the_leading_index_in_percent() -> None:
    values = ruler_values(leading(89, 911), "neuroendocrine")
    assert values is not None
    assert values.index_percent == pytest.approx(8.9)
    assert values.sampling_percent == pytest.approx((7.0, 10.0))
    assert values.total_percent is None
    assert values.cutoffs_percent == (3.0, 20.0)


def test_without_a_hot_spot_the_ruler_shows_no_classes_and_without_nuclei_there_is_none() -> None:
    fallen = ruler_values(leading(89, 911, fell_back=True), "neuroendocrine")
    assert fallen is not None
    assert fallen.bands == ()
    assert fallen.cutoffs_percent == ()
    assert ruler_values(leading(0, 0), "neuroendocrine") is None
