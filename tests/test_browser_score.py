"""Score and Results in Chromium with the shipped nets: from a dropped picture to its marks, and back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from ki67.synthetic import make_region
from tests.browser_support import (
    ROOT,
    app_url,
    browser_type_launch_args,
    needs_chromium,
    press_tab_until,
    running_app,
)

__all__ = ["app_url", "browser_type_launch_args"]
pytestmark = [pytest.mark.browser, needs_chromium]

SIDE_PX = 1000
SCORED_MS = 600_000
SHOWN_MS = 60_000


@pytest.fixture(scope="session")
def png_without_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic region of 0.5 × 0.5 mm as PNG, which carries no pixel size."""
    region = make_region(SIDE_PX, SIDE_PX, mpp=0.5, seed=5, positive_share=0.2)
    path = tmp_path_factory.mktemp("pictures") / "region of Frau Muster.png"
    Image.fromarray(region.rgb).save(path)
    return path


@pytest.fixture
def start(page: Page, app_url: str) -> Page:
    """The Score page, ready, at 1440 × 900."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(app_url)
    expect(page.get_by_text("Research use only ·")).to_be_visible(timeout=SHOWN_MS)
    at_rest(page)
    return page


def at_rest(page: Page) -> None:
    """Wait until the app has drawn everything: a button pressed before may be replaced meanwhile."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    page.wait_for_timeout(500)


def drop(page: Page, path: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(path)
    expect(page.get_by_text("the file gives no pixel size")).to_be_visible(timeout=SHOWN_MS)


def choose_site(page: Page, site: str) -> None:
    box = page.get_by_role("combobox", name=re.compile("Site"))
    box.click()
    box.fill(site)
    box.press("Enter")


def score(page: Page, path: Path) -> None:
    """From the dropped picture to its result."""
    drop(page, path)
    choose_site(page, "Breast")
    page.get_by_label("Pixel size, µm/px").fill("0.5")
    page.get_by_label("Pixel size, µm/px").press("Tab")
    button = page.get_by_role("button", name="Score 1 picture")
    expect(button).to_be_enabled(timeout=SHOWN_MS)
    button.click()


def expect_result(page: Page) -> None:
    page.wait_for_url(re.compile(r"result="), timeout=SCORED_MS)
    expect(page.get_by_role("heading", name=re.compile(r"Global index \d"))).to_be_visible(timeout=SHOWN_MS)
    page.locator(".stage[data-drawn]").wait_for(timeout=SHOWN_MS)
    page.get_by_label("Positive", exact=True).wait_for(timeout=SHOWN_MS)


def marks(page: Page) -> str:
    """What the layer of nuclei shows."""
    return str(page.locator(".marks").evaluate("(canvas) => canvas.toDataURL()"))


def test_a_picture_without_pixel_size_is_asked_for_it_scored_found_after_a_reload_and_opened_again(
    start: Page, png_without_size: Path
) -> None:
    page = start
    drop(page, png_without_size)
    expect(page.get_by_role("button", name="Score 1 picture")).to_be_disabled()
    assert "Muster" not in page.content()
    score_url = page.url
    page.goto(score_url.split("?")[0])
    score(page, png_without_size)

    expect(page.get_by_text("You can leave this page")).to_be_visible(timeout=SHOWN_MS)
    page.reload()
    expect(page.get_by_text(re.compile("You can leave this page|Global index")).first).to_be_visible(
        timeout=SHOWN_MS
    )
    expect_result(page)
    assert "Pixel size entered by hand" in page.content()

    shown = marks(page)
    page.get_by_label("Negative", exact=True).uncheck()
    page.wait_for_timeout(500)
    assert marks(page) != shown
    page.get_by_label("Negative", exact=True).check()

    far = page.locator(".scale").inner_text()
    page.get_by_role("button", name="40×").click()
    page.wait_for_timeout(1500)
    assert page.locator(".scale").inner_text() != far

    case = page.get_by_role("heading", level=1).inner_text()
    page.get_by_role("link", name="Results").click()
    expect(page.get_by_text(re.compile(r"1 result"))).to_be_visible(timeout=SHOWN_MS)
    page.get_by_placeholder("Case code").fill(case)
    page.get_by_placeholder("Case code").press("Enter")
    expect(page).to_have_url(re.compile("search="), timeout=SHOWN_MS)
    table = page.get_by_test_id("stDataFrame")
    table.wait_for()
    page.wait_for_timeout(1500)
    table.click(position={"x": 40, "y": 62})
    expect_result(page)


def test_the_same_picture_is_recognised_and_everything_works_by_keyboard_alone(
    start: Page, png_without_size: Path
) -> None:
    page = start
    page.on("filechooser", lambda chooser: chooser.set_files(png_without_size))
    press_tab_until(page, page.locator("[data-testid=stFileUploaderDropzone] button").first)
    page.keyboard.press("Enter")
    expect(page.get_by_text("the file gives no pixel size")).to_be_visible(timeout=SHOWN_MS)

    press_tab_until(page, page.get_by_label("Case code"))
    press_tab_until(page, page.get_by_role("combobox", name=re.compile("Site")))
    page.keyboard.type("Breast")
    page.keyboard.press("Enter")
    press_tab_until(page, page.get_by_label("Pixel size, µm/px"))
    page.keyboard.type("0.5")
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Score 1 picture")
    expect(button).to_be_enabled(timeout=SHOWN_MS)
    press_tab_until(page, button)
    page.keyboard.press("Enter")
    expect_result(page)

    shown = marks(page)
    press_tab_until(page, page.get_by_label("Negative", exact=True))
    page.keyboard.press("Space")
    page.wait_for_timeout(500)
    assert marks(page) != shown
    press_tab_until(page, page.get_by_role("button", name="40×"))
    far = page.locator(".scale").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_timeout(1500)
    assert page.locator(".scale").inner_text() != far


def test_a_job_is_interrupted_by_the_end_of_the_app_and_started_again_in_the_next(
    page: Page, tmp_path: Path
) -> None:
    environment = {"KI67_HOME": str(tmp_path / "home")}
    with running_app(ROOT / "app.py", log=tmp_path / "first.log", environment=environment) as url:
        page.goto(url)
        page.get_by_role("button", name="Try a demonstration region").click(timeout=SHOWN_MS)
        expect(page.get_by_text("1 running")).to_be_visible(timeout=SHOWN_MS)
    with running_app(ROOT / "app.py", log=tmp_path / "second.log", environment=environment) as url:
        page.goto(f"{url}/results")  # the first visit, by a link to a page
        expect(page.get_by_text("Research use only ·")).to_be_visible(timeout=SHOWN_MS)
        page.goto(url)
        expect(page.get_by_text("Interrupted")).to_be_visible(timeout=SHOWN_MS)
        expect(page.get_by_text("Nothing was lost.")).to_be_visible()
        page.get_by_role("button", name="Start again").click()
        expect(page.get_by_text(re.compile("1 running|1 waiting"))).to_be_visible(timeout=SHOWN_MS)
        page.get_by_role("button", name="Cancel").click()
