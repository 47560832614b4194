"""A card for one picture in the setup: thumbnail, case code, site, pixel size; region and outline folded."""

from __future__ import annotations

import streamlit as st

from ki67 import numbers
from ki67.study import asking
from ki67.study.pictures import StoredPicture
from ki67.types import SITES, Rect, Site
from pages import _pictures, _shell, _where
from pages._asked import Asked, Entered, check
from viewer.component import picture_viewer

THUMBNAIL = (203, 152)
VIEWER_HEIGHT_PX = 420


def ask(picture: StoredPicture, suggested_case: str, usual_site: Site | None) -> Asked:
    """Shows the card and returns what it asks for, or what is missing."""
    code = picture.code
    with st.container(border=True):
        with st.container(horizontal=True, gap="small"):
            thumbnail = _pictures.thumbnail(code, *THUMBNAIL)
            if thumbnail is not None:
                st.image(thumbnail, width=THUMBNAIL[0], alt=f"Picture for case {suggested_case}")
            with st.container(width="stretch", gap="small"):
                entered = _fields(picture, suggested_case, usual_site)
                asked_line = st.container()
                more = _more(picture, entered)
        asked = check(picture, more)
        with asked_line:
            _line(picture, asked)
    return asked


def _fields(picture: StoredPicture, suggested_case: str, usual_site: Site | None) -> Entered:
    code = picture.code
    own = picture.info.metadata_mpp
    columns = st.columns(3)
    st.session_state.setdefault(f"case_{code}", suggested_case)
    st.session_state.setdefault(f"mpp_{code}", "" if own is None else asking.shown_pixel_size(own))
    known_site = next((site for site in SITES if site == picture.site), usual_site)
    with columns[0]:
        case_code = st.text_input("Case code", key=f"case_{code}")
    with columns[1]:
        site = st.selectbox(
            "Site",
            SITES,
            index=None if known_site is None else SITES.index(known_site),
            format_func=str.capitalize,
            placeholder="Choose",
            key=f"site_{code}",
        )
    with columns[2]:
        pixel_size = st.text_input(
            "Pixel size, µm/px",
            placeholder="for example 0.250",
            icon=":material/straighten:",
            key=f"mpp_{code}",
        )
    return Entered(case_code=case_code or "", site=site, pixel_size=pixel_size or "")


def _line(picture: StoredPicture, asked: Asked) -> None:
    """File and size in gray; what is missing in orange, with the way to mend it."""
    info = picture.info
    size = f"{info.file_format} · {numbers.count(info.width_px)} × {numbers.count(info.height_px)} px"
    missing = [gap for gap in asked.gaps if gap != "pixel size"]
    source = "pixel size from the file"
    if asked.request is not None and asked.request.mpp is not None:
        source = "pixel size entered by hand"
    texts = [f":gray[{_shell.escaped(size)} · {source}]"]
    if "pixel size" in asked.gaps:
        texts = [f":gray[{_shell.escaped(size)} ·] {_pixel_size_wanted(picture)}"]
    texts += [f":orange[:material/warning: The {gap} is missing.]" for gap in missing if gap == "site"]
    texts += [f":orange[:material/warning: {_shell.escaped(fault)}]" for fault in asked.faults]
    st.markdown("  \n".join(texts))
    if picture.result_codes and st.button(
        "Scored before: open the result",
        type="tertiary",
        icon=":material/history:",
        key=f"known_{picture.code}",
    ):
        _where.go_to_result(picture.result_codes[0])


def _pixel_size_wanted(picture: StoredPicture) -> str:
    if picture.info.metadata_mpp is not None:
        return ":orange[:material/warning: the pixel size cannot be used.]"
    return (
        ":orange[:material/warning: the file gives no pixel size]. Scanners at 20× give about 0.5, "
        "at 40× about 0.25; the scanner’s export log has the exact value."
    )


def _more(picture: StoredPicture, entered: Entered) -> Entered:
    """Region, outline, patient code: folded, and everything in there may stay empty."""
    code = picture.code
    folded = st.expander("Region, outline, patient", type="compact", key=f"more_{code}", on_change="rerun")
    region: Rect | None = st.session_state.get(f"region_{code}")
    with folded:
        columns = st.columns(3)
        with columns[0]:
            patient = st.text_input("Patient code", placeholder="the case code", key=f"patient_{code}")
        with columns[1]:
            upload = st.file_uploader(
                "Pathologist’s outline, GeoJSON", type=("geojson", "json"), key=f"outline_{code}"
            )
        with columns[2]:
            use_outline = st.checkbox(
                "Use the outline instead of step 1", disabled=upload is None, key=f"use_outline_{code}"
            )
            without = st.checkbox("Leave step 1 out: every nucleus counts", key=f"without_{code}")
        if folded.open:
            region = _draw_region(code)
    return Entered(
        case_code=entered.case_code,
        site=entered.site,
        pixel_size=entered.pixel_size,
        patient_code=patient or "",
        region=region,
        outline=None if upload is None else upload.getvalue(),
        use_outline=use_outline and upload is not None,
        use_tumor_mask=not without,
    )


def _draw_region(code: str) -> Rect | None:
    st.caption("Draw a rectangle to score only a part. Without one the whole picture is scored.")
    state = picture_viewer(picture=code, draw_rectangle=True, height=VIEWER_HEIGHT_PX, key=f"draw_{code}")
    st.session_state[f"region_{code}"] = state.rectangle
    if state.rectangle is not None:
        rect = state.rectangle
        st.caption(
            f"Region {numbers.count(rect.width)} × {numbers.count(rect.height)} px "
            f"at {numbers.count(rect.x)}, {numbers.count(rect.y)}"
        )
    return state.rectangle
