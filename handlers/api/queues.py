"""``/api/v1/queues``, with what waits in them now."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from handlers.api.shapes import Queue
from handlers.resource import Body, Call, Paged, resource
from server.domain.cursor import decode_id_cursor, encode_cursor
from server.domain.permission import Permission
from server.services import queues

Dnis = Annotated[str, Field(min_length=1, max_length=64)]
READ, WRITE = Permission.QUEUES_READ, Permission.QUEUES_WRITE


class QueueChanges(Body):
    """A merge patch: what is not said stays, null empties, lists are replaced as a whole."""

    name: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    title_en: str | None = None
    title_zh: str | None = None
    is_default: bool | None = None
    dnis: Annotated[list[Dnis] | None, Field(description="numbers dialled that lead here")] = None


class NewQueue(Body):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    title_en: str = ""
    title_zh: str = ""
    is_default: bool = False
    dnis: list[Dnis] = Field(default_factory=list)


@resource("GET", "/queues", READ, answer=Queue, listed=True)
async def list_queues(call: Call, query: Paged) -> dict[str, Any]:
    """Queues with their live figures, newest first"""
    before = decode_id_cursor(query.cursor)
    found = sorted(await queues.list_queues(call.ctx.pool), key=lambda one: -int(one["id"]))
    rest = [one for one in found if before is None or int(one["id"]) < before]
    page = rest[: query.limit]
    return {"items": page, "next": encode_cursor(int(page[-1]["id"])) if len(rest) > len(page) else None}


@resource("POST", "/queues", WRITE, answer=Queue, status=201, versioned=True)
async def add_queue(call: Call, body: NewQueue) -> dict[str, Any]:
    """Add a queue"""
    return await queues.add_queue(call.ctx.pool, actor=call.who, country=call.country, **body.model_dump())


@resource("GET", "/queues/{id}", READ, answer=Queue, versioned=True)
async def fetch_queue(call: Call) -> dict[str, Any]:
    """A queue with its live figures"""
    return await queues.fetch_queue(call.ctx.pool, call.id())


@resource("PATCH", "/queues/{id}", WRITE, answer=Queue, versioned=True)
async def update_queue(call: Call, body: QueueChanges) -> dict[str, Any]:
    """Change a queue (RFC 7396)"""
    return await queues.update_queue(
        call.ctx.pool, call.who, call.id(), body.changes(), call.version, country=call.country
    )
