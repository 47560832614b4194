"""Which model set a run uses, by name: the configured one, or one of those in `models/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ki67.errors import ModelError
from ki67.pipeline.cards import ModelSet, default_model_set, read_model_set
from ki67.study.workplace import Workplace
from ki67.types import ModelRef

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class ModelSetInfo:
    """The model set that will be used, for the page's footer: `tumor` and `cells` are name and version."""

    name: str
    tumor: str | None
    cells: str


def find_model_set(workplace: Workplace, name: str | None = None) -> ModelSet:
    """The set of this name; None: the configured one (`KI67_MODELS`), else the newest shipped.

    Raises:
        ModelError: there is none of this name, or a card cannot be read.
    """
    configured = workplace.settings.models
    folder = configured or default_model_set()
    if name is not None and name != folder.resolve().name:
        folder = default_model_set().parent / _checked(name)
    return read_model_set(folder)


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
