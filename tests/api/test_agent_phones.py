"""An agent's phone: set by supervisors and administrators, its password read by the agent alone."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog

from handlers.api.agent_phones import AgentPhone, OwnPhone
from server.logs import set_up_logs
from server.settings import Settings, SettingsError, load_settings
from tests.api.conftest import Api

SECRET = " p4ss w0rd "
PHONE = {
    "uri": "101@PBX.example.com",
    "auth_user": "priya",
    "password": SECRET,
    "wss_url": "wss://pbx.example.com:8089/ws",
    "display_name": 'Priya "P" Patel',
}


def of(api: Api, role: str = "agent") -> str:
    return f"/agents/{api.actors[role].agent_id}/phone"


@pytest.mark.parametrize("role", ["supervisor", "administrator"])
async def test_set_by_others_and_read_by_oneself(api: Api, role: str) -> None:
    given = await api.call("PUT", of(api), PHONE, role)
    AgentPhone.model_validate(given)
    assert given["uri"] == "sip:101@pbx.example.com"
    assert given == await api.call("GET", of(api), role=role)
    own = await api.call("GET", "/agents/me/phone")
    OwnPhone.model_validate(own)
    assert own["password"] == SECRET and own["ice_servers"] == []
    # Whoever set it never reads it back, and nobody reads or sets another's.
    assert "password" not in given
    await api.call("GET", "/agents/me/phone", role=role, status=404)
    for method in ("GET", "PUT", "DELETE"):
        assert (await api.raw(method, of(api), json=PHONE)).status == 403
        assert (await api.raw(method, of(api), "", json=PHONE)).status == 401
    await api.call("PUT", "/agents/me/phone", PHONE, status=403)


async def test_a_password_stays_until_another_comes(api: Api) -> None:
    await api.call("PUT", of(api), PHONE, "supervisor")
    for password, kept in ((None, SECRET), ("", SECRET), ("new", "new")):
        await api.call("PUT", of(api), PHONE | {"password": password, "auth_user": ""}, "supervisor")
        own = await api.call("GET", "/agents/me/phone")
        assert (own["password"], own["auth_user"]) == (kept, "")
    await api.call("DELETE", of(api), role="supervisor", status=204)
    await api.call("GET", "/agents/me/phone", status=404)
    await api.call("GET", of(api), role="supervisor", status=404)
    await api.call("DELETE", of(api), role="supervisor", status=404)
    refused = await api.call("PUT", of(api), PHONE | {"password": None}, "supervisor", 422)
    assert refused["fields"] == {"password": "must not be empty"}
    await api.call("PUT", "/agents/999999/phone", PHONE, "supervisor", 404)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("uri", value) for value in (
            "", "101", "@pbx.example.com", "101@", "tel:+442079460100", "sips:1@pbx.example.com", "sip:1@pbx:0",
            "sip:1@pbx:70000", "sip:1@pbx;transport=udp", "sip:1@pbx\r\nVia: x", "sip:a b@pbx", "sip:1@-pbx",
            "sip:1@pbx?x=y", "sip:%zz@pbx", "1@" + "a" * 300, "sip:１@pbx", "x\u0000@pbx",
        )),
        *(("wss_url", value) for value in (
            "", "pbx.example.com", "https://pbx.example.com", "ws://pbx.example.com/ws", "ws://127.0.0.1.evil.example",
            "wss://", "wss://user:pass@pbx.example.com", "wss://pbx.example.com:0", "wss://pbx.example.com:99999",
            "wss://pbx.example.com/#x", "wss://pbx.example.com/a b", "wss://[::1", "wss://пbx.example",
            "javascript:alert(1)", "wss://" + "a" * 600,
        )),
        ("auth_user", 'a"b'), ("auth_user", "a" * 201), ("password", "\u0000"), ("password", "a" * 1025),
        ("display_name", "a" * 101), ("extra", "x"), ("password", 7), ("uri", None), ("uri", ["a"]),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(api: Api, field: str, value: Any) -> None:
    refused = await api.call("PUT", of(api), PHONE | {field: value}, "supervisor", 422)
    assert field in refused["fields"]
    assert SECRET.strip() not in json.dumps(refused)
    await api.call("GET", of(api), role="supervisor", status=404)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8088/ws", "ws://localhost/ws"])
async def test_this_computer_may_go_without_tls(api: Api, url: str) -> None:
    assert (await api.call("PUT", of(api), PHONE | {"wss_url": url}, "supervisor"))["wss_url"] == url


async def test_neither_audit_nor_log_holds_the_password(api: Api) -> None:
    root, lines = logging.getLogger(), io.StringIO()
    former = root.handlers[:], root.level
    set_up_logs("debug", "json", lines)
    try:
        await api.call("PUT", of(api), PHONE, "supervisor")
        await api.call("PUT", of(api), PHONE | {"password": SECRET * 2}, "supervisor")
        await api.call("PUT", of(api), PHONE | {"wss_url": "no"}, "supervisor", 422)
        await api.call("DELETE", of(api), role="supervisor", status=204)
    finally:
        root.handlers[:] = former[0]
        root.setLevel(former[1])
        structlog.reset_defaults()
    assert SECRET.strip() not in lines.getvalue()
    rows = await api.ctx.pool.fetch(
        "SELECT agent_id, data FROM audit WHERE action = 'agent.phone' ORDER BY id"
    )
    assert [row["agent_id"] for row in rows] == [api.actors["supervisor"].agent_id] * 3
    assert rows[0]["data"]["uri"] == [None, "sip:101@pbx.example.com"]
    assert rows[1]["data"] == {"password": ["***", "***"]}
    assert rows[2]["data"]["uri"] == ["sip:101@pbx.example.com", None]
    assert SECRET.strip() not in json.dumps([row["data"] for row in rows])


def test_ice_servers_are_settings() -> None:
    def read(*servers: dict[str, Any]) -> Settings:
        return load_settings((), {"RINGPOST_SOFTPHONE__ICE_SERVERS": json.dumps(servers)})

    turn = {"urls": ["turns:turn.example.com:443?transport=tcp"], "username": "u", "credential": "c"}
    (server,) = read(turn).softphone.ice_servers
    assert server.urls == ("turns:turn.example.com:443?transport=tcp",)
    assert server.credential.get_secret_value() == "c" and "'c'" not in repr(server)
    with pytest.raises(SettingsError, match=r"softphone\.ice_servers\.0\.urls"):
        read({"urls": ["https://turn.example.com"]})
    with pytest.raises(SettingsError, match="needs username and credential"):
        read({"urls": ["turn:turn.example.com"]})
