"""Recordings: shown with their call, listened to by those who may, each time written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from server.domain.errors import Forbidden, NotFound
from server.domain.permission import Actor
from server.domain.recording import RecordingState, fault_text
from server.domain.view import text_id, time_text
from server.push.hub import Hub
from server.services.transaction import transaction
from server.store import recordings as store
from server.store.pool import Pool, transaction_errors

# A player asks for the start several times before it plays, and for later pieces while it does.
SAME_START = timedelta(seconds=10)
SAME_PLAY = timedelta(hours=1)
PLAYS_SHOWN = 200
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SoundFile:
    """``path`` is below the folder of the recordings."""

    path: str
    content_type: str
    name: str


def supervises(actor: Actor) -> bool:
    return actor.role in ("supervisor", "administrator")


def recording_view(row: Row) -> dict[str, Any] | None:
    """The recording of a contact's row, None when it has none. ``url``: where it can be had now.

    Of the row are read ``recording_url`` and, from its row in recordings, ``recording_state``, ``..._type``,
    ``..._size``, ``..._seconds`` and ``..._error``.
    """
    there = row["recording_url"]
    if not there:
        return None
    state = row["recording_state"] or RecordingState.WAITING  # taken down within a second
    url = None
    if state == RecordingState.FETCHED:
        url = f"/api/v1/contacts/{row.get('contact_id') or row['id']}/recording"
    elif state == RecordingState.LINKED:
        url = there
    return {
        "state": str(state),
        "type": row["recording_type"],
        "size": row["recording_size"],
        "duration_seconds": row["recording_seconds"],
        "url": url,
        "error": fault_text(row["recording_error"] or "") or None,
    }


async def open_recording(pool: Pool, actor: Actor, contact_id: int, start: int | None) -> SoundFile:
    """What the actor may listen to, after writing down that they do. Raises NotFound, Forbidden.

    ``start``: the first byte that is asked for, None for the whole file at once. A play is what begins at the
    start, and whatever piece is asked for without one: nothing is heard that is not written down.
    """
    async with transaction(pool) as connection:
        row = await store.fetch_recording(connection, contact_id, actor.agent_id)
        if row is None or not row["recording_url"]:
            raise NotFound("there is no recording of this contact")
        if not (row["is_theirs"] or supervises(actor)):
            raise Forbidden("only the call's agent, agents of its queue and supervisors may listen")
        if row["recording_state"] != RecordingState.FETCHED:
            raise NotFound(_not_here(dict(row)))
        same = None if start is None else SAME_START if start == 0 else SAME_PLAY
        since = None if same is None else datetime.now(UTC) - same
        await store.insert_play(connection, contact_id, actor.agent_id, row["recording_id"], since)
    name = f"recording-{contact_id}{row['path'][row['path'].rfind('.') :]}"
    return SoundFile(row["path"], row["recording_type"], name)


def _not_here(row: Row) -> str:
    match row["recording_state"]:
        case RecordingState.LINKED:
            return "the recording is with the provider only: recording_url says where"
        case RecordingState.FAILED:
            return f"the recording could not be fetched: {fault_text(row['recording_error'])}"
        case RecordingState.DELETED:
            return "the recording was deleted: its time was over"
        case _:
            return "the recording is still being fetched"


async def retry_recording(pool: Pool, hub: Hub, actor: Actor, contact_id: int) -> dict[str, Any]:
    """Fetch it again, now and with all its tries. Raises Forbidden, NotFound."""
    if not supervises(actor):
        raise Forbidden("a supervisor may have it fetched again")
    async with transaction(pool) as connection:
        row = await store.fetch_recording(connection, contact_id, actor.agent_id)
        if row is None or row["recording_id"] is None:
            raise NotFound("there is no recording of this contact that could be fetched")
        if await store.retry(connection, row["recording_id"], datetime.now(UTC)):
            row = await store.fetch_recording(connection, contact_id, actor.agent_id)
            assert row is not None
    hub.hint("contact_changed", contact_id, [row["agent_id"]] if row["agent_id"] else [])
    if row["ticket_id"] is not None:
        hub.hint_all("ticket_changed", row["ticket_id"])
    return recording_view(dict(row)) or {}


async def list_plays(pool: Pool, actor: Actor, contact_id: int) -> list[dict[str, Any]]:
    """Who listened and when, newest first. Raises Forbidden, NotFound."""
    if not supervises(actor):
        raise Forbidden("supervisors see who listened")
    async with transaction_errors():
        row = await store.fetch_recording(pool, contact_id, actor.agent_id)
        if row is None:
            raise NotFound("there is no such contact")
        plays = await store.fetch_plays(pool, [contact_id], PLAYS_SHOWN)
    return [
        {
            "id": str(one["id"]),
            "agent_id": text_id(one["agent_id"]),
            "agent_name": one["agent_name"],
            "at": time_text(one["at"]),
        }
        for one in plays
    ]


async def recordings_of_ticket(pool: Pool, actor: Actor, ticket_id: int) -> dict[int, dict[str, Any]]:
    """By contact: the recording as ``recording_view`` gives it, and beside it ``fault`` (word and number),
    ``may_listen``, ``may_retry``, ``next_attempt_at`` and, for supervisors, ``plays``."""
    above = supervises(actor)
    async with transaction_errors(), pool.acquire() as connection:
        rows = await store.fetch_of_ticket(connection, ticket_id, actor.agent_id)
        contacts = [row["contact_id"] for row in rows]
        plays = await store.fetch_plays(connection, contacts, PLAYS_SHOWN) if above and rows else []
    return {
        row["contact_id"]: (recording_view(dict(row)) or {})
        | {
            "fault": (row["recording_error"] or "").partition(":")[::2],
            "next_attempt_at": row["next_attempt_at"],
            "may_listen": above or row["is_theirs"],
            "may_retry": above,
            "plays": [one for one in plays if one["contact_id"] == row["contact_id"]],
        }
        for row in rows
    }
