"""Dropping files on the Score page: bad ones get a sentence in place, the others go on, nothing is lost."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from db import queries
from ki67.study.workplace import Workplace, reading
from tests.pages_store import empty_workplace, open_page, words_of  # noqa: F401

PNG = "image/png"
File = tuple[str, bytes, str]


def encoded(pixels: np.ndarray, file_format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, file_format)
    return stream.getvalue()


def good_png(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return encoded(rng.normal(205, 9, (300, 400, 3)).clip(0, 255).astype(np.uint8))


def drop(*files: File) -> AppTest:
    app = open_page()
    return app.file_uploader[0].set_value(list(files)).run()


def being_set_up(app: AppTest) -> list[str]:
    """The codes of the pictures in the address."""
    value = app.query_params["pictures"]
    return (value if isinstance(value, str) else value[0]).split(",")


def stored_files(workplace: Workplace) -> list[str]:
    return sorted(str(path.relative_to(workplace.home)) for path in (workplace.home / "pictures").rglob("*"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.png", b""),
        ("notes.png", b"only text, no picture\n" * 40),
        ("half.png", good_png()[:2000]),
        ("deep.png", encoded(np.full((300, 300), 40_000, np.uint16))),
        ("dot.png", encoded(np.zeros((1, 1, 3), np.uint8))),
    ],
)
def test_a_bad_file_gets_a_sentence_that_names_it_and_the_store_stays_as_it_was(
    workplace: Workplace, name: str, content: bytes
) -> None:
    before = stored_files(workplace)
    app = drop((name, content, PNG))
    assert not app.exception
    assert len(app.error) == 1
    sentence = app.error[0].value.replace("\\", "")
    assert name in sentence
    assert sentence.rstrip().endswith(".")
    assert stored_files(workplace) == before
    assert app.header[0].value.startswith("Drop Ki-67 pictures")


def test_one_bad_file_does_not_stop_the_others(workplace: Workplace) -> None:
    app = drop(("bad.png", b"", PNG), ("good.png", good_png(), PNG))
    assert not app.exception
    assert len(being_set_up(app)) == 1
    words = words_of(app)
    assert "bad.png" in words.replace("\\", "")
    assert "the file gives no pixel size" in words


def test_two_files_of_the_same_name_are_two_pictures_and_same_content_is_one(
    workplace: Workplace,
) -> None:
    app = drop(("a.png", good_png(1), PNG), ("a.png", good_png(2), PNG), ("b.png", good_png(2), PNG))
    assert not app.exception
    assert len(being_set_up(app)) == 2


@pytest.mark.parametrize("name", ["../../../escape.png", "Größe µ 7.png", "a b  c.png"])
def test_a_strange_name_is_taken_and_never_kept(workplace: Workplace, name: str) -> None:
    app = drop((name, good_png(), PNG))
    assert not app.exception
    assert not app.error
    (code,) = being_set_up(app)
    stem = name.rpartition("/")[2]
    assert not [path for path in workplace.home.parent.rglob("*") if path.name == stem]
    with reading(workplace) as session:
        assert queries.picture_by_code(session, code) is not None
    assert stem not in words_of(app)
