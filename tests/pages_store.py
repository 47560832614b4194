"""A store with results of known counts, for the tests of pages; the nets take no part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from ki67.pipeline.measure import measure
from ki67.settings import load_settings
from ki67.study.people import local_person
from ki67.study.records import StoredResult, store_score
from ki67.study.workplace import Workplace, open_workplace
from ki67.types import Site
from tests.records import make_record, scattered

ROOT = Path(__file__).resolve().parent.parent
SIDE_PX = 1400
TIMEOUT_S = 60


@pytest.fixture(name="workplace")
def empty_workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """An empty store of its own, which the app opens too."""
    monkeypatch.setenv("KI67_HOME", str(tmp_path / "home"))
    for name in ("KI67_DATABASE_URL", "KI67_SLIDES", "KI67_MODELS", "KI67_MAX_PIXELS"):
        monkeypatch.delenv(name, raising=False)
    return open_workplace(load_settings())


def draw_png(path: Path, *, seed: int = 0, side_px: int = SIDE_PX) -> Path:
    """A bluish-gray picture without a pixel size; another seed, other bytes."""
    rng = np.random.default_rng(seed)
    rgb = rng.normal((205, 200, 212), 9, (side_px, side_px, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(rgb).save(path)
    return path


def add_result(
    workplace: Workplace,
    folder: Path,
    *,
    case_code: str,
    site: Site,
    positive: int,
    negative: int,
    source: str = "metadata",
    seed: int = 0,
) -> StoredResult:
    """A stored result with these counts over a picture that is all tumor."""
    count = positive + negative
    x, y = scattered(count, width_px=SIDE_PX, height_px=SIDE_PX, seed=seed)
    record = make_record(
        x, y, np.arange(count) < positive, width_px=SIDE_PX, height_px=SIDE_PX, source=source, seed=seed
    )
    return store_score(
        workplace,
        local_person(),
        picture=draw_png(folder / f"{case_code}.png", seed=seed),
        record=record,
        measurement=measure(record),
        model_set="test-set",
        site=site,
        case_code=case_code,
    )


def open_page(page: str = "pages/score.py", **address: str) -> AppTest:
    """The app, opened at a page with an address."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=TIMEOUT_S)
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    return app if page == "pages/score.py" else app.switch_page(page).run()


def words_of(app: AppTest) -> str:
    """Everything that a page says."""
    elements = (*app.title, *app.header, *app.subheader, *app.markdown, *app.caption, *app.error)
    labels = (one.label for one in (*app.button, *app.text_input, *app.selectbox, *app.checkbox, *app.metric))
    values = (str(one.value) for one in app.metric)
    tables = (str(one.value.to_dict("records")) for one in (*app.table, *app.dataframe))
    return "\n".join((*(str(one.value) for one in elements), *labels, *values, *tables))
