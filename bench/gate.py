"""`python -m bench.gate --data DIR`: what the quality gate flags of the committed list, and of real fields.

The list (`gate_list.csv`) names files of the data folder and what is done to them; the borders of the
gate were set on its tuning half. No net is run: the gate looks at pixels alone, as a run does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from scipy.stats import binomtest

from bench.gate_pictures import (
    BLUE_CASTS,
    KI67_FIELDS,
    Item,
    changed_pixels,
    draw_list,
    list_csv,
    read_list,
    read_manifest,
)
from ki67.atomic import write_whole_file
from ki67.errors import Ki67Error
from ki67.pipeline.cards import ModelCard, read_model_set
from ki67.pipeline.images import open_picture
from ki67.pipeline.looks import look_distances
from ki67.pipeline.quality import look_flags
from ki67.pipeline.samples import measure_picture
from ki67.types import PixelSize

LIST = Path(__file__).with_name("gate_list.csv")
# The flag that says what is wrong with a picture of the list.
MEANT = {
    "none": "h_and_e",
    "scale x2": "pixel_size_off",
    "scale x0.5": "pixel_size_off",
    "blur 3 um": "blur",
    "red": "red_chromogen",
    "pen": "pen",
}


@dataclass(frozen=True)
class Judged:
    """A picture, the flags it got and what they were decided from; `meant`: the flag it should get."""

    file: str
    group: str
    transform: str
    meant: str | None
    flags: tuple[str, ...]
    inputs: dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Judges the list and the real fields, prints the shares, writes them with `--json`; returns 0 or 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with cells/, fields/, nuclei/, slides/"
    )
    parser.add_argument("--models", type=Path, help="model set whose card says what it has seen")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every picture's numbers here too")
    parser.add_argument("--only", choices=("list", "real"), help="leave the other part out")
    parser.add_argument("--write-list", action="store_true", help="draw the list again and stop")
    options = parser.parse_args(arguments)
    try:
        if options.write_list:
            write_whole_file(LIST, list_csv(draw_list(options.data)).encode())
            return 0
        card = read_model_set(options.models).cells if options.models else None
        judged = [] if options.only == "real" else judge_list(options.data, card)
        judged += [] if options.only == "list" else judge_real(options.data, card)
    except Ki67Error as fault:
        print(fault, file=sys.stderr)
        return 1
    print(report(judged))
    if options.json is not None:
        text = json.dumps([dataclasses.asdict(each) for each in judged], indent=1)
        write_whole_file(options.json, f"{text}\n".encode())
    return 0


def judge_list(data: Path, card: ModelCard | None) -> list[Judged]:
    """Every picture of the committed list, in its order."""
    judged = []
    with tempfile.TemporaryDirectory(prefix="ki67-gate-") as name:
        for number, item in enumerate(read_list(LIST)):
            inputs = _measure(_as_given(item, data, Path(name), seed=number), item.entered_mpp, card)
            meant = "red_chromogen" if "double_stain" in item.file else MEANT[item.transform]
            judged.append(Judged(item.file, item.half, item.transform, meant, _codes(inputs), inputs))
    return judged


def judge_real(data: Path, card: ModelCard | None) -> list[Judged]:
    """The real Ki-67 fields and the blue casts as they are, of which hardly one should be flagged."""
    groups = {
        "real Ki-67 fields": (*read_manifest(data, "cells"), *KI67_FIELDS),
        "blue casts": BLUE_CASTS,
    }
    judged = []
    for group, files in groups.items():
        for file, mpp in files:
            inputs = _measure(data / file, mpp, card)
            judged.append(Judged(file, group, "none", None, _codes(inputs), inputs))
    return judged


def report(judged: Sequence[Judged]) -> str:
    """Per group the share flagged with its exact 95 % interval (Clopper–Pearson), and what went wrong."""
    lines = []
    for group in dict.fromkeys(each.group for each in judged):
        members = [each for each in judged if each.group == group]
        lines.append(f"{group}: {_share([bool(each.flags) for each in members])} flagged")
        if members[0].meant is None:
            lines += [f"  {each.file}: {', '.join(each.flags)}" for each in members if each.flags]
            continue
        for meant in dict.fromkeys(each.meant for each in members):
            same = [each for each in members if each.meant == meant]
            named = sum(meant in each.flags for each in same)
            lines.append(
                f"  {meant}: {sum(bool(e.flags) for e in same)} of {len(same)}, {named} by that name"
            )
        lines += [
            f"  {each.file} ({each.transform}): {', '.join(each.flags) or 'no flag'}"
            for each in members
            if each.meant not in each.flags
        ]
    return "\n".join(lines)


def _share(hits: Sequence[bool]) -> str:
    found = binomtest(sum(hits), len(hits)).proportion_ci(method="exact")
    return f"{sum(hits)} of {len(hits)} ({100 * found.low:.1f}–{100 * found.high:.1f} %)"


def _as_given(item: Item, data: Path, folder: Path, *, seed: int) -> Path:
    """The file as the person gives it: itself, or its changed pixels as a PNG."""
    rgb = changed_pixels(item, data, seed=seed)
    if rgb is None:
        return data / item.file
    path = folder / "changed.png"
    cv2.imwrite(str(path), rgb[..., ::-1])
    return path


def _measure(path: Path, mpp: float, card: ModelCard | None) -> dict[str, float]:
    with open_picture(path) as picture:
        inputs = measure_picture(picture, PixelSize(mpp, "given"))
    if card is not None and card.look_reference is not None:
        inputs |= look_distances(inputs, card.look_reference)
    return inputs


def _codes(inputs: dict[str, float]) -> tuple[str, ...]:
    return tuple(flag.code for flag in look_flags(inputs))


if __name__ == "__main__":
    sys.exit(main())
