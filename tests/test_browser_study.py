"""A study in Chromium: empty pages, a table imported, what the pages say, a point clicked, the report."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from ki67 import numbers
from tests import imported_study as study
from tests.browser_support import (
    ROOT,
    at_rest,
    browser_type_launch_args,
    needs_chromium,
    press_tab_until,
    running_app,
)

__all__ = ["browser_type_launch_args"]
pytestmark = [pytest.mark.browser, needs_chromium]

STARTED_S = 600
SHOWN_MS = 60_000
REPORT_MS = 600_000
CODE = "IKWG"
SIZE = "10 tumors · 100 readings · 0 excluded"
FIRST = study.READINGS[:, :, 0]
MEDIAN = np.median(FIRST, axis=1)
# What each page says to do on an empty store.
NEXT = {
    "": "Drop Ki-67 pictures",
    "results": "Results will stand here",
    "detection": "will stand here, once a model set was measured",
    "agreement": "Readings of people beside the algorithm will stand here",
    "variability": "Readings of people beside the algorithm will stand here",
    "cutoffs": "Readings of people beside the algorithm will stand here",
    "differ": "Readings of people beside the algorithm will stand here",
    "planning": "tumors are needed to show",
    "studies": "A study holds cases, readings and the plan",
    "readings": "make the study first",
    "models": "Pictures are scored with",
}


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """A machine with other work is slower than the five seconds that Playwright expects."""
    expect.set_options(timeout=SHOWN_MS)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture(scope="module")
def study_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app with the results of ten tumors and a study of a hundred readings on them."""
    top = tmp_path_factory.mktemp("study")
    study.store_results(top / "home", top)
    study.store_readings(top / "home", CODE)
    environment = {"KI67_HOME": str(top / "home")}
    with running_app(
        ROOT / "app.py", log=top / "app.log", environment=environment, timeout_s=STARTED_S
    ) as url:
        yield url


def open_at(page: Page, address: str) -> str:
    """The words of a page, when it is drawn; it must show no error."""
    page.set_default_timeout(SHOWN_MS)
    page.set_viewport_size({"width": 1440, "height": 1200})
    page.goto(address)
    at_rest(page, timeout_ms=SHOWN_MS)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlert")).to_have_count(0)
    return words_of(page)


def words_of(page: Page) -> str:
    """What a page says, spaces as one."""
    return re.sub(r"\s+", " ", page.get_by_test_id("stMain").inner_text())


def expect_row(page: Page, *cells: str) -> None:
    """Wait for a row of a table with these cells beside each other, each a regular expression."""
    row = page.locator("tr").filter(has_text=re.compile(r"\s*".join(cells)))
    expect(row.first).to_be_visible()


def cells_of(place: Locator) -> list[str]:
    """What a table drawn on a canvas says to a screen reader, cell by cell."""
    cells = place.locator("[role=gridcell]")
    cells.first.wait_for(state="attached")
    return cells.all_text_contents()


def drop_table(page: Page, content: bytes) -> None:
    """The table, and the region that it names, given to the page Readings."""
    files = (("scores.csv", "text/csv", content), (study.REGION_FILE, "text/plain", study.region_geojson()))
    for place, (name, kind, held) in enumerate(files):
        payload: FilePayload = {"name": name, "mimeType": kind, "buffer": held}
        page.locator("input[type=file]").nth(place).set_input_files(files=[payload])
        expect(page.get_by_text(name)).to_be_visible()
        at_rest(page, timeout_ms=SHOWN_MS)


def test_every_page_opens_on_an_empty_store_and_says_what_to_do_next(page: Page, tmp_path: Path) -> None:
    environment = {"KI67_HOME": str(tmp_path / "home")}
    with running_app(
        ROOT / "app.py", log=tmp_path / "app.log", environment=environment, timeout_s=STARTED_S
    ) as url:
        for path, sentence in NEXT.items():
            assert sentence in open_at(page, f"{url}/{path}"), path


def test_a_table_is_imported_only_after_its_problems_are_gone_and_never_twice(
    page: Page, study_url: str
) -> None:
    open_at(page, f"{study_url}/studies")
    page.get_by_role("button", name="New study").click()
    page.get_by_label("Study code").fill("TYPED")
    page.get_by_label("Title").fill("Ten tumors again")
    page.get_by_role("button", name="Make the study").click()
    expect(page.get_by_role("heading", name="0 cases, no reading; no plan yet.")).to_be_visible()

    open_at(page, f"{study_url}/readings?study=TYPED")
    drop_table(page, study.scores_csv(broken=True))
    expect(page.get_by_text("Nothing can be stored yet: 2 problems.")).to_be_visible()
    problems = cells_of(page.get_by_test_id("stDataFrame"))
    assert {"3", "6", "ki67_percent"} <= set(problems)
    assert any(cell.startswith("130 is outside 0–100") for cell in problems)
    assert any(cell.startswith("“about 5” is not a number") for cell in problems)
    expect(page.get_by_role("button", name="Store the readings")).to_be_disabled()

    open_at(page, f"{study_url}/readings?study=TYPED")
    drop_table(page, study.scores_csv())
    expect(page.get_by_text("100 new readings can be stored.")).to_be_visible()
    assert "10 cases (10 new) · 5 readers · 2 sessions · 100 global" in words_of(page)
    page.get_by_role("button", name="Store 100 readings").click()
    expect(page.get_by_text("100 readings stored; 0 known before.")).to_be_visible()
    expect(page.get_by_text("100 readings of 5 readers on 10 cases, in 2 sessions")).to_be_visible()

    open_at(page, f"{study_url}/readings?study=TYPED&reading_part=Import+a+table")
    drop_table(page, study.scores_csv())
    expect(page.get_by_text("0 new readings can be stored. Stored already: 100.")).to_be_visible()
    expect(page.get_by_role("button", name="Nothing new to store")).to_be_disabled()


def test_agreement_and_variability_show_what_the_table_says(page: Page, study_url: str) -> None:
    words = open_at(page, f"{study_url}/agreement?study={CODE}")
    assert SIZE in words
    mean = (study.ALGORITHM[:, None] - FIRST).mean()
    assert f"On average the algorithm reads {abs(mean):.1f} points lower than one reader (" in words
    expect_row(page, "Algorithm − one reader", "50", numbers.decimal(mean, decimals=1))
    expect_row(page, "One reader − another", "100", "0.0", "by construction")
    panel = numbers.decimal(float((study.ALGORITHM - MEDIAN).mean()), decimals=1)
    expect_row(page, "Algorithm − panel median", "10", panel)

    open_at(page, f"{study_url}/agreement?study={CODE}&view=Scatter")
    away = float(np.abs(study.ALGORITHM - MEDIAN).mean())
    expect_row(page, "Mean absolute difference, points", f"{away:.1f}", r"[\d.]+ to [\d.]+", "10$")

    words = open_at(page, f"{study_url}/variability?study={CODE}")
    assert SIZE in words
    for scale, values in (("log2", np.log2(FIRST + 0.1)), ("percent", FIRST)):
        icc = study.icc_of_single_readings(values)
        expect_row(page, rf"ICC\(2,1\), {scale}", f"{icc:.4f}", r"0\.\d{4}–0\.\d{4}")
    inside = (FIRST.min(axis=1) <= study.ALGORITHM) & (FIRST.max(axis=1) >= study.ALGORITHM)
    assert f"The algorithm lies inside the readers’ range in {inside.sum()} of 10 tumors" in words
    assert f"n = 10, median {np.median(MEDIAN):.1f} %, range {MEDIAN.min():.1f}–{MEDIAN.max():.1f} %" in words


def test_cut_offs_differences_and_planning_show_what_the_table_says(page: Page, study_url: str) -> None:
    words = open_at(page, f"{study_url}/cutoffs?study={CODE}")
    both = [
        (study.class_of(one), study.class_of(other))
        for one, other in zip(MEDIAN, study.ALGORITHM, strict=True)
    ]
    same = sum(one == other for one, other in both)
    higher, lower = (sum(one < other for one, other in both), sum(one > other for one, other in both))
    assert f"put {same} of 10 tumors into the same class" in words
    assert f"the algorithm puts {higher} higher, {lower} lower." in words
    chance = sum(
        sum(one == each for one, _ in both) * sum(other == each for _, other in both) for each in range(3)
    )
    kappa = (same / 10 - chance / 100) / (1 - chance / 100)
    interval = r"\d\.\d\d–1\.00"  # its upper limit by formula is above 1
    expect_row(page, "Algorithm and panel median", "Cohen’s kappa", f"{kappa:.2f}", interval, "10", "these")

    words = open_at(page, f"{study_url}/differ?study={CODE}")
    share = study.region_share()
    assert f"region {100 * share:.0f} % (" in words
    assert f"calls {100 * (1 - share):.0f} % (" in words
    assert "tumor mask 0 % (0–0)" in words
    assert "20 readings with a region of 10 patients; 80 without" in words

    words = open_at(page, f"{study_url}/planning?planning=ICC")
    ratio = (1 + 10 * 0.9 / 0.1) / (1 + 10 * 0.8 / 0.2)  # Walter, Eliasziw & Donner 1998, 10 readers
    tumors = 1 + 2 * (1.644854 + 0.841621) ** 2 * 10 / (np.log(ratio) ** 2 * 9)
    assert f"With 10 readers of each tumor {np.ceil(tumors):.0f} tumors are needed" in words


def test_a_click_on_a_point_opens_its_case_with_its_readings(page: Page, study_url: str) -> None:
    open_at(page, f"{study_url}/agreement?study={CODE}")
    page.locator(".js-plotly-plot .points path").nth(7).click(force=True)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_text("Median of 10 readings")).to_be_visible()
    words = re.sub(r"\s+", " ", dialog.inner_text())
    found = re.search(r"Case (T\d+)", words)
    assert found is not None
    case = study.CASES.index(found[1])
    values = study.READINGS[case]
    spread = f"{np.median(values):.1f} %, from {values.min():.1f} to {values.max():.1f} %."
    assert f"Median of 10 readings {spread}" in words
    assert f"n = {study.NUCLEI} nuclei, model set test-set" in words
    assert {f"{value:.1f}" for value in values[:, 0]} <= set(cells_of(dialog))


def test_the_report_holds_the_numbers_of_the_study(page: Page, study_url: str, tmp_path: Path) -> None:
    open_at(page, f"{study_url}/agreement?study={CODE}")
    with page.expect_download(timeout=REPORT_MS) as download:
        page.get_by_role("button", name="Report").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == f"{CODE}-report.zip"
    with zipfile.ZipFile(saved) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}

    readings = list(csv.DictReader(io.StringIO(files["data/readings.csv"].decode("utf-8-sig"))))
    assert len(readings) == study.READINGS.size
    main = list(csv.DictReader(io.StringIO(files["results/main.csv"].decode("utf-8-sig"))))
    held = {(row["statistic"], row["scale"]): float(row["value"]) for row in main}
    assert held["ba_bias", "none"] == pytest.approx((study.ALGORITHM - MEDIAN).mean(), abs=1e-9)
    log = study.icc_of_single_readings(np.log2(FIRST + 0.1))
    assert held["ICC(2,1)", "log2(x+0.1)"] == pytest.approx(log, abs=1e-9)

    text = re.sub(r"<[^>]+>", " ", files[f"{CODE}-report.html"].decode("utf8"))
    assert numbers.decimal(float((study.ALGORITHM - MEDIAN).mean()), decimals=1) in text
    assert f"{log:.4f}" in text
    assert (f"{CODE}-report.pdf" in files) != ("no-pdf.txt" in files)
    assert files.get(f"{CODE}-report.pdf", b"%PDF").startswith(b"%PDF")


def test_page_filter_and_export_are_reached_by_keyboard_alone(
    page: Page, study_url: str, tmp_path: Path
) -> None:
    open_at(page, f"{study_url}/agreement?study={CODE}")
    press_tab_until(page, page.get_by_role("link", name="Variability"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Variability", level=1)).to_be_visible()
    at_rest(page, timeout_ms=SHOWN_MS)
    assert SIZE in words_of(page)

    press_tab_until(page, page.get_by_role("button", name="5 readers"))
    page.keyboard.press("Enter")
    readers = page.get_by_role("combobox", name="Readers")
    press_tab_until(page, readers)
    page.keyboard.type("O2")
    page.keyboard.press("Enter")
    expect(page.get_by_text("10 tumors · 20 readings · 0 excluded")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    at_rest(page, timeout_ms=SHOWN_MS)
    assert "readers=O2" in page.url

    press_tab_until(page, page.get_by_role("button", name="Export").last)
    page.keyboard.press("Enter")
    table = page.get_by_role("button", name="CSV of the plotted data")
    expect(table).to_be_visible()
    press_tab_until(page, table)
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    saved = tmp_path / "plotted.csv"
    download.value.save_as(saved)
    rows = list(csv.DictReader(io.StringIO(saved.read_text(encoding="utf-8-sig"))))
    wanted = sorted(study.READINGS[:, 1, :].ravel().tolist())
    assert sorted(float(row["percent"]) for row in rows) == pytest.approx(wanted)
