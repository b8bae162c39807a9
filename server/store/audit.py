"""Who did what to what, from what: one row beside every change, in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)


async def insert_audit(
    connection: Connection | Pool,
    agent_id: int | None,
    action: str,
    subject_kind: str,
    subject_id: int,
    data: Mapping[str, Any] | None = None,
) -> None:
    """``data`` is ``{"field": [old, new]}`` for a change of fields; ``agent_id`` None is the system."""
    await connection.execute(SQL.insert_audit, agent_id, action, subject_kind, subject_id, dict(data or {}))
