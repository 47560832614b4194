"""The viewer's routes over a real store: an upload comes back as tiles, a result as its layers."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ki67.pipeline.measure import measure
from ki67.settings import Settings
from ki67.study.people import local_person
from ki67.study.records import store_score
from ki67.study.workplace import Workplace, open_workplace
from tests.records import make_record
from viewer.routes import routes
from viewer.sources import NEGATIVE, NOT_COUNTED_NEGATIVE, POSITIVE
from viewer.store_source import StoreSource

SIDE_PX = 1400
COLOR = (190, 120, 140)
OUTLINE = {
    "type": "Feature",
    "properties": {"classification": {"name": "Tumor"}},
    "geometry": {"type": "Polygon", "coordinates": [[[100, 100], [900, 100], [900, 900], [100, 100]]]},
}


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return open_workplace(Settings(home=tmp_path / "home"))


@pytest.fixture
def client(workplace: Workplace) -> TestClient:
    return TestClient(Starlette(routes=routes(StoreSource(workplace, local_person()))))


def one_color_png(side_px: int = SIDE_PX) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side_px, side_px), COLOR).save(buffer, "PNG")
    return buffer.getvalue()


def upload(client: TestClient, content: bytes, name: str) -> tuple[int, dict[str, str]]:
    headers = {"origin": "http://testserver", "X-Ki67-Name": name}
    answer = client.post("/ki67/uploads", content=content, headers=headers)
    return answer.status_code, answer.json()


def test_an_uploaded_picture_is_shown_in_tiles_under_an_opaque_code(client: TestClient) -> None:
    status, answer = upload(client, one_color_png(), "Jane%20Doe.png")
    assert status == 201
    code = answer["code"]
    assert "jane" not in code.lower()
    info = client.get(f"/ki67/pictures/{code}/info.json").json()
    assert (info["width"], info["height"], info["mpp"]) == (SIDE_PX, SIDE_PX, None)
    for level in (5, 9, info["levels"] - 1):
        tile = Image.open(io.BytesIO(client.get(f"/ki67/pictures/{code}/tiles/{level}/0_0.jpg").content))
        assert np.abs(np.asarray(tile).reshape(-1, 3).astype(int) - COLOR).max() <= 4


def test_an_upload_that_is_no_picture_is_refused_and_leaves_nothing(
    client: TestClient, workplace: Workplace
) -> None:
    before = sorted(path for path in workplace.home.rglob("*") if path.is_file())
    status, answer = upload(client, b"Dear colleague,", "letter.png")
    assert status == 422
    assert "letter.png" in answer["message"]
    assert sorted(path for path in workplace.home.rglob("*") if path.is_file()) == before


def test_unknown_codes_are_not_found(client: TestClient) -> None:
    for path in ("pictures/P-0000/info.json", "pictures/P-0000/tiles/0/0_0.jpg", "runs/R-0000/overlay.json"):
        assert client.get(f"/ki67/{path}").status_code == 404


def test_a_results_layers_are_those_that_were_stored(
    client: TestClient, workplace: Workplace, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(one_color_png())
    tumor = np.full((350, 350), 255, np.uint8)
    tumor[:, 250:] = 0
    x, y = np.array([100.0, 200.0, 1300.0]), np.array([300.0, 400.0, 500.0])
    record = make_record(x, y, [True, False, False], width_px=SIDE_PX, height_px=SIDE_PX, tumor=tumor)
    stored = store_score(
        workplace,
        local_person(),
        picture=picture,
        record=record,
        measurement=measure(record),
        model_set="test-set",
        outline_geojson=json.dumps(OUTLINE).encode(),
    )
    base = f"/ki67/runs/{stored.result_code}"
    lines = client.get(f"{base}/overlay.json").json()
    assert lines["mpp"] == record.pixel_size.mpp
    assert lines["map"] == {"px_per_cell": 4.0, "origin_x": 0.0, "origin_y": 0.0, "width": 350, "height": 350}
    # QuPath counts from the corner of the first pixel, the viewer's data from its centre
    assert [99.5, 99.5] in np.reshape(lines["outline"][0], (-1, 2)).tolist()
    border = np.reshape(lines["border"][0], (-1, 2))
    assert border[:, 0].min() == pytest.approx(-0.5, abs=1)
    assert border[:, 0].max() == pytest.approx(999.5, abs=1)  # 250 cells of 4 px
    data = client.get(f"{base}/nuclei.bin").content
    assert np.frombuffer(data, "<f4", 3, 8).tolist() == x.tolist()
    assert np.frombuffer(data, "<u4", 3, 32).tolist() == [0, 1, 2]
    assert np.frombuffer(data, np.uint8, 3, 44).tolist() == [POSITIVE, NEGATIVE, NOT_COUNTED_NEGATIVE]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(client.get(f"{base}/tumor.png").content))), tumor)
