"""One CDR of FreeSWITCH's, read: whose leg it is, of which call, and when what happened to it.

``{variables, app_log, callflow: [{caller_profile, times, extension}]}``, the call flow's newest part first.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from handlers.telephony.fields import optional_text, required_key
from handlers.telephony.timestamps import epoch_time
from server.domain.errors import Malformed
from server.domain.event import Direction

_FORM = b"cdr="
_NUMBER = re.compile(r"\+?[0-9]{7,20}", re.ASCII)
_EXTENSION = re.compile(r"[0-9]{2,6}", re.ASCII)
_MOST = 200  # parts of a call flow, applications
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Leg:
    """One document, read. ``first`` is the call flow's oldest profile, before any transfer."""

    key: str
    variables: Object
    flow: tuple[Object, ...]  # newest first, as it comes
    first: Object
    applications: frozenset[str]  # what the dial plan ran

    def variable(self, name: str) -> str | None:
        """Variables are percent-encoded (``encode-values``), a plus is a plus."""
        value = self.variables.get(name)
        return optional_text(unquote(value)) if isinstance(value, str) else None

    def profile(self, name: str) -> str | None:
        return text_of(self.first, name)

    @property
    def caller(self) -> str | None:
        return self.profile("caller_id_number") or self.variable("sip_from_user")

    @property
    def phone(self) -> tuple[str, ...]:
        """The agent at the end of a leg that the switch made, each name once, without a user's domain."""
        names = (self.variable("dialed_user"), self.profile("destination_number"), self.variable("cc_agent"))
        return tuple(dict.fromkeys(name.partition("@")[0] for name in names if name))

    @property
    def originator(self) -> Object:
        """The profile of the leg for whose sake this one was made; empty for a caller's leg."""
        profiles = objects_of(object_of(self.first, "originator"), "originator_caller_profiles")
        return profiles[0] if profiles else {}

    @property
    def parent(self) -> str | None:
        """The caller's leg; None for a caller's leg itself."""
        key = self.member or text_of(self.originator, "uuid") or self.variable("originator")
        if key is None and self.variable("direction") == "outbound":
            key = self.variable("call_uuid")
        return required_key("originator", key) if key and key != self.key else None

    @property
    def member(self) -> str | None:
        """The caller for whom mod_callcenter rang this agent: it makes such legs as calls of their own."""
        return self.variable("cc_member_session_uuid") if self.variable("cc_side") == "agent" else None

    @property
    def call_key(self) -> str:
        return required_key("call_uuid", self.member or self.variable("call_uuid") or self.parent or self.key)

    @property
    def direction(self) -> Direction | None:
        """Of the call. The switch calls every leg inbound that comes in, an agent's phone as well: that one
        has logged in, or has a number too short to be anybody's outside."""
        caller = self.originator if self.parent else self.first
        if not caller:
            return None
        if self.parent is None and self.variable("direction") == "outbound":
            return Direction.OUTBOUND  # originated by the switch itself
        user = text_of(caller, "username") or (self.variable("user_name") if self.parent is None else None)
        if not user and not _EXTENSION.fullmatch(text_of(caller, "caller_id_number") or ""):
            return Direction.INBOUND
        outside = _NUMBER.fullmatch(text_of(caller, "destination_number") or "")
        return Direction.OUTBOUND if outside else Direction.INTERNAL

    @property
    def started_at(self) -> datetime | None:
        return self.time("created_time") or epoch_time(self.variable("start_epoch"))

    @property
    def answered_at(self) -> datetime | None:
        return self.time("answered_time") or epoch_time(self.variable("answer_epoch"))

    @property
    def ended_at(self) -> datetime | None:
        return self.time("hangup_time") or epoch_time(self.variable("end_epoch"))

    @property
    def bridged_at(self) -> datetime | None:
        """When the caller was first put through to somebody."""
        return self.time("bridged_time") or epoch_time(self.variable("bridge_epoch"))

    def time(self, name: str) -> datetime | None:
        """The earliest that any part of the call flow gives."""
        return min(filter(None, (time_of(part, name) for part in self.flow)), default=None)


def read_leg(body: bytes) -> Leg:
    """Raises Malformed for what is no CDR."""
    document = _read_document(body)
    variables = object_of(document, "variables")
    flow = tuple(objects_of(document, "callflow"))
    first = object_of(flow[-1], "caller_profile") if flow else {}
    key = text_of(variables, "uuid") or text_of(first, "uuid")
    logged = [object_of(document, "app_log"), *(object_of(part, "extension") for part in flow)]
    return Leg(
        key=required_key("variables.uuid", key),
        variables=variables,
        flow=flow,
        first=first,
        applications=frozenset(
            text_of(one, "app_name") or "" for part in logged for one in objects_of(part, "applications")
        ),
    )


def _read_document(body: bytes) -> Object:
    """``encode`` is false, true or base64. The content type may be wrong (``disable-100-continue``):
    the body tells. Of base64 every sign is as it was sent: it is no form to be decoded."""
    body = body.strip()
    try:
        if body.startswith(_FORM):
            body = body.removeprefix(_FORM)
            plain = body.startswith((b"%", b"{"))
            body = unquote(body.decode()).encode() if plain else base64.b64decode(body, validate=True)
        document = json.loads(body.decode())
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"the CDR cannot be read: {type(bad).__name__}") from None
    if not isinstance(document, dict):
        raise Malformed("the CDR must be an object")
    return document


def time_of(part: Object, name: str) -> datetime | None:
    """One of a call flow part's ``times``: microseconds, 0 means never."""
    return epoch_time(object_of(part, "times").get(name), per_second=1_000_000)


def object_of(value: Object, name: str) -> Object:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def objects_of(value: Object, name: str) -> list[Object]:
    found = value.get(name)
    if not isinstance(found, list):
        return []
    return [one for one in found[:_MOST] if isinstance(one, dict)]


def text_of(value: Object, name: str) -> str | None:
    found = value.get(name)
    return optional_text(found) if isinstance(found, str) else None
