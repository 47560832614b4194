"""Values to and from the JSON columns of the database, and the keys by which the same work is recognised."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ki67.errors import StoreError
from ki67.types import Flag, HotSpot, Interval, Measurement, ModelRef, Parameters, PixelSize, Rect

MASKS = ("counted", "found")


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What a run was asked to do: `parameters` as asked (None: left to the picture or the card).

    `covered_outline` is the hash of the outline in which step 2 was run too, wherever the tumor map is low.
    """

    pixel_size: PixelSize
    parameters: Parameters
    seed: int
    covered_outline: str | None = None


def settings_to_json(settings: RunSettings) -> dict[str, Any]:
    """A light left open is left out: runs stored before there was one keep their keys and are recognised."""
    values = dataclasses.asdict(settings)
    if settings.parameters.light is None:
        del values["parameters"]["light"]
    return values


def settings_from_json(values: Mapping[str, Any]) -> RunSettings:
    return RunSettings(
        pixel_size=PixelSize(**values["pixel_size"]),
        parameters=parameters_from_json(values["parameters"]),
        seed=values["seed"],
        covered_outline=values["covered_outline"],
    )


def parameters_from_json(values: Mapping[str, Any]) -> Parameters:
    white, light, roi = values["white_point"], values.get("light"), values["roi"]
    return Parameters(
        **{
            **values,
            "white_point": None if white is None else tuple(white),
            "light": None if light is None else tuple(light),
            "roi": None if roi is None else Rect(**roi),
        }
    )


def models_to_json(models: Mapping[str, ModelRef | None]) -> dict[str, Any]:
    return {step: None if ref is None else dataclasses.asdict(ref) for step, ref in models.items()}


def models_from_json(values: Mapping[str, Any]) -> dict[str, ModelRef | None]:
    return {step: None if ref is None else ModelRef(**ref) for step, ref in values.items()}


def run_key(sha256: str, models: Mapping[str, ModelRef | None], settings: RunSettings) -> str:
    """The hash of everything that decides a run: picture, weights, settings, seed."""
    hashes = {step: None if ref is None else ref.sha256 for step, ref in models.items()}
    return _hash({"picture": sha256, "models": hashes, "settings": settings_to_json(settings)})


def result_key(
    run: str, *, outline_sha256: str | None, use_outline: bool, score_threshold: float | None
) -> str:
    """The hash of everything that decides a result: the run and how it is counted."""
    return _hash({"run": run, "outline": outline_sha256, "use": use_outline, "threshold": score_threshold})


def _hash(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    """Every number of a measurement; the two masks go into a file of their own (`masks_to_bytes`)."""
    values = {
        each.name: getattr(measurement, each.name)
        for each in dataclasses.fields(measurement)
        if each.name not in MASKS
    }
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def measurement_from_json(
    values: Mapping[str, Any], *, counted: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]
) -> Measurement:
    intervals = {name: interval_of(values[name]) for name in ("wilson", "bootstrap", "sampling", "total")}
    return Measurement(
        **{
            **values,
            **intervals,
            "hot_spot": hot_spot_of(values["hot_spot"]),
            "flags": flags_of(values["flags"]),
            "counted": counted,
            "found": found,
        }
    )


def interval_of(values: Mapping[str, float] | None) -> Interval | None:
    return None if values is None else Interval(**values)


def hot_spot_of(values: Mapping[str, Any] | None) -> HotSpot | None:
    if values is None:
        return None
    intervals = {name: interval_of(values[name]) for name in ("interval", "total_interval")}
    return HotSpot(**{**values, **intervals})


def flags_of(values: list[Mapping[str, str]]) -> tuple[Flag, ...]:
    return tuple(Flag(**each) for each in values)


def masks_to_bytes(measurement: Measurement) -> bytes:
    """Which candidates were counted and found, eight to a byte, as the content of an npz file."""
    buffer = io.BytesIO()
    counted, found = np.packbits(measurement.counted), np.packbits(measurement.found)
    np.savez(buffer, count=np.int64(len(measurement.counted)), counted=counted, found=found)
    return buffer.getvalue()


def load_masks(path: Path) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The masks `counted` and `found`. Raises StoreError when the file is missing or broken."""
    try:
        with np.load(path) as stored:
            count = int(stored["count"])
            counted, found = (np.unpackbits(stored[name], count=count).astype(bool) for name in MASKS)
            return counted, found
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            "A result is missing from the data folder (KI67_HOME), or broken: put its backup back."
        ) from error
