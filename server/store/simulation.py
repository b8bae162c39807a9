"""Whom the simulation lets call and write: people, numbers and conversations of this database."""

from __future__ import annotations

from dataclasses import dataclass

from server.store.pool import Pool, load_sql

SQL = load_sql(__file__)


@dataclass(frozen=True, slots=True)
class SimCustomer:
    name: str
    language: str
    phone: str
    email: str


@dataclass(frozen=True, slots=True)
class SimAgent:
    name: str
    email: str
    extension: str
    available: bool


@dataclass(frozen=True, slots=True)
class SimReply:
    """A reply of ours that the customer has not answered yet."""

    message_id: str
    subject: str
    mailbox_address: str
    customer_address: str
    customer_name: str
    language: str


async def fetch_customers(pool: Pool, seed: str, limit: int) -> list[SimCustomer]:
    """A sample, the same for the same seed."""
    return [SimCustomer(**dict(row)) for row in await pool.fetch(SQL.fetch_customers, seed, limit)]


async def fetch_agents(pool: Pool) -> list[SimAgent]:
    return [SimAgent(**dict(row)) for row in await pool.fetch(SQL.fetch_agents)]


async def fetch_replies(pool: Pool, limit: int) -> list[SimReply]:
    return [SimReply(**dict(row)) for row in await pool.fetch(SQL.fetch_replies, limit)]


async def fetch_dnis(pool: Pool, queue: str) -> list[str]:
    """Numbers of the queue, else of any."""
    return [row["dnis"] for row in await pool.fetch(SQL.fetch_dnis, queue)]
