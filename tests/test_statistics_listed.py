"""The document of the statistics and the library name the same things."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from ki67.stats.estimate import Reason
from ki67.stats.registry import statistics

DOCUMENT = (Path(__file__).resolve().parent.parent / "docs" / "statistics.md").read_text(encoding="utf8")


def test_every_statistic_of_the_library_is_in_the_document() -> None:
    named = set(re.findall(r"`([^`]+)`", DOCUMENT))
    assert {name for _, name, _ in statistics()} - named == set()


def test_every_word_of_a_variant_is_in_the_document() -> None:
    plain = DOCUMENT.replace("*scale*", "raw log2(x+0.1) log2(x+1)")
    for _, name, variant in statistics():
        parts = re.split(r", | weights", variant)
        missing = [part for part in parts if part.removeprefix("two-way ") not in plain]
        assert not missing, f"{name}: {variant}"


def test_every_reason_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, flags=re.MULTILINE))
    assert set(get_args(Reason)) <= explained
