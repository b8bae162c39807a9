"""``/api/v1/agents/{id}/phone``: an agent's softphone. Its password is written here and read by the agent alone."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SecretStr

from handlers.api.shapes import Id, Time
from handlers.resource import Answer, Body, Call, resource
from server.domain.permission import Permission
from server.services import agent_phones

# What supervisors and administrators may do about others' work places.
OTHERS = Permission.PRESENCE_OTHERS


class AgentPhone(Answer):
    agent_id: Id
    uri: Annotated[str, Field(description="SIP address of record", examples=["sip:101@pbx.example.com"])]
    auth_user: Annotated[str, Field(description='name for the log-in; "" is that of the address')]
    wss_url: Annotated[str, Field(examples=["wss://pbx.example.com:8089/ws"])]
    display_name: str
    updated_at: Time


class IceServer(Answer):
    """As RTCPeerConnection takes it (W3C WebRTC 4.2.1)."""

    urls: list[str]
    username: str
    credential: str


class OwnPhone(AgentPhone):
    password: str
    ice_servers: list[IceServer]


class NewPhone(Body):
    """The whole account. Without a password the one that is there stays."""

    uri: str
    auth_user: str = ""
    password: Annotated[SecretStr | None, Field(max_length=1024)] = None
    wss_url: str
    display_name: str = ""


@resource("GET", "/agents/me/phone", Permission.SESSION_OWN, answer=OwnPhone)
async def fetch_own_phone(call: Call) -> dict[str, Any]:
    """One's own phone, with what the browser signs on with"""
    own = await agent_phones.fetch_own_phone(call.ctx.pool, call.who)
    servers = [
        {"urls": list(one.urls), "username": one.username, "credential": one.credential.get_secret_value()}
        for one in call.ctx.settings.softphone.ice_servers
    ]
    return own | {"ice_servers": servers}


@resource("GET", "/agents/{id}/phone", OTHERS, answer=AgentPhone)
async def fetch_phone(call: Call) -> dict[str, Any]:
    """An agent's phone, without the password"""
    return await agent_phones.fetch_phone(call.ctx.pool, call.id())


@resource("PUT", "/agents/{id}/phone", OTHERS, answer=AgentPhone)
async def set_phone(call: Call, body: NewPhone) -> dict[str, Any]:
    """Give an agent a phone, or another one"""
    given = body.model_dump()
    if body.password is not None:
        given["password"] = body.password.get_secret_value()
    return await agent_phones.set_phone(call.ctx.pool, call.who, call.id(), given)


@resource("DELETE", "/agents/{id}/phone", OTHERS, status=204)
async def remove_phone(call: Call) -> None:
    """Take the phone away"""
    await agent_phones.remove_phone(call.ctx.pool, call.who, call.id())
