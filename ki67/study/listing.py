"""Results as lines of a table, with the index that leads at their site, on screen and exported."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from PIL import Image, ImageOps

from ki67 import numbers
from ki67.index import ki67_index
from ki67.sites import LeadingIndex, classify, index_kind
from ki67.study.results import ResultRow
from ki67.types import Flag

EXPORT_COLUMNS = (
    "result", "case", "site", "index_kind", "index_percent", "ci_low", "ci_high", "class",
    "positive", "negative", "reason", "flags", "model_set", "scored_at", "note",
)  # fmt: skip

FLAG_NAMES = {
    "blur": "Blur",
    "fewer_than_500": "Fewer than 500 nuclei",
    "h_and_e": "H&E stain",
    "no_tissue": "No tissue found",
    "no_tumor": "No tumor found",
    "no_tumor_mask": "Without tumor mask",
    "outline_not_covered": "Outline not covered",
    "pen": "Ink or fold",
    "pixel_size_given": "Pixel size by hand",
    "pixel_size_off": "Pixel size off",
    "red_chromogen": "Red stain",
    "unlike_training": "Unlike training",
}


def leading_of(row: ResultRow) -> LeadingIndex:
    """The index that answers for a listed result; its intervals are those of sampling."""
    hot_spot = row.hot_spot_positive is not None and row.hot_spot_negative is not None
    wants_hot_spot = index_kind(row.site) == "hot spot"
    if wants_hot_spot and row.hot_spot_positive is not None and row.hot_spot_negative is not None:
        positive, negative, limits = row.hot_spot_positive, row.hot_spot_negative, row.hot_spot_interval
    else:
        positive, negative, limits = row.positive, row.negative, row.sampling
    fell_back = wants_hot_spot and not hot_spot
    return LeadingIndex(
        kind="hot spot" if wants_hot_spot and hot_spot else "global",
        positive=positive,
        negative=negative,
        sampling=limits,
        total=None,
        classes=() if fell_back else classify(row.site, positive, negative),
        fell_back=fell_back,
    )


def flag_name(flag: Flag) -> str:
    """A flag in two or three words for a table; an unknown one by the start of its message."""
    return FLAG_NAMES.get(flag.code, flag.message.partition(". ")[0])


def summary_sentence(rows: Sequence[ResultRow]) -> str:
    """ "**24 results**, 10 with a flag, 1 not assessable." """
    flagged = sum(bool(row.flags) for row in rows)
    without = sum(leading_of(row).index is None for row in rows)
    results = f"**{numbers.count(len(rows))} {'result' if len(rows) == 1 else 'results'}**"
    return f"{results}, {flagged} with a flag, {without} not assessable."


def export_csv(rows: Sequence[ResultRow]) -> bytes:
    """The table as CSV (UTF-8): unrounded percentages, empty where undefined, codes instead of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(EXPORT_COLUMNS)
    for row in rows:
        leading = leading_of(row)
        index = ki67_index(leading.positive, leading.negative)
        limits = leading.sampling
        writer.writerow(
            [
                row.code,
                row.case_code,
                row.site,
                leading.kind,
                "" if index is None else round(100 * index, 10),
                "" if limits is None else round(100 * limits.low, 10),
                "" if limits is None else round(100 * limits.high, 10),
                leading.classes[0].words if leading.classes else "",
                leading.positive,
                leading.negative,
                row.reason or "",
                ";".join(flag.code for flag in row.flags),
                row.model_set,
                row.created_at.isoformat(timespec="seconds"),
                "Research use only",
            ]
        )
    return text.getvalue().encode("utf8")


def cropped_jpeg(jpeg: bytes, *, width: int, height: int) -> bytes:
    """A JPEG cut to width × height (its middle, scaled to fill), for cards of equal size."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        fitted = ImageOps.fit(picture.convert("RGB"), (width, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    fitted.save(out, "JPEG", quality=85)
    return out.getvalue()
