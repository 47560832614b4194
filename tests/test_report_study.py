"""The report of a study: its plan first, its flow counted, its numbers recomputed, the same bytes again."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ki67 import charts_export, charts_svg, charts_variability
from ki67.errors import Ki67Error, NotAllowed
from ki67.settings import Settings
from ki67.study import report, report_pdf
from ki67.study.material import Selection
from ki67.study.people import local_person
from ki67.study.plans import AnalysisPlan, save_plan
from ki67.study.readings import NewReading, ReadingKey, enter_readings
from ki67.study.report_parts import ReportFiles
from ki67.study.studies import create_study, exclude_case
from ki67.study.workplace import Workplace, open_workplace
from tests.pages_store import add_result, empty_workplace, open_page  # noqa: F401
from tests.stores import READER
from tests.study_material import log_normal_table
from tests.study_store import store_study

MADE = datetime(2026, 11, 24, 9, 12, tzinfo=UTC)
PLAN = AnalysisPlan(margin_points=3.0, blinding="readers saw no result", bootstrap=100)
TABLE = log_normal_table(9, 3, seed=4)


@pytest.fixture(autouse=True)
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn in their own test: a browser takes seconds."""
    monkeypatch.setattr(charts_export, "browser", lambda: None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """S1: planned beforehand, T8 left out, T9 not assessable for a fourth reader, T7 not read."""
    opened = open_workplace(Settings(home=tmp_path_factory.mktemp("report")))
    store_study(opened, TABLE, plan=PLAN)
    exclude_case(opened, local_person(), "S1", "T8", reason="no tumor left")
    late = [
        NewReading(ReadingKey(f"T{case}", "O4"), round(float(1.1 * TABLE[case - 1, 1]), 1))
        for case in range(1, 7)
    ]
    late.append(NewReading(ReadingKey("T9", "O4"), None, reason="folded section"))
    enter_readings(opened, local_person(), "S1", late)
    yield opened
    opened.engine.dispose()


@pytest.fixture(scope="module")
def made(place: Workplace) -> ReportFiles:
    patched = pytest.MonkeyPatch()
    patched.setattr(charts_export, "browser", lambda: None)
    try:
        return report.study_report(place, local_person(), "S1", made_at=MADE)
    finally:
        patched.undo()


def words_of(page: bytes) -> str:
    """The text of a page, spaces as one."""
    body = re.sub(r"<style>.*?</style>", "", page.decode("utf8"), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def files_of(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf8"))))


def test_it_opens_with_the_plan_and_marks_what_was_not_planned_secondary(made: ReportFiles) -> None:
    words = words_of(made.html)
    heads = ["Analysis plan", "Results in words", "Study flow", "Methods", "Agreement ", "Model cards"]
    places = [words.index(head) for head in heads[:3]] + [words.rindex(heads[-1])]
    assert places == sorted(places)
    assert "before the first reading was stored" in words
    assert "algorithm and single reader Primary" in words
    assert "algorithm and panel Secondary" in words
    assert "Variability of the readers Planned" in words  # the ICC that the plan names
    assert "Mean absolute difference from the panel of the other readers, points Secondary" in words
    assert "The figures are left out. PNG and SVG need Chromium" in words


def test_the_flow_counts_cases_and_readings_with_their_reasons(made: ReportFiles) -> None:
    words = words_of(made.html)
    assert "9 Cases in the study → 1 left out: no tumor left" in words
    assert "8 Cases analysed" in words
    assert "8 Read by a reader and with a value of the algorithm" in words
    # sessions, with a value, not assessable, missing, withdrawn
    assert "O1 1 8 0 0 0" in words
    assert "O4 1 6 1 1 0" in words
    assert "Algorithm 1 8 0 0 0" in words
    assert "Readings not assessable 1 folded section" in words


def test_checklists_are_filled_where_the_store_knows_and_blank_where_not(made: ReportFiles) -> None:
    words = words_of(made.html)
    assert "Population of readers To be filled in:" in words
    assert "Whether readings were independent To be filled in:" in words
    assert "blinding: readers saw no result" in words
    assert "Numbers of readers, cases and repeats 8 cases, 4 readers, 1 session, at most 1 reading" in words


def test_the_page_needs_nothing_but_itself(made: ReportFiles) -> None:
    page = made.html.decode("utf8")
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "url(" not in page
    assert "@import" not in page


def test_the_same_data_give_the_same_bytes_but_for_the_time_stamp(
    place: Workplace, made: ReportFiles
) -> None:
    again = report.study_report(place, local_person(), "S1", made_at=MADE)
    assert again.html == made.html
    assert again.pdf == made.pdf
    assert again.archive == made.archive
    assert made.html.count(b"2026-11-24 09:12") == 1


def test_every_file_and_column_of_the_archive_stands_in_the_code_book(made: ReportFiles) -> None:
    files = files_of(made.archive)
    book = files["codebook.txt"].decode("utf8")
    tables = [name for name in files if name.endswith(".csv")]
    assert len(tables) == 10
    for name in tables:
        assert Path(name).name in book
        header = files[name].decode("utf8").splitlines()[0].split(",")
        for column in header:
            assert f"  {column}: " in book, f"{name}, {column}"
    assert files["S1-report.html"] == made.html


def test_the_archive_holds_what_was_analysed_and_every_estimate(made: ReportFiles) -> None:
    files = files_of(made.archive)
    analysed = rows_of(files["data/analysis.csv"])
    assert len(analysed) == 8 * 4 + 6  # algorithm and three readers without T8, and those of O4
    assert float(analysed[0]["value_percent"]) == pytest.approx(round(TABLE[0, 0], 2))
    estimates = json.loads(files["results/estimates.json"])["estimates"]
    assert len(estimates) == len(rows_of(files["results/estimates.csv"])) > 200
    assert {each["part"] for each in estimates} >= {"algorithm and readers", "readers"}
    for each in estimates:
        assert each["value"] is not None or each["reason"], each["statistic"]


def test_the_main_results_are_those_of_the_data(made: ReportFiles) -> None:
    files = files_of(made.archive)
    values: dict[str, dict[str, float]] = {}
    for row in rows_of(files["data/analysis.csv"]):
        values.setdefault(row["case"], {})[row["reader"]] = float(row["value_percent"])
    algorithm = np.array([each["algorithm"] for each in values.values()])
    readers = [[v for who, v in each.items() if who != "algorithm"] for each in values.values()]
    panel = np.array([np.median(own) for own in readers])
    d = algorithm - panel
    main = {(row["statistic"], row["scale"]): row for row in rows_of(files["results/main.csv"])}
    assert float(main["ba_bias", "none"]["value"]) == pytest.approx(d.mean())
    upper = float(main["ba_loa_upper", "none"]["value"])
    assert upper == pytest.approx(d.mean() + 1.959964 * d.std(ddof=1), abs=1e-5)
    assert set(main) >= {("ICC(2,1)", "log2(x+0.1)"), ("lin_ccc", "none"), ("cohen_kappa", "classes")}


def recomputed(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["Rscript", "--vanilla", "recompute.R"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="needs Rscript (Debian: r-base-core)")
def test_the_r_script_recomputes_the_main_results(made: ReportFiles, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(made.archive)) as packed:
        packed.extractall(tmp_path)
    run = recomputed(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("in the report") == 11
    assert not re.search(r"^(?!cohen_kappa|  in)\S.*\bNA\b", run.stdout, flags=re.MULTILINE)
    # another number in the report is found
    main = tmp_path / "results" / "main.csv"
    main.write_text(re.sub(r"(ba_bias,none,)[^,]+", r"\g<1>99", main.read_text()))
    assert recomputed(tmp_path).returncode == 1


def test_the_pdf_is_made_where_pango_is(made: ReportFiles) -> None:
    if made.pdf is None:
        pytest.skip("needs Pango (Debian: libpango-1.0-0)")
    assert made.pdf.startswith(b"%PDF-")
    assert files_of(made.archive)["S1-report.pdf"] == made.pdf


def test_without_pango_the_pdf_is_left_out_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise OSError("cannot load library 'libpango-1.0-0'")

    monkeypatch.setitem(sys.modules, "weasyprint", Broken("weasyprint"))
    with pytest.raises(Ki67Error, match="finds no Pango on this machine"):
        report_pdf.pdf_of(b"<p>x</p>")


def test_the_archive_says_why_there_is_no_pdf(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(page: bytes) -> bytes:
        raise Ki67Error(report_pdf.NO_PANGO)

    monkeypatch.setattr(report, "pdf_of", missing)
    made = report.study_report(place, local_person(), "S1", Selection(readers=("O1", "O2")), made_at=MADE)
    files = files_of(made.archive)
    assert made.pdf is None
    assert "S1-report.pdf" not in files
    assert files["no-pdf.txt"].decode("utf8").strip() == made.why_no_pdf == report_pdf.NO_PANGO
    # a part of the study is never the planned analysis
    words = words_of(made.html)
    assert "A part of the study: readers O1, O2 only." in words
    assert "Limits of agreement at an index of 20 %: algorithm and single reader Secondary" in words
    assert ' class="badge primary"' not in made.html.decode("utf8")


def test_opening_the_report_loads_no_system_library() -> None:
    code = "import sys, ki67.study.report; sys.exit('weasyprint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_plan_written_after_the_readings_is_marked_and_titles_are_no_markup(tmp_path: Path) -> None:
    place = open_workplace(Settings(home=tmp_path / "home"))
    person = local_person()
    create_study(place, person, code="S2", title="<script>alert(1)</script> agreement", site="breast")
    rows = [
        NewReading(ReadingKey(f"T{case}", f"O{reader}"), float(3 * case + reader))
        for case in range(1, 6)
        for reader in (1, 2)
    ]
    enter_readings(place, person, "S2", rows)
    save_plan(place, person, "S2", AnalysisPlan(bootstrap=100), reason="asked by a reviewer")
    page = report.study_report(place, person, "S2", made_at=MADE).html
    words = words_of(page)
    assert b"<script>" not in page
    assert "after the readings were known. Reason: asked by a reviewer" in words
    assert "Variability of the readers Planned after the readings were known" in words
    assert "Algorithm 1 0 0 5 0" in words
    assert "No value of the algorithm comes from a picture scored here." in words


def test_a_study_without_readings_or_plan_says_what_is_missing(tmp_path: Path) -> None:
    place = open_workplace(Settings(home=tmp_path / "home"))
    create_study(place, local_person(), code="S3", title="Nothing yet", site="neuroendocrine")
    made = report.study_report(place, local_person(), "S3", made_at=MADE)
    words = words_of(made.html)
    assert "No analysis plan was written: nothing here was planned, every result is secondary." in words
    assert "0 Cases in the study" in words
    assert "There is nothing to compare yet." in words
    assert rows_of(files_of(made.archive)["results/main.csv"]) == []
    with pytest.raises(NotAllowed):
        report.study_report(place, READER, "S3")


def test_values_from_pictures_name_their_runs_and_weights(tmp_path: Path) -> None:
    place = open_workplace(Settings(home=tmp_path / "home"))
    person = local_person()
    create_study(place, person, code="S4", title="One scored tumor", site="breast")
    enter_readings(place, person, "S4", [NewReading(ReadingKey("T1", "O1"), 12.0)])
    add_result(place, tmp_path, case_code="T1", site="breast", positive=60, negative=440, seed=1)
    made = report.study_report(place, person, "S4", made_at=MADE)
    words = words_of(made.html)
    assert "60 of 500" in words
    assert "Cases near a cut-off (IKWG class)" in words
    assert "This model set is not installed here: its card is not known." in words
    run = rows_of(files_of(made.archive)["data/runs.csv"])[0]
    assert (run["case"], run["positive"], run["negative"]) == ("T1", "60", "440")
    assert run["cells_sha256"] in words


def test_a_browser_that_fails_leaves_the_figures_out_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, **settings: object) -> None:
            raise RuntimeError("the browser was closed")

    monkeypatch.setattr(charts_export, "browser", lambda: "/usr/bin/chromium")
    monkeypatch.setattr(charts_svg, "Kaleido", Broken)
    bar = charts_variability.Bar("O1", 1.5, 0.5, 2.5, "O1")
    figure = charts_variability.bars([bar], mode="light", x_title="Points", about_zero=True)
    with pytest.raises(Ki67Error, match="The browser on the server did not draw them"):
        charts_svg.svgs([charts_svg.Drawing(figure)])


@pytest.mark.skipif(charts_export.browser() is None, reason="needs Chromium")
def test_a_figure_drawn_twice_has_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    bars = [charts_variability.Bar(name, 1.5, 0.5, 2.5, name) for name in ("O1", "O2")]
    figure = charts_variability.bars(bars, mode="light", x_title="Points", about_zero=True)
    first, second = (charts_svg.svgs([charts_svg.Drawing(figure)])[0] for _ in range(2))
    assert first == second
    assert first.startswith(b"<svg")
    assert b"O1" in first


@pytest.mark.parametrize("page", ["pages/agreement.py", "pages/variability.py"])
def test_both_pages_about_agreement_offer_the_report(workplace: Workplace, page: str) -> None:
    store_study(workplace, TABLE[:5, :3])
    app = open_page(page)
    assert not app.exception
    assert "Report" in [button.proto.label for button in app.get("download_button")]
