"""Settings: environment variables `KI67_*`, read once when a program starts.

KI67_HOME           where data live (default ./data)
KI67_DATABASE_URL   default: SQLite under KI67_HOME; PostgreSQL as postgresql+psycopg://user@host/name
KI67_SLIDES         read-only roots of slides on this machine: siteA=/mnt/a;siteB=/mnt/b
KI67_DEVICE         auto | cpu | cuda
KI67_BACKEND        auto | torch | openvino
KI67_MAX_PIXELS     largest picture that is accepted, in pixels (default: the picture reader's limit)
KI67_MODELS         model set (default: the newest in models/)
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ki67.errors import SettingsError

Device = Literal["auto", "cpu", "cuda"]
BackendName = Literal["auto", "torch", "openvino"]

PREFIX = "KI67_"
SQLITE_NAME = "ki67.sqlite"
ROOT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


class Settings(BaseModel):
    """Where data live and what computes. Frozen; made by `load_settings`, or directly in a test.

    `home` is absolute; `slides` maps the name of a root to its absolute folder; `max_pixels` None
    means the picture reader's own limit; `models` None means the newest shipped set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default_factory=lambda: Path("data"), validate_default=True)
    database_url: str = ""
    slides: dict[str, Path] = Field(default_factory=dict)
    device: Device = "auto"
    backend: BackendName = "auto"
    max_pixels: int | None = Field(default=None, ge=1)
    models: Path | None = None

    @field_validator("home", "models")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else Path(os.path.abspath(value.expanduser()))

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("it has to start with postgresql+psycopg:// or sqlite:///")
        return value

    @field_validator("slides", mode="before")
    @classmethod
    def _roots(cls, value: Any) -> Any:
        return _parse_roots(value) if isinstance(value, str) else value

    @property
    def net_cache(self) -> Path | None:
        """Where converted nets are kept between starts; None before there is a data folder."""
        return self.home / "cache" if self.home.is_dir() else None

    @property
    def database(self) -> str:
        """The database's address: as given, or SQLite under `home`."""
        return self.database_url or f"sqlite:///{self.home / SQLITE_NAME}"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process's environment, or of the one given.

    Raises:
        SettingsError: a variable `KI67_*` that does not exist, or a value that cannot be used.
    """
    variables = os.environ if environment is None else environment
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in variables if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(
            f"{unknown[0]}: there is no such setting; remove it, or use one of {', '.join(sorted(known))}."
        )
    values = {
        name: variables[f"{PREFIX}{name.upper()}"]
        for name in Settings.model_fields
        if variables.get(f"{PREFIX}{name.upper()}", "").strip()
    }
    try:
        return Settings(**values)  # type: ignore[arg-type]  # pydantic converts the strings
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def as_environment(settings: Settings) -> dict[str, str]:
    """The environment variables that make `load_settings` give these settings again."""
    values = {
        "HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "SLIDES": ";".join(f"{name}={folder}" for name, folder in settings.slides.items()),
        "DEVICE": settings.device,
        "BACKEND": settings.backend,
        "MAX_PIXELS": "" if settings.max_pixels is None else str(settings.max_pixels),
        "MODELS": "" if settings.models is None else str(settings.models),
    }
    return {f"{PREFIX}{name}": value for name, value in values.items()}


def _parse_roots(text: str) -> dict[str, Path]:
    """`siteA=/mnt/a;siteB=/mnt/b` → names and folders. Raises ValueError with the fault."""
    roots: dict[str, Path] = {}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, folder = (part.strip() for part in entry.partition("="))
        if not equals or not ROOT_NAME.fullmatch(name) or not Path(folder).is_absolute():
            raise ValueError("it is a list name=/absolute/folder;name=/absolute/folder")
        if name in roots:
            raise ValueError(f"the name {name} stands twice")
        roots[name] = Path(folder)
    return roots


def _sentence(error: ValidationError) -> str:
    """The first fault as one sentence; values of the database's address may hold a password."""
    fault = error.errors()[0]
    field = str(fault["loc"][0])
    shown = "" if field == "database_url" else f" “{fault['input']}”"
    remedies = {
        "device": "use auto, cpu or cuda",
        "backend": "use auto, torch or openvino",
        "max_pixels": "give a whole number of pixels, for example 4000000000",
    }
    reason = remedies.get(field, fault["msg"].removeprefix("Value error, "))
    return f"{PREFIX}{field.upper()}: the value{shown} cannot be used; {reason}."
