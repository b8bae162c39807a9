"""What became of a contact: how long it rang, was talked and held, what it came to, and its course."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from server.domain.call import call_of
from server.domain.call_times import Transition, transitions_of
from server.domain.directory import Directory
from server.domain.errors import NotFound
from server.domain.view import text_id, time_text
from server.store import console as store
from server.store.pool import Pool, transaction_errors

Row = Mapping[str, Any]


def result_of(row: Row, directory: Directory) -> dict[str, Any]:
    """Of a row of ``fetch_call_facts``. ``disposition`` is its titles by language, its code where there are none."""
    code = row["disposition"]
    titles = {one["code"]: one for one in row["dispositions"] or ()}
    return {
        "disposition": titles.get(code, {"en": code, "zh_CN": code}) if code else None,
        "note": row["note"],
        "ring_seconds": row["ring_seconds"],
        "talk_seconds": row["talk_seconds"],
        "hold_seconds": row["hold_seconds"],
        "stir": row["stir"],
        "transitions": transitions(row["call_key"], row["legs"], directory),
    }


def transitions(call_key: str, legs: str, directory: Directory) -> list[dict[str, Any]]:
    """``{"state", "at", "agent_id", "agent"}`` in the order of time; ``agent`` is the name, else the PBX's word."""
    return [_transition(one, directory) for one in transitions_of(call_of(call_key, orjson.loads(legs)))]


def _transition(one: Transition, directory: Directory) -> dict[str, Any]:
    agent = directory.find_agent(one.agent) if one.agent else None
    return {
        "state": str(one.state),
        "at": time_text(one.at),
        "agent_id": text_id(agent.id) if agent is not None else None,
        "agent": agent.name if agent is not None else one.agent,
    }


async def fetch_transitions(pool: Pool, directory: Directory, contact_id: int) -> list[dict[str, Any]]:
    """Empty for what is no call. Raises NotFound."""
    async with transaction_errors():
        row = await store.fetch_call_facts(pool, contact_id)
    if row is None:
        raise NotFound("there is no such contact")
    return transitions(row["call_key"], row["legs"], directory) if row["channel"] == "call" else []
