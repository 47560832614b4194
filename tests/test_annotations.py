"""Nuclei that people marked: from QuPath's GeoJSON and from CSV, each fault named."""

from __future__ import annotations

import json

import pytest

from ki67.errors import DataError
from ki67.study.annotations import Annotation, MarkedNucleus, annotation_csv, read_annotation


def feature(kind: str, coordinates: object, name: object, **more: object) -> dict[str, object]:
    properties = {} if name is None else {"classification": {"name": name}}
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": properties,
        **more,
    }


def read(*features: dict[str, object]) -> Annotation:
    content = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    return read_annotation(content, name="a.geojson", width_px=100, height_px=80)


def test_points_lose_half_a_pixel_of_qupaths_corner_origin() -> None:
    assert read(feature("Point", [10.5, 20.5], "Positive")).nuclei == (MarkedNucleus(10.0, 20.0, "positive"),)


def test_areas_stand_at_their_centroid_and_many_points_each_for_one() -> None:
    square = [[[10, 10], [20, 10], [20, 30], [10, 30], [10, 10]]]
    found = read(
        feature("Polygon", square, "Negative"), feature("MultiPoint", [[1.5, 2.5], [3.5, 4.5]], "Other")
    )
    assert found.nuclei == (
        MarkedNucleus(14.5, 19.5, "negative"),
        MarkedNucleus(1.0, 2.0, "other"),
        MarkedNucleus(3.0, 4.0, "other"),
    )


def test_a_cells_nucleus_is_taken_where_qupath_gives_both() -> None:
    cell = [[[0, 0], [40, 0], [40, 40], [0, 40], [0, 0]]]
    nucleus = {"type": "Polygon", "coordinates": [[[4, 4], [8, 4], [8, 8], [4, 8], [4, 4]]]}
    (found,) = read(feature("Polygon", cell, "Positive", nucleusGeometry=nucleus)).nuclei
    assert (found.x_px, found.y_px) == (5.5, 5.5)


def test_classes_are_matched_whatever_their_case_and_the_rest_is_counted() -> None:
    found = read(
        feature("Point", [1, 1], "Tumor: Positive"),
        feature("Point", [2, 2], "NEGATIVE"),
        feature("Point", [3, 3], "Stroma"),
        feature("Point", [4, 4], None),
    )
    assert [nucleus.label for nucleus in found.nuclei] == ["positive", "negative"]
    assert found.left_out == 2


def test_csv_is_read_as_it_stands_and_written_again_the_same() -> None:
    content = b"\xef\xbb\xbfx_px,y_px,label\n1.25,2,positive\n3,4,\n5,6,Other\n"
    found = read_annotation(content, name="a.csv", width_px=100, height_px=80)
    assert found.nuclei == (
        MarkedNucleus(1.25, 2.0, "positive"),
        MarkedNucleus(3.0, 4.0, ""),
        MarkedNucleus(5.0, 6.0, "other"),
    )
    assert read_annotation(annotation_csv(found), name="b.csv", width_px=100, height_px=80) == found


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\xff\xfe", r"^a\.csv is no text file"),
        (b"{", r"^a\.csv is not GeoJSON"),
        (b'{"type": "Point"}', "not GeoJSON features"),
        (b"x,y\n1,2\n", "needs the columns x_px, y_px and label"),
        (b"x_px,y_px,label\n1,a,positive\n", r"line 2: x_px or y_px is not a number"),
        (b"x_px,y_px,label\n1,nan,positive\n", r"line 2: x_px or y_px is no place"),
        (b"x_px,y_px,label\n1,2,perhaps\n", "“perhaps” is not positive, negative or other"),
        (b"x_px,y_px,label\n1,2,other\n", "marks no nucleus as positive or negative"),
        (b"x_px,y_px,label\n500,2,positive\n", "at 500, 2, outside the picture of 100 × 80 px"),
        (
            json.dumps([feature("Polygon", [[["a", 1]]], "Positive")]).encode(),
            "broken coordinates: export it again",
        ),
    ],
)
def test_each_fault_is_one_sentence_with_the_file_and_the_remedy(content: bytes, fault: str) -> None:
    with pytest.raises(DataError, match=fault) as caught:
        read_annotation(content, name="a.csv", width_px=100, height_px=80)
    assert str(caught.value).endswith(".")
