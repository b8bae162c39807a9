"""``/api/v1/connections``: the live call sources, as the node that is asked sees them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from handlers.api.shapes import Time
from handlers.resource import Answer, Call, Paged, resource
from server.context import Connection as Seen
from server.domain.cursor import decode_id_cursor, encode_cursor
from server.domain.permission import Permission
from server.domain.view import time_text


class Connection(Answer):
    name: Annotated[str, Field(description="of the call source")]
    provider: str
    state: Literal["connecting", "up", "waiting", "refused", "standby"]
    since: Annotated[Time, Field(description="when it came up, went down or stood by")]
    detail: Annotated[
        str,
        Field(description="for people: what it said when it came up, why it is down, or which node has it"),
    ]
    reconnects: Annotated[int, Field(description="since the server's start")]
    last_event_at: Time | None


@resource("GET", "/connections", Permission.QUARANTINE_READ, answer=Connection, listed=True)
async def list_connections(call: Call, query: Paged) -> dict[str, Any]:
    """Live connections and their states, by name"""
    start = decode_id_cursor(query.cursor) or 0
    found = call.ctx.telephony.connections[start:]
    following = encode_cursor(start + query.limit) if len(found) > query.limit else None
    return {"items": [_view(one) for one in found[: query.limit]], "next": following}


def _view(one: Seen) -> dict[str, Any]:
    return {
        "name": one.name,
        "provider": one.provider,
        "state": one.state.value,
        "since": time_text(one.since),
        "detail": one.detail,
        "reconnects": one.reconnects,
        "last_event_at": time_text(one.last_event_at),
    }
