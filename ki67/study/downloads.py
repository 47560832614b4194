"""The files of the Download menu: what `score` writes, with the case code in place of a file name."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ki67.pipeline.images import open_picture
from ki67.pipeline.outputs import write_result
from ki67.study.people import Person, require
from ki67.study.pictures import pixels_of
from ki67.study.stored import case_of, find_result, measurement_of, outline_of, record_of
from ki67.study.workplace import Workplace, disk_faults


@contextmanager
def _scratch(workplace: Workplace) -> Iterator[str]:
    """A folder for the time of a download, beside the uploads: left by a killed process, it is swept too."""
    with disk_faults():
        beside = workplace.home / "incoming"
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="d", dir=beside) as scratch:
            yield scratch


def result_files(workplace: Workplace, person: Person, code: str) -> dict[str, bytes]:
    """The files of a result by name: `<case>_<result>_summary.json`, and so on with cells.csv,
    cells.geojson, tumor.geojson and overlay.png. `image` in the summary is the case code.

    Raises:
        UnknownCode: no such result.
        StoreError: the picture's slide folder is not there at the moment.
    """
    require(person, "coordinator", "analyst", doing="download results")
    row = find_result(workplace, code)
    case_code = case_of(row).code
    path = pixels_of(workplace, row.picture)
    pixels = row.picture.width_px * row.picture.height_px
    with (
        _scratch(workplace) as scratch,
        open_picture(path, name=case_code, max_pixels=pixels) as picture,
    ):
        folder = Path(scratch) / "result"
        write_result(
            folder,
            record_of(workplace, row),
            measurement_of(workplace, row),
            picture=picture,
            image_name=case_code,
            sha256=row.picture.sha256,
            outline=outline_of(row),
        )
        prefix = f"{re.sub(r'[^A-Za-z0-9.-]+', '-', case_code)}_{row.code}"
        return {f"{prefix}_{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}
