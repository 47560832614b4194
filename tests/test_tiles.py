"""Tiles, overlays and uploads through the viewer's routes, over a folder of pictures with known pixels."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import anyio
import numpy as np
import pytest
import pyvips
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ki67.errors import PictureError, StoreError
from ki67.types import GridMap
from viewer import tiles
from viewer.payloads import encode_overlay, reduce_map
from viewer.routes import routes
from viewer.sources import (
    NEGATIVE,
    NOT_COUNTED_NEGATIVE,
    POSITIVE,
    Circle,
    Nuclei,
    RunOverlay,
    UnknownCode,
    ViewedPicture,
)
from viewer.tiles import BoundedCache, TileAddress, TileServer

LEFT, RIGHT = (200, 40, 60), (30, 90, 220)
WIDTH, HEIGHT = 1300, 900
OWN = {"origin": "http://testserver"}


def write_two_colors(path: Path, *, width: int = WIDTH, height: int = HEIGHT, pyramid: bool = True) -> None:
    """A tiled TIFF, LEFT on its left half and RIGHT on its right half."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:, : width // 2] = LEFT
    pixels[:, width // 2 :] = RIGHT
    options = {"tile": True, "tile_width": 256, "tile_height": 256, "pyramid": pyramid}
    pyvips.Image.new_from_array(pixels).tiffsave(str(path), compression="jpeg", Q=95, **options)


class Shelf:
    """A source with one picture ("flat") and one run ("run1")."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received: list[tuple[str, int]] = []
        self.refuse: Exception | None = None
        write_two_colors(folder / "flat.tif")

    def picture(self, code: str) -> ViewedPicture:
        path = self.folder / f"{code}.tif"
        if not path.exists():
            raise UnknownCode("No picture has this code.")
        return ViewedPicture(path, WIDTH, HEIGHT, mpp=0.5)

    def overlay(self, code: str) -> RunOverlay:
        if code != "run1":
            raise UnknownCode("No run has this code.")
        return overlay_of_three()

    def add_upload(self, stream: BinaryIO, original_name: str) -> str:
        count = 0
        while chunk := stream.read(1 << 16):
            count += len(chunk)
        if self.refuse is not None:
            raise self.refuse
        self.received.append((original_name, count))
        return "new1"


def overlay_of_three() -> RunOverlay:
    """Two counted nuclei and one that is not, a map of two cells, a triangle as border, a hot spot."""
    return RunOverlay(
        mpp=0.5,
        tumor_map=GridMap(np.array([[0, 255]], np.uint8), px_per_cell=650.0),
        tumor_border=(((10.0, 10.0), (20.0, 10.0), (20.0, 20.04)),),
        hot_spot=Circle(100.0, 120.0, 50.0, "Hot spot 0.2 mm²"),
        nuclei=Nuclei(
            x_px=np.array([1.5, 700.25, 3.0], np.float32),
            y_px=np.array([2.5, 800.75, 4.0], np.float32),
            kind=np.array([POSITIVE, NEGATIVE, NOT_COUNTED_NEGATIVE], np.uint8),
            number=np.array([0, 7, 9], np.uint32),
        ),
    )


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def client(shelf: Shelf) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=routes(shelf))) as client:
        yield client


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_info_gives_size_pyramid_and_pixel_size(client: TestClient) -> None:
    info = client.get("/ki67/pictures/flat/info.json").json()
    assert info == {
        "width": WIDTH,
        "height": HEIGHT,
        "mpp": 0.5,
        "tile_px": 510,
        "overlap_px": 1,
        "levels": 12,
    }


def test_a_full_resolution_tile_has_the_pictures_colors_at_the_right_place(client: TestClient) -> None:
    answer = client.get("/ki67/pictures/flat/tiles/11/1_0.jpg")  # x from 509 to 1021: the border is at 650
    assert answer.headers["content-type"] == "image/jpeg"
    tile = pixels_of(answer.content)
    assert tile.shape == (511, 512, 3)
    assert np.abs(tile[200, 100].astype(int) - LEFT).max() <= 6
    assert np.abs(tile[200, 200].astype(int) - RIGHT).max() <= 6
    red = tile[200, :, 0].astype(int)
    assert abs(int(np.argmax(red < 115)) - (650 - 509)) <= 2


def test_the_smallest_levels_show_the_whole_picture(client: TestClient) -> None:
    tile = pixels_of(client.get("/ki67/pictures/flat/tiles/8/0_0.jpg").content)
    assert tile.shape == (113, 163, 3)
    assert np.abs(tile[50, 20].astype(int) - LEFT).max() <= 6
    assert np.abs(tile[50, 140].astype(int) - RIGHT).max() <= 6
    assert pixels_of(client.get("/ki67/pictures/flat/tiles/0/0_0.jpg").content).shape == (1, 1, 3)


def test_a_picture_without_levels_is_reduced_once_and_keeps_its_geometry(tmp_path: Path) -> None:
    write_two_colors(tmp_path / "single.tif", width=2100, height=2600, pyramid=False)
    picture = ViewedPicture(tmp_path / "single.tif", 2100, 2600, mpp=None)
    server = TileServer()
    opened = server._open("single", picture)
    assert opened.overview is not None
    assert opened.overview.size == (525, 650)
    tile = pixels_of(server.tile("single", picture, TileAddress(10, 0, 1)))  # 525 × 650 px, rows from 509
    assert tile.shape == (141, 511, 3)
    assert np.abs(tile[60, 250].astype(int) - LEFT).max() <= 6
    assert np.abs(tile[60, 275].astype(int) - RIGHT).max() <= 6
    last = pixels_of(server.tile("single", picture, TileAddress(10, 1, 1)))
    assert last.shape == (141, 16, 3)


def test_a_picture_with_levels_needs_no_overview(shelf: Shelf) -> None:
    opened = TileServer()._open("flat", shelf.picture("flat"))
    assert opened.overview is None
    assert opened.slide.level_count > 1


def test_a_tile_that_needs_too_many_pixels_is_refused(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "LARGEST_READ_PX", 1000)
    with pytest.raises(PictureError, match="no small version"):
        TileServer().tile("flat", shelf.picture("flat"), TileAddress(11, 0, 0))


@pytest.mark.parametrize(
    "path",
    [
        "/ki67/pictures/nobody/info.json",
        "/ki67/pictures/nobody/tiles/0/0_0.jpg",
        "/ki67/pictures/flat/tiles/12/0_0.jpg",
        "/ki67/pictures/flat/tiles/11/3_0.jpg",
        "/ki67/pictures/flat/tiles/11/0_2.jpg",
        "/ki67/pictures/flat/tiles/11/-1_0.jpg",
        "/ki67/pictures/..%2Fflat/info.json",
        "/ki67/pictures/%2e%2e/info.json",
        "/ki67/pictures/flat.tif/info.json",
        "/ki67/runs/nobody/overlay.json",
        "/ki67/runs/nobody/nuclei.bin",
        "/ki67/runs/..%2f..%2fetc%2fpasswd/tumor.png",
        "/ki67/viewer/..%2Fbuild.py",
        "/ki67/viewer/sources.sha256",
    ],
)
def test_what_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


def test_a_picture_that_cannot_be_read_is_answered_with_a_sentence(shelf: Shelf, client: TestClient) -> None:
    (shelf.folder / "broken.tif").write_bytes(b"no picture at all")
    answer = client.get("/ki67/pictures/broken/info.json")
    assert answer.status_code == 422
    assert answer.json() == {"message": "The stored picture cannot be opened; import it again."}


def test_answers_are_closed_to_other_sites(client: TestClient) -> None:
    answer = client.get("/ki67/pictures/flat/tiles/0/0_0.jpg")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cache-control"].startswith("private")


def test_a_tile_carries_no_metadata(client: TestClient) -> None:
    image = Image.open(io.BytesIO(client.get("/ki67/pictures/flat/tiles/11/0_0.jpg").content))
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert not image.getexif()


def test_the_caches_stay_within_their_bounds(tmp_path: Path) -> None:
    for number in range(4):
        write_two_colors(tmp_path / f"{number}.tif")
    server = TileServer(max_slides=2, max_bytes=20_000)
    for number in range(4):
        picture = ViewedPicture(tmp_path / f"{number}.tif", WIDTH, HEIGHT, mpp=None)
        for column in range(3):
            server.tile(str(number), picture, TileAddress(11, column, 0))
        assert len(server.slides) <= 2
        assert server.tiles.size <= 20_000
    assert server.tiles.get(("0", TileAddress(11, 0, 0))) is None


def test_a_kept_tile_is_not_made_again(shelf: Shelf) -> None:
    server = TileServer()
    first = server.tile("flat", shelf.picture("flat"), TileAddress(11, 0, 0))
    (shelf.folder / "flat.tif").unlink()
    gone = ViewedPicture(shelf.folder / "flat.tif", WIDTH, HEIGHT, mpp=None)
    assert server.tile("flat", gone, TileAddress(11, 0, 0)) is first


def test_the_value_used_longest_ago_makes_room() -> None:
    cache: BoundedCache[bytes] = BoundedCache(10, len)
    cache.put("a", b"1234")
    cache.put("b", b"1234")
    assert cache.get("a") == b"1234"
    cache.put("c", b"1234")
    assert cache.get("b") is None
    assert cache.get("a") is not None
    cache.put("a", b"1")
    assert cache.size == 5
    cache.put("whole", b"1" * 50)  # larger than the bound: kept alone until the next one comes
    assert len(cache) == 1


def test_overlay_lines_keep_their_coordinates(client: TestClient) -> None:
    lines = client.get("/ki67/runs/run1/overlay.json").json()
    assert lines["mpp"] == 0.5
    assert lines["border"] == [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0]]
    assert lines["outline"] == []
    assert lines["hot_spot"] == {"x": 100.0, "y": 120.0, "radius": 50.0, "label": "Hot spot 0.2 mm²"}
    assert lines["map"] == {"px_per_cell": 650.0, "origin_x": 0.0, "origin_y": 0.0, "width": 2, "height": 1}
    assert lines["has_nuclei"] is True


def test_nuclei_travel_as_arrays_with_their_numbers_in_the_run(client: TestClient) -> None:
    data = client.get("/ki67/runs/run1/nuclei.bin").content
    assert data[:4] == b"KI67"
    (count,) = struct.unpack_from("<I", data, 4)
    assert count == 3
    assert np.frombuffer(data, "<f4", 3, 8).tolist() == [1.5, 700.25, 3.0]
    assert np.frombuffer(data, "<f4", 3, 20).tolist() == [2.5, 800.75, 4.0]
    assert np.frombuffer(data, "<u4", 3, 32).tolist() == [0, 7, 9]
    assert np.frombuffer(data, np.uint8, 3, 44).tolist() == [POSITIVE, NEGATIVE, NOT_COUNTED_NEGATIVE]
    assert len(data) == 47


def test_the_tumor_map_is_sent_without_loss(client: TestClient) -> None:
    image = Image.open(io.BytesIO(client.get("/ki67/runs/run1/tumor.png").content))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[0, 255]]


def test_a_run_without_map_and_nuclei_has_no_such_layers() -> None:
    encoded = encode_overlay(RunOverlay(mpp=0.25, tumor_map=None))
    assert encoded.nuclei is None
    assert encoded.tumor is None
    assert json.loads(encoded.lines)["map"] is None


def test_a_large_map_is_averaged_in_whole_blocks() -> None:
    values = np.zeros((5, 9), np.uint8)
    values[:2, :2] = [[0, 100], [200, 100]]
    reduced = reduce_map(GridMap(values, 4.0, origin_x_px=8.0), longest_side=5)
    assert reduced.values.shape == (3, 5)
    assert reduced.values[0, 0] == 100
    assert (reduced.px_per_cell, reduced.origin_x_px) == (8.0, 8.0)


def test_an_upload_reaches_the_store_with_its_name_decoded(shelf: Shelf, client: TestClient) -> None:
    answer = client.post(
        "/ki67/uploads", content=b"x" * 3_000_000, headers={**OWN, "X-Ki67-Name": "M%C3%BCller%201.tif"}
    )
    assert answer.status_code == 201
    assert answer.json() == {"code": "new1"}
    assert shelf.received == [("Müller 1.tif", 3_000_000)]


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://testserver.evil.example", "null"])
def test_an_upload_from_another_site_is_refused(shelf: Shelf, client: TestClient, origin: str | None) -> None:
    headers = {"X-Ki67-Name": "a.tif"} | ({} if origin is None else {"origin": origin})
    assert client.post("/ki67/uploads", content=b"abc", headers=headers).status_code == 403
    assert shelf.received == []


def test_an_upload_without_a_name_is_refused(client: TestClient) -> None:
    answer = client.post("/ki67/uploads", content=b"abc", headers=OWN)
    assert answer.status_code == 400
    assert "choose one" in answer.json()["message"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PictureError("a.tif is empty; choose another file."), 422),
        (StoreError("The disk is full; free some."), 507),
    ],
)
def test_a_refused_upload_answers_with_the_sentence(
    shelf: Shelf, client: TestClient, error: Exception, status: int
) -> None:
    shelf.refuse = error
    answer = client.post("/ki67/uploads", content=b"abc", headers={**OWN, "X-Ki67-Name": "a.tif"})
    assert (answer.status_code, answer.json()["message"]) == (status, str(error))


def upload_straight(shelf: Shelf, messages: Iterator[dict[str, object]]) -> list[dict[str, object]]:
    """Send an upload's messages to the route itself, one by one as the store asks for them."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return next(messages)

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    headers = [(b"host", b"here"), (b"origin", b"http://here"), (b"x-ki67-name", b"a.tif")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/ki67/uploads",
        "query_string": b"",
        "headers": headers,
    }
    app = Starlette(routes=routes(shelf))
    # a thread of its own: the browser tests keep an event loop in this one
    with ThreadPoolExecutor(1) as pool:
        pool.submit(anyio.run, app, scope, receive, send).result()
    return sent


def test_a_large_upload_passes_through_bounded_memory(shelf: Shelf) -> None:
    chunk = bytes(1 << 20)

    def body() -> Iterator[dict[str, object]]:
        for _ in range(220):
            yield {"type": "http.request", "body": chunk, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    tracemalloc.start()
    sent = upload_straight(shelf, body())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent[0]["status"] == 201
    assert shelf.received == [("a.tif", 220 << 20)]
    assert peak < 16 << 20


def test_an_upload_that_breaks_off_stores_nothing(shelf: Shelf) -> None:
    def body() -> Iterator[dict[str, object]]:
        yield {"type": "http.request", "body": b"abc", "more_body": True}
        yield {"type": "http.disconnect"}

    upload_straight(shelf, body())
    assert shelf.received == []
