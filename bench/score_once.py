"""`python -m bench.score_once PICTURE MODELS CACHE OUT [R,G,B]`: one scoring process, its memory and nuclei.

R,G,B is the light of the picture, for a part that is to be seen in the light of its whole. Writes OUT
(.npz): `x`, `y` and `positive` of the counted nuclei, `light`, `seconds`, `peak_bytes` of the process.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

from ki67.pipeline.backends import choose_backend
from ki67.pipeline.cards import read_model_set
from ki67.pipeline.images import open_picture
from ki67.pipeline.measure import measure
from ki67.pipeline.pixel_size import choose_pixel_size
from ki67.pipeline.run import score_picture
from ki67.types import Parameters


def main(arguments: list[str]) -> int:
    """Scores one picture and writes what it took."""
    picture_path, models_folder, cache, out = (Path(each) for each in arguments[:4])
    red, green, blue = (float(each) for each in arguments[4].split(",")) if arguments[4:] else (0, 0, 0)
    parameters = Parameters(light=(red, green, blue) if arguments[4:] else None)
    models = read_model_set(models_folder)
    backend = choose_backend(models_folder, device="cpu", cache=cache)
    with open_picture(picture_path) as picture:
        pixel_size = choose_pixel_size(picture.info, None, name=picture_path.name)
        record = score_picture(
            picture, pixel_size=pixel_size, models=models, backend=backend, parameters=parameters, seed=0
        )
    counted = measure(record).counted
    np.savez(
        out,
        x=record.candidates.x_px[counted],
        y=record.candidates.y_px[counted],
        positive=record.candidates.is_positive[counted],
        light=np.array(record.parameters.light),
        seconds=record.seconds["total"],
        peak_bytes=peak_bytes(),
    )
    return 0


def peak_bytes() -> int:
    """The most memory this process ever held. Linux's `ru_maxrss` begins with that of the process that
    started this one, so the kernel's own high-water mark is taken where there is one."""
    status = Path("/proc/self/status")
    if status.exists():
        marks = [line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(marks[0][1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
