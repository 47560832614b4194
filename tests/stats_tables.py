"""Published readings in classes, typed in from their papers."""

from __future__ import annotations

from ki67.stats.forms import Categories

# J. L. Fleiss, Psychol Bull 76 (1971) 378-382: 30 patients, six psychiatrists each, the classes 1-5 being
# depression, personality disorder, schizophrenia, neurosis, other (a row of digits per patient).
FLEISS_1971 = """
    444444 222555 233335 555555 222444 113333 333355 113334 114444 555555
    144444 124444 222333 144444 224445 333335 111455 111112 224444 133555
    555555 244444 224555 114444 144445 222224 111155 224444 133333 555555
"""
# K. Krippendorff, Computing Krippendorff's alpha-reliability (2011): 12 units, four observers, "." missing.
KRIPPENDORFF_2011 = """
    123321412... 1233224125.3 .3332342251. 12332441251.
"""


def fleiss_1971() -> Categories:
    """The readings of Fleiss 1971; the readers are numbered, as the paper does not tell them apart."""
    return from_rows(FLEISS_1971.split(), classes="12345")


def krippendorff_2011() -> Categories:
    """Krippendorff's example: a row of the text is an observer."""
    observers = KRIPPENDORFF_2011.split()
    return from_rows(["".join(unit) for unit in zip(*observers, strict=True)], classes="12345")


def from_rows(rows: list[str], *, classes: str) -> Categories:
    """A case per row, a reader per character, "." missing."""
    cells = [
        (f"case {case}", f"reader {reader}", "" if value == "." else value)
        for case, row in enumerate(rows, start=1)
        for reader, value in enumerate(row, start=1)
    ]
    cases, readers, values = (tuple(column) for column in zip(*cells, strict=True))
    return Categories(cases, readers, values, tuple(classes))
