"""The machine of a run, so that an estimate of time uses runs of the same machine only.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds `runs.machine`; for earlier runs it is unknown: empty."""
    op.add_column("runs", sa.Column("machine", sa.String(40), nullable=False, server_default=""))
