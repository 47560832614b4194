"""`python -m bench.robustness --data DIR`: how far the index moves when the same field looks different.

Every field is scored by the whole pipeline as it is and in twenty variations (`variations.py`). Over all
pairs of variation and field with at least 50 counted nuclei it prints the share whose index moves by at
most 2 points; a blur of 1 µm may raise the flag for focus instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.gate_pictures import read_manifest
from bench.variations import variations
from ki67.atomic import write_whole_file
from ki67.errors import Ki67Error
from ki67.index import ki67_index
from ki67.pipeline.backends import Backend, choose_backend
from ki67.pipeline.cards import ModelSet, default_model_set, read_model_set
from ki67.pipeline.images import open_picture
from ki67.pipeline.measure import measure
from ki67.pipeline.run import score_picture
from ki67.types import ByteArray, Parameters, PixelSize, Rect

FEWEST_NUCLEI = 50
MOST_POINTS = 2.0
MAY_FLAG = "blur 1 µm"


@dataclass(frozen=True)
class Pair:
    """A field in a variation; indices in percent, None where no nucleus was counted."""

    file: str
    variation: str
    nuclei: int
    index_percent: float
    varied_percent: float | None
    flags: tuple[str, ...]

    @property
    def moved(self) -> float:
        """Points between the two indices; infinite where the varied picture has none."""
        return np.inf if self.varied_percent is None else abs(self.varied_percent - self.index_percent)

    @property
    def holds(self) -> bool:
        """Whether the index moved by at most 2 points, or the picture was flagged where it may be."""
        return self.moved <= MOST_POINTS or (self.variation == MAY_FLAG and "blur" in self.flags)


@dataclass(frozen=True)
class _Scorer:
    models: ModelSet
    backend: Backend
    use_tumor_mask: bool
    folder: Path

    def counts(self, path: Path, mpp: float) -> tuple[int, int, tuple[str, ...]]:
        """Counted positive and negative nuclei and the codes of the flags."""
        with open_picture(path) as picture:
            record = score_picture(
                picture,
                pixel_size=PixelSize(mpp, "given"),
                models=self.models,
                backend=self.backend,
                parameters=Parameters(use_tumor_mask=self.use_tumor_mask),
                seed=0,
            )
        measured = measure(record)
        return measured.positive, measured.negative, tuple(flag.code for flag in measured.flags)

    def counts_of(self, rgb: ByteArray, mpp: float) -> tuple[int, int, tuple[str, ...]]:
        """As `counts`, of pixels."""
        path = self.folder / "varied.png"
        cv2.imwrite(str(path), rgb[..., ::-1])
        return self.counts(path, mpp)


def main(arguments: Sequence[str] | None = None) -> int:
    """Scores, prints, and writes every pair with `--json`; returns 0, or 1 with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m bench.robustness", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="an annotated folder with a manifest.csv")
    parser.add_argument("--models", type=Path, help="model set (default: the newest shipped)")
    parser.add_argument("--fields", type=int, metavar="N", help="only N fields, spread over the manifest")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--no-tumor-mask", action="store_true", help="step 2 alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every pair here too")
    options = parser.parse_args(arguments)
    try:
        folder = options.models or default_model_set()
        models = read_model_set(folder)
        data = options.data.resolve()
        files = _spread(read_manifest(data.parent, data.name), options.fields)
        with tempfile.TemporaryDirectory(prefix="ki67-robustness-") as name:
            scratch = Path(name)
            backend = choose_backend(folder, device=options.device, cache=scratch / "nets")
            use_mask = models.tumor is not None and not options.no_tumor_mask
            scorer = _Scorer(models, backend, use_mask, scratch)
            pairs = [pair for file, mpp in files for pair in _pairs(scorer, data.parent, file, mpp)]
    except Ki67Error as fault:
        print(fault, file=sys.stderr)
        return 1
    print(report(pairs))
    if options.json is not None:
        found = {"models": models.name, "share": _share(pairs), "pairs": [_as_json(pair) for pair in pairs]}
        write_whole_file(options.json, (json.dumps(found, indent=1) + "\n").encode())
    return 0


def report(pairs: Sequence[Pair]) -> str:
    """The share over all pairs, then a line for each variation, worst first."""
    if not pairs:
        return f"No field has {FEWEST_NUCLEI} counted nuclei."
    share = _share(pairs)
    lines = [
        f"{100 * share:.1f} % of {len(pairs)} pairs ({len({pair.file for pair in pairs})} fields) move by at "
        f"most {MOST_POINTS:g} points.",
        f"{'variation':22}{'median':>8}{'90th %':>8}{'hold':>8}",
    ]
    groups = {name: [p for p in pairs if p.variation == name] for name in {p.variation for p in pairs}}
    for name, members in sorted(groups.items(), key=lambda item: (_share(item[1]), -_median(item[1]))):
        middle = _median(members)
        most = float(np.quantile([pair.moved for pair in members], 0.9, method="higher"))
        lines.append(f"{name:22}{middle:8.2f}{most:8.2f}{100 * _share(members):7.0f} %")
    return "\n".join(lines)


def _pairs(scorer: _Scorer, root: Path, file: str, mpp: float) -> Iterator[Pair]:
    """A field with each variation; nothing when too few nuclei are counted on it."""
    positive, negative, _ = scorer.counts(root / file, mpp)
    index = ki67_index(positive, negative)
    if index is None or positive + negative < FEWEST_NUCLEI:
        return
    with open_picture(root / file) as picture:
        rgb = picture.read(Rect(0, 0, picture.info.width_px, picture.info.height_px))
    for name, vary in variations().items():
        varied_positive, varied_negative, flags = scorer.counts_of(vary(rgb, mpp), mpp)
        varied = ki67_index(varied_positive, varied_negative)
        percent = None if varied is None else 100 * varied
        yield Pair(file, name, positive + negative, 100 * index, percent, flags)
    print(f"{file}: {positive + negative} nuclei, {100 * index:.1f} %", file=sys.stderr, flush=True)


def _spread(files: list[tuple[str, float]], count: int | None) -> list[tuple[str, float]]:
    if count is None or count >= len(files):
        return files
    return [files[i] for i in np.linspace(0, len(files) - 1, max(1, count)).round().astype(int)]


def _share(pairs: Sequence[Pair]) -> float:
    return float(np.mean([pair.holds for pair in pairs])) if pairs else 0.0


def _median(pairs: Sequence[Pair]) -> float:
    return float(np.quantile([pair.moved for pair in pairs], 0.5, method="higher"))


def _as_json(pair: Pair) -> dict[str, object]:
    moved = pair.moved if np.isfinite(pair.moved) else None
    return {**dataclasses.asdict(pair), "moved_points": moved, "holds": pair.holds}


if __name__ == "__main__":
    sys.exit(main())
