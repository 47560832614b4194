"""Score: bring pictures, set them up, watch them being scored, read the result."""

from __future__ import annotations

from pages import _jobs, _result, _setup, _start, _where


def show() -> None:
    """The state that the address names; without one, what is being scored, or the empty page."""
    result = _where.result()
    if result is not None:
        _result.show(result)
        return
    pictures = _where.codes("pictures")
    if pictures:
        _setup.show(pictures)
        return
    if not _jobs.show(_where.codes("jobs")):
        _start.show()


show()
