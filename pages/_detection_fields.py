"""Where it goes wrong: the ten worst fields with the reason, and any field with its errors drawn."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ki67.study import detection, detection_words
from ki67.study.detection import STEPS, DetectionView, FieldFigures, Step, WorstField
from ki67.study.detection_words import WAYS
from pages import _shell
from viewer.component import picture_viewer

VIEWER_HEIGHT_PX = 420
ROW_HEIGHT_PX = 36
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
                "Look": "Look",
                "Field": row.image,
                "Source": row.source,
                "F1": detection_words.ratio(row.f1),
                "Index error": detection_words.in_points(row.index_error_points),
                "Reason": detection_words.reason_in_words(row),
            }
            for row in worst
        ]
    )
    st.dataframe(
        frame,
        hide_index=True,
        row_height=ROW_HEIGHT_PX,
        height=ROW_HEIGHT_PX * (len(worst) + 1) + 2,
        column_config={
            "Look": st.column_config.ButtonColumn(
                "", key="look", on_click=_choose, args=([row.image for row in worst],), width=76
            ),
            "Field": st.column_config.TextColumn(width=70),
            "Source": st.column_config.TextColumn(width=110),
            "F1": st.column_config.TextColumn(alignment="right", width=60),
            "Index error": st.column_config.TextColumn(alignment="right", width=90),
            "Reason": st.column_config.TextColumn(width="large"),
        },
        alt="The worst fields, the worst first",
    )
    seen = "" if view.report.worst else " They are pictures that the nets were trained on."
    st.caption(f"The {len(worst)} fields with the lowest F1; index error in points.{seen}")


def _choose(codes: Sequence[str]) -> None:
    click = st.session_state["look"]
    if click is not None:
        st.session_state[CHOSEN] = codes[click["row"]]


def _pictures(view: DetectionView, field: FieldFigures) -> None:
    place = view.pictures[field.image]
    steps = [step for step in STEPS if field.counts(step) is not None]
    if not steps:
        st.markdown(":gray[This field has no marked nuclei, only a tumor outline: there is nothing to draw.]")
        return
    for column, step in zip(st.columns(len(steps), gap="small"), steps, strict=True):
        with column:
            _one(view, field, step, picture_code=place.picture_code, mpp=place.mpp)
    st.caption(
        "Hollow square: missed. Triangle: invented. Both: wrong class, the square in the color of what it "
        "is, the triangle in that of what it was taken for. Rings and crosses: right."
    )


def _one(view: DetectionView, field: FieldFigures, step: Step, *, picture_code: str, mpp: float) -> None:
    code = detection.layer_code(view.evaluation.code, field.image, step)
    marks = detection.error_layer(_shell.workplace(), _shell.person(), code).marks
    st.markdown(f"**{WAYS[step]}**")
    picture_viewer(picture=picture_code, run=code, height=VIEWER_HEIGHT_PX, mpp=mpp, key=f"errors_{step}")
    removed = marks.count("removed")
    st.caption(detection_words.field_caption(field, step, removed=removed))
