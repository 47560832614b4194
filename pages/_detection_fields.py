"""Where it goes wrong: the ten worst fields with the reason, and any field with its errors drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ki67.study import detection, detection_words
from ki67.study.detection import STEPS, DetectionView, FieldFigures, Step, WorstField
from ki67.study.detection_words import WAYS
from pages import _shell
from pages._table_numbers import shown
from viewer.component import picture_viewer

VIEWER_HEIGHT_PX = 420
CHOSEN = "detection_field"


def show(view: DetectionView) -> None:
    """The table of the worst, then one field, with step 1 and without it side by side."""
    worst = detection_words.worst(view)
    st.subheader("Where it goes wrong", anchor=False)
    if worst:
        _table(worst, view)
    codes = detection_words.field_order(view)
    if st.session_state.get(CHOSEN) not in codes:
        st.session_state[CHOSEN] = codes[0]
    labels = {field.image: detection_words.field_label(field) for field in view.figures}
    code = st.selectbox("Field", codes, format_func=labels.__getitem__, key=CHOSEN, width=420)
    field = view.field(code)
    if field is not None:
        _pictures(view, field)


def _table(worst: Sequence[WorstField], view: DetectionView) -> None:
    frame = pd.DataFrame(
        [
            {
                "Field": row.image,
                "Source": row.source,
                "F1": row.f1,
                "Index error": math.nan if row.index_error_points is None else row.index_error_points,
                "Reason": detection_words.reason_in_words(row),
            }
            for row in worst
        ]
    )
    style = frame.style.format({"F1": shown(2), "Index error": shown(1)})
    st.table(style, border="horizontal", hide_index=True)
    seen = "" if view.report.worst else " They are pictures that the nets were trained on."
    st.caption(f"The {len(worst)} fields with the lowest F1; index error in points.{seen}")


def _pictures(view: DetectionView, field: FieldFigures) -> None:
    place = view.pictures[field.image]
    steps = [step for step in STEPS if field.counts(step) is not None]
    if not steps:
        st.markdown(":gray[This field has no marked nuclei, only a tumor outline: there is nothing to draw.]")
        return
    columns = st.columns(len(steps), gap="small", vertical_alignment="bottom")
    for column, step in zip(columns, steps, strict=True):
        with column:
            _one(view, field, step, picture_code=place.picture_code, mpp=place.mpp)
    st.caption(
        "Hollow square: missed. Triangle: invented. Both: wrong class, the square in the color of what it "
        "is, the triangle in that of what it was taken for. Rings and crosses: right."
    )


def _one(view: DetectionView, field: FieldFigures, step: Step, *, picture_code: str, mpp: float) -> None:
    code = detection.layer_code(view.evaluation.code, field.image, step)
    marks = detection.error_layer(_shell.workplace(), _shell.person(), code).marks
    caption = detection_words.field_caption(field, step, removed=marks.count("removed"))
    st.markdown(f"**{WAYS[step]}**  \n:gray[{caption}]")
    picture_viewer(picture=picture_code, run=code, height=VIEWER_HEIGHT_PX, mpp=mpp, key=f"errors_{step}")
