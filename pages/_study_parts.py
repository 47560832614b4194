"""What the pages about readings share: title row, answer, plot with its export menu, folded parts, a case.

A page calls them from top to bottom: `head`, the filter (`_study_filter`), `answer`, `plot`, `statistics`,
`method`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.column_types import ColumnConfig

from ki67 import charts_export, numbers
from ki67.charts import Mode
from ki67.study import case_view, demo_study, estimate_words
from ki67.study.estimate_words import Estimate
from ki67.study.material import StudyMaterial
from ki67.study.studies import Study
from ki67.types import Progress
from pages import _shell, _where

CONFIG = {"displayModeBar": False}
TABLE_HEIGHT_PX = 420


@dataclass(frozen=True)
class Head:
    """Where a page puts its badges (beside the title) and its buttons (at the right)."""

    badges: DeltaGenerator
    actions: DeltaGenerator


@dataclass(frozen=True)
class Plot:
    """One plot and what its export menu gives.

    `draw` makes the figure in a mode; `rows` are the plotted data with their header first; `name` is the
    start of the files' names; `note` stands below an exported figure (n, unit). `click`, if any, is called
    with the `customdata` of the point clicked (a case code), within a fragment: it opens a dialog.
    """

    name: str
    title: str
    note: str
    alt: str
    draw: Callable[[Mode], go.Figure]
    rows: Callable[[], Sequence[Sequence[object]]]
    click: Callable[[str], None] | None = None


def head(title: str) -> Head:
    """The title row."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        badges = st.container(horizontal=True, vertical_alignment="center", width="content")
        actions = st.container(horizontal=True, width="content")
    badges.title(title, anchor=False, width="content")
    return Head(badges, actions)


def plan_badge(place: DeltaGenerator, material: StudyMaterial, *, primary: bool) -> None:
    """Whether what stands here was planned, and when; `primary`: the page shows the plan's comparison."""
    if material.study.synthetic:
        place.badge("Synthetic data", icon=":material/science:", color="gray")
    if not material.plan_written:
        place.badge("No plan", icon=":material/edit_note:", color="gray")
    elif material.plan_after_readings:
        place.badge("Planned after the readings were known", icon=":material/warning:", color="orange")
    elif primary:
        place.badge("Primary analysis", icon=":material/verified:", color="blue")
    else:
        place.badge("Secondary analysis", color="gray")


def answer(first: str, second: str = "") -> None:
    """The answer sentence (Markdown, numbers bold) and one more."""
    st.header(first, anchor=False)
    if second:
        st.markdown(second)


def missing(sentence: str) -> None:
    """What cannot be shown and why; the rest of the page stands."""
    st.markdown(f":gray[{_shell.escaped(sentence)}]")


def warnings(sentences: Sequence[str]) -> None:
    """What a reader of the figures must know."""
    for sentence in sentences:
        st.markdown(f":orange[:material/warning:] {_shell.escaped(sentence)}")


def at_the_right(columns: Sequence[str]) -> dict[str, ColumnConfig]:
    """For `st.dataframe`: columns of numbers written as text (a true minus, a word) stand at the right."""
    return {name: st.column_config.TextColumn(alignment="right") for name in columns}


def counted(number: int, noun: str) -> str:
    """ "20 tumors", "1 reading"."""
    return f"{numbers.count(number)} {noun}{'' if number == 1 else 's'}"


def menu_row() -> DeltaGenerator:
    """What belongs to a plot, at the right of its row of controls: kept in one line, the export last."""
    return st.container(horizontal=True, width="content", vertical_alignment="center", wrap=False)


def plot(shown: Plot, *, key: str, menu: DeltaGenerator | None = None) -> None:
    """The figure with its *Export* menu; a click on a point calls `shown.click`, without a rerun.

    `menu`: the row of controls above, at whose end the menu stands; None: a row of its own.
    """
    with menu or st.container(horizontal=True, horizontal_alignment="right"):
        _export_menu(shown, key)
    _figure(shown, key)


@st.fragment
def _figure(shown: Plot, key: str) -> None:
    clicked = f"{key}_clicked"
    state = st.plotly_chart(
        shown.draw(_shell.mode()),
        theme=None,
        config=CONFIG,
        key=f"{key}_{_shell.mode()}",
        alt=shown.alt,
        on_select="rerun" if shown.click else "ignore",
        selection_mode="points",
    )
    if shown.click is None:
        return
    code = _clicked(state)
    if code != st.session_state.get(clicked):
        st.session_state[clicked] = code
        if code is not None:
            shown.click(code)


def _clicked(state: object) -> str | None:
    """The case code that the chosen point carries as its `customdata`."""
    points = state["selection"]["points"] if isinstance(state, dict) else []
    for point in points:
        data = point.get("customdata")
        if isinstance(data, (list, tuple)):
            data = data[0] if data else None
        if isinstance(data, str):
            return data
    return None


@st.fragment
def _export_menu(shown: Plot, key: str) -> None:
    menu = st.popover(
        "Export", icon=":material/download:", type="tertiary", on_change="rerun", key=f"{key}_export"
    )
    with menu:
        if not menu.open:
            return
        figure = shown.draw("light")
        made: dict[str, tuple[str, str, Callable[[], bytes]]] = {
            "CSV of the plotted data": ("csv", "text/csv", lambda: charts_export.csv_of(shown.rows())),
            "SVG": ("svg", "image/svg+xml", lambda: charts_export.svg(figure, shown.title, shown.note)),
            "PNG": ("png", "image/png", lambda: charts_export.png(figure, shown.title, shown.note)),
            "Interactive HTML": (
                "html", "text/html", lambda: charts_export.html(figure, shown.title, shown.note),
            ),
        }  # fmt: skip
        drawable = charts_export.browser() is not None
        for label, (ending, mime, make) in made.items():
            if ending in ("svg", "png") and not drawable:
                continue
            st.download_button(
                label, make, file_name=f"{shown.name}.{ending}", mime=mime, on_click="ignore",
                type="tertiary", key=f"{key}_export_{ending}",
            )  # fmt: skip
        st.caption(charts_export.NOTE if drawable else charts_export.NO_BROWSER)


@st.fragment
def statistics(make: Callable[[], Sequence[Estimate]], *, key: str, name: str) -> None:
    """*All statistics*: every estimate, made only when the part is opened; `name` begins the file's name."""
    part = st.expander("All statistics", type="compact", on_change="rerun", key=f"{key}_statistics")
    with part:
        if not part.open:
            return
        with _shell.errors_in_words():
            rows = estimate_words.rows(make())
            st.dataframe(
                pd.DataFrame(rows, columns=estimate_words.COLUMNS),
                hide_index=True,
                height=min(TABLE_HEIGHT_PX, 38 + 35 * len(rows)),
                alt="Every statistic with its interval",
            )
            st.download_button(
                "Export table", charts_export.csv_of([estimate_words.COLUMNS, *rows]),
                file_name=f"{name}.csv", mime="text/csv", icon=":material/download:", on_click="ignore",
                type="tertiary", key=f"{key}_statistics_csv",
            )  # fmt: skip


def method(rows: Sequence[tuple[str, str]]) -> None:
    """*Method and settings*: what and how, a row each."""
    with st.expander("Method and settings", type="compact"):
        frame = pd.DataFrame(rows, columns=["What", "Value"])
        st.table(frame, border="horizontal", hide_index=True, hide_header=True)


def case_dialog(material: StudyMaterial, case_code: str) -> None:
    """Opens one case: the readings of each reader, the algorithm with its interval, links to its results."""
    st.dialog(f"Case {_shell.escaped(case_code)}", width="medium")(_case)(material, case_code)


def _case(material: StudyMaterial, case_code: str) -> None:
    view = case_view.case_of(material, case_code)
    st.markdown(view.algorithm_words)
    st.markdown(view.panel_words)
    if view.readings:
        st.dataframe(
            pd.DataFrame(view.readings, columns=case_view.COLUMNS),
            hide_index=True,
            height=min(TABLE_HEIGHT_PX, 38 + 35 * len(view.readings)),
            alt=f"Readings of case {view.code}",
            column_config=at_the_right(case_view.COLUMNS[2:]),
        )
    for number, code in enumerate(view.result_codes, start=1):
        label = "Open the result" if len(view.result_codes) == 1 else f"Open result {number}"
        if st.button(label, icon=":material/open_in_new:", key=f"case_result_{code}"):
            _where.go_to_result(code)


def no_study() -> None:
    """The empty store: what will stand here, and the way to it."""
    st.header("Readings of people beside the algorithm will stand here.", anchor=False)
    st.markdown("It needs a study: a table of readings, a row per case and reader, is imported in a minute.")
    with st.container(horizontal=True):
        _import_button()
        if st.button("Load the demonstration study", icon=":material/science:", key="load_demo_study"):
            _load_demonstration()


def _load_demonstration() -> None:
    """Twenty synthetic tumors and thirty simulated readers; the scoring goes on in the background."""
    with _shell.errors_in_words():
        bar = st.progress(0.0, "Drawing the tumors…")

        def report(step: Progress) -> None:
            bar.progress(step.done / step.total, f"Drawing the tumors: {step.done} of {step.total}")

        demo_study.load_demo_study(_shell.workplace(), _shell.person(), progress=report)
        st.rerun()


def no_readings(study: Study) -> None:
    """A study without readings."""
    st.header(f"Study {_shell.escaped(study.code)} has no readings yet.", anchor=False)
    st.markdown("Import a table of readings, or type them from paper sheets.")
    _import_button()


def _import_button() -> None:
    if st.button("Import readings", type="primary", icon=":material/upload:", key="to_readings"):
        _where.go_to_readings()
