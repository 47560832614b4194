"""The viewer's Python side: the build, the component's values, the store's results as overlays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon
from streamlit.testing.v1 import AppTest

from viewer import build, component
from viewer.sources import NEGATIVE, NOT_COUNTED_NEGATIVE, NOT_COUNTED_POSITIVE, POSITIVE
from viewer.store_source import nuclei_of, rings_of, rings_of_geojson

ROOT = Path(__file__).resolve().parent.parent


def test_the_lock_pins_every_package_by_hash_and_names_no_address() -> None:
    packages = json.loads((build.HERE / "package-lock.json").read_text(encoding="utf8"))["packages"]
    assert not any("resolved" in package for package in packages.values())
    assert packages["node_modules/openseadragon"]["version"].startswith("6.")
    assert all(package["integrity"].startswith("sha512-") for name, package in packages.items() if name)


def test_the_build_is_recognised_by_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BUILD", tmp_path)
    assert not build.is_built()
    (tmp_path / build.STAMP).write_text(build.sources_hash(), encoding="utf8")
    assert build.is_built()
    (tmp_path / build.STAMP).write_text("of other sources", encoding="utf8")
    assert not build.is_built()


def test_the_bundle_holds_the_viewer_and_asks_nothing_of_another_machine() -> None:
    assert build.main() == 0
    bundle = (build.BUILD / "viewer.js").read_text(encoding="utf8")
    assert "OpenSeadragon" in bundle
    assert "cdn" not in bundle.lower()
    assert {path.name for path in build.BUILD.iterdir()} == {
        "viewer.js",
        "viewer.css",
        "openseadragon-LICENSE.txt",
        build.STAMP,
    }


def test_without_a_build_the_sentence_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    component.bundle_url.cache_clear()
    monkeypatch.setattr(component, "BUILD", tmp_path)
    with pytest.raises(component.ViewerNotBuilt, match=r"python -m viewer\.build"):
        component.bundle_url()


def test_a_page_with_the_viewer_runs_and_reports_nothing_at_first() -> None:
    assert build.main() == 0
    page = AppTest.from_file(str(ROOT / "bench" / "viewer_page.py"), default_timeout=30).run()
    assert not page.exception
    assert page.markdown[0].value == "Run 1. Theme light. Rectangle None. Nucleus None."
    page.run()
    assert not page.exception


def test_a_rectangle_belongs_to_the_picture_it_was_drawn_on() -> None:
    drawn = {"picture": "a", "x": 1.0, "y": 2, "width": 30, "height": 40}
    assert component._rectangle_on("a", drawn) == {"x": 1, "y": 2, "width": 30, "height": 40}
    assert component._rectangle_on("b", drawn) is None
    assert component._rectangle_on("a", None) is None


@dataclass(frozen=True)
class Layer:
    """What the store hands out of a result's nuclei."""

    number: np.ndarray
    x_px: np.ndarray
    y_px: np.ndarray
    score: np.ndarray
    positive: np.ndarray
    counted: np.ndarray


def test_nuclei_get_their_kind_from_class_and_count() -> None:
    layer = Layer(
        number=np.array([3, 5, 8, 9], np.uint32),
        x_px=np.zeros(4, np.float32),
        y_px=np.zeros(4, np.float32),
        score=np.ones(4, np.float32),
        positive=np.array([True, False, True, False]),
        counted=np.array([True, True, False, False]),
    )
    nuclei = nuclei_of(layer)  # type: ignore[arg-type]
    assert nuclei.kind.tolist() == [POSITIVE, NEGATIVE, NOT_COUNTED_POSITIVE, NOT_COUNTED_NEGATIVE]
    assert nuclei.kind.dtype == np.uint8
    assert nuclei.number.tolist() == [3, 5, 8, 9]


def test_rings_are_taken_from_every_polygon_with_its_holes() -> None:
    outer, hole = [(0, 0), (9, 0), (9, 9), (0, 0)], [(5, 2), (8, 2), (8, 5), (5, 2)]
    expected = tuple(tuple((float(x), float(y)) for x, y in ring) for ring in (outer, hole))
    assert rings_of(MultiPolygon([Polygon(outer, [hole])])) == expected
    geometry = {"type": "MultiPolygon", "coordinates": [[outer, hole]]}
    collection = {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": geometry}]}
    assert rings_of_geojson(json.dumps(collection)) == expected
    assert rings_of_geojson(json.dumps({"type": "Polygon", "coordinates": [outer]})) == expected[:1]
    assert rings_of_geojson(json.dumps({"type": "FeatureCollection", "features": []})) == ()
