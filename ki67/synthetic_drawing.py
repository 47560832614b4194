"""One window of synthetic tissue drawn: densities of the stains, then light through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ki67.stains import Look, develop, develop_margin_px
from ki67.synthetic_noise import Window, pixel_noise, smooth_noise
from ki67.synthetic_world import LYMPHOCYTE, SPINDLE, TUMOR, Nuclei, World
from ki67.types import ByteArray, FloatArray

_DARKNESS = {TUMOR: 1.0, SPINDLE: 1.1, LYMPHOCYTE: 1.35}


@dataclass(frozen=True)
class Scene:
    """One seed's tissue as one laboratory shows it."""

    world: World
    look: Look


def render(scene: Scene, window: Window) -> tuple[ByteArray, npt.NDArray[np.bool_], Nuclei]:
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


def _tissue(scene: Scene, window: Window, depth: FloatArray) -> _Amounts:
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
        body *= 1 - scene.world.openings(window, depth)
    np.maximum(body, 0, out=body)
    blue = np.float32(look.counterstain * 0.08) * body
    specks = np.clip((fine * coarse - np.float32(5.2)) * 2, 0, 1) * np.float32(a.specks * look.dab_strength)
    brown = np.float32(look.dab_background) * body * (1 + 0.4 * coarse) + specks
    return _Amounts(blue, np.maximum(brown, 0), np.float32(look.background) * body)


def _draw_nuclei(amounts: _Amounts, nuclei: Nuclei, *, scene: Scene, window: Window) -> None:
    """Lays every nucleus over the tissue, in place."""
    seed = scene.world.seed
    borders = smooth_noise(window, seed=seed, stream=36, period_um=6.0)
    borders += np.float32(0.7) * smooth_noise(window, seed=seed, stream=33, period_um=2.8)
    borders *= np.float32(scene.world.architecture.irregularity)
    noises = (
        borders,
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
        radius = _radius(dx, dy, nuclei, int(i)) + border
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
    scene: Scene,
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
