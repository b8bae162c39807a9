"""``/api/v1/openapi.json``: the API as its own declarations describe it (OpenAPI 3.1)."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from handlers.http import route
from handlers.resource import DOCS, JSON, MERGE_PATCH, PREFIX, Doc
from server.context import Context
from server.domain.permission import Actor, Permission

REF = "#/components/schemas/{model}"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "fields": {"type": "object", "additionalProperties": {"type": "string"}},
        "request_id": {"type": "string"},
    },
}


@route("GET", f"{PREFIX}/openapi.json", Permission.PUBLIC)
async def openapi_json(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    return web.Response(text=_text(), content_type=JSON, headers={"Cache-Control": "public, max-age=300"})


@lru_cache(maxsize=1)
def _text() -> str:
    return json.dumps(describe(), ensure_ascii=False)


def describe() -> dict[str, Any]:
    """The whole document. Every operation that was declared with ``resource`` is in it."""
    models: set[type[BaseModel]] = set()
    for doc in DOCS:
        models |= {model for model in (doc.answer, doc.body, doc.query) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    refs, shared = models_json_schema([(model, "validation") for model in ordered], ref_template=REF)
    schemas = dict(shared.get("$defs", {}))
    by_model = {model: refs[(model, "validation")] for model in ordered}
    schemas["Problem"] = PROBLEM
    paths: dict[str, dict[str, Any]] = {}
    for doc in sorted(DOCS, key=lambda one: (one.path, one.method)):
        query = schemas[doc.query.__name__] if doc.query is not None else None
        paths.setdefault(doc.path, {})[doc.method.lower()] = _operation(doc, by_model, query)
    for doc in DOCS:
        if doc.query is not None:
            schemas.pop(doc.query.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ringpost", "version": "1", "description": "Contact integration for call centres"},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "ringpost_session"},
            },
            "schemas": schemas,
        },
    }


def _operation(
    doc: Doc, refs: dict[type[BaseModel], dict[str, Any]], query: dict[str, Any] | None
) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in PLACEHOLDER.findall(doc.path)
    ]
    for name, schema in (query or {}).get("properties", {}).items():
        plain = {
            key: value for key, value in schema.items() if key not in ("title", "description", "default")
        }
        told = {"description": schema["description"]} if "description" in schema else {}
        parameters.append({"name": name, "in": "query", "required": False, "schema": plain, **told})
    if doc.versioned and doc.method == "PATCH":
        parameters.append(
            {"name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"}}
        )
    operation: dict[str, Any] = {
        "operationId": f"{doc.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', doc.path.removeprefix(PREFIX)).strip('_')}",
        "summary": doc.summary,
        "description": f"Needs the permission `{doc.permission.value}`.",
        "tags": [doc.tag],
        "parameters": parameters,
        "responses": _responses(doc, refs),
    }
    if doc.permission is Permission.PUBLIC:
        operation["security"] = []
    if doc.body is not None:
        types = (JSON, MERGE_PATCH) if doc.method == "PATCH" else (JSON,)
        operation["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": refs[doc.body]} for media_type in types},
        }
    return operation


def _responses(doc: Doc, refs: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "done"}
    if doc.answer is not None:
        schema = refs[doc.answer]
        if doc.listed:
            schema = {
                "type": "object",
                "required": ["items", "next"],
                "properties": {
                    "items": {"type": "array", "items": schema},
                    "next": {"type": ["string", "null"]},
                },
            }
        done["content"] = {JSON: {"schema": schema}}
    elif doc.media_type != JSON:
        done["content"] = {doc.media_type: {"schema": {"type": "string", "format": "binary"}}}
    if doc.versioned:
        done["headers"] = {"ETag": {"schema": {"type": "string"}}}
    problem = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
    wrong = {"400", "422", *(("415", "413") if doc.body is not None else ())}
    wrong |= {"401"} if doc.permission is not Permission.PUBLIC or doc.tag == "sessions" else set()
    wrong |= {"403"} if doc.permission is not Permission.PUBLIC else set()
    wrong |= {"404"} if "{" in doc.path else set()
    wrong |= {"409", "412"} if doc.method in ("POST", "PUT", "PATCH", "DELETE") else set()
    wrong |= {"429"} if doc.tag == "sessions" else set()
    wrong |= {"502"} if doc.path.endswith(("/calls", "/commands")) else set()  # the telephony said no
    found = {str(int(doc.status)): done}
    if doc.versioned and doc.method == "GET":
        found["304"] = {"description": "not modified"}
    return found | {
        status: {"description": "see detail", "content": problem} for status in sorted({*wrong, "503"})
    }
