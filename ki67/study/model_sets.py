"""Model sets by name: shipped ones in `models/`, a user's own in `KI67_HOME/models/`, the configured one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ki67.errors import ModelError
from ki67.pipeline.cards import CARD_NAME, ModelCard, ModelSet, default_model_set, read_model_set
from ki67.study.people import Person, require
from ki67.study.workplace import Workplace
from ki67.types import ModelRef

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
OWN_FOLDER = "models"
Origin = Literal["shipped", "own", "configured"]


@dataclass(frozen=True)
class ModelSetInfo:
    """The model set that will be used, for the page's footer: `tumor` and `cells` are name and version."""

    name: str
    tumor: str | None
    cells: str


@dataclass(frozen=True)
class ModelSetEntry:
    """A set that can be chosen. `cells` is None when a card cannot be read: `fault` says why.

    `usual` is the set that a request without a name uses.
    """

    name: str
    origin: Origin
    usual: bool
    tumor: ModelCard | None
    cells: ModelCard | None
    fault: str = ""


def find_model_set(workplace: Workplace, name: str | None = None) -> ModelSet:
    """The set of this name; None: the configured one (`KI67_MODELS`), else the newest shipped.

    A user's own set with the name of a shipped one is not found: it has to be renamed.

    Raises:
        ModelError: there is none of this name, or a card cannot be read.
    """
    configured = workplace.settings.models
    folder = configured or default_model_set()
    if name is None or name == folder.resolve().name:
        return read_model_set(folder)
    checked = _checked(name)
    shipped = default_model_set().parent / checked
    return read_model_set(shipped if shipped.is_dir() else own_folder(workplace) / checked)


def own_folder(workplace: Workplace) -> Path:
    """Where a user's own sets lie: `<name>/tumor` and `<name>/cells`, as `train` writes them."""
    return workplace.home / OWN_FOLDER


def list_model_sets(workplace: Workplace, person: Person) -> tuple[ModelSetEntry, ...]:
    """Every set that can be chosen, the usual one first, then own ones, then shipped ones, newest first."""
    require(person, "coordinator", "reader", "analyst", doing="see the model sets")
    shipped_root = default_model_set().parent
    usual = (workplace.settings.models or default_model_set()).resolve()
    places: dict[str, tuple[Path, Origin]] = {}
    roots: tuple[tuple[Path, Origin], ...] = ((shipped_root, "shipped"), (own_folder(workplace), "own"))
    for root, origin in roots:
        for card in sorted(root.glob(f"*/cells/{CARD_NAME}"), reverse=True):
            folder = card.parent.parent
            if NAME.fullmatch(folder.name):
                places.setdefault(folder.name, (folder, origin))
    known = places.get(usual.name)
    if known is None or known[0].resolve() != usual:
        places[usual.name] = (usual, "configured")
    entries = [_entry(folder, origin, usual=name == usual.name) for name, (folder, origin) in places.items()]
    return tuple(sorted(entries, key=lambda entry: (not entry.usual, entry.origin == "shipped")))


def _entry(folder: Path, origin: Origin, *, usual: bool) -> ModelSetEntry:
    name = folder.name
    try:
        models = read_model_set(folder)
    except ModelError as error:
        fault = str(error).replace(str(folder), name)
        return ModelSetEntry(name, origin, usual, tumor=None, cells=None, fault=fault)
    return ModelSetEntry(name, origin, usual, tumor=models.tumor, cells=models.cells)


def _checked(name: str) -> Path:
    if not NAME.fullmatch(name):
        raise ModelError(f"“{name}” is not the name of a model set: choose one of those installed.")
    return Path(name)


def models_used(models: ModelSet, *, with_tumor: bool) -> dict[str, ModelRef | None]:
    """Which weights a run will use."""
    tumor = models.tumor.ref if with_tumor and models.tumor else None
    return {"tumor": tumor, "cells": models.cells.ref}


def describe(models: ModelSet) -> ModelSetInfo:
    """Names and versions for people."""
    tumor = models.tumor
    return ModelSetInfo(
        name=models.name,
        tumor=f"{tumor.name} {tumor.version}" if tumor else None,
        cells=f"{models.cells.name} {models.cells.version}",
    )
