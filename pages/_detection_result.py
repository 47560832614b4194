"""One finished evaluation: the answer, a plot, mask on and off, where it goes wrong, the rest folded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from ki67.study import detection, detection_words, evaluations
from ki67.study.detection import DetectionView
from ki67.study.detection_words import WayRow
from ki67.study.evaluations import EvaluationView
from pages import _detection_fields, _detection_jobs, _detection_plots, _shell, _where
from pages._table_numbers import shown

INDEX, SOURCES, SCORES = "Index", "Sources", "Scores"
MIME = {".json": "application/json", ".csv": "text/csv"}
LABELS = {
    "evaluation.json": "All figures, JSON",
    "fields.csv": "Fields, CSV",
    "matches.csv": "Every nucleus, CSV",
}
COLUMNS = {
    "name": "Counted",
    "fields": "Fields",
    "f1": "F1",
    "f1_interval": "95 % interval",
    "precision": "Precision",
    "recall": "Recall",
    "not_tumor": "Not tumor, counted",
    "lost": "Tumor lost",
    "index_error": "Index error",
    "bias": "Bias",
    "bias_interval": "95 % interval, bias",
}
DECIMALS = {"f1": 2, "precision": 2, "recall": 2, "index_error": 1, "bias": 1}


def show(done: Sequence[EvaluationView], *, chosen: str | None, open_ones: Sequence[EvaluationView]) -> None:
    """The chosen evaluation, else the newest; above it what is still being measured."""
    waited_for = next((view for view in open_ones if view.code == chosen), None)
    code = next((view.code for view in done if view.code == chosen), done[0].code)
    view = _view(str(_shell.workplace().home), code)
    _title_row(view)
    _detection_jobs.show([waited_for] if waited_for else open_ones, follow=chosen)
    _filters(view, done)
    words = detection_words.answer(view)
    st.header(words.first, anchor=False)
    st.markdown(words.second)
    plot = st.segmented_control(
        "Plot", (INDEX, SOURCES, SCORES), default=INDEX, required=True, key="plot",
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    bodies: dict[str, Callable[[DetectionView], None]] = {
        INDEX: _index,
        SOURCES: _sources,
        SCORES: _detection_plots.scores,
    }
    bodies[plot or INDEX](view)
    _detection_fields.show(view)
    _folded(view)


@st.cache_data(max_entries=8, show_spinner="Reading the figures…")
def _view(home: str, code: str) -> DetectionView:
    return detection.get_detection(_shell.workplace(), _shell.person(), code)


def _title_row(view: DetectionView) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.title("Detection", anchor=False, width="content")
            st.badge(f"model set {_shell.escaped(view.evaluation.model_set)}", color="blue")
            if view.report.headline_reason:
                st.badge("No fair figure", icon=":material/warning:", color="orange")
        with st.container(horizontal=True, width="content"):
            if st.button("Measure another set", icon=":material/add:"):
                _where.go_to_new_evaluation()
            _download_menu(view)


def _download_menu(view: DetectionView) -> None:
    menu = st.popover("Download", type="primary", icon=":material/download:", on_change="rerun", key="files")
    with menu:
        if not menu.open:
            return
        with _shell.errors_in_words():
            code = view.evaluation.code
            files = detection.detection_files(_shell.workplace(), _shell.person(), code)
            for name, content in files.items():
                own = name.removeprefix(f"{code}_")
                st.download_button(
                    LABELS[own], content, file_name=name, mime=MIME[own[own.rindex(".") :]],
                    on_click="ignore", type="tertiary", key=f"download_{own}",
                )  # fmt: skip
        st.caption("Research use only")


def _filters(view: DetectionView, done: Sequence[EvaluationView]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        names = {
            one.code: f"{one.name} · {one.model_set} · {_shell.local_time(one.created_at)}" for one in done
        }
        codes = list(names)
        picked = st.selectbox(
            "Measurement", codes, index=codes.index(view.evaluation.code), format_func=names.__getitem__,
            label_visibility="collapsed", width=420, key=f"measurement_{view.evaluation.code}",
        )  # fmt: skip
        if picked != view.evaluation.code:
            _where.go_to_evaluation(picked)
        st.markdown(f":gray[{_shell.escaped(detection_words.size_line(view))}]", width="content")


def _index(view: DetectionView) -> None:
    _detection_plots.index(view)
    rows = detection_words.way_rows(view)
    if rows:
        _table(rows)
    sentence = detection_words.mask_sentence(view)
    st.caption(
        f"{sentence} Index error and bias in points, on fields with at least 50 tumor nuclei; "
        "intervals by bootstrap over patients.".strip()
    )


def _sources(view: DetectionView) -> None:
    """Per source: figures with n, no verdict for few."""
    _detection_plots.sources(view)
    rows: list[WayRow] = []
    few: list[str] = []
    for report in view.report.by_source:
        leading = detection_words.best(report.figures)
        if leading is None:
            continue
        rows.append(detection_words.way_row(report.source, leading[1]))
        if not leading[1].enough:
            few.append(report.source)
    if rows:
        _table(rows, first="Source")
    note = f" Too few for a verdict: {_shell.escaped(', '.join(few))}." if few else ""
    st.caption(f"Class-aware F1 within 4 µm, with step 1; hollow marks: without it.{note}")


def _table(rows: Sequence[WayRow], *, first: str = "Counted") -> None:
    """Numbers in columns of numbers, which align right; those of a difference carry their sign."""
    frame = pd.DataFrame([{COLUMNS[name]: getattr(row, name) for name in COLUMNS} for row in rows])
    named = frame.rename(columns={"Counted": first}).astype({COLUMNS[name]: float for name in DECIMALS})
    style = named.style
    for name, decimals in DECIMALS.items():
        for with_sign in (False, True):
            chosen = [number for number, row in enumerate(rows) if row.difference == with_sign]
            words = shown(decimals, with_sign=with_sign)
            style = style.format(words, subset=(chosen, [COLUMNS[name]]))
    st.table(style, border="horizontal", hide_index=True)


def _folded(view: DetectionView) -> None:
    with st.expander("All statistics", type="compact"):
        rows = list(detection_words.statistics_rows(view))
        if rows:
            frame = pd.DataFrame(rows, columns=["Figure", "Counted", "Value", "95 % interval"])
            st.table(frame, border="horizontal", hide_index=True)
        else:
            st.markdown("There is no figure on pictures that the nets never saw.")
    with st.expander("Method and settings", type="compact"):
        method = [*detection_words.PROTOCOL, *_made_with(view)]
        frame = pd.DataFrame(method, columns=["What", "Value"])
        st.table(frame, border="horizontal", hide_index=True, hide_header=True)
        if st.button("Remove this measurement", type="tertiary", icon=":material/delete:"):
            evaluations.remove_evaluation(_shell.workplace(), _shell.person(), view.evaluation.code)
            _where.go_to_detection()


def _made_with(view: DetectionView) -> list[tuple[str, str]]:
    rows = []
    for step, name in (("tumor", "Step 1, tumor"), ("cells", "Step 2, nuclei")):
        model = view.models.get(step)
        text = (
            f"{model['name']} {model['version']}, sha256 {model['sha256']}" if model else "none in this set"
        )
        rows.append((name, text))
    report = view.report
    rows += [
        ("Computed with", view.computed_with),
        ("Bootstrap", f"{report.draws:,} draws, seed {report.seed}"),
        ("Software", f"Ki-67 validation {view.software_version}"),
        ("Measured", _shell.local_time(view.evaluation.finished_at or view.evaluation.created_at)),
        ("Measurement", view.evaluation.code),
    ]
    return rows
