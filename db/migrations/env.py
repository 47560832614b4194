"""Alembic's entry: runs the migrations on the connection that `db.engine.migrate` hands over."""

from __future__ import annotations

from alembic import context

import db.study_tables  # noqa: F401  # its tables belong to the same metadata
from db.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
