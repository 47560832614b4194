"""The workplace: where the store may lie, what it refuses, and many writers at once."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from db import queries
from db.tables import NeverChanged, Run
from ki67.errors import NotAllowed, StoreError
from ki67.settings import Settings
from ki67.study import filesystem
from ki67.study import workplace as workplaces
from ki67.study.cases import check_case_code, place_in_case, suggest_case_code
from ki67.study.people import Person, local_person, require
from ki67.study.workplace import Workplace, open_workplace, reading, transaction
from tests.store_processes import add_cases, exit_codes
from tests.stores import LOCAL, READER


def test_four_processes_that_make_a_store_and_write_at_once_lose_nothing(settings: Settings) -> None:
    assert exit_codes(add_cases, settings, processes=4) == [0, 0, 0, 0]
    workplace = open_workplace(settings)
    with reading(workplace) as session:
        codes = queries.case_codes(session, prefix="W-")
    assert sorted(codes) == [f"W-{number:03d}" for number in range(100)]


def test_reading_does_not_wait_for_a_writer(workplace: Workplace) -> None:
    with transaction(workplace) as writer:
        author = queries.person_id(writer, "local", ["coordinator"])
        queries.add_case(writer, code="A", patient_code="A", site="breast", person=author)
        with reading(workplace) as session:
            assert queries.case_by_code(session, "A") is None
    with reading(workplace) as session:
        assert queries.case_by_code(session, "A") is not None


def test_a_transaction_that_raises_is_undone(workplace: Workplace) -> None:
    def add_then_fail() -> None:
        with transaction(workplace) as session:
            author = queries.person_id(session, "local", ["coordinator"])
            queries.add_case(session, code="A", patient_code="A", site="breast", person=author)
            raise StoreError("no")

    with pytest.raises(StoreError, match="no"):
        add_then_fail()
    with reading(workplace) as session:
        assert queries.case_by_code(session, "A") is None


def test_a_run_is_never_changed(workplace: Workplace) -> None:
    with transaction(workplace) as session:
        author = queries.person_id(session, "local", ["coordinator"])
        picture = queries.add_picture(
            session,
            queries.NewPicture("p1", "aa", 1, 1, "PNG", 1, None, "picture.tif", None, None, None, False),
            person=author,
        )
        new = queries.NewRun(
            "n1", "k", picture.id, 1.0, {}, "s", {}, "b", "cpu", "f32", "m", 0, "0.1", "now", {}
        )
        run = queries.add_run(session, new, person=author)

    def change() -> None:
        with transaction(workplace) as session:
            session.get_one(Run, run.id).seed = 1

    with pytest.raises(NeverChanged, match="runs are never changed"):
        change()
    with reading(workplace) as session:
        assert session.get_one(Run, run.id).seed == 0


def test_sqlite_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "share" / "ki67"
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path}/share nfs4 rw 0 0\n")
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    with pytest.raises(StoreError) as caught:
        open_workplace(Settings(home=home))
    assert "network file system (nfs4)" in str(caught.value)
    assert "KI67_HOME" in str(caught.value)
    assert "KI67_DATABASE_URL" in str(caught.value)
    assert list(home.glob("*")) == []
    assert filesystem.filesystem_type(tmp_path) == "ext4"


def test_the_innermost_mount_decides_and_spaces_in_its_name_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a b" / "c").mkdir(parents=True)
    mounts = tmp_path / "mounts"
    place = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(f"x / nfs rw 0 0\ny {place}/a\\040b cifs rw 0 0\nz {place}/a\\040b/c xfs rw 0 0\n")
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    assert filesystem.is_network_filesystem(tmp_path / "a b")
    assert not filesystem.is_network_filesystem(tmp_path / "a b" / "c" / "not there yet")
    assert filesystem.filesystem_type(tmp_path) == "nfs"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "cannot be written: allow writing there, or choose another folder."),
        (errno.EACCES, "cannot be written: allow writing there, or choose another folder."),
        (errno.ENOSPC, "is full: free some space and try again."),
    ],
)
def test_a_read_only_or_full_data_folder_is_said_without_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StoreError) as caught:
        open_workplace(Settings(home=tmp_path / "home"))
    assert words in str(caught.value)
    assert "KI67_HOME" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert list((tmp_path / "home").iterdir()) == []


def test_a_data_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"):
        open_workplace(Settings(home=tmp_path / "file" / "home"))


def test_a_database_server_that_does_not_answer_is_said_without_its_password(tmp_path: Path) -> None:
    url = "postgresql+psycopg://ki67:secret@/ki67?host=/nowhere"
    with pytest.raises(StoreError, match="cannot be reached: check KI67_DATABASE_URL") as caught:
        open_workplace(Settings(home=tmp_path, database_url=url))
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "ki67.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match="damaged"):
        open_workplace(Settings(home=tmp_path))
    assert (tmp_path / "ki67.sqlite").read_bytes() == b"this is not a database" * 100


@pytest.mark.parametrize("kind", sorted(workplaces.DATABASE_FAULTS))
def test_every_fault_of_the_database_is_one_sentence(kind: str) -> None:
    sentence = workplaces.DATABASE_FAULTS[kind]
    assert sentence.endswith(".")
    assert sentence.count(". ") == 0


@pytest.mark.parametrize("code", ["B-017", " A 1 ", "2026/11.3", "Fall_Ä7", "x", "a" * 40, "C+#4"])
def test_case_codes_that_can_be_used(code: str) -> None:
    assert check_case_code(code) == code.strip()


@pytest.mark.parametrize(
    "code", ["", "   ", "a" * 41, "../x", "-a", "a\nb", "a..b", "<b>", "a,b", "=1+1", "a\0"]
)
def test_case_codes_that_cannot_be_used_are_refused(code: str) -> None:
    with pytest.raises(StoreError, match="case code"):
        check_case_code(code)


def test_the_next_free_case_code_is_suggested(workplace: Workplace) -> None:
    assert suggest_case_code(workplace, LOCAL) == "CASE-0001"
    with transaction(workplace) as session:
        author = queries.person_id(session, "local", ["coordinator"])
        for code in ("CASE-0007", "CASE-0003", "CASE-x", "B-1"):
            queries.add_case(session, code=code, patient_code=code, site="other", person=author)
    assert suggest_case_code(workplace, LOCAL) == "CASE-0008"
    with pytest.raises(NotAllowed):
        suggest_case_code(workplace, READER)


def test_a_picture_stays_in_its_case_and_a_case_at_its_site(workplace: Workplace) -> None:
    with transaction(workplace) as session:
        author = queries.person_id(session, "local", ["coordinator"])
        new = queries.NewPicture("p1", "aa", 1, 1, "PNG", 1, None, "picture.tif", None, None, None, False)
        picture = queries.add_picture(session, new, person=author)
        case = place_in_case(
            session, picture, case_code="B-1", patient_code=None, site="breast", author=author
        )
        assert (case.code, case.patient_code, case.site) == ("B-1", "B-1", "breast")
    with reading(workplace) as session:
        placed = queries.picture_by_code(session, "p1")
    assert placed is not None

    def again(code: str, site: str, patient: str | None = None) -> None:
        with transaction(workplace) as session:
            place_in_case(session, placed, case_code=code, patient_code=patient, site=site, author=author)  # type: ignore[arg-type]  # sites as a page may send them

    again("B-1", "breast")
    with pytest.raises(StoreError, match="belongs to case B-1 already: use that case code instead of B-2"):
        again("B-2", "breast")
    with pytest.raises(StoreError, match="stored with the site breast"):
        again("B-1", "other")
    with pytest.raises(StoreError, match="stored with the patient code B-1"):
        again("B-1", "breast", "P-9")


def test_roles_are_checked_by_name() -> None:
    require(local_person(), "coordinator", doing="score pictures")
    nobody = Person(code="x", roles=frozenset())
    with pytest.raises(NotAllowed) as caught:
        require(nobody, "coordinator", "analyst", doing="see results")
    assert str(caught.value) == "x may not see results: ask a person with the role coordinator or analyst."
