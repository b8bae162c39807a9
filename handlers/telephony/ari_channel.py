"""ARI's channels and bridges as they stand in its JSON, and on whose side a channel is.

The objects are those of ``rest-api/api-docs/channels.json`` and ``bridges.json`` of Asterisk. A peer
may send anything: what has no usable id is None, every other field is empty when it makes no sense.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Any

from handlers.telephony.fields import MAX_KEY, optional_text
from handlers.telephony.timestamps import iso_time

# Channel drivers append a serial number, Local's two halves a ";1" and a ";2" as well.
_SERIAL = re.compile(r"-[0-9a-f]{1,16}(;[12])?$", re.IGNORECASE)
_EXTENSION = re.compile(r"[0-9]{2,6}")
_TRUNK_NAME = re.compile(r"trunk|pstn|provider|carrier|gateway|sbc|itsp|uplink", re.IGNORECASE)
# Not the agent who is on the way out through a context such as "macro-dialout-trunk".
_TRUNK_CONTEXT = re.compile(
    r"^(?!.*(dialout|outbound|outgoing)).*(trunk|pstn|external|public|incoming|inbound|\bdid\b)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\+?[0-9*#]{2,32}")
_SCHEME = re.compile(r"^(sips?|tel):", re.IGNORECASE)
_MOST_MEMBERS = 1000
# Local channels, and those that Asterisk makes for itself: to record, to announce, to listen in, for media bots.
_NOBODY = (
    "Local/", "Announcer/", "Recorder/", "CBAnn/", "CBRec/", "Snoop/", "Surrogate/", "Message/", "AsyncGoto/",
    "Parked/", "UnicastRTP/", "MulticastRTP/", "AudioSocket/", "WebSocket/",
)  # fmt: skip
OUTGOING = "(Outgoing Line)"
"""What stands for arguments in a channel that the PBX itself rings (AppDial, AppDial2, AppQueue)."""


class Side(Enum):
    """Who is at the end of a channel."""

    CUSTOMER = auto()
    AGENT = auto()
    WIRE = auto()  # nobody: half of a Local channel, which joins two others, or a helper of the PBX


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel. ``linkedid`` is there when ari.conf has ``channelvars = CHANNEL(linkedid)``."""

    id: str
    name: str
    state: str
    number: str
    caller_name: str
    connected: str
    context: str
    exten: str
    app: str
    app_data: str
    linkedid: str | None
    created_at: datetime | None

    @property
    def endpoint(self) -> str:
        """``PJSIP/101`` of ``PJSIP/101-0000002c``."""
        return _SERIAL.sub("", self.name)

    @property
    def resource(self) -> str:
        """``101`` of ``PJSIP/101-0000002c``."""
        return self.endpoint.partition("/")[2]

    @property
    def is_wire(self) -> bool:
        return self.name.startswith(_NOBODY)

    @property
    def is_outgoing(self) -> bool:
        """The PBX rings it; otherwise it called the PBX."""
        return self.state in ("Down", "Dialing", "Ringing") or self.app_data == OUTGOING

    @property
    def wire(self) -> str:
        """What the two halves of a Local channel have in common."""
        return self.name.rpartition(";")[0] or self.name


@dataclass(frozen=True, slots=True)
class Bridge:
    """``holding``: its members wait there, each alone (parked calls, agents between two calls)."""

    id: str
    members: tuple[str, ...]
    holding: bool


@dataclass(frozen=True, slots=True)
class Sides:
    """Whose a channel is. ``trunks``: patterns of the customers' endpoints, from the settings.

    Without them: extensions are agents (``PJSIP/101``); names and contexts with a word for the outside
    are customers; so are endpoints dialled for another number than their own (``+4930...@name``), and
    callers who send a number that is not their endpoint's name.
    """

    trunks: tuple[str, ...] = ()

    def of(self, channel: Channel, dialled: str = "") -> Side:
        if channel.is_wire:
            return Side.WIRE
        return Side.CUSTOMER if self._is_trunk(channel, dialled) else Side.AGENT

    def _is_trunk(self, channel: Channel, dialled: str) -> bool:
        endpoint, resource = channel.endpoint, channel.resource
        if self.trunks:
            return any(fnmatchcase(endpoint, one) or fnmatchcase(resource, one) for one in self.trunks)
        if is_extension(resource):
            return False
        if _TRUNK_NAME.search(resource) or _TRUNK_CONTEXT.search(channel.context):
            return True
        if channel.is_outgoing:
            return number_of(dialled, resource) not in ("", resource)
        return channel.number != resource and sum(map(str.isdigit, channel.number)) >= 7


def is_extension(name: str) -> bool:
    """A number inside the PBX, as far as its look tells."""
    return _EXTENSION.fullmatch(name) is not None


def number_of(dialled: str, resource: str = "") -> str:
    """The number in a ``Dial`` event's ``dialstring``, "" when it only names the endpoint.

    ``NUMBER@trunk``, ``trunk/NUMBER``, ``trunk/sip:NUMBER@host:5060``, with the technology before it when a
    queue dials.
    """
    for part in dialled.split("/"):
        user = _SCHEME.sub("", part).partition("@")[0].partition(":")[0].partition(";")[0]
        if user != resource and _NUMBER.fullmatch(user):
            return user
    return ""


def read_channel(value: Any) -> Channel | None:
    """A channel of ARI's JSON; None when it is none."""
    if not isinstance(value, Mapping):
        return None
    key = read_id(value.get("id"))
    if key is None:
        return None
    caller, dialplan = _part(value, "caller"), _part(value, "dialplan")
    return Channel(
        id=key,
        name=_text(value, "name"),
        state=_text(value, "state"),
        number=_text(caller, "number"),
        caller_name=_text(caller, "name"),
        connected=_text(_part(value, "connected"), "number"),
        context=_text(dialplan, "context"),
        exten=_text(dialplan, "exten"),
        app=_text(dialplan, "app_name"),
        app_data=_text(dialplan, "app_data"),
        linkedid=read_id(_part(value, "channelvars").get("CHANNEL(linkedid)")),
        created_at=iso_time(value.get("creationtime")),
    )


def read_bridge(value: Any) -> Bridge | None:
    if not isinstance(value, Mapping):
        return None
    key, members = read_id(value.get("id")), value.get("channels")
    if key is None or not isinstance(members, list):
        return None
    holding = value.get("bridge_type") == "holding"
    return Bridge(key, tuple(one for one in map(read_id, members[:_MOST_MEMBERS]) if one), holding)


def read_id(value: Any) -> str | None:
    """An id of a channel, bridge or recording that fits the database's indexes."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY:
        return None
    return value if optional_text(value) == value else None


def read_stamp(event: Mapping[str, Any]) -> str:
    """When the event happened, as part of a key."""
    return _text(event, "timestamp")[:32]


def read_text(event: Mapping[str, Any], name: str) -> str:
    """A text of an event, without control characters and cut; "" when there is none."""
    return _text(event, name)


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    return (optional_text(text) or "") if isinstance(text, str) else ""


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, Mapping) else {}
