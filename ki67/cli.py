"""The command line: parses, calls one function, turns `Ki67Error` into one sentence and an exit code.

Exit codes: 0 success, 2 bad usage, 1 anything it could not do. Nothing heavy is imported before the
arguments are known to be good.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ki67 import __version__
from ki67.errors import Ki67Error
from ki67.types import Rect

DEVICES = ("auto", "cpu", "cuda")
BACKENDS = ("auto", "torch", "openvino")
PARTS = ("speed", "size", "study")
TUNE_HELP = (
    "afterwards set, on the labelled training pictures, the score threshold and distance of a cell net "
    "(--out SET/cells) or the border of a tumor map"
)
REDRAWN_HELP = "share of the patches from H&E redrawn as Ki-67 (default: by what the sources hold)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    try:
        return command(chosen)
    except Ki67Error as error:
        print(f"ki67 {chosen.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"ki67 {chosen.name}: stopped; nothing half-written was left behind.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ki67",
        description="Ki-67 validation: score pictures, train and evaluate the two nets. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"ki67 {__version__}")
    commands = parser.add_subparsers(title="commands", dest="name", required=True, metavar="COMMAND")
    _add_score(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_crossval(commands)
    _add_agreement(commands)
    _add_demo(commands)
    _add_bench(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def _add_score(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    score = _command(commands, "score", "score pictures or whole slides: tumor, nuclei, index")
    add = score.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="picture of a region, or a whole slide")
    add("--out", required=True, type=Path, metavar="DIR", help="one folder per picture is written here")
    add("--mpp", type=_number, metavar="F", help="pixel size in µm/px, for files that do not carry it")
    add("--roi", type=_rect, metavar="X,Y,W,H", help="score this rectangle only (full-resolution pixels)")
    add("--device", choices=DEVICES, help="default: KI67_DEVICE, else auto")
    add("--backend", choices=BACKENDS, help="default: KI67_BACKEND, else auto")
    add("--models", type=Path, metavar="DIR", help="model set (default: the one shipped)")
    add("--no-tumor-mask", action="store_true", help="count every nucleus, without step 1")
    add("--outline", type=Path, metavar="GEOJSON", help="a pathologist's outline (one picture only)")
    add("--use-outline", action="store_true", help="count inside the outline instead of step 1's tumor")
    add("--store", action="store_true", help="put cases, runs and results into the configured store too")
    add("--seed", type=_seed, default=0, metavar="N", help="seed of the bootstrap (default 0)")
    score.set_defaults(command=_score)


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = _command(commands, "train", "train one of the two nets on annotated folders")
    add = train.add_argument
    add("task", choices=("tumor", "cells"), help="step 1 (tumor) or step 2 (cells)")
    add("--data", required=True, nargs="+", type=Path, metavar="DIR", help="annotated folders")
    add("--out", required=True, type=Path, metavar="DIR", help="model folder to write (weights and card)")
    add("--encoder-weights", default="imagenet", metavar="imagenet|none|FILE")
    add(
        "--init",
        nargs="+",
        type=Path,
        default=[],
        metavar="MODEL_FOLDER",
        help="start from a whole net; of several, from the mean of their weights",
    )
    add("--patches", type=_positive, default=20_000, metavar="N", help="length of the training")
    add("--batch", type=_positive, default=8, metavar="N", help="patches per step")
    add("--rate", type=_number, default=1e-3, metavar="F", help="highest learning rate (default 0.001)")
    add("--redrawn-share", type=_share, metavar="F", help=REDRAWN_HELP)
    add("--tune", action="store_true", help=TUNE_HELP)
    add("--base", action="store_true", help="a base for fine-tuning: typed nuclei without labels are enough")
    add("--name", dest="model_name", metavar="TEXT", help="name on the card (default: the folder's)")
    add("--seed", type=_seed, default=0, metavar="N")
    add("--resume", action="store_true", help="go on from the last checkpoint in --out")
    train.set_defaults(command=_train)


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = _command(commands, "evaluate", "figures of a model set on an annotated folder")
    add = evaluate.add_argument
    add("--data", required=True, type=Path, metavar="DIR", help="annotated folder")
    add("--models", type=Path, metavar="DIR", help="model set (default: the one shipped)")
    add("--patients", type=Path, metavar="FILE", help="only these patients, one a line")
    add("--out", type=Path, metavar="DIR", help="writes evaluation.json, fields.csv, matches.csv")
    evaluate.set_defaults(command=_evaluate)


def _add_crossval(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    crossval = _command(commands, "crossval", "train and evaluate both nets fold by fold")
    add = crossval.add_argument
    add("--data", required=True, type=Path, metavar="DIR", help="annotated folder to test on")
    add("--also", nargs="+", type=Path, default=[], metavar="DIR", help="folders that only train")
    folds = crossval.add_mutually_exclusive_group(required=True)
    folds.add_argument("--by", choices=("patient",), help="folds grouped by patient")
    folds.add_argument(
        "--leave-out", action="append", metavar="SOURCE[,SOURCE…]", help="one fold for each --leave-out"
    )
    add("--folds", type=_positive, metavar="K", help="number of folds, with --by patient")
    add("--init", type=Path, metavar="DIR", help="model set to fine-tune from")
    add("--patches", type=_positive, default=10_000, metavar="N", help="length of each training")
    add("--batch", type=_positive, default=8, metavar="N", help="patches per step")
    add("--rate", type=_number, default=1e-3, metavar="F", help="highest learning rate (default 0.001)")
    add("--redrawn-share", type=_share, metavar="F", help=REDRAWN_HELP)
    add("--task", choices=("both", "tumor", "cells"), default="both", help="which nets to train")
    add("--seed", required=True, type=_seed, metavar="N")
    add("--out", required=True, type=Path, metavar="DIR")
    crossval.set_defaults(command=_crossval)


def _add_agreement(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    agreement = _command(commands, "agreement", "every agreement statistic over a long table of readings")
    add = agreement.add_argument
    add("readings", type=Path, metavar="CSV", help="one reading a row; the value is a percentage 0–100")
    add("--case", required=True, metavar="COL", help="column of the case")
    add("--reader", required=True, metavar="COL", help="column of the reader")
    add("--value", required=True, metavar="COL", help="column of the reading, a percentage")
    add("--session", metavar="COL", help="column of the session (default: one session)")
    add("--replicate", metavar="COL", help="column of the repeat within a session (default: one)")
    add("--patient", metavar="COL", help="column of the patient, the unit of resampling (default: the case)")
    add("--algorithm", metavar="NAME", help="the reader that is the algorithm (default: algorithm)")
    add("--by", metavar="COL", help="analyse each level of this column apart")
    add("--log2", action="store_true", help="analyse log2(value + 0.1)")
    add("--site", choices=("breast", "neuroendocrine"), help="classes at the cut-offs of a site")
    add("--cutoffs", metavar="'<=5,<30'", help="own classes: the upper border of each; a bare number means <")
    add("--criterion", type=_criterion, default=0.80, metavar="F", help="of the ICC verdict (default 0.80)")
    add("--seed", type=_seed, default=0, metavar="N", help="seed of everything drawn (default 0)")
    add("--bootstrap", type=_positive, default=2000, metavar="N", help="draws of a bootstrap (default 2000)")
    add("--json", type=Path, metavar="FILE", help="write every estimate here")
    agreement.set_defaults(command=_agreement)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = _command(commands, "demo", "put synthetic demonstration cases into the configured store")
    demo.set_defaults(command=_demo)


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = _command(commands, "bench", "measure speed and memory on this machine, side by side in one run")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    bench.add_argument("--models", type=Path, metavar="DIR", help="model set (default: the one shipped)")
    bench.add_argument(
        "--part", action="append", choices=PARTS, help="only this part; may be given again (default: all)"
    )
    bench.add_argument("--quick", action="store_true", help="small pictures: to see that it works")
    bench.set_defaults(command=_bench)


def _score(chosen: argparse.Namespace) -> int:
    from ki67.cli_score import ScoreOptions, score_images

    if (chosen.outline or chosen.use_outline) and len(chosen.images) > 1:
        return _bad_usage(chosen, "--outline goes with one picture only; score the others without it.")
    if chosen.use_outline and not chosen.outline:
        return _bad_usage(chosen, "--use-outline needs --outline GEOJSON.")
    names = {key: value for key, value in vars(chosen).items() if key not in ("command", "name")}
    return score_images(ScoreOptions(**{**names, "images": tuple(chosen.images)}))


def _train(chosen: argparse.Namespace) -> int:
    from ki67.cli_train import run_train

    return run_train(chosen)


def _evaluate(chosen: argparse.Namespace) -> int:
    from ki67.cli_train import run_evaluate

    return run_evaluate(chosen)


def _crossval(chosen: argparse.Namespace) -> int:
    from ki67.cli_train import run_crossval

    if chosen.by and not chosen.folds:
        return _bad_usage(chosen, "--by patient needs --folds K.")
    if chosen.leave_out and chosen.folds:
        return _bad_usage(chosen, "--folds goes with --by patient; each --leave-out is a fold of its own.")
    return run_crossval(chosen)


def _agreement(chosen: argparse.Namespace) -> int:
    from ki67.cli_agreement import BadCutoffs, run_agreement

    try:
        return run_agreement(chosen)
    except BadCutoffs as error:
        return _bad_usage(chosen, str(error))


def _demo(_: argparse.Namespace) -> int:
    from ki67.cli_score import run_demo

    return run_demo()


def _bench(chosen: argparse.Namespace) -> int:
    from bench.scoring import run_benchmark

    return run_benchmark(
        json_path=chosen.json, models=chosen.models, quick=chosen.quick, parts=chosen.part or ()
    )


def _bad_usage(chosen: argparse.Namespace, sentence: str) -> int:
    print(f"ki67 {chosen.name}: {sentence}", file=sys.stderr)
    return 2


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a number; give one such as 0.25") from None


def _share(text: str) -> float:
    share = _number(text)
    if not 0 <= share < 0.85:
        raise argparse.ArgumentTypeError(f"“{text}” is not a share from 0 to 0.85; give 0.25 for a quarter")
    return share


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"“{text}” is not a whole number of 1 or more")
    return int(text)


def _criterion(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"“{text}” is not an ICC between 0 and 1, for example 0.80")
    return value


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"“{text}” is not a whole number of 0 or more")
    return int(text)


def _rect(text: str) -> Rect:
    parts = text.split(",")
    try:
        x, y, width, height = (int(part) for part in parts)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not X,Y,W,H in whole pixels") from None
    if x < 0 or y < 0 or width < 1 or height < 1:
        raise argparse.ArgumentTypeError(f"“{text}”: X and Y start at 0, W and H at 1")
    return Rect(x=x, y=y, width=width, height=height)
