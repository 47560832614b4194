"""The one sentence that answers: index, interval, class, in the words of the app (Markdown bold)."""

from __future__ import annotations

from ki67 import numbers
from ki67.sites import LeadingIndex, leading_index
from ki67.types import Measurement, Site


def answer(site: Site, measurement: Measurement) -> str:
    """ "Hot-spot index **8.9 %** (7.6–10.3): Ki-67 stratum **3–20 %**."

    Without tumor nuclei the word and the reason; where the site asks for a hot spot and none was
    found, the global index with the reason and no class.
    """
    leading = leading_index(site, measurement)
    if leading.index is None:
        return f"**Not assessable**: {measurement.reason}."
    text = f"{_name(leading)} {_value(leading)}"
    if leading.fell_back:
        return f"{text}. No hot spot, so no class: {measurement.hot_spot_reason}."
    if not leading.classes:
        return f"{text}."
    return f"{text}: {leading.classes[0].system.name} **{leading.classes[0].words}**."


def _name(leading: LeadingIndex) -> str:
    return "Hot-spot index" if leading.kind == "hot spot" else "Global index"


def _value(leading: LeadingIndex) -> str:
    value = f"**{numbers.percent(leading.positive, leading.negative)}**"
    return f"{value} ({numbers.interval(leading.sampling)})" if leading.sampling else value
