"""Who may come in: log-in, tokens, roles, other sites; and how a refusal sounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from handlers.api.shapes import Agent, Quarantined, QuarantinedRaw, Queue, Session, Token
from handlers.doors import route_modules
from handlers.http import build_http_app, route, routes_of
from server.domain.errors import TooMany
from server.domain.permission import ROLE_PERMISSIONS, Permission
from server.services import agents, quarantine, sessions
from tests.api.conftest import PASSWORD, Api


async def test_every_route_declares_a_permission(api: Api) -> None:
    declared = {(one.method, one.path) for one in routes_of(route_modules())}
    app = build_http_app(api.ctx, route_modules())
    served = 0
    for one in app.router.routes():
        assert isinstance(one.handler.__dict__.get("permission"), Permission), one
        served += 1
    assert served == len(declared) > 30
    with pytest.raises(TypeError):
        route("GET", "/x")  # type: ignore[call-arg]


async def test_nobody_comes_in_without_a_token(api: Api) -> None:
    for one in routes_of(route_modules()):
        if not one.path.startswith("/api/") or one.permission is Permission.PUBLIC:
            continue
        path = (
            one.path.removeprefix("/api/v1")
            .replace("{id}", "1")
            .replace("{message_id}", "1")
            .replace("{attachment_id}", "1")
        )
        for headers in ({}, {"Authorization": "Bearer rpt_wrong"}, {"Cookie": "ringpost_session=rps_wrong"}):
            answer = await api.raw(one.method, path, "", headers=headers)
            assert answer.status == 401, (one.method, one.path, headers)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_roles(api: Api) -> None:
    for path, method, lowest in (
        ("/quarantine", "GET", "supervisor"), ("/quarantine/1/retry", "POST", "supervisor"),
        ("/agents", "POST", "administrator"), ("/queues", "POST", "administrator"),
        ("/agents/1/password", "PUT", "administrator"), ("/agents/1/state", "PUT", "supervisor"),
    ):  # fmt: skip
        for role in ROLE_PERMISSIONS:
            answer = await api.raw(method, path, role, json={})
            inside = list(ROLE_PERMISSIONS).index(role) >= list(ROLE_PERMISSIONS).index(lowest)
            assert (answer.status != 403) is inside, (path, role, answer.status)


async def with_password(api: Api, role: str = "agent") -> None:
    await agents.set_password(api.ctx.pool, api.actors["administrator"], api.actors[role].agent_id, PASSWORD)


async def test_session(api: Api) -> None:
    await with_password(api)
    answer = await api.raw(
        "POST", "/sessions", "", json={"email": "Agent@ringpost.test", "password": PASSWORD}
    )
    assert answer.status == 201
    given = await answer.json()
    Session.model_validate(given)
    cookie = answer.cookies["ringpost_session"]
    assert (
        cookie["httponly"] and cookie["samesite"] == "Lax" and cookie["path"] == "/" and not cookie["secure"]
    )
    assert cookie.value == given["token"]
    by_cookie = {"Cookie": f"ringpost_session={given['token']}"}
    assert (await api.raw("GET", "/agents/me", "", headers=by_cookie)).status == 200
    # A cookie alone changes nothing for another site.
    own, other = {"Origin": api.url}, {"Origin": "https://evil.example"}
    for headers, status in (
        (by_cookie | own, 201), (by_cookie | {"Sec-Fetch-Site": "same-origin"}, 201), (by_cookie, 403),
        (by_cookie | other, 403), (by_cookie | {"Origin": "null"}, 403),
        (by_cookie | own | {"Sec-Fetch-Site": "cross-site"}, 403),
        (by_cookie | own | {"Sec-Fetch-Site": "same-site"}, 403),
        ({"Authorization": f"Bearer {given['token']}"} | other, 201),
    ):  # fmt: skip
        said = await api.raw("POST", "/tickets", "", json={"subject": "x"}, headers=headers)
        assert said.status == status, (headers, await said.text())
    ended = await api.raw("DELETE", "/sessions", "", headers=by_cookie | own)
    assert ended.status == 204
    assert (await api.raw("GET", "/agents/me", "", headers=by_cookie)).status == 401


async def test_wrong_log_ins(api: Api) -> None:
    await with_password(api)
    for email, password in (
        ("agent@ringpost.test", "wrong"), ("nobody@ringpost.test", PASSWORD), ("supervisor@ringpost.test", PASSWORD),
        ("agent@ringpost.test\u0000", PASSWORD), ("", ""),
    ):  # fmt: skip
        refused = await api.call("POST", "/sessions", {"email": email, "password": password}, "", 401)
        assert refused["detail"] == "the address or the password is wrong"
    for _ in range(12):
        answer = await api.raw("POST", "/sessions", "", json={"email": "x@ringpost.test", "password": "no"})
        if answer.status == 429:
            break
    assert answer.status == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 301
    with pytest.raises(TooMany):
        await sessions.log_in(api.ctx.pool, "x@ringpost.test", "no", client="10.0.0.1", hours=1)


async def test_disabled_agents_are_out(api: Api) -> None:
    await with_password(api)
    token, actor = await sessions.log_in(api.ctx.pool, "agent@ringpost.test", PASSWORD, client="t", hours=1)
    await api.call("PATCH", f"/agents/{actor.agent_id}", {"disabled": True}, "administrator")
    for bearer in (token, api.tokens["agent"]):
        answer = await api.raw("GET", "/agents/me", "", headers={"Authorization": f"Bearer {bearer}"})
        assert answer.status == 401
    await api.call("POST", "/sessions", {"email": "agent@ringpost.test", "password": PASSWORD}, "", 401)


async def test_tokens(api: Api) -> None:
    made = await api.call("POST", "/tokens", {"name": "crm"}, status=201)
    listed = (await api.call("GET", "/tokens"))["items"]
    for one in listed:
        Token.model_validate(one)
    assert [one["name"] for one in listed] == ["crm", "test"]
    mine = {"Authorization": f"Bearer {made['token']}"}
    assert (await api.raw("GET", "/agents/me", "", headers=mine)).status == 200
    await api.call("DELETE", f"/tokens/{listed[0]['id']}", None, "supervisor", 404)
    await api.call("DELETE", f"/tokens/{listed[0]['id']}", status=204)
    assert (await api.raw("GET", "/agents/me", "", headers=mine)).status == 401
    await api.call("POST", "/tokens", {"name": ""}, status=422)


async def test_agents_and_queues(api: Api) -> None:
    made = await api.call(
        "POST", "/agents",
        {
            "email": "Li@Ringpost.test", "name": "李", "extension": "201", "queues": ["Support", "售后"],
            "skills": ["zh"],
        },
        "administrator", 201,
    )  # fmt: skip
    Agent.model_validate(made)
    assert (made["email"], made["queues"], made["state"]) == (
        "li@ringpost.test",
        ["support", "售后"],
        "offline",
    )
    for wrong, field, status in (
        ({"email": "li@ringpost.test", "name": "x"}, "email", 409),
        ({"email": "b@ringpost.test", "name": "x", "extension": "201"}, "extension", 409),
        ({"email": "b@ringpost.test", "name": "x", "queues": ["nowhere"]}, "queues", 422),
        ({"email": "b@ringpost.test", "name": "x", "role": "god"}, "role", 422),
        ({"email": "b", "name": "x"}, "email", 422),
        ({"email": "b@ringpost.test", "name": "\u0000"}, "name", 422),
        ({"email": "b@ringpost.test", "name": "x", "password": "short"}, "password", 422),
    ):
        assert field in (await api.call("POST", "/agents", wrong, "administrator", status))["fields"], wrong
    last = await api.call(
        "PATCH", f"/agents/{api.actors['administrator'].agent_id}", {"role": "agent"}, "administrator", 409
    )
    assert "administrator" in last["detail"]
    state = await api.call("PUT", "/agents/me/state", {"state": "available"})
    assert state["state"] == "available"
    await api.call("PUT", "/agents/me/state", {"state": "offline"}, status=422)
    listed = (await api.call("GET", "/agents?queue=support"))["items"]
    assert [one["name"] for one in listed] == ["李", "Administrator", "Supervisor", "Agent"]
    queue = await api.call(
        "POST",
        "/queues",
        {"name": "sales", "dnis": ["020 7946 0100", "4711"], "is_default": True},
        "administrator",
        201,
    )
    Queue.model_validate(queue)
    assert queue["dnis"] == ["+442079460100", "4711"]
    all_queues = (await api.call("GET", "/queues"))["items"]
    assert [(one["name"], one["is_default"]) for one in all_queues] == [
        ("sales", True), ("售后", False), ("support", False),
    ]  # fmt: skip
    assert all_queues[2]["agents"] == {"free": 1, "busy": 0, "wrap_up": 0, "not_ready": 0, "offline": 3}
    for wrong, field in (({"name": "SALES"}, "name"), ({"name": "b", "dnis": ["4711"]}, "dnis")):
        assert field in (await api.call("POST", "/queues", wrong, "administrator", 409))["fields"]
    renamed = await api.call(
        "PATCH", f"/queues/{queue['id']}", {"name": "Sales", "dnis": []}, "administrator"
    )
    assert (renamed["name"], renamed["dnis"]) == ("Sales", [])
    assert (
        await api.raw(
            "PATCH", f"/queues/{queue['id']}", "administrator", json={}, headers={"If-Match": '"1"'}
        )
    ).status == 412
    password = f"/agents/{made['id']}/password"
    await api.call("PUT", password, {"password": PASSWORD}, "administrator", 204)
    await api.call("POST", "/sessions", {"email": "li@ringpost.test", "password": PASSWORD}, "", 201)


async def test_quarantine(api: Api) -> None:
    kept = await quarantine.put(
        api.ctx.pool, "form", "gone", "broken", {"content_type": "text/plain"}, b"\xff\x00raw"
    )
    listed = (await api.call("GET", "/quarantine?state=open&door=form", None, "supervisor"))["items"]
    Quarantined.model_validate(listed[0])
    whole = await api.call("GET", f"/quarantine/{kept}", None, "supervisor")
    QuarantinedRaw.model_validate(whole)
    await api.call("POST", f"/quarantine/{kept}/retry", None, "supervisor", 404)  # there is no such form
    again = await api.call("GET", f"/quarantine/{kept}", None, "supervisor")
    assert again["attempts"] == 2
    done = await api.call("POST", f"/quarantine/{kept}/discard", None, "supervisor")
    assert done["state"] == "discarded"
    await api.call("POST", f"/quarantine/{kept}/discard", None, "supervisor", 409)


BODIES: list[tuple[bytes, str, int]] = [
    (b"{}", "text/plain", 415),
    (b"{}", "", 415),
    (b"{}", "application/merge-patch+json", 415),
    (b"{}", "application/json; charset=latin-1", 415),
    (b"", "application/json", 400),
    (b"{", "application/json", 400),
    (b'{"subject": "x",}', "application/json", 400),
    (b'{"subject": "\xff"}', "application/json", 400),
    (b'{"subject": NaN}', "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b'{"fields": {"a": ' + b"9" * 5000 + b"}}", "application/json", 400),
    (b"[]", "application/json", 422),
    (b"null", "application/json", 422),
    (b'{"subject": "' + b"x" * 1_100_000 + b'"}', "application/json", 413),
]


async def test_bodies_that_are_none(api: Api) -> None:
    for raw, media_type, status in BODIES:
        headers = {"Content-Type": media_type} if media_type else {}
        more: dict[str, Any] = {"skip_auto_headers": ["Content-Type"]} if not media_type else {}
        answer = await api.raw("POST", "/tickets", data=raw, headers=headers, **more)
        text = await answer.text()
        assert answer.status == status, (raw[:40], media_type, text)
        assert answer.content_type == "application/problem+json"
        told = json.loads(text)
        assert {"type", "title", "status", "detail"} <= told.keys() and told["status"] == status
    told = await (
        await api.raw("POST", "/tickets", data=b'{"a":\n 1,,}', headers={"Content-Type": "application/json"})
    ).json()
    assert "line 2 column 4" in told["detail"]


async def test_chunked_body_is_limited(api: Api) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b" " * 65_536

    try:
        answer = await api.raw(
            "POST", "/tickets", data=endless(), headers={"Content-Type": "application/json"}
        )
        assert answer.status == 413
    except aiohttp.ClientConnectionError:
        pass  # the door was closed while we still talked


async def test_unknown_paths_and_methods(api: Api) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("DELETE", "/tickets", 405),
        ("PATCH", "/agents/me", 404),
    ):
        answer = await api.raw(method, path, "administrator", json={} if method == "PATCH" else None)
        assert answer.status == status, path
        assert answer.content_type == "application/problem+json"


async def test_our_own_fault_is_told_with_its_request_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from server.services import tickets

    async def broken(*_: Any) -> Any:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(tickets, "fetch_ticket", broken)
    answer = await api.raw("GET", "/tickets/1", headers={"X-Request-Id": "abc-123"})
    told = await answer.json()
    assert (answer.status, told["request_id"], answer.headers["X-Request-Id"]) == (500, "abc-123", "abc-123")
    assert "secret" not in await answer.text()
    fine = await api.raw("GET", "/agents/me", headers={"X-Request-Id": "bad id\u00e9"})
    assert fine.status == 200 and fine.headers["X-Request-Id"] != "bad id\u00e9"


async def test_the_database_is_away(api: Api) -> None:
    await api.raw("GET", "/agents/me")  # remembered for a few seconds
    connections = await api.ctx.pool.fetchval("SELECT current_database()")
    assert connections
    await asyncio.wait_for(api.ctx.pool.close(), 10)
    answer = await api.raw("GET", "/tickets")
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1


async def test_security_headers(api: Api) -> None:
    answer = await api.raw("GET", "/agents/me")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-cache" in answer.headers["Cache-Control"]
