"""The pages Detection and Models: empty, asking, running, finished; every figure with its n and protocol."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ki67.settings import Settings, load_settings
from ki67.study import evaluations, model_sets
from ki67.study.people import local_person
from ki67.study.workplace import Workplace, open_workplace
from tests.evaluated import annotated_folder, measure_all
from tests.pages_store import add_result, empty_workplace, open_page, words_of  # noqa: F401
from tests.test_model_sets import write_set
from tests.test_pages import NOT_IN_THE_APP

DETECTION, MODELS = "pages/detection.py", "pages/models.py"
SIX = ["p1", "p2", "p3", "p4", "p5", "p6"]


@pytest.fixture
def rooted(workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """An empty store with a slide folder that holds one annotated folder."""
    annotated_folder(tmp_path / "slides" / "set", patients=SIX)
    monkeypatch.setenv("KI67_SLIDES", f"lab={tmp_path / 'slides'}")
    return open_workplace(load_settings())


@pytest.fixture(scope="module")
def measured_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a finished evaluation of six fields, its slide folder beside it."""
    top = tmp_path_factory.mktemp("measured")
    annotated_folder(top / "slides" / "set", patients=SIX)
    store = open_workplace(Settings(home=top / "home", slides={"lab": top / "slides"}))
    evaluations.evaluate_folder(store, local_person(), root="lab", relative="set", name="Set 1")
    measure_all(store)
    return top / "home"


@pytest.fixture
def measured(measured_home: Path, workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app opens the store with the finished evaluation."""
    monkeypatch.setenv("KI67_HOME", str(measured_home))


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("path", [DETECTION, MODELS])
def test_every_page_opens_on_an_empty_store(path: str) -> None:
    app = open_page(path)
    assert not app.exception
    assert not app.error
    assert app.title
    assert not NOT_IN_THE_APP.search(words_of(app))


@pytest.mark.usefixtures("workplace")
def test_the_empty_page_says_what_will_stand_there_and_what_is_needed() -> None:
    app = open_page(DETECTION)
    assert app.header[0].value.startswith("F1, index error and every miss will stand here")
    words = words_of(app)
    assert "**Every nucleus** of a picture marked" in words
    assert "Pictures that a net was trained on are recognised" in words
    assert app.button(key="measure").disabled


def test_a_folder_is_chosen_and_its_evaluation_waits_and_can_be_cancelled(rooted: Workplace) -> None:
    app = open_page(DETECTION)
    assert "Open the folder that holds manifest.csv." in words_of(app)
    app.button(key="detection_open_set").click().run()
    assert "This folder is annotated" in words_of(app)
    app.button(key="measure").click().run()
    assert not app.exception
    (view,) = evaluations.list_evaluations(rooted, local_person())
    assert (view.name, view.state) == ("Set 1", "waiting")
    words = words_of(app)
    assert "You can leave this page" in words
    assert "Waiting." in words
    app.button(key=f"cancel_{view.code}").click().run()
    assert evaluations.get_evaluation(rooted, local_person(), view.code).state == "cancelled"
    assert "Cancelled." in words_of(open_page(DETECTION))


@pytest.mark.usefixtures("measured")
def test_a_finished_evaluation_leads_with_its_answer_and_spells_the_protocol_out() -> None:
    app = open_page(DETECTION)
    assert not app.exception
    assert not app.error
    assert re.match(
        r"The nets find nuclei and their class with F1 \*\*0\.\d\d\*\* \(0\.\d\d–0\.\d\d\)\.",
        app.header[0].value,
    )
    words = words_of(app)
    assert "6 fields of 6 patients, none seen in training." in words
    assert "Matched one to one within 4 µm, class by class; no border is excluded." in words
    assert "6 fields · 6 patients · 0 left out" in words
    assert [row["Counted"] for row in app.table[0].value.to_dict("records")] == [
        "With step 1",
        "Without step 1",
        "Difference",
    ]
    assert "nothing excluded" in words  # Method and settings
    assert "2,000 draws, seed 0" in words
    worst = app.table[1].value.to_dict("records")
    assert len(worst) == 6
    assert all("3 in the wrong class" in row["Reason"] for row in worst)
    assert "3 in the wrong class" in words
    assert "removed by step 1" in words
    assert "Muster" not in words
    assert not NOT_IN_THE_APP.search(words)


@pytest.mark.usefixtures("measured")
def test_sources_stand_with_n_and_few_of_them_get_no_verdict() -> None:
    app = open_page(DETECTION)
    app.segmented_control(key="plot").set_value("Sources").run()
    assert not app.exception
    rows = app.table[0].value.to_dict("records")
    assert [(row["Source"], row["Fields"], row["95 % interval"]) for row in rows] == [
        ("left", 3, "–"),
        ("right", 3, "–"),
    ]
    assert "Too few for a verdict: left, right." in words_of(app)
    app.segmented_control(key="plot").set_value("Scores").run()
    assert not app.exception
    assert "Mean distance from it" in words_of(app)


@pytest.mark.usefixtures("measured")
def test_an_unknown_evaluation_in_the_address_shows_the_newest() -> None:
    app = open_page(DETECTION, evaluation="e000000000000")
    assert not app.exception
    assert app.header[0].value.startswith("The nets find")


def test_the_models_page_shows_the_card_in_words(workplace: Workplace) -> None:
    app = open_page(MODELS)
    words = words_of(app)
    assert "unless another set is chosen" in app.header[0].value
    for part in ("Known failures", "Learned from", "Weights, sha256", "Research use only", "python -m ki67"):
        assert part in words or any(part in block.value for block in app.code)
    assert not model_sets.own_folder(workplace).exists()


def test_a_users_own_set_is_chosen_when_scoring_and_compared_on_the_models_page(
    workplace: Workplace, tmp_path: Path
) -> None:
    write_set(model_sets.own_folder(workplace) / "mine")
    add_result(workplace, tmp_path, case_code="B-1", site="breast", positive=60, negative=640)
    app = open_page(MODELS)
    assert app.selectbox(key="card").options[1] == "mine"
    app.segmented_control(key="part").set_value("Compare two").run()
    assert not app.exception
    assert app.header[0].value == "No picture was scored by both sets yet."
    app.selectbox(key="second").set_value(app.selectbox(key="first").value).run()
    assert app.header[0].value == "Choose two different sets."
