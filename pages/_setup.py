"""Setup: case code, site and pixel size of each picture, what is missing in orange, then the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from ki67 import numbers
from ki67.study import asking, pictures, scoring
from ki67.study.pictures import StoredPicture
from ki67.study.scoring import ScoreRequest
from pages import _cards, _model_choice, _shell, _start, _table, _where
from pages._asked import Asked

CARDS_AT_MOST = 3
PIXELS_PER_MEGAPIXEL = 1e6


def show(codes: Sequence[str]) -> None:
    """The setup of the pictures with these codes."""
    stored = [pictures.get_picture(_shell.workplace(), _shell.person(), code) for code in codes]
    with _shell.title_row():
        st.title("Score", anchor=False, width="content")
        st.badge("1 picture" if len(stored) == 1 else f"{len(stored)} pictures", color="gray")
    sentence = st.container()
    _start.show_faults()
    suggested = _suggested_codes(stored)
    if len(stored) > CARDS_AT_MOST:
        asked = _table.ask(stored, suggested)
    else:
        usual = asking.usual_site(_shell.workplace(), _shell.person())
        asked = [_cards.ask(one, case, usual) for one, case in zip(stored, suggested, strict=True)]
    sentence.header(_what_is_missing(asked), anchor=False)
    _start_row(asked)
    with st.expander("Add pictures", type="compact", icon=":material/add:"):
        _start.bring_pictures()


def _suggested_codes(stored: Sequence[StoredPicture]) -> list[str]:
    """The case each picture had before, else the next free codes."""
    new = [one for one in stored if one.case_code is None]
    free = iter(asking.suggest_case_codes(_shell.workplace(), _shell.person(), len(new)))
    return [one.case_code or next(free) for one in stored]


def _what_is_missing(asked: Sequence[Asked]) -> str:
    """ "One picture needs its pixel size before it can be scored." """
    incomplete = [one for one in asked if one.request is None]
    if not incomplete:
        return "Everything is there." if len(asked) > 1 else "Ready to be scored."
    gaps = " and ".join(dict.fromkeys(gap for one in incomplete for gap in one.gaps))
    if len(incomplete) == 1:
        return f"One picture needs its {gaps} before it can be scored."
    return f"{len(incomplete)} pictures need their {gaps} before they can be scored."


def _start_row(asked: Sequence[Asked]) -> None:
    requests = [one.request for one in asked if one.request is not None]
    complete = len(requests) == len(asked)
    label = "Score 1 picture" if len(asked) == 1 else f"Score {len(asked)} pictures"
    fault = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = _model_choice.ask(key="score_models")
        pressed = st.button(label, type="primary", disabled=not complete, key="score_pictures")
        st.caption(_time_and_models(asked, chosen), width="content")
    if pressed and complete:
        with fault, _shell.errors_in_words():
            requests = [replace(request, model_set=chosen) for request in requests]
            submitted = scoring.submit(_shell.workplace(), _shell.person(), requests)
            _start.forget_faults()
            _where.go_to_jobs(submitted)


def _time_and_models(asked: Sequence[Asked], chosen: str | None) -> str:
    """ "About 12 s. Both steps, model set lab-2026-11." """
    name = chosen or scoring.current_model_set(_shell.workplace(), _shell.person()).name
    both = all(one.request is None or one.request.use_tumor_mask for one in asked)
    steps = "Both steps" if both else "Step 1 left out where you said so"
    megapixels = sum(_scored_megapixels(one) for one in asked)
    seconds = scoring.estimate_seconds(_shell.workplace(), _shell.person(), megapixels=megapixels)
    time = "" if seconds is None else f"About {numbers.duration(max(1.0, seconds))}. "
    return f"{time}{steps}, model set {_shell.escaped(name)}."


def _scored_megapixels(asked: Asked) -> float:
    request: ScoreRequest | None = asked.request
    if request is None or request.roi is None:
        return asked.picture.megapixels
    return request.roi.width * request.roi.height / PIXELS_PER_MEGAPIXEL
