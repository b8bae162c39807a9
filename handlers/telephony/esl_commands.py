"""An agent's commands as the switch's API commands (mod_commands, mod_dptools).

Everything that comes from outside is checked against what a leg, a phone or a number may be written with:
no blank, brace, comma, quote, dollar sign or line break can start an argument, a variable or a command of
its own. Attended transfer is ``att_xfer`` on the agent's leg: the customer hears music while the two speak,
and the agent's hanging up puts customer and target together.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall
from handlers.telephony.esl_legs import AGENT_VARIABLE, CUSTOMER_VARIABLE, is_number
from handlers.telephony.provider import CallSource
from server.settings import SettingsError

DEEDS = frozenset(Deed)
_RING_SECONDS = 30

# A leading "-" or "&" would be an option or an application.
_PHONE = re.compile(r"[A-Za-z0-9+*#_][A-Za-z0-9+*#_.-]{0,63}(?:@[A-Za-z0-9][A-Za-z0-9.-]{0,252})?")
_LEG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,159}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_PATTERN = re.compile(r"[\x21-\x7e]*\{agent\}[\x21-\x7e]*")

_REASONS = {
    "USER_NOT_REGISTERED": "the phone is not registered",
    "SUBSCRIBER_ABSENT": "the phone is not registered",
    "USER_BUSY": "the phone is busy",
    "NO_ANSWER": "the phone was not picked up",
    "NO_USER_RESPONSE": "the phone does not respond",
    "ORIGINATOR_CANCEL": "the call was cancelled",
    "CALL_REJECTED": "the call was rejected",
    "UNALLOCATED_NUMBER": "there is no such number",
    "INVALID_NUMBER_FORMAT": "there is no such number",
    "NO_ROUTE_DESTINATION": "there is no way to that number",
    "DESTINATION_OUT_OF_ORDER": "the phone cannot be reached",
    "INVALID_GATEWAY": "there is no such gateway",
    "GATEWAY_DOWN": "the line to the outside is down",
    "NORMAL_CIRCUIT_CONGESTION": "all lines are busy",
    "NO SUCH CHANNEL": "the call is over",
    "INVALID UUID": "the call is over",
    "CANNOT LOCATE SESSION": "the call is over",
    "PERMISSION DENIED": "the telephone system does not permit that",
}


@dataclass(frozen=True, slots=True)
class Dialling:
    """How this switch is dialled: the source's options ``dial``, ``context`` and ``gateway``."""

    pattern: str
    context: str
    gateway: str

    def phone(self, who: str) -> str:
        """The dial string of an agent's phone: an extension, a SIP URI, or a number outside."""
        phone = _checked(_PHONE, who.removeprefix("sips:").removeprefix("sip:"), "phone")
        if is_number(phone):
            return self.outside(phone)
        return self.pattern.replace("{agent}", phone)

    def outside(self, number: str) -> str:
        """Through the gateway, else as the dial plan would dial it."""
        if self.gateway:
            return f"sofia/gateway/{self.gateway}/{number}"
        return f"loopback/{number}/{self.context}"

    def extension(self, who: str) -> str:
        """Where the dial plan goes on with a leg."""
        return _checked(_PHONE, who.removeprefix("sips:").removeprefix("sip:"), "number").partition("@")[0]


def read_dialling(source: CallSource) -> Dialling:
    """Raises SettingsError."""
    options = source.options
    pattern = options.get("dial", "user/{agent}")
    context, gateway = options.get("context", "default"), options.get("gateway", "")
    where = f"call_sources.{source.name}"
    if not _PATTERN.fullmatch(pattern):
        raise SettingsError(f"{where}.dial: must have {{agent}} in it and no blank: user/{{agent}}")
    if not _NAME.fullmatch(context):
        raise SettingsError(f"{where}.context: must be the name of a dial plan context")
    if gateway and not _NAME.fullmatch(gateway):
        raise SettingsError(f"{where}.gateway: must be the name of a gateway")
    return Dialling(pattern, context, gateway)


def dialled_leg(source_name: str, key: str) -> str:
    """The id of the leg that a request to dial makes: the same request, the same leg."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"ringpost:{source_name}:{key}") if key else uuid.uuid4())


def api_command(command: Command, leg: str, dialling: Dialling) -> str:
    """What ``bgapi`` is asked; ``leg`` is the id of the leg that DIAL makes. Raises CommandFailed."""
    deed, call = command.deed, command.call
    if deed is Deed.DIAL:
        return _originate(command, leg, dialling)
    if call is None:
        raise CommandFailed("there is no call")
    if deed is Deed.HANG_UP:
        return f"uuid_kill {_leg(call.customer_leg or call.call_key)} NORMAL_CLEARING"
    if deed is Deed.ANSWER:
        return f"uuid_phone_event {_agent_leg(call)} talk"
    if deed is Deed.HOLD:
        return f"uuid_hold {_agent_leg(call)}"
    if deed is Deed.UNHOLD:
        return f"uuid_hold off {_agent_leg(call)}"
    if deed is Deed.TRANSFER:
        return f"uuid_transfer {_leg(call.customer_leg or call.call_key)} {_way_to(command.target, dialling)}"
    if deed is Deed.ATTENDED:
        return f"uuid_broadcast {_agent_leg(call)} att_xfer::{dialling.phone(command.target)} aleg"
    return f"uuid_kill {_agent_leg(call)} NORMAL_CLEARING"  # COMPLETE: att_xfer goes on without the agent


def _originate(command: Command, leg: str, dialling: Dialling) -> str:
    agent, customer = dialling.phone(command.agent), dialling.extension(command.target)
    variables = {
        "origination_uuid": leg,
        AGENT_VARIABLE: dialling.extension(command.agent),
        CUSTOMER_VARIABLE: customer,
        "ignore_early_media": "true",
        "originate_timeout": str(_RING_SECONDS),
    }
    if command.caller_id:
        variables["origination_caller_id_number"] = dialling.extension(command.caller_id)
    then = f"{customer} XML {dialling.context}"
    if dialling.gateway and is_number(customer):
        then = f"&bridge({dialling.outside(customer)})"
    return f"originate {_braces(variables)}{agent} {then}"


def _way_to(target: str, dialling: Dialling) -> str:
    extension = dialling.extension(target)
    if dialling.gateway and is_number(extension):
        return f"bridge:{dialling.outside(extension)} inline"
    return f"{extension} XML {dialling.context}"


def _braces(variables: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{name}={value}" for name, value in variables.items()) + "}"


def _agent_leg(call: LiveCall) -> str:
    if not call.agent_leg:
        raise CommandFailed("your phone is not in this call")
    return _leg(call.agent_leg)


def _leg(key: str) -> str:
    return _checked(_LEG, key, "call")


def _checked(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise CommandFailed(f"that is no {what} that can be dialled: {text[:40]!r}")
    return text


def reason_of(said: str) -> str:
    """``-ERR USER_BUSY`` in words for an agent."""
    plain = said.strip().removeprefix("-ERR").strip().rstrip("!.")
    known = next((words for cause, words in _REASONS.items() if cause in plain.upper()), None)
    if known is not None:
        return known
    shown = "".join(letter for letter in plain[:120] if letter.isprintable())
    return f"the telephone system says: {shown}" if shown else "the telephone system refused"
