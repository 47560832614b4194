"""Settings come from the environment; what is unknown or ill-formed stops the start with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from ki67.errors import SettingsError
from ki67.settings import Settings, as_environment, load_settings


def test_without_variables_data_lie_in_the_folder_data_and_the_database_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({})
    assert settings.home == tmp_path / "data"
    assert settings.database == f"sqlite:///{tmp_path}/data/ki67.sqlite"
    assert (settings.device, settings.backend, settings.slides) == ("auto", "auto", {})
    assert settings.max_pixels is None
    assert settings.models is None


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "KI67_HOME": str(tmp_path),
            "KI67_DATABASE_URL": "postgresql+psycopg://ki67@localhost/ki67",
            "KI67_SLIDES": "siteA=/mnt/a; siteB = /mnt/b ;",
            "KI67_DEVICE": "cpu",
            "KI67_BACKEND": "torch",
            "KI67_MAX_PIXELS": "1000000",
            "KI67_MODELS": "/models/x",
            "PATH": "/bin",
        }
    )
    assert settings.home == tmp_path
    assert settings.database == "postgresql+psycopg://ki67@localhost/ki67"
    assert settings.slides == {"siteA": Path("/mnt/a"), "siteB": Path("/mnt/b")}
    assert (settings.device, settings.backend, settings.max_pixels) == ("cpu", "torch", 1_000_000)
    assert settings.models == Path("/models/x")


def test_an_empty_variable_means_the_default() -> None:
    assert load_settings({"KI67_DEVICE": " ", "KI67_SLIDES": ""}).device == "auto"


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("KI67_DEVICE", "tpu", "use auto, cpu or cuda"),
        ("KI67_BACKEND", "onnx", "use auto, torch or openvino"),
        ("KI67_MAX_PIXELS", "many", "give a whole number"),
        ("KI67_MAX_PIXELS", "0", "give a whole number"),
        ("KI67_SLIDES", "/mnt/a", "name=/absolute/folder"),
        ("KI67_SLIDES", "a=relative", "name=/absolute/folder"),
        ("KI67_SLIDES", "a b=/mnt/a", "name=/absolute/folder"),
        ("KI67_SLIDES", "a=/mnt/a;a=/mnt/b", "stands twice"),
        ("KI67_DATABASE_URL", "mysql://ki67@localhost/x", "postgresql+psycopg://"),
    ],
)
def test_an_ill_formed_value_is_refused_with_name_and_remedy(name: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"KI67_HOMES: there is no such setting; .*KI67_HOME"):
        load_settings({"KI67_HOMES": "/data"})


def test_a_database_password_does_not_stand_in_the_sentence() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"KI67_DATABASE_URL": "mysql://ki67:secret@localhost/x"})
    assert "secret" not in str(caught.value)


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(ValidationError):
        settings.device = "cpu"  # type: ignore[misc]


def test_settings_made_in_code_ignore_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KI67_DATABASE_URL", "postgresql+psycopg://someone@server/real")
    assert Settings(home=tmp_path).database.startswith("sqlite:///")


def test_settings_survive_the_way_to_another_process(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, slides={"a": Path("/mnt/a")}, max_pixels=7, device="cpu")
    assert load_settings(as_environment(settings)) == settings
    assert load_settings(as_environment(Settings(home=tmp_path))) == Settings(home=tmp_path)
