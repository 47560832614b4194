"""Every page opens, on an empty store too, says the right words, and keeps to the words of the app."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from ki67.study import jobs, pictures, scoring
from ki67.study.people import local_person
from ki67.study.scoring import ScoreRequest
from ki67.study.workplace import Workplace
from tests.pages_store import (  # noqa: F401
    add_result,
    draw_png,
    empty_workplace,
    open_page,
    words_of,
)

PAGES = ("pages/score.py", "pages/results.py", "pages/detection.py", "pages/models.py")
NOT_IN_THE_APP = re.compile(
    r"(?<!data:)\b(images?|ROI|mpp|raters?|inference|ground truth|tumour)\b", re.IGNORECASE
)


def stored_png(workplace: Workplace, folder: Path, *, seed: int = 0) -> str:
    with draw_png(folder / f"{seed}.png", seed=seed, side_px=600).open("rb") as stream:
        return pictures.add_upload(workplace, local_person(), stream, "Frau Muster 1950.png").code


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_on_an_empty_store(path: str) -> None:
    app = open_page(path)
    assert not app.exception
    assert not app.error
    assert app.title


@pytest.mark.usefixtures("workplace")
def test_the_footer_says_research_use_only_with_version_and_model_set() -> None:
    footer = open_page().caption[-1].value
    assert footer.startswith("Research use only · Ki-67 validation 0.1 · ")
    assert "model set" in footer


@pytest.mark.usefixtures("workplace")
def test_the_empty_score_page_says_what_happens_and_offers_a_demonstration() -> None:
    app = open_page()
    assert app.title[0].value == "Score"
    assert (
        app.header[0].value == "Drop Ki-67 pictures to get the tumor area, the marked nuclei and the index."
    )
    labels = [button.label for button in app.button]
    assert "Try a demonstration region" in labels
    assert "Choose from the slide folder" not in labels  # no slide folder is set


@pytest.mark.usefixtures("workplace")
def test_the_empty_results_page_says_what_will_stand_there_and_has_one_button() -> None:
    app = open_page("pages/results.py")
    assert "Results will stand here" in app.header[0].value
    assert [button.label for button in app.button] == ["Score a picture"]


def test_the_slide_folder_is_offered_when_there_is_one(
    workplace: Workplace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "slides").mkdir()
    monkeypatch.setenv("KI67_SLIDES", f"siteA={tmp_path / 'slides'}")
    app = open_page()
    app.button[[button.label for button in app.button].index("Choose from the slide folder")].click().run()
    assert not app.exception
    assert "No slide lies here." in words_of(app)


def test_a_result_leads_with_the_index_of_its_site(workplace: Workplace, tmp_path: Path) -> None:
    stored = add_result(workplace, tmp_path, case_code="B-1", site="breast", positive=152, negative=1064)
    app = open_page(result=stored.result_code)
    assert not app.exception
    assert app.title[0].value == "B\\-1" or app.title[0].value == "B-1"
    assert app.header[0].value.startswith("Global index **12.5 %** (")
    assert app.header[0].value.endswith("IKWG class **> 5 and < 30 %**.")
    assert app.metric[0].label == "Global index"
    assert app.metric[0].value == "12.5 %"
    assert "152 of 1,216" in words_of(app)


def test_a_percentage_is_not_rounded_across_a_cutoff(workplace: Workplace, tmp_path: Path) -> None:
    stored = add_result(
        workplace, tmp_path, case_code="N-1", site="neuroendocrine", positive=36, negative=1180
    )
    words = words_of(open_page(result=stored.result_code))
    assert "2.96 %" in words
    assert "3.0 %" not in words


def test_a_result_without_nuclei_is_not_assessable_and_never_zero(
    workplace: Workplace,
    tmp_path: Path,
) -> None:
    stored = add_result(workplace, tmp_path, case_code="E-1", site="breast", positive=0, negative=0)
    app = open_page(result=stored.result_code)
    assert not app.exception
    assert app.header[0].value.startswith("**Not assessable**: ")
    assert not app.metric
    assert not re.search(r"\b0(\.0)? %", words_of(app))


def test_a_pixel_size_entered_by_hand_is_a_flag_in_words(workplace: Workplace, tmp_path: Path) -> None:
    stored = add_result(
        workplace, tmp_path, case_code="H-1", site="other", positive=60, negative=640, source="given"
    )
    words = words_of(open_page(result=stored.result_code))
    assert "1 flag" in words
    assert "Pixel size entered by hand" in words
    assert "Focus, stain and tissue as expected." in words


def test_an_unknown_result_is_said_in_words_with_a_way_back(workplace: Workplace) -> None:
    app = open_page(result="r000000000000")
    assert not app.exception
    assert len(app.error) == 1
    app.button[0].click().run()
    assert app.header[0].value.startswith("Drop Ki-67 pictures")


def test_results_are_listed_counted_and_filtered(workplace: Workplace, tmp_path: Path) -> None:
    add_result(workplace, tmp_path, case_code="B-1", site="breast", positive=152, negative=1064, seed=1)
    by_hand = {"site": "neuroendocrine", "positive": 36, "negative": 1180, "source": "given", "seed": 2}
    add_result(workplace, tmp_path, case_code="N-1", **by_hand)
    add_result(workplace, tmp_path, case_code="E-1", site="breast", positive=0, negative=0, seed=3)
    app = open_page("pages/results.py")
    assert not app.exception
    assert app.header[0].value.startswith("**3 results**, ")
    assert app.header[0].value.endswith("1 not assessable.")
    lines = {line["Case"]: line for line in app.dataframe[0].value.to_dict("records")}
    assert list(lines) == ["E-1", "N-1", "B-1"]
    assert lines["B-1"]["Index, %"] == "12.5"
    assert lines["B-1"]["Class, %"] == "> 5, < 30"
    assert "Pixel size by hand" in lines["N-1"]["Flags"]
    assert lines["E-1"]["95 % interval"] == "not assessable"
    app.text_input(key="search").set_value("n-").run()
    assert app.dataframe[0].value["Case"].tolist() == ["N-1"]
    app.text_input(key="search").set_value("nobody").run()
    assert "No result fits these filters." in words_of(app)


def test_a_picture_without_pixel_size_waits_for_it(workplace: Workplace, tmp_path: Path) -> None:
    code = stored_png(workplace, tmp_path)
    app = open_page(pictures=code)
    assert not app.exception
    assert app.header[0].value == "One picture needs its site and pixel size before it can be scored."
    assert "the file gives no pixel size" in words_of(app)
    assert app.button(key="score_pictures").disabled
    app.selectbox(key=f"site_{code}").set_value("breast")
    app.text_input(key=f"mpp_{code}").set_value("0,5").run()
    assert app.header[0].value == "Ready to be scored."
    assert not app.button(key="score_pictures").disabled


@pytest.mark.parametrize(
    ("typed", "sentence"), [("abc", "not a number"), ("0", "above 0"), ("50", "outside"), ("2", "coarse")]
)
def test_a_pixel_size_that_cannot_be_used_is_said_in_place(
    workplace: Workplace,
    tmp_path: Path,
    typed: str,
    sentence: str,
) -> None:
    code = stored_png(workplace, tmp_path)
    app = open_page(pictures=code)
    app.selectbox(key=f"site_{code}").set_value("breast")
    app.text_input(key=f"mpp_{code}").set_value(typed).run()
    assert app.button(key="score_pictures").disabled
    assert sentence in words_of(app)
    assert app.text_input(key=f"mpp_{code}").value == typed


def test_more_than_three_pictures_share_one_table(workplace: Workplace, tmp_path: Path) -> None:
    codes = [stored_png(workplace, tmp_path, seed=seed) for seed in range(4)]
    app = open_page(pictures=",".join(codes))
    assert not app.exception
    assert app.header[0].value == "4 pictures need their site and pixel size before they can be scored."
    app.selectbox[0].set_value("Breast")
    app.text_input[0].set_value("0.5").run()
    labels = [button.label for button in app.button]
    app.button[labels.index("Apply to all")].click().run()
    assert app.header[0].value == "Everything is there."
    assert not app.button(key="score_pictures").disabled


def test_a_case_of_another_site_is_refused_in_place_and_the_input_kept(
    workplace: Workplace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_result(workplace, tmp_path, case_code="B-1", site="breast", positive=60, negative=640, seed=9)
    code = stored_png(workplace, tmp_path)
    app = open_page(pictures=code)
    app.text_input(key=f"case_{code}").set_value("B-1")
    app.selectbox(key=f"site_{code}").set_value("neuroendocrine")
    app.text_input(key=f"mpp_{code}").set_value("0.5").run()
    app.button(key="score_pictures").click().run()
    assert not app.exception
    assert len(app.error) == 1
    assert "B-1" in app.error[0].value.replace("\\", "")
    assert app.text_input(key=f"case_{code}").value == "B-1"


def test_a_waiting_job_is_found_again_by_itself_and_can_be_cancelled(
    workplace: Workplace,
    tmp_path: Path,
) -> None:
    code = stored_png(workplace, tmp_path)
    request = ScoreRequest(picture_code=code, case_code="W-1", site="breast", mpp=0.5)
    scoring.submit(workplace, local_person(), [request])
    app = open_page()
    words = words_of(app)
    assert not app.exception
    assert "You can leave this page" in words
    assert "Waiting." in words
    app.button[[button.label for button in app.button].index("Cancel")].click().run()
    assert not jobs.list_jobs(workplace, local_person(), open_only=True)


def test_no_page_shows_the_name_of_a_file(workplace: Workplace, tmp_path: Path) -> None:
    code = stored_png(workplace, tmp_path)
    assert "Muster" not in words_of(open_page(pictures=code))


def test_pages_keep_to_the_words_of_the_app(workplace: Workplace, tmp_path: Path) -> None:
    stored = add_result(workplace, tmp_path, case_code="B-1", site="breast", positive=60, negative=640)
    code = stored_png(workplace, tmp_path)
    shown = [
        open_page(),
        open_page(result=stored.result_code),
        open_page(pictures=code),
        open_page("pages/results.py"),
    ]
    for app in shown:
        assert not NOT_IN_THE_APP.search(words_of(app))


def test_the_logo_and_font_are_shipped_with_their_license() -> None:
    static = Path(__file__).resolve().parent.parent / "static"
    assert (static / "ibm-plex-sans-variable.woff2").read_bytes()[:4] == b"wOF2"
    assert "SIL Open Font License" in (static / "ibm-plex-sans-license.txt").read_text(encoding="utf8")
    for mode in ("light", "dark"):
        assert "<text" not in (static / f"logo-{mode}.svg").read_text(encoding="utf8")
    assert Image.open(static / "icon.png").size == (64, 64)
