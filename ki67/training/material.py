"""From annotated pictures to plates: read, bring to 0.5 µm/px, paint the target; redraw H&E as Ki-67.

A picture whose nuclei carry Ki-67 labels is taken as it is, as is one with a drawn tumor mask that
does not look like H&E. The others (typed but unlabelled nuclei, or H&E with a drawn mask) serve after
redrawing as Ki-67; those with a drawn mask teach the tumor net as they are, too. Synthetic regions
add pictures whose truth is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ki67.errors import TrainingError
from ki67.pipeline.cards import NET_MPP, Task
from ki67.pipeline.light import estimate_light, without_light
from ki67.pipeline.quality import MOST_PINK, quality_inputs
from ki67.pipeline.tissue import LOW_POWER_MPP
from ki67.synthetic import make_region
from ki67.training.folder import (
    TUMOR_KINDS,
    AnnotatedField,
    Kind,
    Nuclei,
    read_color_mask,
    read_instances,
    read_nuclei,
    read_rgb,
    read_tumor_mask,
)
from ki67.training.patches import Plate
from ki67.training.redraw import TypedNuclei, redraw_as_ki67
from ki67.training.targets import (
    cells_from_outlines,
    cells_from_points,
    derived_tumor,
    labels_from_areas,
    tumor_from_drawn,
)
from ki67.types import ByteArray

REDRAWN = " (redrawn)"  # behind the source of an H&E picture redrawn as Ki-67
_REDRAWN_KIND = {"positive": Kind.POSITIVE, "negative": Kind.NEGATIVE, "other": Kind.OTHER, "": Kind.UNKNOWN}


def usable_for(task: Task, field: AnnotatedField) -> bool:
    """Whether a picture can teach this net anything, as it is or redrawn."""
    return (
        field.points_file is not None
        or field.color_file is not None
        or (task == "tumor" and field.tumor_file is not None)
    )


def plates_of(
    task: Task, fields: Sequence[AnnotatedField], *, seed: int, redraws: int, base_only: bool = False
) -> list[Plate]:
    """The plates of these pictures; `redraws` is how many times each H&E picture is redrawn as Ki-67.

    Raises TrainingError when nothing can be learned: no usable picture, or, for the cell net, none
    whose nuclei carry Ki-67 labels (unless `base_only`: a net that will be fine-tuned on such pictures).
    """
    usable = [field for field in fields if usable_for(task, field)]
    if not usable:
        raise TrainingError(
            f"None of the {len(fields)} pictures has what the {task} net learns from: add "
            + ("centroids with labels." if task == "cells" else "tumor masks or centroids.")
        )
    if task == "cells" and not base_only and not any(field.labelled for field in usable):
        raise TrainingError(
            "No picture has nuclei labelled positive or negative: typed nuclei alone cannot teach the cell "
            "net, add an annotated Ki-67 folder with --data (or make a base for fine-tuning with --base)."
        )
    return [
        plate
        for i, field in enumerate(usable)
        for plate in _plates(task, field, seed=seed + i, redraws=redraws)
    ]


def synthetic_plates(task: Task, *, count: int, side_px: int, seed: int) -> list[Plate]:
    """`count` synthetic regions of `side_px` at 0.5 µm/px with varied looks and positive shares."""
    return [_synthetic(task, side_px=side_px, seed=seed + i) for i in range(count)]


def looks_like_h_and_e(rgb: ByteArray) -> bool:
    """Whether most of the stained pixels are pink to violet, as the quality flag for H&E has it."""
    everywhere = np.ones(rgb.shape[:2], bool)
    return quality_inputs(rgb, everywhere, []).get("pink_share", 0.0) >= MOST_PINK


def at_net_scale(field_mpp: float, rgb: ByteArray) -> ByteArray:
    """The picture at 0.5 µm/px: area averages when it is finer, bilinear when it is coarser."""
    height = max(1, round(rgb.shape[0] * field_mpp / NET_MPP))
    width = max(1, round(rgb.shape[1] * field_mpp / NET_MPP))
    if (height, width) == rgb.shape[:2]:
        return rgb
    method = cv2.INTER_AREA if field_mpp < NET_MPP else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=method), np.uint8)


def in_neutral_light(rgb: ByteArray) -> ByteArray:
    """A picture at 0.5 µm/px with its light divided out, as a run shows it to the nets."""
    cells = round(LOW_POWER_MPP / NET_MPP)
    size = (max(1, rgb.shape[1] // cells), max(1, rgb.shape[0] // cells))
    low_power = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return without_light(rgb, estimate_light(low_power))


def to_net(xy_px: npt.NDArray[np.float64], field_mpp: float) -> npt.NDArray[np.float64]:
    """Centre-origin full-resolution pixels → centre-origin pixels at 0.5 µm/px."""
    return (xy_px + 0.5) * (field_mpp / NET_MPP) - 0.5


def cell_target(field: AnnotatedField, nuclei: Nuclei, shape: tuple[int, ...]) -> ByteArray:
    """Five class mask of a labelled picture, from outlines where they exist, else from centroids.

    `shape` is that of the picture at 0.5 µm/px, as is the mask.
    """
    height, width = shape[:2]
    if field.instances_file is not None:
        labels = _shrink_labels(read_instances(field), height, width)
        kind_of = np.zeros(max(int(labels.max()), int(nuclei.ids.max(initial=0))) + 1, np.int8)
        kind_of[nuclei.ids] = nuclei.kind
        return cells_from_outlines(labels, kind_of, mpp=NET_MPP)
    xy = to_net(nuclei.xy_px, field.mpp)
    if field.color_file is not None:
        areas = read_color_mask(field)
        area = _shrink_labels(
            ((areas[..., 0] | areas[..., 2]) & ~areas[..., 1]).astype(np.int32), height, width
        )
        labels = labels_from_areas(area > 0, xy)
        return cells_from_outlines(labels, np.concatenate(([np.int8(0)], nuclei.kind)), mpp=NET_MPP)
    return cells_from_points(xy, nuclei.kind, width=width, height=height, mpp=NET_MPP)


def tumor_target(field: AnnotatedField, nuclei: Nuclei | None, shape: tuple[int, ...]) -> ByteArray:
    """Tumor mask (1, 0, 255 ignored) of `shape`, at 0.5 µm/px: the drawn one, or derived from centroids."""
    height, width = shape[:2]
    if field.tumor_file is not None:
        drawn = cv2.resize(read_tumor_mask(field), (width, height), interpolation=cv2.INTER_NEAREST)
        return tumor_from_drawn(np.asarray(drawn, np.uint8))
    if nuclei is None:
        raise TrainingError(
            f"{field.name} has neither a drawn tumor mask nor nuclei: take it out of the manifest."
        )
    return derived_tumor(
        to_net(nuclei.xy_px, field.mpp), nuclei.kind, width=width, height=height, mpp=NET_MPP
    )


def redrawn(
    field: AnnotatedField, rgb: ByteArray, nuclei: Nuclei | None, *, seed: int
) -> tuple[ByteArray, Nuclei | None]:
    """An H&E picture (at 0.5 µm/px) redrawn as Ki-67, and its nuclei with the labels they were given."""
    share = float(np.random.default_rng((seed, 7)).choice([0.03, 0.1, 0.2, 0.35, 0.6, 0.85]))
    if nuclei is None or not len(nuclei):
        mask = tumor_target(field, None, rgb.shape) == 1 if field.tumor_file else None
        return redraw_as_ki67(rgb, mpp=NET_MPP, seed=seed, positive_share=share, tumor_mask=mask).rgb, None
    xy = to_net(nuclei.xy_px, field.mpp)
    kinds = np.where(
        np.isin(nuclei.kind, TUMOR_KINDS), "tumor", np.where(nuclei.kind == Kind.OTHER, "other", "unknown")
    )
    instances = None
    if field.instances_file is not None:
        instances = _shrink_labels(read_instances(field), *rgb.shape[:2])
    typed = TypedNuclei(
        x_px=xy[:, 0], y_px=xy[:, 1], kinds=kinds, instances=instances, ids=nuclei.ids.astype(np.int32)
    )
    drawn = redraw_as_ki67(rgb, mpp=NET_MPP, seed=seed, positive_share=share, nuclei=typed)
    if drawn.labels is None:
        return drawn.rgb, nuclei
    kind = np.array([_REDRAWN_KIND[str(label)] for label in drawn.labels], np.int8)
    return drawn.rgb, Nuclei(nuclei.xy_px, kind, nuclei.ids)


def _teaches_nothing(task: Task, field: AnnotatedField, nuclei: Nuclei | None) -> bool:
    """Whether a picture has no drawn mask to learn from and its nuclei are all of unknown kind."""
    if task == "tumor" and field.tumor_file is not None:
        return False
    return nuclei is None or (len(nuclei) > 0 and not (nuclei.kind != Kind.UNKNOWN).any())


def _plates(task: Task, field: AnnotatedField, *, seed: int, redraws: int) -> Iterator[Plate]:
    rgb = at_net_scale(field.mpp, read_rgb(field))
    nuclei = read_nuclei(field)
    if _teaches_nothing(task, field, nuclei):
        return
    if field.labelled or (field.tumor_file is not None and nuclei is None and not looks_like_h_and_e(rgb)):
        yield _plate(task, field, rgb, nuclei, source=field.source)
        return
    for version in range(redraws):
        drawn, labelled = redrawn(field, rgb, nuclei, seed=1000 * seed + version)
        yield _plate(task, field, drawn, labelled, source=field.source + REDRAWN)
    if task == "tumor" and field.tumor_file is not None:
        yield _plate(task, field, rgb, nuclei, source=field.source)


def _plate(task: Task, field: AnnotatedField, rgb: ByteArray, nuclei: Nuclei | None, *, source: str) -> Plate:
    if task == "tumor":
        target = tumor_target(field, nuclei, rgb.shape)
        weight = float(target.size)
    else:
        if nuclei is None:
            raise TrainingError(f"{field.name} has no nuclei to learn from: take it out of the manifest.")
        target = cell_target(field, nuclei, rgb.shape)
        weight = float(len(nuclei.of(Kind.POSITIVE, Kind.NEGATIVE)) + 1)
    return Plate(
        name=field.name,
        source=source,
        rgb=in_neutral_light(rgb),
        target=target,
        weight=weight,
        drawn=field.tumor_file is not None,
        redrawn=source.endswith(REDRAWN),
    )


def _synthetic(task: Task, *, side_px: int, seed: int) -> Plate:
    share = float(np.random.default_rng((seed, 11)).beta(0.8, 2.2))
    region = make_region(side_px, side_px, mpp=NET_MPP, seed=seed, positive_share=share)
    if task == "tumor":
        target = region.tumor_mask.astype(np.uint8)
    else:
        xy = np.column_stack((region.nuclei.x_px, region.nuclei.y_px)).astype(np.float64)
        kind = np.array([_REDRAWN_KIND[str(label)] for label in region.nuclei.label], np.int8)
        target = cells_from_points(xy, kind, width=side_px, height=side_px, mpp=NET_MPP)
    return Plate(
        name=f"synthetic {seed}",
        source="synthetic",
        rgb=in_neutral_light(region.rgb),
        target=target,
        weight=1.0,
        synthetic=True,
    )


def _shrink_labels(labels: npt.NDArray[np.int32], height: int, width: int) -> npt.NDArray[np.int32]:
    """A label map at another size, each pixel from the nearest."""
    rows = np.minimum(((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int), labels.shape[0] - 1)
    cols = np.minimum(((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int), labels.shape[1] - 1)
    return np.ascontiguousarray(labels[rows[:, None], cols[None, :]])
