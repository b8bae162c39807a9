"""One Twilio request, read: its parameters say what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from handlers.telephony.fields import required_key
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.twilio_signature import is_form
from server.domain.errors import Invalid, Malformed
from server.domain.event import EventType


class Kind(Enum):
    """What Twilio wants of us with a request."""

    VOICE = auto()
    TRANSFER = auto()
    OUTBOUND = auto()
    DIAL_ACTION = auto()
    RECORD_ACTION = auto()
    WAIT = auto()
    DEQUEUED = auto()
    STATUS = auto()
    RECORDING = auto()
    CONFERENCE = auto()
    NOTICE = auto()  # a message that is no call event


PROGRESS = {
    "queued": EventType.DIALING,
    "initiated": EventType.DIALING,
    "ringing": EventType.RINGING,
    "in-progress": EventType.ANSWERED,
    "answered": EventType.ANSWERED,
}
FINAL = {"completed", "busy", "failed", "no-answer", "canceled"}
_NO_PARAMETERS: dict[str, str] = {}


@dataclass(slots=True)
class Message:
    """One request, read: Twilio's parameters in ``fields``, those of our own URLs in ``own``."""

    source: CallSource
    request: HookRequest
    fields: Mapping[str, str]
    own: Mapping[str, str]
    kind: Kind

    @property
    def leg_key(self) -> str:
        return required_key("CallSid", self.fields.get("CallSid") or self.fields.get("ParticipantSid"))

    @property
    def status(self) -> str:
        """``CallStatus``, checked. Raises Malformed or Invalid."""
        status = self.fields.get("CallStatus", "")
        if status not in PROGRESS and status not in FINAL:
            if not status:
                raise Malformed("CallStatus is missing", fields={"CallStatus": "is required"})
            raise Invalid("CallStatus is unknown", fields={"CallStatus": "is not one of Twilio's"})
        return status

    @property
    def outbound(self) -> bool:
        """Of the first leg: made by our own API call, so that To is the agent."""
        return self.fields.get("Direction", "").startswith("outbound")

    @property
    def takes_voicemail(self) -> bool:
        return self.source.takes_voicemail

    @property
    def token(self) -> str:
        """The same on every retry of one request, new with every request."""
        return (self.request.headers.get("I-Twilio-Idempotency-Token") or "")[:80]


def read_message(source: CallSource, request: HookRequest) -> Message:
    own = dict(request.query) if "?" in request.url else _NO_PARAMETERS
    if request.method == "GET":
        fields = own
    elif is_form(request):
        fields = dict(request.form)
    else:
        fields = _read_json(request.body)
    return Message(source, request, fields, own, _classify(fields, own))


def _read_json(body: bytes) -> dict[str, str]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"the JSON body cannot be read: {bad}") from None
    if not isinstance(message, dict):
        raise Malformed("the JSON body must be an object")
    return {name: value for name, value in message.items() if isinstance(value, str)}


def _classify(fields: Mapping[str, str], own: Mapping[str, str]) -> Kind:
    status = fields.get("CallStatus")
    if "RecordingStatus" in fields:
        return Kind.RECORDING
    if "StatusCallbackEvent" in fields:
        return Kind.CONFERENCE
    if "DialCallStatus" in fields:
        return Kind.DIAL_ACTION
    step = own.get("step")
    if step == "dequeued" or "QueueResult" in fields:
        return Kind.DEQUEUED
    if step == "wait" or "QueuePosition" in fields:
        return Kind.WAIT
    if "CallbackSource" in fields or "SequenceNumber" in fields or "CallDuration" in fields:
        return Kind.STATUS
    if "RecordingUrl" in fields or "RecordingSid" in fields:
        return Kind.RECORD_ACTION
    if own.get("target"):
        return Kind.TRANSFER
    if own.get("customer"):
        return Kind.OUTBOUND
    if status in FINAL or fields.get("ParentCallSid"):
        return Kind.STATUS
    return Kind.VOICE if status or fields.get("Direction") else Kind.NOTICE
