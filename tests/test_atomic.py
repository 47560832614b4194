"""A file or a folder appears whole, or the old one stays."""

from __future__ import annotations

import errno
import os

import pytest

from ki67.atomic import check_replaceable, whole_folder, write_whole_file
from ki67.errors import StoreError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "deep" / "result"
    with whole_folder(target) as new:
        (new / "a").write_text("1")
        (new / "b").write_text("1")
    with whole_folder(target) as new:
        (new / "a").write_text("2")
        assert (target / "b").exists()
    assert names(target) == ["a"]
    assert (target / "a").read_text() == "2"
    assert names(target.parent) == ["result"]


def test_an_error_leaves_the_old_folder_as_it_was(tmp_path):
    target = tmp_path / "result"
    with whole_folder(target) as new:
        (new / "a").write_text("old")
    with pytest.raises(RuntimeError), whole_folder(target) as new:  # noqa: PT012
        (new / "a").write_text("new")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    assert names(tmp_path) == ["result"]


def test_a_swap_that_fails_half_way_puts_the_old_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "result"
    with whole_folder(target) as new:
        (new / "a").write_text("old")
    rename = os.rename

    def failing(source, goal):
        if str(source).endswith(".partial"):
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, goal)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(StoreError, match="the disk is full"), whole_folder(target) as new:
        (new / "a").write_text("new")
    assert (target / "a").read_text() == "old"
    assert names(tmp_path) == ["result"]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the folder is read-only")]
)
def test_a_disk_that_cannot_be_written_is_said_in_one_sentence(tmp_path, number, words):
    with pytest.raises(StoreError, match=words) as caught, whole_folder(tmp_path / "result"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(str(tmp_path / "result"))
    assert names(tmp_path) == []


def test_a_parent_that_is_a_file_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"), whole_folder(tmp_path / "file" / "result"):
        pass


def test_a_file_is_written_whole_and_leaves_nothing_beside_it(tmp_path, monkeypatch):
    target = tmp_path / "deep" / "file.bin"
    write_whole_file(target, b"one")
    write_whole_file(target, b"two")
    assert target.read_bytes() == b"two"

    def failing(source, goal):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(StoreError, match="the disk is full"):
        write_whole_file(target, b"three")
    assert target.read_bytes() == b"two"
    assert names(target.parent) == ["file.bin"]


def test_only_a_folder_of_the_same_kind_may_be_replaced(tmp_path):
    own, empty, ours = tmp_path / "own", tmp_path / "empty", tmp_path / "ours"
    for folder in (own, empty, ours):
        folder.mkdir()
    (own / "Dat_0000.dat").write_bytes(b"pixels of a slide")
    (ours / "summary.json").write_text("{}")
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "missing", empty, ours):
        check_replaceable(target, holds="summary.json")
    for target in (own, tmp_path / "file"):
        with pytest.raises(StoreError, match=r"holds no summary\.json, so it is not replaced: choose"):
            check_replaceable(target, holds="summary.json")
