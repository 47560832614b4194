"""Detection in Chromium with the shipped nets: an annotated folder measured, left, found again, looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ki67.synthetic import write_annotated_folder
from tests.browser_support import ROOT, at_rest, browser_type_launch_args, needs_chromium, running_app

__all__ = ["browser_type_launch_args"]
pytestmark = [pytest.mark.browser, needs_chromium]

FIELDS = 5
SIDE_PX = 320
MEASURED_MS = 1_200_000
SHOWN_MS = 240_000
ERROR_LAYERS = re.compile("Missed|Invented|Wrong class|Removed")


@pytest.fixture(scope="module")
def detection_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app whose slide folder holds one annotated folder of synthetic fields."""
    top = tmp_path_factory.mktemp("detection")
    write_annotated_folder(top / "slides" / "synthetic", count=FIELDS, side_px=SIDE_PX, mpp=0.5, seed=11)
    environment = {"KI67_HOME": str(top / "home"), "KI67_SLIDES": f"lab={top / 'slides'}"}
    with running_app(ROOT / "app.py", log=top / "app.log", environment=environment) as url:
        yield url


def test_a_folder_is_measured_left_and_found_again_with_its_errors_over_the_pictures(
    page: Page, detection_url: str, tmp_path: Path
) -> None:
    page.set_default_timeout(SHOWN_MS)
    page.set_viewport_size({"width": 1440, "height": 1200})
    page.goto(f"{detection_url}/detection")
    at_rest(page, timeout_ms=SHOWN_MS)
    page.get_by_role("button", name="synthetic").click()
    expect(page.get_by_text("This folder is annotated")).to_be_visible(timeout=SHOWN_MS)
    page.get_by_role("button", name="Measure", exact=True).click()
    expect(page.get_by_text("You can leave this page")).to_be_visible(timeout=SHOWN_MS)

    page.goto(f"{detection_url}/models")  # leave it, and come back by the navigation
    at_rest(page, timeout_ms=SHOWN_MS)
    expect(page.get_by_text("Known failures")).to_be_visible(timeout=SHOWN_MS)
    page.get_by_role("link", name="Detection").click()

    answer = page.get_by_role("heading", name=re.compile(r"find nuclei and their class with F1 \d\.\d\d \("))
    expect(answer).to_be_visible(timeout=MEASURED_MS)
    at_rest(page, timeout_ms=SHOWN_MS)
    expect(page.get_by_text(f"{FIELDS} fields of {FIELDS} patients, none seen in training.")).to_be_visible()
    expect(page.get_by_text("Matched one to one within 4 µm")).to_be_visible()
    for way in ("With step 1", "Without step 1"):
        expect(page.get_by_text(way, exact=True).first).to_be_visible()

    stages = page.locator(".stage[data-drawn]")
    expect(stages).to_have_count(2, timeout=SHOWN_MS)
    switches = page.get_by_role("checkbox", name=ERROR_LAYERS)
    expect(switches.first).to_be_visible(timeout=SHOWN_MS)
    canvas = page.locator(".marks").first
    shown = canvas.evaluate("(node) => node.toDataURL()")
    first = page.locator(".layers").first
    for box in first.get_by_role("checkbox").all():
        box.uncheck()
    page.wait_for_timeout(500)
    assert canvas.evaluate("(node) => node.toDataURL()") != shown

    page.get_by_text("Sources", exact=True).click()
    at_rest(page, timeout_ms=SHOWN_MS)
    expect(page.get_by_text("hollow marks: without it")).to_be_visible(timeout=SHOWN_MS)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
        page.get_by_role("button", name="Fields, CSV").click()
    saved = tmp_path / "fields.csv"
    download.value.save_as(saved)
    assert len(saved.read_text(encoding="utf8").splitlines()) == FIELDS + 1


def test_detection_fits_a_window_of_1024_pixels(page: Page, detection_url: str) -> None:
    page.set_default_timeout(SHOWN_MS)
    page.set_viewport_size({"width": 1024, "height": 768})
    page.goto(f"{detection_url}/detection")
    at_rest(page, timeout_ms=SHOWN_MS)
    overflow = page.evaluate(
        "() => { const main = document.querySelector('[data-testid=stMain]');"
        " return main.scrollWidth - main.clientWidth; }"
    )
    assert overflow <= 0
