"""Choosing a model set, wherever one is used; nothing is asked where there is only one."""

from __future__ import annotations

import streamlit as st

from ki67.study import model_sets
from pages import _shell


def ask(*, key: str, width: int = 220) -> str | None:
    """The name of the chosen set; None: the usual one."""
    entries = model_sets.list_model_sets(_shell.workplace(), _shell.person())
    names = [entry.name for entry in entries if entry.cells is not None]
    if len(names) < 2:
        return None
    return st.selectbox("Model set", names, key=key, width=width)
