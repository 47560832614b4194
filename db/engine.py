"""The database: engine, transactions, migration. SQLite with settings that survive concurrency, or PostgreSQL."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.orm import Session

__all__ = ["Engine", "Session"]
