"""A store and an output folder with an earlier score, for tests of `python -m ki67 score`."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from ki67.cli import main
from tests.as_before import Held, held_by
from tests.picture_files import write_image
from tests.pipeline_fakes import ColorBackend, draw_scene


@dataclass(frozen=True)
class Place:
    """A store and an output folder that hold an earlier score, and a folder for new pictures."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def held(self) -> tuple[Held, Held]:
        """What output folder and store hold."""
        return held_by(self.out), held_by(self.home)

    def score(self, *pictures: Path, options: tuple[str, ...] = ("--mpp", "0.5", "--store")) -> int:
        """The exit code of one `score` of these pictures."""
        self.capture.readouterr()
        return main(["score", *map(str, pictures), "--out", str(self.out), *options])

    def refusal(
        self,
        *pictures: Path,
        options: tuple[str, ...] = ("--mpp", "0.5", "--store"),
        under: AbstractContextManager[None] | None = None,
    ) -> str:
        """The one sentence of a score that fails and changes nothing; checks just that.

        `under`: what is wrong with the disk while it runs.
        """
        before = self.held()
        with under or nullcontext():
            assert self.score(*pictures, options=options) == 1
        shown = self.capture.readouterr()
        assert shown.out == ""
        (line,) = shown.err.splitlines()
        assert self.held() == before
        assert line.startswith("ki67 score: ")
        return line.removeprefix("ki67 score: ")

    def rows(self, table: str) -> int:
        """How many rows a table of the store has."""
        return len(held_by(self.home).rows[table])


def scene_png(path: Path, *, seed: int = 0) -> Path:
    """A picture of tumor with nuclei that the nets of these tests know."""
    return write_image(path, draw_scene(300, 260, seed=seed).rgb, format="PNG")


@pytest.fixture(scope="module", name="earlier")
def earlier_score(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """A folder with the store and the output of one score."""
    folder = tmp_path_factory.mktemp("earlier")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KI67_HOME", str(folder / "home"))
        patch.setenv("KI67_MODELS", str(model_folder))
        patch.setattr("ki67.pipeline.backends.choose_backend", lambda *_, **__: ColorBackend())
        picture = scene_png(folder / "earlier.png", seed=9)
        command = ["score", str(picture), "--out", str(folder / "out"), "--mpp", "0.5", "--store"]
        assert main(command) == 0
    return folder


@pytest.fixture(name="place")
def place_with_a_score(
    tmp_path: Path,
    earlier: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    for name in ("out", "home"):
        shutil.copytree(earlier / name, tmp_path / name)
    (tmp_path / "pictures").mkdir()
    for name in ("KI67_DATABASE_URL", "KI67_SLIDES", "KI67_MAX_PIXELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KI67_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KI67_MODELS", str(model_folder))
    monkeypatch.setattr("ki67.pipeline.backends.choose_backend", lambda *_, **__: ColorBackend())
    return Place(tmp_path, capsys)
