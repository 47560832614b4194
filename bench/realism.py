"""`python -m bench.realism --data DIR --typed DIR…`: do redrawn H&E patches pass for real Ki-67?

Lays 24 real patches beside 24 redrawn ones, for the eye, and prints the AUC of a small classifier: a
logistic regression on what the encoder of a cell net says of a patch, with whole pictures held out in
turn. 0.5 means that it cannot tell them apart, 1 that it always can.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import mannwhitneyu

from ki67.errors import DataError, Ki67Error
from ki67.pipeline.nets import Net, load_net
from ki67.training.folder import read_folder
from ki67.training.material import plates_of
from ki67.training.patches import Augmentation, Plate, warp
from ki67.types import ByteArray

PATCH_PX = 256
AS_IT_IS = Augmentation(scale_low=1.0, scale_high=1.0)
ON_SHEET = 24
FOLDS = 5
RIDGE = 1.0  # of the logistic regression, on standardized numbers

Doubles = npt.NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the patches, prints the AUC, writes the sheet with `--sheet`; returns 0, or 1 with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m bench.realism", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="annotated folder of real Ki-67")
    parser.add_argument("--typed", type=Path, nargs="+", required=True, help="folders of typed H&E nuclei")
    parser.add_argument("--net", type=Path, required=True, help="model folder of a cell net, for its encoder")
    parser.add_argument("--patches", type=int, default=240, metavar="N", help="of each kind (default 240)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write 24 real beside 24 redrawn here")
    options = parser.parse_args(arguments)
    try:
        real = plates_of("cells", read_folder(options.data), seed=options.seed, redraws=1)
        typed = [field for folder in options.typed for field in read_folder(folder)]
        made = plates_of("cells", typed, seed=options.seed, redraws=1, base_only=True)
        kinds = [[p for p in real if not p.redrawn], [p for p in made if p.redrawn]]
        if not all(kinds):
            raise DataError("Both kinds are needed: Ki-67 pictures in --data, typed H&E ones in --typed.")
        drawn = [draw(kind, options.patches, seed=options.seed + i) for i, kind in enumerate(kinds)]
        net = load_net(options.net)
    except Ki67Error as fault:
        print(fault, file=sys.stderr)
        return 1
    patches = np.concatenate([pixels for pixels, _ in drawn])
    groups = np.array([name for _, names in drawn for name in names])
    is_real = np.repeat([1.0, 0.0], options.patches)
    scores = held_out_scores(features(net, patches), is_real, groups, seed=options.seed)
    print(
        f"AUC {auc(scores, is_real):.3f}: real against redrawn, {options.patches} patches of {PATCH_PX} px "
        f"each, of {len(kinds[0])} and {len(kinds[1])} pictures, {FOLDS} folds by picture, "
        f"seed {options.seed}."
    )
    if options.sheet is not None:
        both = [sheet(pixels[:ON_SHEET]) for pixels, _ in drawn]
        gap = np.full((both[0].shape[0], 24, 3), 255, np.uint8)
        cv2.imwrite(str(options.sheet), np.concatenate((both[0], gap, both[1]), axis=1)[..., ::-1])
    return 0


def draw(plates: Sequence[Plate], count: int, *, seed: int) -> tuple[ByteArray, list[str]]:
    """`count` patches (N×256×256×3) from pictures drawn alike often, and the picture of each."""
    rng = np.random.default_rng(seed)
    chosen = [plates[int(rng.integers(len(plates)))] for _ in range(count)]
    pixels = [warp(plate, size=PATCH_PX, rng=rng, augmentation=AS_IT_IS)[0] for plate in chosen]
    return np.stack(pixels), [plate.name for plate in chosen]


def features(net: Net, patches: ByteArray, *, batch: int = 16) -> Doubles:
    """What the encoder says of each patch: mean and SD over the patch of every channel of every stage."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(patches), batch):
            rgb = torch.from_numpy(patches[start : start + batch]).permute(0, 3, 1, 2).float() / 255
            stages = net.unet.encoder((rgb - net.mean) / net.std)[1:]  # type: ignore[operator]
            parts = [part for s in stages for part in (s.mean(dim=(2, 3)), s.std(dim=(2, 3)))]
            rows.append(torch.cat(parts, dim=1).double().numpy())
    return np.concatenate(rows)


def held_out_scores(values: Doubles, label: Doubles, groups: npt.NDArray[np.str_], *, seed: int) -> Doubles:
    """For each row the score of a ridge logistic regression that has seen no row of its group."""
    names = np.unique(groups)
    fold_of = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % FOLDS, strict=True))
    fold = np.array([fold_of[name] for name in groups])
    scores = np.empty(len(label))
    for number in range(FOLDS):
        seen = fold != number
        middle, spread = values[seen].mean(axis=0), values[seen].std(axis=0) + 1e-9
        inputs = np.column_stack(((values - middle) / spread, np.ones(len(values))))
        scores[~seen] = inputs[~seen] @ _logistic(inputs[seen], label[seen])
    return scores


def auc(scores: Doubles, label: Doubles) -> float:
    """Area under the ROC curve, as Mann and Whitney's U over the pairs (Hanley & McNeil, Radiology 1982)."""
    first, second = scores[label == 1], scores[label == 0]
    return float(mannwhitneyu(first, second).statistic / (len(first) * len(second)))


def sheet(patches: ByteArray, *, columns: int = 4) -> ByteArray:
    """Patches in rows of `columns`, 4 px of white between them."""
    framed = [cv2.copyMakeBorder(p, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for p in patches]
    rows = [np.concatenate(framed[i : i + columns], axis=1) for i in range(0, len(framed), columns)]
    return np.asarray(np.concatenate([row for row in rows if row.shape == rows[0].shape]), np.uint8)


def _logistic(inputs: Doubles, label: Doubles) -> Doubles:
    def cost(weights: Doubles) -> tuple[float, Doubles]:
        margin = inputs @ weights
        penalty = np.append(weights[:-1], 0.0) * RIDGE
        value = np.logaddexp(0, margin).sum() - label @ margin + 0.5 * penalty @ weights
        return float(value), inputs.T @ (expit(margin) - label) + penalty

    start = np.zeros(inputs.shape[1])
    return np.asarray(minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x)


if __name__ == "__main__":
    sys.exit(main())
