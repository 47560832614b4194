"""Synthetic Ki-67 regions with an exact answer for every nucleus and for the tumor.

Nests of tumor nuclei, septa and stroma with spindle nuclei and fibres, and lymphocytes; counterstain
and DAB mixed by Beer–Lambert; a look per laboratory and scanner. The tissue is a function of seed and
place (`ki67/synthetic_world.py`): any window of one seed shows the same tissue to the last bit, so a
region of any size is made by tiles, without seams, in bounded memory.

The interface: `make_region` for a region in memory, `write_region` for a file with its truth beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ki67.errors import DataError
from ki67.stains import Look, develop, develop_margin_px, random_look
from ki67.synthetic_noise import Window, pixel_noise, smooth_noise
from ki67.synthetic_world import LYMPHOCYTE, SPINDLE, TUMOR, Architecture, Nuclei, World, random_architecture
from ki67.types import ByteArray, FloatArray

_TILE_PX = 1024
_DARKNESS = {TUMOR: 1.0, SPINDLE: 1.1, LYMPHOCYTE: 1.35}


@dataclass(frozen=True)
class TruthTable:
    """n nuclei of a region. (0, 0) is the centre of its first pixel; semi-axes in pixels.

    `label` is "positive" or "negative" for tumor nuclei, "other" for stromal nuclei and lymphocytes,
    whether stained or not. `angle` is that of the major axis in radians, x towards y.
    """

    x_px: FloatArray
    y_px: FloatArray
    label: npt.NDArray[np.str_]
    semi_major_px: FloatArray
    semi_minor_px: FloatArray
    angle: FloatArray

    def __len__(self) -> int:
        return len(self.x_px)


@dataclass(frozen=True)
class SyntheticRegion:
    """A region: `rgb` H×W×3 at `mpp` µm/px, the truth of each nucleus centred in it, the tumor (H×W bool)."""

    rgb: ByteArray
    mpp: float
    nuclei: TruthTable
    tumor_mask: npt.NDArray[np.bool_]


def make_region(
    width_px: int,
    height_px: int,
    *,
    mpp: float = 0.5,
    seed: int,
    positive_share: float = 0.2,
    look: Look | None = None,
    architecture: Architecture | None = None,
    left_px: int = 0,
    top_px: int = 0,
) -> SyntheticRegion:
    """A region of the seed's tissue, whose upper left pixel is (`left_px`, `top_px`) of that tissue.

    `positive_share` (0-1) is the chance of each tumor nucleus to be positive. `look` and `architecture`
    None: drawn from the seed, so that each seed is another laboratory and another tumor. For a region
    that is all tumor of one density give `Architecture(everywhere=True)`.
    Raises DataError for a size or share that makes no sense.
    """
    scene = _scene(seed, positive_share=positive_share, look=look, architecture=architecture)
    if min(width_px, height_px) < 1 or not 0.1 <= mpp <= 1:
        raise DataError(
            f"A synthetic region of {width_px} × {height_px} px at {mpp} µm/px cannot be made: "
            "give at least 1 × 1 px at 0.1 to 1 µm/px."
        )
    rgb = np.empty((height_px, width_px, 3), np.uint8)
    tumor = np.empty((height_px, width_px), bool)
    tables = []
    for y in range(0, height_px, _TILE_PX):
        for x in range(0, width_px, _TILE_PX):
            window = Window(
                left_px + x, top_px + y, min(_TILE_PX, width_px - x), min(_TILE_PX, height_px - y), mpp
            )
            inner = (slice(y, y + window.height), slice(x, x + window.width))
            rgb[inner], tumor[inner], nuclei = _render(scene, window)
            tables.append(_truth(nuclei, window, left_px=left_px, top_px=top_px))
    return SyntheticRegion(rgb, mpp, _joined(tables), tumor)


@dataclass(frozen=True)
class _Scene:
    world: World
    look: Look


def _scene(
    seed: int, *, positive_share: float, look: Look | None, architecture: Architecture | None
) -> _Scene:
    if not 0 <= positive_share <= 1:
        raise DataError(f"The share of positive nuclei is {positive_share}: give a fraction from 0 to 1.")
    world = World(seed, architecture or random_architecture(seed), positive_share)
    return _Scene(world, look or random_look(seed))


def _truth(nuclei: Nuclei, window: Window, *, left_px: int, top_px: int) -> TruthTable:
    """The nuclei centred in the window, half-open, in pixels of the region."""
    mpp = window.mpp
    x, y = nuclei.x_um / mpp, nuclei.y_um / mpp
    inside = (
        (x >= window.x) & (x < window.x + window.width) & (y >= window.y) & (y < window.y + window.height)
    )
    kept = nuclei.pick(inside)
    label = np.where(kept.kind != TUMOR, "other", np.where(kept.positive, "positive", "negative"))
    return TruthTable(
        x_px=(x[inside] - left_px - 0.5).astype(np.float32),
        y_px=(y[inside] - top_px - 0.5).astype(np.float32),
        label=label,
        semi_major_px=(kept.semi_major_um / mpp).astype(np.float32),
        semi_minor_px=(kept.semi_minor_um / mpp).astype(np.float32),
        angle=kept.angle.astype(np.float32),
    )


def _joined(tables: list[TruthTable]) -> TruthTable:
    return TruthTable(
        **{
            name: np.concatenate([getattr(table, name) for table in tables])
            for name in TruthTable.__dataclass_fields__
        }
    )


def _render(scene: _Scene, window: Window) -> tuple[ByteArray, npt.NDArray[np.bool_], Nuclei]:
    """RGB and tumor of a window, and the nuclei that may reach into it.

    Tissue, then nuclei over it, then light through both; a margin is drawn around the window for the optics.
    """
    world, look = scene.world, scene.look
    margin = develop_margin_px(look, mpp=window.mpp)
    wide = window.grown(margin)
    depth = world.depth(wide)
    amounts = _tissue(scene, wide, depth)
    nuclei = world.nuclei(wide)
    _draw_nuclei(amounts, nuclei, scene=scene, window=wide)
    noise = pixel_noise(wide, seed=world.seed, stream=40)
    rgb = develop(amounts.counterstain, amounts.dab, amounts.tissue, look=look, mpp=window.mpp, noise=noise)
    inner = (slice(margin, margin + window.height), slice(margin, margin + window.width))
    return rgb[inner], depth[inner] > 0, nuclei


@dataclass(frozen=True)
class _Amounts:
    """Densities of a window (each height×width), drawn on in place."""

    counterstain: FloatArray
    dab: FloatArray
    tissue: FloatArray

    def __getitem__(self, box: tuple[slice, slice]) -> _Amounts:
        return _Amounts(self.counterstain[box], self.dab[box], self.tissue[box])


def _tissue(scene: _Scene, window: Window, depth: FloatArray) -> _Amounts:
    """What is not nucleus: cytoplasm, fibres, clefts and glass, and unspecific DAB."""
    look, a, seed = scene.look, scene.world.architecture, scene.world.seed
    fine = smooth_noise(window, seed=seed, stream=30, period_um=1.6)
    coarse = smooth_noise(window, seed=seed, stream=31, period_um=9.0)
    body = 1 + np.float32(a.granularity) * fine + np.float32(0.22) * coarse
    if not a.everywhere:
        phase = scene.world.fibre_phase(window)
        strands = np.sin(phase * np.float32(2 * np.pi / 4.2) + fine)
        strands += np.sin(phase * np.float32(2 * np.pi / 10.5) + coarse)
        fibres = np.float32(a.stroma) * (0.8 + 0.35 * coarse + 0.3 * strands)
        fibres += np.float32(0.7 * a.granularity) * fine
        nest = np.clip(depth / 2 + 0.5, 0, 1)
        body = nest * body + (1 - nest) * fibres
        body *= 1 - _openings(scene.world, window, depth)
    np.maximum(body, 0, out=body)
    blue = np.float32(look.counterstain * 0.08) * body
    specks = np.clip((fine * coarse - np.float32(5.2)) * 2, 0, 1) * np.float32(a.specks * look.dab_strength)
    brown = np.float32(look.dab_background) * body * (1 + 0.4 * coarse) + specks
    return _Amounts(blue, np.maximum(brown, 0), np.float32(look.background) * body)


def _openings(world: World, window: Window, depth: FloatArray) -> FloatArray:
    """0-1 where there is bare glass: clefts along nests, gaps in loose stroma."""
    loose = smooth_noise(window, seed=world.seed, stream=32, period_um=60.0)
    cleft = np.clip(2.2 - np.abs(depth + 4.5), 0, 1) * np.clip(
        (loose + 2.5 * world.architecture.clefts - 1.4) * 3, 0, 1
    )
    gap = np.clip((loose - 1.5) * 4, 0, 1) * np.clip((-depth - 8) / 3, 0, 1)
    return np.asarray(np.maximum(cleft, gap), np.float32)


def _draw_nuclei(amounts: _Amounts, nuclei: Nuclei, *, scene: _Scene, window: Window) -> None:
    """Lays every nucleus over the tissue, in place."""
    seed = scene.world.seed
    noises = (
        smooth_noise(window, seed=seed, stream=33, period_um=3.4),
        smooth_noise(window, seed=seed, stream=34, period_um=1.5),
        smooth_noise(window, seed=seed, stream=35, period_um=0.8),
    )
    x_um, y_um = window.x_um, window.y_um
    reach = nuclei.semi_major_um * 1.35 + 1.0
    x0 = np.searchsorted(x_um, nuclei.x_um - reach)
    x1 = np.searchsorted(x_um, nuclei.x_um + reach)
    y0 = np.searchsorted(y_um, nuclei.y_um - reach)
    y1 = np.searchsorted(y_um, nuclei.y_um + reach)
    for i in np.flatnonzero((x1 > x0) & (y1 > y0)):
        box = (slice(y0[i], y1[i]), slice(x0[i], x1[i]))
        dx = (x_um[box[1]] - nuclei.x_um[i]).astype(np.float32)[None, :]
        dy = (y_um[box[0]] - nuclei.y_um[i]).astype(np.float32)[:, None]
        border, clumps, grain = (noise[box] for noise in noises)
        radius = _radius(dx, dy, nuclei, int(i)) + np.float32(scene.world.architecture.irregularity) * border
        _draw_one(amounts[box], radius, nuclei, int(i), scene=scene, clumps=clumps, grain=grain)


def _radius(dx: FloatArray, dy: FloatArray, nuclei: Nuclei, i: int) -> FloatArray:
    """Distance from the centre of nucleus i in units of its ellipse: 1 on the border."""
    cos, sin = np.float32(np.cos(nuclei.angle[i])), np.float32(np.sin(nuclei.angle[i]))
    along = (dx * cos + dy * sin) * np.float32(1 / nuclei.semi_major_um[i])
    across = (dy * cos - dx * sin) * np.float32(1 / nuclei.semi_minor_um[i])
    return np.asarray(np.sqrt(along * along + across * across), np.float32)


def _draw_one(
    amounts: _Amounts,
    radius: FloatArray,
    nuclei: Nuclei,
    i: int,
    *,
    scene: _Scene,
    clumps: FloatArray,
    grain: FloatArray,
) -> None:
    """Lays nucleus i over its box: chromatin with a paler middle when vesicular, and DAB when positive."""
    look, a = scene.look, scene.world.architecture
    kind, chance = int(nuclei.kind[i]), nuclei.chance[i]
    sharp = np.float32(nuclei.semi_minor_um[i] / 0.6)
    cover = np.clip((1 - radius) * sharp + np.float32(0.5), 0, 1)
    vesicular = float(np.clip(a.vesicular + 0.2 * chance[0], 0, 1)) if kind == TUMOR else 0.1
    pale = np.float32(0.45 * vesicular) * np.clip((np.float32(0.9) - radius) * 4, 0, 1)
    texture = 1 + np.float32(0.12 + 0.16 * vesicular) * clumps + np.float32(0.12) * grain
    dark = look.counterstain * _DARKNESS[kind] * float(np.exp(a.darkness_spread * chance[1]))
    stain = np.maximum(np.float32(dark) * (texture - pale), 0)
    if nuclei.positive[i]:
        strength = float(np.clip(look.dab_strength * np.exp(look.dab_spread * chance[2]), 0.5, 6.0))
        rough = np.float32(max(0.03, 0.2 + 0.1 * chance[3]))
        layer = 1 + rough * clumps + np.float32(0.12) * grain - np.float32(0.5) * pale
        layer = np.float32(strength) * np.maximum(layer, np.float32(0.3))
        amounts.dab[:] += cover * np.maximum(layer - np.float32(0.3) * amounts.dab, 0)
        stain *= np.float32(0.45)
    blue = amounts.counterstain
    blue += cover * (stain - np.float32(0.7) * np.minimum(blue, stain))
