"""One Plivo request, read: its parameters say what it is, whatever path it came to.

Our own XML and API requests add a query to their URLs: ``?step=wait`` of the queue, ``?step=voicemail`` and
``?step=recording``, ``?customer=NUMBER`` and ``?leg=customer`` of click to dial, ``?target=ADDRESS&call=KEY``
of a transfer, ``?dial=MARK`` of every Dial of a call but the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from handlers.telephony.fields import optional_count, required_key
from handlers.telephony.provider import CallSource, HookRequest
from server.domain.errors import Invalid


class Kind(Enum):
    """What Plivo wants of us with a request."""

    VOICE = auto()  # a call came in, or a phone that an API call rang was picked up
    CUSTOMER = auto()  # click to dial: the agent has picked up
    TARGET = auto()  # a transfer: who is to be rung
    WAIT = auto()
    DIAL_ACTION = auto()
    DIAL_EVENT = auto()
    VOICEMAIL = auto()
    RECORDING = auto()
    RING = auto()
    HANGUP = auto()
    NOTICE = auto()  # a message that is no call event


PROGRESS = {"ringing", "in-progress"}
FINAL = {"completed", "busy", "failed", "timeout", "no-answer", "cancel"}

# A Record's action is a request of the call, its callback is not.
_OF_ACTION = ("CallStatus", "Direction", "RecordingEndReason", "Digits")
_WANTS_XML = ("StartApp", "Redirect", "")


@dataclass(frozen=True, slots=True)
class Message:
    """One request, read: Plivo's parameters in ``fields``, those of our own URLs in ``own``."""

    source: CallSource
    fields: Mapping[str, str]
    own: Mapping[str, str]
    kind: Kind

    @property
    def leg_key(self) -> str:
        return required_key("CallUUID", self.fields.get("CallUUID"))

    @property
    def call_key(self) -> str:
        """The A leg, with which the call began."""
        said = self.own.get("call") or self.fields.get("ALegUUID") or self.fields.get("CallUUID")
        return required_key("CallUUID", said)

    @property
    def status(self) -> str:
        """``CallStatus``, checked; empty when there is none. Raises Invalid."""
        status = self.fields.get("CallStatus", "")
        if status and status not in PROGRESS and status not in FINAL:
            raise Invalid("CallStatus is unknown", fields={"CallStatus": "is not one of Plivo's"})
        return status

    @property
    def outbound(self) -> bool:
        """Made by an API call, so that the A leg is the agent's. Raises Invalid."""
        direction = self.fields.get("Direction", "")
        if direction and direction not in ("inbound", "outbound"):
            raise Invalid("Direction is unknown", fields={"Direction": "must be inbound or outbound"})
        return direction == "outbound" or (not direction and bool(self.own.get("customer")))

    @property
    def takes_voicemail(self) -> bool:
        return self.source.takes_voicemail

    @property
    def poll(self) -> int:
        """How many times the caller has waited."""
        return optional_count(self.own.get("poll")) or 0


def read_message(source: CallSource, request: HookRequest) -> Message:
    """Raises Malformed for a body that is no form."""
    own = dict(request.query) if "?" in request.url else {}
    fields = own if request.method == "GET" else dict(request.form)
    return Message(source, fields, own, _classify(fields, own))


def _classify(fields: Mapping[str, str], own: Mapping[str, str]) -> Kind:
    event = fields.get("Event", "")
    if "DialAction" in fields:
        return Kind.DIAL_EVENT
    if "DialStatus" in fields:
        return Kind.DIAL_ACTION
    if event == "Hangup":
        return Kind.HANGUP
    if event == "Ring":
        return Kind.RING
    if "RecordUrl" in fields or "RecordingID" in fields:
        return _of_recording(fields, own)
    if "HangupCause" in fields or fields.get("CallStatus") in FINAL:
        return Kind.HANGUP
    if event not in _WANTS_XML:
        return Kind.NOTICE
    if own.get("step") == "wait":
        return Kind.WAIT
    if own.get("target"):
        return Kind.TARGET
    if own.get("customer"):
        return Kind.CUSTOMER
    return Kind.VOICE if event or "CallStatus" in fields else Kind.NOTICE


def _of_recording(fields: Mapping[str, str], own: Mapping[str, str]) -> Kind:
    """What a finished recording is of: our URL says so, else whether the call goes on from here."""
    step = own.get("step")
    if step == "voicemail" or (step != "recording" and any(name in fields for name in _OF_ACTION)):
        return Kind.VOICEMAIL
    return Kind.RECORDING
