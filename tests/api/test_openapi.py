"""The description of the API is valid, whole, and true."""

from __future__ import annotations

import re

from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from handlers.api.openapi import describe
from handlers.doors import route_modules
from handlers.http import routes_of
from tests.api.conftest import Api


async def test_valid_and_whole(api: Api) -> None:
    answer = await api.raw("GET", "/openapi.json", "")
    assert answer.status == 200
    document = await answer.json()
    validate(document, cls=OpenAPIV31SpecValidator)
    told = {(method.upper(), path) for path, one in document["paths"].items() for method in one}
    served = {
        (one.method, one.path) for one in routes_of(route_modules()) if one.path.startswith("/api/v1/")
    } - {("GET", "/api/v1/openapi.json")}
    assert told == served


def test_every_operation_is_described() -> None:
    names = set()
    for path, operations in describe()["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            names.add(operation["operationId"])
            assert re.fullmatch(r"[a-z0-9_]+", operation["operationId"])
    assert len(names) == sum(len(operations) for operations in describe()["paths"].values())
