"""A model set's cards in readable form: rows of texts, nothing left out that a person needs to judge it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ki67 import numbers
from ki67.pipeline.cards import ModelCard
from ki67.study.model_sets import ModelSetEntry

ORIGINS = {"shipped": "Shipped", "own": "Your own", "configured": "KI67_MODELS"}
SHORT_HASH = 12


@dataclass(frozen=True)
class DataRow:
    """A body of pictures that a net learned from."""

    step: str
    source: str
    terms: str
    pictures: int


def steps_of(entry: ModelSetEntry) -> list[tuple[str, ModelCard]]:
    """The nets of a set with the names of their steps."""
    named = (("Step 1, tumor", entry.tumor), ("Step 2, nuclei", entry.cells))
    return [(name, card) for name, card in named if card is not None]


def facts(card: ModelCard) -> list[tuple[str, str]]:
    """What a net is: name, version, hash, first weights, when and with what it was made."""
    rows = [
        ("Name and version", f"{card.name} {card.version}"),
        ("Weights, sha256", card.sha256),
        ("Net", f"U-Net on {card.encoder}, {numbers.pixel_size(card.mpp)}"),
        ("First weights", card.encoder_init),
        (
            "Made",
            f"{numbers.moment(card.created_at)} UTC, software {card.software_version}, seed {card.seed}",
        ),
        ("Terms", card.license_note),
    ]
    if card.task == "cells":
        found = f"score from {card.score_threshold:g}, at least {card.min_distance_um:g} µm apart"
        rows.append(("A nucleus", found))
        known = "in the card" if card.error_model else "not estimated: no interval with model error"
        rows.append(("Model error", known))
    return rows


def data_rows(entry: ModelSetEntry) -> list[DataRow]:
    """Every source that the nets learned from, with its terms."""
    return [
        DataRow(step, source.source, source.terms, source.images)
        for step, card in steps_of(entry)
        for source in card.data
    ]


def figure_rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The card's free figures flattened: name in words, value as text. Lists of names are counted."""
    return list(_flattened(figures, ()))


def _flattened(values: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        names = (*above, str(key))
        if isinstance(value, Mapping):
            yield from _flattened(value, names)
        else:
            yield " · ".join(_in_words(name) for name in names), _text(value)


def _in_words(name: str) -> str:
    spaced = name.replace("_", " ").replace("images", "pictures").replace("image", "picture")
    return spaced[:1].upper() + spaced[1:]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return numbers.count(value)
    if isinstance(value, float):
        return numbers.decimal(value, decimals=3 if abs(value) < 1 else 2)
    if isinstance(value, list | tuple):
        if all(isinstance(each, int | float) for each in value):
            return ", ".join(_text(each) for each in value)
        return f"{numbers.count(len(value))} entries"
    return str(value)


def failures(entry: ModelSetEntry) -> list[tuple[str, str]]:
    """Known failures, each with the step that has it."""
    return [(step, failure) for step, card in steps_of(entry) for failure in card.known_failures]


def short_hash(card: ModelCard | None) -> str:
    """The first digits of a hash, for a table; "–" without a net."""
    return "–" if card is None else card.sha256[:SHORT_HASH]


def set_sentence(entry: ModelSetEntry) -> str:
    """ "**first-2026-11** is what pictures are scored with unless another set is chosen." """
    if entry.cells is None:
        return f"**{entry.name}** cannot be used."
    steps = "both steps" if entry.tumor else "step 2 only: every nucleus counts"
    if entry.usual:
        return f"Pictures are scored with **{entry.name}** ({steps}) unless another set is chosen."
    return f"**{entry.name}** can be chosen when a picture is scored ({steps})."
