"""Thumbnails for cards and tables."""

from __future__ import annotations

import base64

import streamlit as st

from ki67.errors import Ki67Error
from ki67.study import listing, pictures
from pages import _shell


@st.cache_data(max_entries=500, show_spinner=False)
def _cropped(home: str, code: str, width: int, height: int) -> bytes:
    jpeg = pictures.thumbnail_jpeg(_shell.workplace(), _shell.person(), code)
    return listing.cropped_jpeg(jpeg, width=width, height=height)


def thumbnail(code: str, width: int, height: int) -> bytes | None:
    """The picture as a JPEG that fills width × height screen pixels; None when its file is away."""
    try:
        return _cropped(str(_shell.workplace().home), code, 2 * width, 2 * height)
    except Ki67Error:
        return None


def thumbnail_address(code: str, width: int, height: int) -> str | None:
    """The thumbnail as an address that a table cell can show."""
    jpeg = thumbnail(code, width, height)
    return None if jpeg is None else "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
