"""Softphones: the SIP account that an agent's browser signs on with, set by others and read by nobody else.

``uri`` is the address of record (RFC 3261 19.1), ``auth_user`` the name for the digest where it is another
than the address's, ``wss_url`` the PBX's WebSocket (RFC 7118). The password goes to the agent's own browser;
no answer, no audit entry and no log holds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from server.domain.errors import NotFound
from server.domain.fields import Checks, text_fault
from server.domain.permission import Actor
from server.domain.view import time_text
from server.services.transaction import transaction
from server.store import agent_phones as store
from server.store import agents as agent_store
from server.store import audit
from server.store.pool import Pool, transaction_errors

WRITABLE = ("uri", "auth_user", "password", "wss_url", "display_name")
SHOWN = ("uri", "auth_user", "wss_url", "display_name")
# RFC 3261 25.1: user is unreserved, escaped or user-unreserved; host is a name or an address.
SIP_ADDRESS = re.compile(
    r"(?:sip:)?(?P<user>(?:[\w.!~*'()&=+$,-]|%[0-9a-f]{2})+)"
    r"@(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?P<port>:\d{1,5})?",
    re.ASCII | re.IGNORECASE,
)
PRINTABLE = re.compile(r"[!-~]+")
LOOPBACK = ("localhost", "127.0.0.1")
QUOTED = re.compile(r'["\\]')


async def find_phone(pool: Pool, agent_id: int) -> dict[str, Any] | None:
    """An agent's phone without its password; None for an agent that has none."""
    async with transaction_errors():
        row = await store.fetch_phone(pool, agent_id)
    return _view(row) if row is not None else None


async def fetch_phone(pool: Pool, agent_id: int) -> dict[str, Any]:
    """As ``find_phone``. Raises NotFound."""
    found = await find_phone(pool, agent_id)
    if found is None:
        raise NotFound("this agent has no phone")
    return found


async def fetch_own_phone(pool: Pool, actor: Actor) -> dict[str, Any]:
    """The actor's own phone, with the password. Raises NotFound."""
    async with transaction_errors():
        row = await store.fetch_credentials(pool, actor.agent_id)
    if row is None:
        raise NotFound("you have no phone")
    return _view(row) | {"password": row["password"]}


async def set_phone(pool: Pool, actor: Actor, agent_id: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the whole account; without a password the one that is there stays. Raises Invalid, NotFound."""
    check = Checks(WRITABLE, given)
    new = {
        "uri": _sip_address(check, given.get("uri")),
        "auth_user": check.text("auth_user", given.get("auth_user"), 200),
        "wss_url": _wss_url(check, given.get("wss_url")),
        "display_name": check.text("display_name", given.get("display_name"), 100),
    }
    if QUOTED.search(new["auth_user"]):
        check.fault("auth_user", "must not hold quotes or backslashes")
    password = _password(check, given.get("password"))
    async with transaction(pool) as connection:
        if await agent_store.lock_agent(connection, agent_id) is None:
            raise NotFound("there is no such agent")
        old = await store.fetch_credentials(connection, agent_id)
        kept = password or (old["password"] if old is not None else "")
        if not kept:
            check.fault("password", "must not be empty")
        check.done()
        values = (agent_id, new["uri"], new["auth_user"], kept, new["wss_url"], new["display_name"])
        await store.put_phone(connection, values)
        diff = {key: [old[key] if old is not None else None, new[key]] for key in SHOWN}
        diff = {key: change for key, change in diff.items() if change[0] != change[1]}
        if old is None or old["password"] != kept:
            diff["password"] = ["***", "***"]
        if diff:
            await audit.insert_audit(connection, actor.agent_id, "agent.phone", "agent", agent_id, diff)
        row = await store.fetch_phone(connection, agent_id)
    assert row is not None
    return _view(row)


async def remove_phone(pool: Pool, actor: Actor, agent_id: int) -> None:
    """The agent's browser signs on no more; one that is signed on stays so until it is left. Raises NotFound."""
    async with transaction(pool) as connection:
        if await agent_store.lock_agent(connection, agent_id) is None:
            raise NotFound("there is no such agent")
        old = await store.fetch_phone(connection, agent_id)
        if old is None:
            raise NotFound("this agent has no phone")
        await store.delete_phone(connection, agent_id)
        diff = {key: [old[key], None] for key in SHOWN}
        await audit.insert_audit(connection, actor.agent_id, "agent.phone", "agent", agent_id, diff)


def _view(row: asyncpg.Record) -> dict[str, Any]:
    shown = {key: row[key] for key in SHOWN}
    return {"agent_id": str(row["agent_id"]), **shown, "updated_at": time_text(row["updated_at"])}


def _sip_address(check: Checks, value: object) -> str:
    said = check.text("uri", value, 200, least=1)
    found = SIP_ADDRESS.fullmatch(said)
    if found is None or int((found["port"] or ":1")[1:]) not in range(1, 65536):
        check.fault("uri", "must be a SIP address such as sip:name@pbx.example.com")
        return ""
    return f"sip:{found['user']}@{found['host'].lower()}{found['port'] or ''}"


def _wss_url(check: Checks, value: object) -> str:
    """``wss`` to anywhere; ``ws`` only to this computer, where nobody listens in between."""
    said = check.text("wss_url", value, 500, least=1)
    try:
        parts = urlsplit(said)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    secure = host != "" and (parts.scheme == "wss" or (parts.scheme == "ws" and host in LOOPBACK))
    if not secure or port == 0 or "@" in parts.netloc or "#" in said or not PRINTABLE.fullmatch(said):
        check.fault("wss_url", "must be an address such as wss://pbx.example.com/ws")
        return ""
    return said


def _password(check: Checks, value: object) -> str:
    """As it was said, spaces included; "" where nothing was."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        check.fault("password", "must be text")
        return ""
    fault = text_fault(value) or ("at most 1024 characters" if len(value) > 1024 else None)
    if fault is not None:
        check.fault("password", fault)
    return value
