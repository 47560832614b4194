"""Numbers in tables: columns of numbers align right, their text is made here."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from ki67 import numbers
from ki67.study import detection_words


def shown(decimals: int, *, with_sign: bool = False) -> Callable[[object], str]:
    """What writes a number of a column with so many decimals; "–" for a missing one."""

    def write(value: object) -> str:
        if not isinstance(value, int | float) or pd.isna(value):
            return detection_words.NONE
        if with_sign:
            return detection_words.signed(float(value), decimals=decimals)
        return numbers.decimal(float(value), decimals=decimals)

    return write
