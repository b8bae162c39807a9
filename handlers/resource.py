"""API resources: a handler's body and query are models, checked before it is called, described in OpenAPI.

``@resource("POST", "/tickets", Permission.TICKETS_WRITE, answer=Ticket)`` marks
``async def (call, body: NewTicket)``; the annotations of ``body`` and ``query`` are the models.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Annotated, Any, NoReturn, TypeVar, get_type_hints

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.http import route
from server.context import Context
from server.domain.errors import Invalid, Malformed, NotAuthenticated, NotFound, TooLarge, WrongType
from server.domain.fields import parse_id, text_fault
from server.domain.permission import Actor, Permission

PREFIX = "/api/v1"
MAX_BYTES = 1_048_576
MAX_LIMIT = 200
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


class Body(BaseModel):
    """A JSON object as it must be: no unknown names, no types made to fit."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def changes(self) -> dict[str, Any]:
        """What was said, and nothing else; an explicit null stays."""
        return self.model_dump(exclude_unset=True, by_alias=True)


class Query(BaseModel):
    """The query string; each name once. Nothing in it is optional to understand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def filters(self) -> dict[str, Any]:
        return self.model_dump(exclude={"limit", "cursor"}, exclude_none=True, by_alias=True)


class Paged(Query):
    """A page of a list, newest first."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="entries of a page")] = 50
    cursor: Annotated[str | None, Field(description="`next` of the page before")] = None


class Answer(BaseModel):
    """What is given back, for the description and for the tests that hold us to it."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Doc:
    """One operation, as ``openapi.json`` tells it."""

    method: str
    path: str
    permission: Permission
    summary: str
    answer: type[BaseModel] | None
    status: int
    body: type[Body] | None
    query: type[Query] | None
    listed: bool
    versioned: bool
    media_type: str
    tag: str


DOCS: list[Doc] = []


@dataclass(frozen=True, slots=True)
class Call:
    """One request, authenticated and read."""

    request: web.Request
    ctx: Context
    actor: Actor | None

    @property
    def who(self) -> Actor:
        if self.actor is None:
            raise NotAuthenticated("log in, or send a token as Authorization: Bearer")
        return self.actor

    @property
    def country(self) -> str:
        return self.ctx.settings.region.default_country

    def id(self, name: str = "id") -> int:
        """An id of the path. Whatever is no id of ours leads nowhere: NotFound."""
        found = parse_id(self.request.match_info[name])
        if found is None:
            raise NotFound("there is nothing of this id")
        return found

    @property
    def version(self) -> int | None:
        """What ``If-Match`` asks for (RFC 9110 13.1.1): None is any; a tag that is not ours never matches."""
        said = self.request.headers.get("If-Match")
        if said is None or said.strip() == "*":
            return None
        tag = said.strip()
        inner = tag[1:-1]
        short = len(inner) < 10
        return (
            int(inner) if tag[:1] == tag[-1:] == '"' and inner.isascii() and inner.isdigit() and short else -1
        )


Result = Mapping[str, Any] | web.StreamResponse | None
Operation = Callable[..., Awaitable[Result]]
Door = Callable[[web.Request, Context, Actor | None], Awaitable[web.StreamResponse]]


def resource(
    method: str,
    path: str,
    permission: Permission,
    *,
    answer: type[BaseModel] | None = None,
    status: int = HTTPStatus.OK,
    listed: bool = False,
    versioned: bool = False,
    media_type: str = JSON,
) -> Callable[[Operation], Door]:
    """Declare an operation. ``listed``: gives a page of ``answer``; ``versioned``: gives an ETag."""

    def declare(operation: Operation) -> Door:
        hints = get_type_hints(operation)
        body_model: type[Body] | None = hints.get("body")
        query_model: type[Query] | None = hints.get("query")
        patches = method == "PATCH"
        DOCS.append(
            Doc(
                method=method,
                path=PREFIX + path,
                permission=permission,
                summary=(inspect.getdoc(operation) or "").split("\n", maxsplit=1)[0].rstrip("."),
                answer=answer,
                status=status,
                body=body_model,
                query=query_model,
                listed=listed,
                versioned=versioned,
                media_type=media_type,
                tag=path.strip("/").split("/", maxsplit=1)[0],
            )
        )

        @wraps(operation)
        async def door(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
            given: dict[str, BaseModel] = {}
            if query_model is not None:
                given["query"] = read_query(request, query_model)
            elif request.query_string:
                read_query(request, Query)
            if body_model is not None:
                given["body"] = await read_body(request, body_model, patches=patches)
            result = await operation(Call(request, ctx, actor), **given)
            if isinstance(result, web.StreamResponse):
                return result
            if result is None:
                return web.Response(status=HTTPStatus.NO_CONTENT)
            return answered(request, result, status, versioned=versioned)

        return route(method, PREFIX + path, permission)(door)

    return declare


def answered(
    request: web.Request, result: Mapping[str, Any], status: int, *, versioned: bool
) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    if versioned:
        tag = f'"{result["version"]}"'
        headers = {"Cache-Control": "private, no-cache", "ETag": tag}
        if request.method == "GET" and request.headers.get("If-None-Match") == tag:
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    return web.Response(status=status, text=text, content_type=JSON, headers=headers)


AnyQuery = TypeVar("AnyQuery", bound=Query)
AnyBody = TypeVar("AnyBody", bound=Body)


def read_query(request: web.Request, model: type[AnyQuery]) -> AnyQuery:
    """Raises Invalid naming each parameter that is unknown, wrong or said twice."""
    said: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for name, value in request.query.items():
        fault = text_fault(name) or text_fault(value)
        if fault is not None:
            wrong[_printable(name)] = fault
        elif name in said:
            wrong[name[:100]] = "is said twice"
        said[name] = value
    if wrong:
        raise Invalid(fields=wrong)
    try:
        return model.model_validate(said)
    except ValidationError as error:
        raise Invalid(fields=_faults(error, "query")) from None


async def read_body(request: web.Request, model: type[AnyBody], *, patches: bool = False) -> AnyBody:
    """The JSON body as its model. Raises WrongType, TooLarge, Malformed (where), Invalid (each field)."""
    said = request.content_type if "Content-Type" in request.headers else ""
    if said != JSON and not (patches and said == MERGE_PATCH):
        wanted = f"{JSON} or {MERGE_PATCH}" if patches else JSON
        raise WrongType(f"send {wanted}, not {said[:100] or 'a body without a type'}")
    if (request.charset or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8", "us-ascii"):
        raise WrongType("JSON is UTF-8 (RFC 8259 8.1)")
    value = _parse(await _read(request))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Invalid(fields=_faults(error, "body")) from None


async def _read(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BYTES:
        raise TooLarge(f"a body may have {MAX_BYTES} bytes")
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > MAX_BYTES:
            raise TooLarge(f"a body may have {MAX_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError as bad:
        raise Malformed(f"the body is not UTF-8 (byte {bad.start})") from None
    except json.JSONDecodeError as bad:
        raise Malformed(f"the body is not JSON: {bad.msg}, line {bad.lineno} column {bad.colno}") from None
    except (RecursionError, ValueError) as bad:
        words = "nested too deeply" if isinstance(bad, RecursionError) else str(bad)
        raise Malformed(f"the body cannot be read: {words}") from None


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


WORDS = {
    "extra_forbidden": "there is no such field",
    "missing": "is required",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_unicode": "holds a lone surrogate (broken UTF-16)",
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be true or false",
}


def _faults(error: ValidationError, whole: str) -> dict[str, str]:
    """Field path -> what is wrong; at most 50 of them."""
    return {
        _printable(".".join(str(part) for part in one["loc"]) or whole): WORDS.get(
            one["type"], one["msg"][:1].lower() + one["msg"][1:]
        )
        for one in error.errors(include_url=False, include_input=False)[:50]
    }


def _printable(name: str) -> str:
    return name[:100].encode("utf-8", "replace").decode().replace("\0", "?")
