"""The viewer in Chromium, over a small app of its own: layers, zoom, keys, region, clicks, uploads, theme."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import pyvips
from playwright.sync_api import Browser, Page, expect

from bench.viewer_app import write_picture, write_run
from tests.browser_support import ROOT, browser_type_launch_args, needs_chromium, running_app
from viewer.build import main as build_viewer

__all__ = ["browser_type_launch_args"]
pytestmark = [pytest.mark.browser, needs_chromium]

SIDE = 2000
POSITIVE_AT, NEGATIVE_AT, UNCOUNTED_AT = (500.0, 1000.0), (1500.0, 1000.0), (1000.0, 500.0)
RING, CROSS, DOT = (0x2B, 0xE3, 0x8B), (0xD1, 0x00, 0x3F), (0x7D, 0x88, 0x94)
TINT, OUTLINE, BORDER = (0x00, 0x91, 0xB3), (0xFF, 0xD6, 0x0A), (0x00, 0x70, 0x8C)


def write_known_run(folder: Path) -> None:
    """Three nuclei; tumor 0.9 on the left half, 0.4 on the right; a square as border and as outline."""
    places = np.array([POSITIVE_AT, NEGATIVE_AT, UNCOUNTED_AT], np.float32)
    tumor = np.full((100, 100), 102, np.uint8)
    tumor[:, :50] = 230
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    np.savez(
        folder / "known.run.npz",
        x=places[:, 0],
        y=places[:, 1],
        kind=np.array([0, 1, 3], np.uint8),
        tumor=tumor,
        px_per_cell=SIDE / 100,
        ring=300 + 1400 * square,
        border=(700 + 300 * square)[None],
        spot=np.array([1000.0, 1500.0, 200.0]),
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert build_viewer() == 0
    folder = tmp_path_factory.mktemp("viewer")
    white = pyvips.Image.black(SIDE, SIDE, bands=3) + 255
    white.cast("uchar").tiffsave(str(folder / "known.tif"), tile=True, pyramid=True, compression="jpeg")
    write_known_run(folder)
    write_picture(folder, "crowd", 6000, seed=1)
    write_run(folder, "crowd", 6000, 100_000, seed=2)
    script = ROOT / "bench" / "viewer_app.py"
    with running_app(script, log=folder / "app.log", environment={"VIEWER_FOLDER": str(folder)}) as address:
        yield address


@pytest.fixture
def opened(page: Page, address: str) -> Page:
    """The known picture with its run and every tool, its first view drawn; 1280 × 720."""
    page.goto(f"{address}/?picture=known&run=known&tools=1&height=500")
    page.locator(".stage[data-drawn]").wait_for(timeout=30_000)
    page.get_by_label("Tumor", exact=True).wait_for()
    return page


def on_stage(page: Page, x_px: float, y_px: float) -> tuple[float, float]:
    """Where a full-resolution pixel's centre lies on the stage while the whole picture shows."""
    size = page.locator(".stage").evaluate("(stage) => [stage.clientWidth, stage.clientHeight]")
    scale = min(size) / SIDE
    return tuple(
        side / 2 + (at + 0.5 - SIDE / 2) * scale for side, at in zip(size, (x_px, y_px), strict=True)
    )  # type: ignore[return-value]


def colors_near(page: Page, canvas: str, at: tuple[float, float], reach: int = 9) -> set[tuple[int, ...]]:
    """The opaque colors of a canvas within `reach` pixels of a place on the stage."""
    data = page.locator(canvas).evaluate(
        "(c, [x, y, r]) => Array.from(c.getContext('2d').getImageData(x - r, y - r, 2 * r, 2 * r).data)",
        [round(at[0]), round(at[1]), reach],
    )
    pixels = np.array(data).reshape(-1, 4)
    return {tuple(int(v) for v in pixel[:3]) for pixel in pixels[pixels[:, 3] == 255]}


def settled(page: Page) -> None:
    """Wait until the picture's movement has come to rest."""
    page.wait_for_timeout(900)


def canvases(page: Page) -> list[str]:
    """What tiles, lines and marks show, as data addresses."""
    shown = page.locator(".stage canvas").evaluate_all("(all) => all.map((canvas) => canvas.toDataURL())")
    assert len(shown) >= 3
    return list(shown)


def bar_um_per_px(page: Page) -> float:
    """µm per screen pixel, read off the scale bar."""
    text = page.locator(".scale").inner_text()
    width = page.locator(".bar").evaluate("(bar) => bar.getBoundingClientRect().width")
    return float(re.sub(r"[^\d.]", "", text)) / float(width)


def test_nuclei_stand_where_they_are_in_their_colors(opened: Page) -> None:
    assert RING in colors_near(opened, ".marks", on_stage(opened, *POSITIVE_AT))
    assert CROSS in colors_near(opened, ".marks", on_stage(opened, *NEGATIVE_AT))
    assert colors_near(opened, ".marks", on_stage(opened, *UNCOUNTED_AT)) == set()
    opened.get_by_label("Not counted").check()
    assert DOT in colors_near(opened, ".marks", on_stage(opened, *UNCOUNTED_AT))


def test_nuclei_stand_in_the_middle_of_their_marks_at_40_times(opened: Page) -> None:
    opened.get_by_role("button", name="40×").click()
    settled(opened)
    assert bar_um_per_px(opened) == pytest.approx(0.25, rel=0.01)
    opened.get_by_role("button", name="Whole picture").click()
    opened.get_by_role("button", name="10×").click()
    settled(opened)
    assert bar_um_per_px(opened) == pytest.approx(1.0, rel=0.01)


def test_lines_have_their_colors_and_the_tint_only_where_tumor_is_likely(opened: Page) -> None:
    assert OUTLINE in colors_near(opened, ".lines", on_stage(opened, 300, 1200))
    assert BORDER in colors_near(opened, ".lines", on_stage(opened, 1000, 850))
    alpha = [
        opened.locator(".lines").evaluate(
            "(c, [x, y]) => Array.from(c.getContext('2d').getImageData(x, y, 1, 1).data)",
            [round(value) for value in on_stage(opened, *place)],
        )
        for place in ((400, 400), (1600, 400))
    ]
    assert np.abs(np.array(alpha[0][:3]) - TINT).max() <= 3
    assert alpha[0][3] == pytest.approx(255 * 0.3 * (0.35 + 0.65 * (2 * 230 / 255 - 1)), abs=3)
    assert alpha[1][3] == 0


def test_the_tint_is_gone_at_one_to_one_and_the_border_stays(opened: Page) -> None:
    opened.get_by_role("button", name="40×").click()
    settled(opened)
    data = opened.locator(".lines").evaluate(
        "(c) => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " let tint = 0, border = 0; for (let i = 0; i < d.length; i += 4) {"
        " if (d[i + 3] > 0 && d[i + 3] < 200 && d[i] < 8 && d[i + 1] > 120) tint++;"
        " if (d[i + 3] === 255 && d[i] === 0 && d[i + 1] === 0x70) border++; } return [tint, border]; }"
    )
    assert data[0] == 0
    assert data[1] > 100


def test_switching_a_layer_changes_the_picture_without_a_rerun(opened: Page) -> None:
    opened.get_by_label("Positive").uncheck()
    assert colors_near(opened, ".marks", on_stage(opened, *POSITIVE_AT)) == set()
    opened.locator(".stage").focus()
    opened.keyboard.press("p")
    expect(opened.get_by_label("Positive")).to_be_checked()
    opened.get_by_label("Tumor opacity, percent").fill("0")
    opened.wait_for_timeout(500)
    expect(opened.get_by_text("Run 1.")).to_be_visible()


def test_zoom_position_and_layers_survive_a_rerun(opened: Page) -> None:
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.get_by_role("button", name="20×").click()
    opened.get_by_label("Outline").uncheck()
    opened.locator(".stage").focus()
    opened.keyboard.press("ArrowLeft")
    settled(opened)
    before = canvases(opened)
    asked.clear()
    opened.get_by_role("button", name="Run again").click()
    expect(opened.get_by_text("Run 2.")).to_be_visible()
    settled(opened)
    assert opened.get_by_role("button", name="20×").get_attribute("aria-pressed") == "true"
    expect(opened.get_by_label("Outline")).not_to_be_checked()
    assert not [url for url in asked if "/ki67/" in url]
    assert canvases(opened) == before


def test_holding_shows_the_bare_picture(opened: Page) -> None:
    eye = opened.get_by_role("button", name="Hold for the bare picture")
    eye.hover()
    opened.mouse.down()
    expect(opened.locator(".marks")).to_be_hidden()
    opened.mouse.up()
    expect(opened.locator(".marks")).to_be_visible()
    opened.locator(".stage").focus()
    opened.keyboard.down("b")
    expect(opened.locator(".marks")).to_be_hidden()
    opened.keyboard.up("b")
    expect(opened.locator(".marks")).to_be_visible()
    eye.focus()
    opened.keyboard.down("Space")
    expect(opened.locator(".lines")).to_be_hidden()
    opened.keyboard.up("Space")
    expect(opened.locator(".lines")).to_be_visible()


def test_a_rectangle_drawn_with_the_mouse_reaches_python_in_whole_pixels(opened: Page) -> None:
    opened.get_by_role("button", name="Draw region").click()
    box = opened.locator(".stage").bounding_box()
    assert box is not None
    corners = [on_stage(opened, *place) for place in ((399.5, 799.5), (1199.5, 1399.5))]
    (left, top), (right, bottom) = [(box["x"] + 1 + x, box["y"] + 1 + y) for x, y in corners]
    opened.mouse.move(left, top)
    opened.mouse.down()
    opened.mouse.move(left + 50, top + 60)
    opened.mouse.move(right, bottom)
    opened.mouse.up()
    text = opened.get_by_text("Rectangle Rect(").inner_text()
    found = [int(value) for value in re.findall(r"=(\d+)", text)]
    assert np.abs(np.array(found) - [400, 800, 800, 600]).max() <= 4
    expect(opened.get_by_text("Region", exact=True)).to_be_visible()
    opened.get_by_role("button", name="Clear region").click()
    expect(opened.get_by_text("Rectangle None.")).to_be_visible()


def test_a_region_can_be_set_by_keyboard_alone(opened: Page) -> None:
    opened.locator(".stage").focus()
    opened.keyboard.press("3")
    settled(opened)
    opened.get_by_role("button", name="Region = this view").focus()
    opened.keyboard.press("Enter")
    expect(opened.get_by_text("Rectangle Rect(")).to_be_visible()


def test_a_click_on_a_nucleus_reports_its_number_once(opened: Page) -> None:
    box = opened.locator(".stage").bounding_box()
    assert box is not None
    x, y = on_stage(opened, *NEGATIVE_AT)
    opened.mouse.click(box["x"] + 1 + x + 2, box["y"] + 1 + y)
    expect(opened.get_by_text("Nucleus 1.")).to_be_visible()
    expect(opened.get_by_text("Nucleus 1, negative.")).to_be_visible()
    opened.get_by_role("button", name="Run again").click()
    expect(opened.get_by_text("Nucleus None.")).to_be_visible()


def test_keys_zoom_and_move_the_picture(opened: Page) -> None:
    stage = opened.locator(".stage")
    stage.focus()
    opened.keyboard.press("2")
    settled(opened)
    assert bar_um_per_px(opened) == pytest.approx(1.0, rel=0.01)
    opened.keyboard.press("+")
    settled(opened)
    assert bar_um_per_px(opened) == pytest.approx(1.0 / 1.5, rel=0.02)
    before = canvases(opened)
    opened.keyboard.press("ArrowDown")
    settled(opened)
    assert canvases(opened) != before
    opened.keyboard.press("0")
    settled(opened)
    assert bar_um_per_px(opened) == pytest.approx(0.25 * SIDE / 498, rel=0.02)


def test_every_control_of_the_picture_can_be_reached_by_tab(opened: Page) -> None:
    opened.get_by_label("Tumor", exact=True).focus()
    names = []
    for _ in range(18):
        names.append(
            opened.evaluate(
                "() => { let found = document.activeElement;"
                " while (found.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;"
                " const label = found.closest('label')?.innerText;"
                " return found.getAttribute('aria-label') ?? label ?? found.innerText; }"
            ).strip()
        )
        opened.keyboard.press("Tab")
    for name in ("Tumor opacity, percent", "Hot spot", "Draw region", "40×", "Zoom in (key +)"):
        assert name in names
    assert any(name.startswith("Picture. Arrow keys") for name in names)


def test_switching_to_dark_is_reported_to_the_script(opened: Page) -> None:
    expect(opened.get_by_text("Theme light.")).to_be_visible()
    opened.emulate_media(color_scheme="dark")
    expect(opened.get_by_text("Theme dark.")).to_be_visible()
    opened.emulate_media(color_scheme="light")
    expect(opened.get_by_text("Theme light.")).to_be_visible()


def test_a_viewer_in_a_folded_part_of_the_page_shows_itself_when_it_is_opened(
    page: Page, address: str
) -> None:
    page.goto(f"{address}/?picture=known&run=known&height=500&folded=1")
    page.get_by_text("Run 1.").wait_for()
    fold = page.get_by_text("Picture", exact=True)
    fold.click()
    page.locator(".stage[data-drawn]").wait_for(timeout=30_000)
    assert bar_um_per_px(page) == pytest.approx(0.25 * SIDE / 498, rel=0.02)
    page.get_by_role("button", name="10×").click()
    settled(page)
    before = canvases(page)
    fold.click()
    expect(page.locator(".stage")).to_be_hidden()
    fold.click()
    settled(page)
    assert bar_um_per_px(page) == pytest.approx(1.0, rel=0.01)
    assert canvases(page) == before


def test_fingers_move_and_zoom_the_picture(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, has_touch=True)
    page.goto(f"{address}/?picture=known&run=known&height=500")
    page.locator(".stage[data-drawn]").wait_for(timeout=30_000)
    settled(page)
    box = page.locator(".stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": px, "y": py, "id": number} for number, (px, py) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
        page.wait_for_timeout(40)

    before = bar_um_per_px(page)
    touch("touchStart", (x - 30, y), (x + 30, y))
    for step in range(1, 7):
        touch("touchMove", (x - 30 - 10 * step, y), (x + 30 + 10 * step, y))
    touch("touchEnd")
    settled(page)
    assert bar_um_per_px(page) < before / 2
    shown = canvases(page)
    touch("touchStart", (x, y))
    for step in range(1, 6):
        touch("touchMove", (x + 15 * step, y))
    touch("touchEnd")
    settled(page)
    assert canvases(page) != shown
    page.close()


def test_a_large_file_is_uploaded_and_its_code_returned(opened: Page, tmp_path: Path) -> None:
    wrong = tmp_path / "letter.tif"
    wrong.write_text("no picture")
    control = opened.locator("input[type=file]")
    control.set_input_files(wrong)
    expect(
        opened.get_by_text("letter.tif is no picture that can be read; choose another file.")
    ).to_be_visible()
    expect(opened.get_by_text("Uploads: none.")).to_be_visible()
    right = tmp_path / "right é.tif"
    write_picture(tmp_path, "right", 3000, seed=3)
    (tmp_path / "right.tif").rename(right)
    control.set_input_files(right)
    expect(opened.get_by_text("Uploads: upload0.")).to_be_visible()


def test_an_unknown_picture_and_run_are_answered_in_words(page: Page, address: str) -> None:
    page.goto(f"{address}/?picture=nobody")
    expect(page.get_by_text("No picture has this code.")).to_be_visible()
    page.goto(f"{address}/?picture=known&run=nobody")
    expect(page.get_by_text("No run has this code.")).to_be_visible()


def test_nothing_is_asked_of_another_machine(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/?picture=known&run=known&tools=1")
    page.locator(".stage[data-drawn]").wait_for(timeout=30_000)
    assert asked
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)


def test_a_hundred_thousand_nuclei_are_redrawn_fluently(page: Page, address: str) -> None:
    from bench.viewer import pan

    page.goto(f"{address}/?picture=crowd&run=crowd")
    page.locator(".stage[data-drawn]").wait_for(timeout=30_000)
    figures = pan(page)
    # bench.viewer must show a median of 20 on a quiet machine; the tests may share theirs with others
    assert figures["redraws_median"] >= 4, figures
    assert sum(figures["redraws_each_second"]) >= 0.7 * figures["frames"], figures
