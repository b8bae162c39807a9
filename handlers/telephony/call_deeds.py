"""What can be done with a call now, and the call as its provider names it. Pure: facts in, decisions out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from handlers.telephony.control import Deed, LiveCall
from server.domain.call import CallState, Leg
from server.domain.directory import Directory
from server.domain.identity import CallerKind, normalise_caller
from server.domain.permission import Actor
from server.services.going_call import GoingCall

NEEDS_TARGET = frozenset({Deed.TRANSFER, Deed.ATTENDED})
OWN_PHONE = frozenset({Deed.ANSWER, Deed.ATTENDED, Deed.COMPLETE})
"""What only the agent at the phone can do, whatever a supervisor may."""

# Printable, without blanks: what was escaped in a URI must not begin a line of a PBX's protocol.
_SIP = re.compile(r"[!-~]{1,250}")
_TALKING = frozenset({Deed.HANG_UP, Deed.TRANSFER, Deed.ATTENDED, Deed.COMPLETE})
_IN_STATE = {
    CallState.RINGING: frozenset({Deed.ANSWER, Deed.HANG_UP}),
    CallState.ANSWERED: _TALKING | {Deed.HOLD},
    CallState.HELD: _TALKING | {Deed.UNHOLD},
    CallState.TRANSFERRED: frozenset({Deed.HANG_UP, Deed.COMPLETE}),
}


def decide_deeds(going: GoingCall, actor: Actor, can: Collection[str]) -> tuple[Deed, ...]:
    """What this agent may ask now of a call whose telephony ``can`` do so much; in the order of ``Deed``."""
    if not going.goes_on or not going.may_be_commanded_by(actor):
        return ()
    found = {deed for deed in _IN_STATE.get(going.state, ()) if deed in can}
    if not going.is_at(actor):
        found -= OWN_PHONE
    elif going.state is CallState.RINGING:
        if going.direction == "outbound":
            found.discard(Deed.ANSWER)
        elif going.agent_id is None and len(going.rung) > 1:
            found.discard(Deed.HANG_UP)  # it rings at colleagues too: one of them must not end it for all
    if going.consulting is None:
        found.discard(Deed.COMPLETE)
    else:
        found.discard(Deed.ATTENDED)
    return tuple(deed for deed in Deed if deed in found)


def live_call(going: GoingCall, directory: Directory) -> LiveCall:
    """The legs that go on, with who is at their ends by extension (or as the provider named them)."""
    call = going.call
    legs = {key: leg for key, leg in call.legs.items() if leg.ended_at is None}
    agent = f"agent:{going.agent_id}" if going.agent_id is not None else None
    # The latest picked up of the agent's legs, else the one that rings.
    own = max(
        (key for key, leg in legs.items() if agent is not None and leg.talker == agent),
        key=lambda key: (legs[key].answered_at or 0.0, legs[key].seen_at or 0.0),
        default=None,
    )
    # The customer's end is the leg without an agent: the call's first one, or of a call out the other.
    # A provider that knows one leg only has both ends in it.
    customer = min(
        legs or call.legs,
        key=lambda key: (call.legs[key].talker is not None, *_order(key, call.legs[key], call.key)),
        default=call.key,
    )
    return LiveCall(
        call_key=call.key,
        customer_leg=customer,
        agent_leg=own,
        direction=going.direction,
        ani=going.ani,
        dnis=going.dnis,
        legs={key: phone_of(leg.talker, directory) for key, leg in legs.items()},
    )


def _order(key: str, leg: Leg, call_key: str) -> tuple[bool, bool, float, str]:
    return key != call_key, leg.parent is not None, leg.seen_at or 0.0, key


def phone_of(ref: str | None, directory: Directory) -> str | None:
    """An agent's extension for our own name of them (``agent:7``); what else is said stays."""
    agent = directory.find_agent(ref) if ref is not None else None
    return agent.extension or ref if agent is not None else ref


def read_target(text: str, country: str, directory: Directory) -> str | None:
    """Where to: an agent's phone, an extension, a SIP address, or E.164 for a number in any spelling."""
    plain = unicodedata.normalize("NFKC", text.strip())
    agent = directory.find_agent(plain)
    if agent is not None and agent.extension:
        return agent.extension
    said = normalise_caller(plain, country)
    if said.sip_address is not None:
        return f"sip:{said.sip_address}" if _SIP.fullmatch(said.sip_address) else None
    if said.kind in (CallerKind.EXTENSION, CallerKind.SHORT_CODE):
        return plain
    return said.e164
