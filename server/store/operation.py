"""What the operator's commands ask the database as a whole."""

from __future__ import annotations

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)


async def count_other_clients(connection: Connection | Pool) -> int:
    """Connections to this database beside the present one."""
    return int(await connection.fetchval(SQL.count_other_clients))


async def holds_data(connection: Connection | Pool) -> bool:
    return bool(await connection.fetchval(SQL.holds_data))
