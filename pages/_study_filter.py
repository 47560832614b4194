"""The filter of the pages about readings: study, session, readers, method, cases left out.

It stands in the address under the same names on every page, so that it survives a change of page and a
reload: `?study=S1&session=Session+2&readers=O1&readers=O2&without=T7` (a choice stands there as it is
shown). Nothing chosen means all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import cast

import streamlit as st

from ki67 import numbers
from ki67.study import material as study_material
from ki67.study.material import Selection, StudyMaterial
from ki67.study.readings import ALGORITHM, Method
from ki67.study.studies import Study, list_studies
from pages import _shell, _study_parts

ANY_SESSION = "Every session"
METHOD_WORDS: dict[str, str] = {"global": "Global index", "hot spot": "Hot spot", "count": "Counted"}
SEGMENTS_AT_MOST = 3


def show() -> StudyMaterial | None:
    """Draws the filter and gives what it leaves; None when there is nothing yet, which is then said.

    Raises StoreError for a study, reader or session that the address names and the store does not have.
    """
    studies = list_studies(_shell.workplace(), _shell.person())
    if not studies:
        _study_parts.no_study()
        return None
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            study = _study(studies)
            everything = _gathered(study.code, Selection())
            chosen = _choices(everything) if everything.methods else None
        found = _gathered(study.code, chosen) if chosen else everything
        st.caption(size_line(found), width="content")
    if chosen is None:
        _study_parts.no_readings(study)
        return None
    return found


def size_line(material: StudyMaterial) -> str:
    """ "20 tumors · 600 readings · 0 excluded": cases that were read, readings, what took no part.

    The algorithm's values are no readings.
    """
    rows = [reader != ALGORITHM for reader in material.readings.readers]
    cases = {
        case for case, reads in zip(material.readings.cases, rows, strict=True) if reads
    }  # those that a reader read
    left_out = sum(each.count for each in material.exclusions)
    return (
        f"{_study_parts.counted(len(cases), 'tumor')} · {_study_parts.counted(sum(rows), 'reading')} · "
        f"{numbers.count(left_out)} excluded"
    )


def fingerprint(material: StudyMaterial) -> str:
    """A hash of everything that an analysis is made from: the key of `st.cache_data` on every page."""
    readings = material.readings
    content = hashlib.sha256(readings.values.tobytes())
    rows = (readings.cases, readings.readers, readings.sessions, readings.replicates, readings.patients)
    for part in (*rows, material.study, material.plan, material.method, material.algorithm):
        content.update(repr(part).encode())
    return content.hexdigest()


def _study(studies: Sequence[Study]) -> Study:
    by_code = {study.code: study for study in studies}
    code = st.selectbox(
        "Study", list(by_code), key="study", label_visibility="collapsed", width=170, bind="query-params",
        help="The study whose readings are shown",
    )  # fmt: skip
    study = by_code.get(code or studies[0].code, studies[0])
    st.badge(study.site.capitalize(), color="gray")
    return study


def _choices(everything: StudyMaterial) -> Selection:
    """The widgets; the sessions and readers are those of the method chosen."""
    method = _method(everything)
    offered = everything
    if method is not None and method != everything.method:
        offered = _gathered(everything.study.code, Selection(method=method))
    session = _session(offered.sessions)
    with st.popover(_readers_label(offered), icon=":material/groups:"):
        readers = st.multiselect(
            "Readers", offered.readers, key="readers", placeholder="All readers", bind="query-params",
        )  # fmt: skip
    with st.popover("Cases", icon=":material/tune:"):
        without = st.multiselect(
            "Leave out", offered.cases, key="without", placeholder="No case left out", bind="query-params",
        )  # fmt: skip
    return Selection(method, session, tuple(readers), tuple(without))


def _method(everything: StudyMaterial) -> Method | None:
    """None: the plan's method; a study with one method has nothing to choose."""
    options = list(dict.fromkeys((everything.method, *everything.methods)))
    if everything.method not in everything.methods:
        options = list(everything.methods)
    if len(options) == 1:
        return None if options[0] == everything.method else options[0]
    return cast(
        Method,
        st.selectbox(
            "Scoring method", options, format_func=METHOD_WORDS.__getitem__, key="method",
            label_visibility="collapsed", width=150, bind="query-params",
        ),
    )  # fmt: skip


def _session(sessions: Sequence[str]) -> tuple[str, ...]:
    if len(sessions) < 2:
        return ()
    options = [ANY_SESSION, *sessions]
    if len(options) <= SEGMENTS_AT_MOST:
        chosen = st.segmented_control(
            "Session", options, default=ANY_SESSION, required=True, format_func=_session_words, key="session",
            label_visibility="collapsed", bind="query-params",
        )  # fmt: skip
    else:
        chosen = st.selectbox(
            "Session", options, format_func=_session_words, key="session", label_visibility="collapsed",
            width=150, bind="query-params",
        )  # fmt: skip
    return () if chosen in (None, ANY_SESSION) else (str(chosen),)


def _session_words(session: str) -> str:
    return session if session == ANY_SESSION else f"Session {session}"


def _readers_label(offered: StudyMaterial) -> str:
    chosen = len([code for code in st.session_state.get("readers", ()) if code in offered.readers])
    total = len(offered.readers)
    return f"{chosen} of {total} readers" if chosen else _study_parts.counted(total, "reader")


def _gathered(study_code: str, selection: Selection) -> StudyMaterial:
    workplace, person = _shell.workplace(), _shell.person()
    state = study_material.state_of(workplace, person, study_code)
    return _cached(str(workplace.home), state, study_code, selection)


@st.cache_data(max_entries=16, show_spinner="Gathering the readings…")
def _cached(home: str, state: str, study_code: str, selection: Selection) -> StudyMaterial:
    """`home` and `state` are what the store holds: another state, another entry."""
    return study_material.gather(_shell.workplace(), _shell.person(), study_code, selection)
