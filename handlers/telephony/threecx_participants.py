"""What the participants of the 3CX Call Control API tell of calls: states in, neutral events out, no I/O.

A participant is one phone's part in a call: ``callid`` is the call, ``legid`` the leg, ``dn`` the
extension (or the queue, the route point). The official words for ``status`` are Connected and Dialing;
whatever else comes is taken for ringing. When a participant is gone the API says no more of it, so its
last state is kept here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handlers.telephony.fields import MAX_KEY, optional_text
from server.domain.event import CallEvent, Direction, EventType

CONNECTED, DIALING = "connected", "dialing"
_EXTENSION = "extension"  # of party_dn_type and of a DN's type, as in "Wextension"


@dataclass(frozen=True, slots=True)
class Participant:
    """The fields of one participant that are used here, read."""

    call: str
    leg: str
    dn: str
    status: str
    number: str | None = None
    name: str | None = None
    party_type: str = ""

    @property
    def leg_key(self) -> str:
        return f"{self.call}/{self.leg}"

    @property
    def connected(self) -> bool:
        return self.status.lower() == CONNECTED


def read_participant(message: Any) -> Participant | None:
    """One participant of the API's JSON; None when it is not (or not yet) part of a call."""
    if not isinstance(message, Mapping):
        return None
    said = {name: optional_text(str(value)) for name, value in message.items() if value is not None}
    call, leg, dn, status = (said.get(name) for name in ("callid", "legid", "dn", "status"))
    if not (call and leg and dn and status) or len(call) + len(leg) + len(status) > MAX_KEY:
        return None
    party = said.get("party_caller_id") or said.get("party_dn")
    return Participant(
        call, leg, dn, status, party, said.get("party_caller_name"), said.get("party_dn_type") or ""
    )


class Participants:
    """Who takes part in which call, by the API's path of the participant.

    ``types``: DN -> its type, of those that the PBX listed; a DN that is no extension answers for the PBX.
    """

    def __init__(self, types: Mapping[str, str] | None = None, most_calls: int = 4096) -> None:
        self._types = types or {}
        self._most_calls = most_calls
        self._here: dict[str, Participant] = {}
        self._directions: OrderedDict[str, Direction] = OrderedDict()
        self._answered: OrderedDict[str, str] = OrderedDict()  # call -> the extension that has it

    def update(self, path: str, new: Participant) -> list[CallEvent]:
        """The participant is in this state now; nothing comes of a state that was told before."""
        old = self._here.get(path)
        self._here[path] = new
        if old is not None and (old.leg_key, old.status) == (new.leg_key, new.status):
            return []
        direction = self._direction(new)
        if not self._is_phone(new):
            return [_event(EventType.QUEUED, new, new.status, direction, agent=False)]
        if not new.connected:
            kind = EventType.DIALING if direction is Direction.OUTBOUND else EventType.RINGING
            return [_event(kind, new, new.status, direction)]
        before = self._answered.get(new.call)
        self._keep(self._answered, new.call, new.dn)
        if before is None or before == new.dn:
            return [_event(EventType.ANSWERED, new, new.status, direction)]
        return [
            _event(EventType.TRANSFERRED, new, new.status, direction),
            _event(EventType.ANSWERED, new, "answered", direction),
        ]

    def remove(self, path: str) -> list[CallEvent]:
        """The participant is gone. Of a call that nobody took, the last one to go makes it a missed one."""
        old = self._here.pop(path, None)
        if old is None:
            return []
        direction = self._directions.get(old.call)
        goes_on = any(other.call == old.call for other in self._here.values())
        missed = direction is Direction.INBOUND and old.call not in self._answered and not goes_on
        kind = EventType.MISSED if missed else EventType.HANGUP
        return [_event(kind, old, "removed", direction, agent=self._is_phone(old), ends=True)]

    def _is_phone(self, participant: Participant) -> bool:
        type_ = self._types.get(participant.dn, "")
        return not type_ or _EXTENSION in type_.lower()

    def _direction(self, participant: Participant) -> Direction | None:
        """The first state says it; a call that was connected when we came says nothing."""
        known = self._directions.get(participant.call)
        if known is not None or participant.connected:
            return known
        if _EXTENSION in participant.party_type.lower():
            found = Direction.INTERNAL
        elif participant.status.lower() == DIALING:
            found = Direction.OUTBOUND
        else:
            found = Direction.INBOUND
        self._keep(self._directions, participant.call, found)
        return found

    def _keep(self, memory: OrderedDict[str, Any], call: str, value: Any) -> None:
        memory[call] = value
        if len(memory) > self._most_calls:
            memory.popitem(last=False)


def _event(
    kind: EventType,
    of: Participant,
    what: str,
    direction: Direction | None,
    *,
    agent: bool = True,
    ends: bool = False,
) -> CallEvent:
    outbound = direction is Direction.OUTBOUND
    return CallEvent(
        type=kind,
        call_key=of.call,
        leg_key=of.leg_key,
        event_key=f"{of.call}:{of.leg}:{what}",
        direction=direction,
        ani=None if outbound else of.number,
        dnis=of.number if outbound else None,
        display_name=of.name,
        agent_refs=(of.dn,) if agent else (),
        queue_ref=None if agent else of.dn,
        ends_call=ends,
    )
