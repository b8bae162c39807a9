"""STARFACE: HTTP requests that people set up in the UCC client or in a module, mapped to generic CTI push.

No vendor document fixes a format. As delivered, this reads what a UCC client's help page shows: JSON with
``callto`` (the client's own extension), ``callfrom`` (the other side's number, both ways), ``displayname``
and ``direction`` (1 incoming, 0 outgoing), one address each for incoming, outgoing and ended calls. The
settings say what is called otherwise, and what may stand in an address stands there as ``?event=hangup``:

    fields.<ours> = "<theirs>"           ours: those of generic CTI (event, direction, callId, from, to, user,
                                         cause, queue, answeringNumber), customer (the other side's number,
                                         whatever the direction) and name
    values.<ours>.<their word> = "<ours>"    for event (newCall, answer, hangup) and direction (in, out)

The secret comes as for ``cti``. A client has no call id to send, so without a mapped ``callId`` the calls
are told apart by agent, other side and time, see ``starface_calls``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from handlers.telephony import cti
from handlers.telephony.fields import optional_text
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.starface_calls import CallBook, Step
from server.domain.event import CallEvent

_FIELDS = {
    "event": "event",
    "direction": "direction",
    "customer": "callfrom",
    "user": "callto",
    "name": "displayname",
    **dict.fromkeys(("callId", "from", "to", "cause", "queue", cti.ANSWERING), ""),
}
_VALUES = {"direction.1": "in", "direction.0": "out"}
_IN_ADDRESS = ("event", "direction")
_UNFILLED = re.compile(r"\{[A-Za-z0-9_]{1,64}\}")  # a placeholder that the client had nothing for


class StarfaceProvider(cti.CtiProvider):
    """The ``Provider`` of sources with ``provider = "starface"``: secret and answer are those of ``cti``."""

    name = "starface"

    def __init__(self) -> None:
        self._book = CallBook()

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        values = _translate(source.options, request)
        if "callId" not in values:
            values["callId"] = [self._book.key(source.name, _step(values), request.received_at)]
        event = cti.call_event(values)
        if event is None:
            return ()
        return (replace(event, display_name=optional_text(cti.first(values, "name"))),)


def _translate(options: Mapping[str, str], request: HookRequest) -> cti.Values:
    """Their fields and words as ours. Raises Malformed or WrongType."""
    theirs = cti.read_values(request)
    values: cti.Values = {}
    for ours, usual in _FIELDS.items():
        name = cti.field_name(options.get(f"fields.{ours}", usual))
        said = [value for value in theirs.get(name, ()) if value and not _UNFILLED.fullmatch(value.strip())]
        if not said and ours in _IN_ADDRESS:
            said = [value for key, value in request.query if key == ours]
        if said:
            values[ours] = [_word(options, ours, value) for value in said]
    if values.setdefault("event", ["newCall"])[0].lower() == "newcall":
        values.setdefault("direction", ["in"])
    if "customer" in values and "direction" in values:
        far = "to" if values["direction"][0].lower().startswith("out") else "from"
        values.setdefault(far, values["customer"])
    return values


def _word(options: Mapping[str, str], ours: str, value: str) -> str:
    key = f"{ours}.{value}"
    return options.get(f"values.{key}", _VALUES.get(key, value))


def _step(values: cti.Values) -> Step:
    customer = cti.first(values, "customer") or cti.first(values, "from") or cti.first(values, "to")
    return Step(
        agent=optional_text("|".join(values.get("user", ()))) or "",
        customer=optional_text(customer) or "",
        direction=optional_text(cti.first(values, "direction")) or "",
        event=values["event"][0].lower(),
    )


PROVIDER = StarfaceProvider()
