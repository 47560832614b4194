"""The page of `bench/viewer_app.py`: the viewer with every tool, and what it reports to Python."""

from __future__ import annotations

import streamlit as st

from viewer.component import large_upload, picture_viewer, theme_watch

st.set_page_config(layout="wide")
query = st.query_params
tools = query.get("tools") == "1"
theme = theme_watch()
with st.expander("Picture", expanded="folded" not in query):
    state = picture_viewer(
        picture=query.get("picture", "small"),
        run=query.get("run"),
        key="viewer",
        height=int(query.get("height", "600")),
        draw_rectangle=tools,
        pick_nuclei=tools,
    )
st.session_state.runs = st.session_state.get("runs", 0) + 1
st.write(f"Run {st.session_state.runs}. Theme {theme}. Rectangle {state.rectangle}. Nucleus {state.nucleus}.")
st.button("Run again")
if tools:
    st.write(f"Uploads: {', '.join(large_upload(key='upload')) or 'none'}.")
