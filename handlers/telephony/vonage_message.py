"""One Vonage webhook, read: its fields say what it is, whatever path it came to.

Vonage repeats nothing from one webhook of a call to the next. So the URLs in our own NCCOs carry what later
messages need (``Flow``), and the query of a request is ours unless it is a GET of Vonage's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from urllib.parse import urlencode

from handlers.telephony.fields import optional_count, optional_text, required_key
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.timestamps import iso_time
from server.domain.errors import Invalid, Malformed


class Kind(Enum):
    """What Vonage wants of us with a request."""

    ANSWER = auto()  # a call came in: what is to be done with it
    CUSTOMER = auto()  # click to dial: the agent has picked up
    TARGET = auto()  # a transfer: who is to be rung
    WAITED = auto()  # the caller has waited once more
    STATUS = auto()
    TRANSFER = auto()
    RECORDING = auto()
    NOTICE = auto()  # a message that is no call event


PROGRESS = {"started", "ringing", "answered"}
FINAL = {"completed", "busy", "cancelled", "timeout", "unanswered", "rejected", "failed", "disconnected"}
DETECTED = {"human", "machine"}
UNTAKEN = {"unanswered", "timeout", "busy", "rejected", "failed"}
"""The ends of a leg that nobody picked up while the caller is still there."""

# Numbers stay text: of "to": 442079460100 no digit is lost, and nothing overflows.
_JSON = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


@dataclass(frozen=True, slots=True)
class Flow:
    """What our URLs tell later messages: the call, its first leg, the line (our number) that it uses, and
    how many times the caller has waited."""

    hook_url: str
    call: str
    first_leg: str
    line: str
    poll: str

    def url(self, *more: tuple[str, str]) -> str:
        """Where Vonage is to send the events of an action; ``more`` is only for those."""
        own = {"call": self.call, "first": self.first_leg, "line": self.line, "poll": self.poll}
        named = dict(more)
        pairs = [(name, value) for name, value in own.items() if value and name not in named]
        return f"{self.hook_url}/event?{urlencode([*pairs, *more], errors='replace')}"


@dataclass(frozen=True, slots=True)
class Message:
    """One request, read: Vonage's texts in ``fields``, the parameters of our own URLs in ``own``.

    ``waiting`` are the addresses that are to be rung when this leg's does not pick up.
    """

    source: CallSource
    fields: Mapping[str, str]
    own: Mapping[str, str]
    waiting: tuple[str, ...]
    kind: Kind

    @property
    def leg_key(self) -> str:
        return required_key("uuid", self.fields.get("uuid"))

    @property
    def conversation(self) -> str:
        return required_key("conversation_uuid", self.fields.get("conversation_uuid"))

    @property
    def status(self) -> str:
        """``status``, checked. Raises Invalid."""
        status = self.fields.get("status", "")
        if status not in PROGRESS and status not in FINAL and status not in DETECTED:
            raise Invalid("status is unknown", fields={"status": "is not one of Vonage's"})
        return status

    @property
    def outbound(self) -> bool:
        """Of the leg, as Vonage sees it: a phone that it rings. Raises Invalid."""
        direction = self.fields.get("direction")
        if direction is None:
            return bool(self.own.get("leg") or self.own.get("customer"))
        if direction not in ("inbound", "outbound"):
            raise Invalid("direction is unknown", fields={"direction": "must be inbound or outbound"})
        return direction == "outbound"

    @property
    def last_untaken(self) -> bool:
        """Nobody picked up this agent's phone, and nobody else is to be rung: the caller is on our hands.

        Of a leg that no NCCO of ours made, only "unanswered" says that.
        """
        status, leg = self.fields.get("status"), self.own.get("leg")
        if leg == "agent":
            return status in UNTAKEN and not self.waiting
        return leg is None and not self.own.get("customer") and status == "unanswered" and self.outbound

    @property
    def takes_voicemail(self) -> bool:
        return self.source.takes_voicemail

    @property
    def occurred_at(self) -> datetime | None:
        return iso_time(self.fields.get("timestamp"))

    @property
    def poll(self) -> str:
        """How many times the caller has waited; empty for not yet."""
        return str(optional_count(self.own.get("poll")) or "")

    def flow(self, call_key: str) -> Flow:
        fields, own = self.fields, self.own
        number = {Kind.ANSWER: "to", Kind.CUSTOMER: "from"}.get(self.kind, "")
        # Of a status event the leg is one that was rung.
        leg = "" if self.kind is Kind.STATUS else fields.get("uuid", "")
        return Flow(
            hook_url=self.source.hook_url,
            call=call_key,
            first_leg=own.get("first") or leg,
            line=own.get("line") or fields.get(number) or self.source.options.get("number", ""),
            poll=self.poll,
        )


def read_message(source: CallSource, request: HookRequest) -> Message:
    """Raises Malformed for what is no message of Vonage's."""
    query = request.query if "?" in request.url else []
    own = dict(query)
    waiting = tuple(
        cleaned for name, address in query if name == "next" and (cleaned := optional_text(address))
    )
    body: Mapping[str, object] = own if request.method == "GET" else _read_json(request.body)
    fields = {name: value for name, value in body.items() if isinstance(value, str)}
    return Message(source, fields, own, waiting, _classify(body, own))


def _read_json(body: bytes) -> dict[str, object]:
    try:
        message = _JSON.decode(body.decode())
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"the JSON body cannot be read: {bad}") from None
    if not isinstance(message, dict):
        raise Malformed("the JSON body must be an object")
    return message


def _classify(body: Mapping[str, object], own: Mapping[str, str]) -> Kind:
    if "status" in body:
        return Kind.STATUS
    if "recording_url" in body or "recording_uuid" in body:
        return Kind.RECORDING
    if "conversation_uuid_from" in body or "conversation_uuid_to" in body:
        return Kind.TRANSFER
    if "uuid" in body:
        if own.get("step") == "wait":
            return Kind.WAITED
        if "dtmf" in body or "speech" in body:
            return Kind.NOTICE
        if own.get("target"):
            return Kind.TARGET
        return Kind.CUSTOMER if own.get("customer") else Kind.ANSWER
    if "conversation_uuid" in body or "reason" in body:
        return Kind.NOTICE  # notify, error
    raise Malformed("this is no webhook of Vonage's", fields={"uuid": "is required"})
