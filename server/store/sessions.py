"""Log-ins and API tokens: only the SHA-256 of a token is stored."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
Executor = Connection | Pool


async def fetch_login(pool: Executor, email: str) -> asyncpg.Record | None:
    return await pool.fetchrow(SQL.fetch_login, email)


async def insert_session(
    connection: Executor, token_hash: bytes, agent_id: int, lasting: timedelta, client: str
) -> None:
    """Also clears the agent's expired sessions away."""
    await connection.execute(SQL.insert_session, token_hash, agent_id, lasting, client)


async def delete_session(connection: Executor, token_hash: bytes) -> None:
    await connection.execute(SQL.delete_session, token_hash)


async def delete_sessions_of(connection: Executor, agent_id: int, but: bytes | None = None) -> None:
    await connection.execute(SQL.delete_sessions_of, agent_id, but)


async def fetch_actor(pool: Executor, token_hash: bytes, *, session: bool) -> asyncpg.Record | None:
    """``stale``: the session's last sign of life is due to be written again."""
    return await pool.fetchrow(SQL.fetch_session_actor if session else SQL.fetch_token_actor, token_hash)


async def touch_session(pool: Executor, token_hash: bytes) -> None:
    await pool.execute(SQL.touch_session, token_hash)


async def insert_token(connection: Executor, agent_id: int, name: str, token_hash: bytes) -> int:
    return int(await connection.fetchval(SQL.insert_token, agent_id, name, token_hash))


async def list_tokens(pool: Executor, agent_id: int | None) -> list[asyncpg.Record]:
    return await pool.fetch(SQL.list_tokens, agent_id)


async def revoke_token(connection: Executor, token_id: int, agent_id: int | None) -> int | None:
    """The owner of the token that was revoked; None when there is none such."""
    owner: int | None = await connection.fetchval(SQL.revoke_token, token_id, agent_id)
    return owner


async def revoke_tokens_of(connection: Executor, agent_id: int) -> None:
    await connection.execute(SQL.revoke_tokens_of, agent_id)


async def set_password(connection: Executor, agent_id: int, password_hash: str) -> None:
    await connection.execute(SQL.set_password, agent_id, password_hash)
