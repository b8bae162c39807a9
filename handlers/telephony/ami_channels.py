"""What a PBX's channels are to us: the customer's line, an agent's phone, or a part of the PBX itself.

AMI does not say it. A channel is named ``Technology/endpoint-number``; the endpoint, the context that it
came in with and its caller id tell. The source's option ``trunk`` settles it where they do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from server.domain.event import Direction

RING, RINGING, UP = 4, 5, 6
"""Channel states: a call comes in, the phone at its end rings, picked up."""


class Kind(Enum):
    TRUNK = "trunk"  # leads out of the house
    PHONE = "phone"  # of an agent
    INNER = "inner"  # two-ended Local channels, announcers, recorders: nobody is at their end


@dataclass(slots=True, eq=False)
class Channel:
    """One leg. ``incoming``: the PBX was called by it; else the PBX called it."""

    uid: str
    name: str
    kind: Kind
    call: PbxCall
    incoming: bool
    number: str  # caller id, as far as it is a number or name at all
    refs: tuple[str, ...] = ()
    dialer: str = ""  # who dialled it
    state: int = 0
    bridge: str = ""
    queue: str = ""  # waits in it
    joins: int = 0
    held: bool | None = None  # None: it was there before us
    rung: bool = False
    moved: bool = False  # came from another call
    consults: bool = False  # an agent's second line while the customer is held
    status: str = ""  # why the dialling of it ended
    answered_at: float | None = None
    ended_at: float | None = None
    talk_seconds: int | None = None

    @property
    def is_customer(self) -> bool:
        return self.call.customer is self


@dataclass(slots=True, eq=False)
class PbxCall:
    """All that has one linkedid; ``direction`` is None until it is known (nothing is told before)."""

    key: str
    direction: Direction | None = None
    customer: Channel | None = None
    caller: Channel | None = None  # the agent's phone that began it
    ani: str = ""
    dnis: str = ""
    display_name: str = ""
    queue: str = ""
    target: str = ""  # whom we had it dialled for
    whole: bool = False  # seen from its beginning
    told: bool = False
    announced: bool = False  # the customer's leg was told
    answered: bool = False
    missed: bool = False
    voicemail: bool = False
    failed: Channel | None = None  # the latest leg that nobody picked up
    channels: dict[str, Channel] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)  # the linkedids that lead here


# -- names -----------------------------------------------------------------------------------------

_INNER = {
    "local", "surrogate", "asyncgoto", "bridge", "cbann", "cbrec", "announcer", "recorder", "message", "snoop",
    "unicastrtp", "multicastrtp", "parking", "agent",
}  # fmt: skip
_OUTSIDE = re.compile(
    "trunk|pstn|extern|provider|carrier|gateway|sbc|itsp|public|from-did|incoming|inbound", re.I
)
_INSIDE = re.compile("intern|agent|user|phone|inside|exten|office|member|staff", re.I)
_EXTENSION = re.compile("[0-9]{2,6}")
_MAX_LEARNED = 10_000
_NUMBER = re.compile(r"\+?[0-9*#]{2,40}")


def endpoint_of(name: str) -> str:
    """``PJSIP/101-0000001a`` is a channel of ``PJSIP/101``, ``Local/9@x-00000001;2`` of ``Local/9@x``."""
    return name.partition(";")[0].rpartition("-")[0] or name


def twin_of(name: str) -> str | None:
    """The name of the other end of a Local channel."""
    if name.endswith(";1"):
        return name[:-1] + "2"
    return name[:-1] + "1" if name.endswith(";2") else None


def is_inside(number: str) -> bool:
    """A PBX's own extension, by its length."""
    return _EXTENSION.fullmatch(number) is not None


def known(value: str) -> str:
    return "" if value == "<unknown>" else value


def dialled_number(dial_string: str, caller_id: str, exten: str) -> str:
    """The number that was dialled, of a leg to the outside: what the carrier got comes first.

    Dial strings are ``+4930...@trunk``, ``trunk/sip:+4930...@host``, ``trunk/0049...`` and ``g1/0049...``.
    """
    sent = dial_string.partition("@")[0].rpartition("/")[2].removeprefix("sip:")
    candidates = [said for said in (sent, known(caller_id), exten) if _NUMBER.fullmatch(said)]
    return next((said for said in candidates if not is_inside(said)), candidates[0] if candidates else "")


class Lines:
    """Tells trunks from phones. ``trunk``: patterns such as ``PJSIP/trunk*, DAHDI/*``, "" to find out."""

    def __init__(self, trunk: str = "") -> None:
        self._patterns = tuple(part for part in re.split(r"[,\s]+", trunk) if part)
        self._learned: dict[str, Kind] = {}

    def kind_of(self, name: str, context: str, number: str, *, incoming: bool, fresh: bool) -> Kind:
        """``fresh``: the channel is new, so that ``context`` is still the one of its endpoint."""
        technology, _, resource = endpoint_of(name).partition("/")
        if technology.lower() in _INNER or not resource:
            return Kind.INNER
        endpoint = f"{technology}/{resource}"
        if self._patterns:
            return Kind.TRUNK if any(fnmatchcase(endpoint, one) for one in self._patterns) else Kind.PHONE
        found = _evidence(technology, resource, context if fresh else "", number)
        if found is None:
            # A phone has a caller id of its own, a line that is about to be dialled has none.
            weak = Kind.TRUNK if incoming or not number else Kind.PHONE
            return self._learned.get(endpoint, weak)
        if fresh and len(self._learned) < _MAX_LEARNED:
            self._learned[endpoint] = found
        return found if fresh else self._learned.get(endpoint, found)


def _evidence(technology: str, resource: str, context: str, number: str) -> Kind | None:
    if _OUTSIDE.search(context):
        return Kind.TRUNK
    if is_inside(resource):
        return Kind.PHONE
    if _OUTSIDE.search(resource) or (technology == "DAHDI" and re.match("[igr][0-9]", resource)):
        return Kind.TRUNK
    return Kind.PHONE if _INSIDE.search(context) or is_inside(number) else None


def refs_of(name: str, number: str) -> tuple[str, ...]:
    """How an agent's phone is known: its endpoint, and its extension where the endpoint is not named so."""
    endpoint = endpoint_of(name)
    named = endpoint.partition("/")[2] == number
    return (endpoint, number) if is_inside(number) and not named else (endpoint,)
