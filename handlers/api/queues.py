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


class Title(Body):
    code: Annotated[str, Field(min_length=1, max_length=60)]
    en: str = ""
    zh_CN: str = ""


Skills = Annotated[
    dict[str, int], Field(description="skill -> the least level (1 to 10) that an agent must have")
]
Week = Annotated[
    dict[str, list[list[str]]],
    Field(description='opening hours, {"mon": [["09:00", "17:30"]]}; empty: always open'),
]


class Distribution(Body):
    """How the queue distributes, and what comes after a call."""

    skills: Skills | None = None
    wrap_up_seconds: Annotated[int | None, Field(ge=0, le=3600, description="0: no after-call work")] = None
    dispositions: list[Title] | None = None
    disposition_required: bool | None = None
    overflow_after_seconds: Annotated[int | None, Field(ge=5, le=86400)] = None
    overflow_queue: Annotated[str | None, Field(description="where whoever has waited that long goes on")] = (
        None
    )
    hours: Week | None = None
    holidays: Annotated[list[str] | None, Field(description="days on which it is closed, 2026-12-25")] = None
    time_zone: Annotated[str | None, Field(description="of the hours; empty: the installation's")] = None
    callback_due_seconds: Annotated[int | None, Field(ge=60, le=1209600)] = None


class QueueChanges(Distribution):
    """A merge patch: what is not said stays, null empties, lists are replaced as a whole."""

    name: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    title_en: str | None = None
    title_zh: str | None = None
    is_default: bool | None = None
    dnis: Annotated[list[Dnis] | None, Field(description="numbers dialled that lead here")] = None


class NewQueue(Distribution):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    title_en: str = ""
    title_zh: str = ""
    is_default: bool = False
    dnis: list[Dnis] = Field(default_factory=list)


def zone_of(call: Call) -> str:
    """The installation's, for opening hours of a queue without one of its own."""
    return call.ctx.settings.region.timezone


@resource("GET", "/queues", READ, answer=Queue, listed=True)
async def list_queues(call: Call, query: Paged) -> dict[str, Any]:
    """Queues with their live figures, newest first"""
    before = decode_id_cursor(query.cursor)
    found = sorted(await queues.list_queues(call.ctx.pool, zone_of(call)), key=lambda one: -int(one["id"]))
    rest = [one for one in found if before is None or int(one["id"]) < before]
    page = rest[: query.limit]
    return {"items": page, "next": encode_cursor(int(page[-1]["id"])) if len(rest) > len(page) else None}


@resource("POST", "/queues", WRITE, answer=Queue, status=201, versioned=True)
async def add_queue(call: Call, body: NewQueue) -> dict[str, Any]:
    """Add a queue"""
    return await queues.add_queue(
        call.ctx.pool, actor=call.who, country=call.country, zone=zone_of(call), **body.model_dump()
    )


@resource("GET", "/queues/{id}", READ, answer=Queue, versioned=True)
async def fetch_queue(call: Call) -> dict[str, Any]:
    """A queue with its live figures"""
    return await queues.fetch_queue(call.ctx.pool, call.id(), zone_of(call))


@resource("PATCH", "/queues/{id}", WRITE, answer=Queue, versioned=True)
async def update_queue(call: Call, body: QueueChanges) -> dict[str, Any]:
    """Change a queue (RFC 7396)"""
    return await queues.update_queue(
        call.ctx.pool,
        call.who,
        call.id(),
        body.changes(),
        call.version,
        country=call.country,
        zone=zone_of(call),
    )
