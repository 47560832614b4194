"""H&E fields with typed nuclei as an annotated Ki-67 folder, so that `evaluate` can be run on them.

Their truth is known nucleus by nucleus, tumor or not, so they show how many nuclei that are not tumor
get counted. How well a model does on real Ki-67 they do not show.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ki67.atomic import check_replaceable, whole_folder
from ki67.errors import DataError
from ki67.pipeline.cards import NET_MPP
from ki67.training.folder import AnnotatedField, Kind, Nuclei, read_nuclei, read_rgb
from ki67.training.material import at_net_scale, redrawn, to_net

MANIFEST = "manifest.csv"
_WORD = {Kind.POSITIVE: "positive", Kind.NEGATIVE: "negative", Kind.OTHER: "other", Kind.UNKNOWN: ""}


def write_redrawn_folder(fields: Sequence[AnnotatedField], out: Path, *, seed: int) -> Path:
    """Redraw every typed H&E field once as Ki-67 at 0.5 µm/px and write an annotated folder; returns `out`.

    Epithelial nuclei become positive or negative, the others `other`, those of unknown kind stay
    unknown. Look and share of positive nuclei follow from `seed` and the place of the field. Patients
    stay, a source gets the note "redrawn". Raises DataError when a field has no typed nuclei or carries
    Ki-67 labels already, StoreError when `out` is somebody's own folder.
    """
    if not fields:
        raise DataError("There is no field to redraw: give H&E fields with typed nuclei.")
    check_replaceable(out, holds=MANIFEST)
    with whole_folder(out) as scratch:
        rows = [_write(field, scratch, number, seed=seed) for number, field in enumerate(fields)]
        head = ("image", "mpp", "patient", "source")
        (scratch / MANIFEST).write_text(_csv([head, *rows]), "utf-8")
    return out


def _write(field: AnnotatedField, folder: Path, number: int, *, seed: int) -> tuple[object, ...]:
    """One field; its row of the manifest."""
    nuclei = read_nuclei(field)
    if field.labelled or nuclei is None or not len(nuclei):
        raise DataError(
            f"{field.name} is no H&E field with typed nuclei: give a CSV with the column type, without label."
        )
    drawn, labelled = redrawn(field, at_net_scale(field.mpp, read_rgb(field)), nuclei, seed=seed + number)
    if labelled is None:
        raise DataError(f"{field.name} has no nuclei to label: give a CSV with the column type.")
    stem = f"{number:04d}-{field.image.stem}"
    Image.fromarray(drawn).save(folder / f"{stem}.png")
    (folder / f"{stem}.csv").write_text(_points(field, labelled), "utf-8")
    return f"{stem}.png", NET_MPP, field.patient if field.patient_known else "", f"{field.source} (redrawn)"


def _points(field: AnnotatedField, nuclei: Nuclei) -> str:
    xy = to_net(nuclei.xy_px, field.mpp)
    rows = [
        (round(float(x), 2), round(float(y), 2), _WORD[Kind(int(kind))])
        for (x, y), kind in zip(xy, nuclei.kind, strict=True)
    ]
    return _csv([("x_px", "y_px", "label"), *rows])


def _csv(rows: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
