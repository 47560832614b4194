"""The database is brought up to date in one step, or refused when it is newer than the software."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from db import engine as database
from db import evaluation_queries, queries
from db.rows import NewEvaluation
from db.tables import Table
from ki67.errors import StoreError
from ki67.settings import Settings
from ki67.study.readings import NewReading, ReadingKey, enter_readings, list_readings
from ki67.study.studies import create_study
from ki67.study.workplace import open_workplace, reading, transaction
from tests.stores import LOCAL, files_below

FIRST, SECOND, THIRD, LAST = "0001", "0002", "0003", "0004"


def revision(engine: database.Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def test_the_migrations_make_the_tables_that_the_code_describes(settings: Settings) -> None:
    workplace = open_workplace(settings)
    with workplace.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    assert revision(workplace.engine) == LAST


def test_a_database_of_the_first_version_is_upgraded_and_keeps_its_rows(settings: Settings) -> None:
    settings.home.mkdir()
    engine = database.open_engine(settings.database)
    database.migrate(engine, to=FIRST)
    assert "machine" not in {column["name"] for column in inspect(engine).get_columns("runs")}
    moment = "2026-01-01 00:00:00+00:00"
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO people (code, roles, created_at) VALUES ('local', '[]', :at)"), {"at": moment}
        )
        connection.execute(
            text(
                "INSERT INTO pictures (code, sha256, width_px, height_px, file_format, levels, synthetic,"
                " person_id, created_at) VALUES ('p1', 'aa', 10, 10, 'PNG', 1, :no, 1, :at)"
            ),
            {"at": moment, "no": False},
        )
        connection.execute(
            text(
                "INSERT INTO runs (code, key, picture_id, megapixels, settings, model_set, models, backend,"
                " device, precision, seed, software_version, started_at, seconds, person_id, created_at)"
                " VALUES ('n1', 'k', 1, 4.0, '{}', 's', '{}', 'b', 'd', 'f32', 0, '0', '', '{}', 1, :at)"
            ),
            {"at": moment},
        )
    engine.dispose()
    workplace = open_workplace(settings)
    assert revision(workplace.engine) == LAST
    with reading(workplace) as session:
        run = queries.run_by_key(session, "k")
    assert run is not None
    assert (run.code, run.megapixels, run.machine) == ("n1", 4.0, "")


def test_a_database_of_the_second_version_gets_a_place_for_evaluations(settings: Settings) -> None:
    settings.home.mkdir()
    engine = database.open_engine(settings.database)
    database.migrate(engine, to=SECOND)
    assert "evaluations" not in inspect(engine).get_table_names()
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO people (code, roles, created_at) VALUES ('local', '[]', :at)"),
            {"at": "2026-01-01 00:00:00+00:00"},
        )
    engine.dispose()
    workplace = open_workplace(settings)
    new = NewEvaluation(code="e1", name="Set 1", model_set="first", request={"fields": []})
    with transaction(workplace) as session:
        author = queries.person_id(session, "local", [])
        evaluation_queries.add_evaluation(session, new, person=author)
    with reading(workplace) as session:
        (row,) = evaluation_queries.list_evaluations(session)
    assert (author, row.code, row.state, row.figures, row.person_code) == (1, "e1", "waiting", None, "local")


def test_a_database_of_the_third_version_gets_a_place_for_studies_and_keeps_its_cases(
    settings: Settings,
) -> None:
    settings.home.mkdir()
    engine = database.open_engine(settings.database)
    database.migrate(engine, to=THIRD)
    assert "readings" not in inspect(engine).get_table_names()
    moment = {"at": "2026-01-01 00:00:00+00:00"}
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO people (code, roles, created_at) VALUES ('local', '[]', :at)"), moment
        )
        connection.execute(
            text(
                "INSERT INTO cases (code, patient_code, site, person_id, created_at)"
                " VALUES ('T1', 'P1', 'breast', 1, :at)"
            ),
            moment,
        )
    engine.dispose()
    workplace = open_workplace(settings)
    study = create_study(workplace, LOCAL, code="S1", title="Twenty tumors", site="breast")
    enter_readings(workplace, LOCAL, study.code, [NewReading(ReadingKey("T1", "O1"), 12.5)])
    (holds,) = list_readings(workplace, LOCAL, study.code)
    assert (holds.patient_code, holds.value_percent) == ("P1", 12.5)


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(settings: Settings) -> None:
    workplace = open_workplace(settings)
    with workplace.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = files_below(settings.home)
    with pytest.raises(StoreError, match=r"newer version of this software: install that version\.$"):
        open_workplace(settings)
    assert revision(workplace.engine) == "9999"
    assert files_below(settings.home) == before


def test_opening_twice_changes_nothing(settings: Settings) -> None:
    open_workplace(settings)
    assert revision(open_workplace(settings).engine) == LAST


def test_a_migration_that_fails_leaves_the_old_tables(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.home.mkdir()
    engine = database.open_engine(settings.database)
    database.migrate(engine, to=FIRST)
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for path in database.MIGRATIONS.rglob("*.py*"):
        if path.suffix in (".py", ".mako") and "__pycache__" not in path.parts:
            content = path.read_text()
            if path.name.startswith(LAST):
                content += "    raise RuntimeError('in the middle')\n"
            (folder / path.relative_to(database.MIGRATIONS)).write_text(content)
    monkeypatch.setattr(database, "MIGRATIONS", folder)
    with pytest.raises(RuntimeError, match="in the middle"):
        database.migrate(engine)
    assert revision(engine) == FIRST
    assert "machine" not in {column["name"] for column in inspect(engine).get_columns("runs")}
