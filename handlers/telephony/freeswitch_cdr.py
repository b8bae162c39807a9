"""FreeSWITCH's mod_json_cdr: one document for each leg, posted when the leg is over.

Source: ``mod_json_cdr.c`` and ``switch_ivr_generate_json_cdr`` of FreeSWITCH. Nothing is signed: ``cred``
sends Basic, or ``?token=`` is in the URL. Keys are the switch's own, those that its event socket gives as
well, so a call that was followed live is the same call and its CDR adds nothing new.

A caller's leg gives its end alone: nobody is to be offered a call that is over. An agent's leg gives when it
rang, was picked up and ended. Source option: ``log_b_leg`` ("off" where the module posts callers' legs only:
they then speak for the agents').
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from handlers.telephony.basic_auth import basic_credentials
from handlers.telephony.fields import optional_count, required_key
from handlers.telephony.freeswitch_cdr_leg import Leg, object_of, objects_of, read_leg, text_of, time_of
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from handlers.telephony.signing import is_one_of, presented_tokens
from handlers.telephony.timestamps import seconds_between
from server.domain.errors import NotAuthenticated
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome

_UNDER_WAY: dict[str, Any] = {"ends_call": False, "cause": None, "duration_seconds": None}
"""What turns an event of a leg's end into one of its beginning."""


class FreeswitchCdrProvider:
    """The ``Provider`` of sources with ``provider = "freeswitch_cdr"``."""

    name = "freeswitch_cdr"
    ring = "pbx"  # the agent was chosen before we hear of the call

    def verify(self, source: CallSource, request: HookRequest) -> None:
        basic = basic_credentials(request.headers.get("Authorization", ""))
        given = [basic] if basic else presented_tokens(request)
        if not given:
            raise NotAuthenticated("send the secret user:password as 'cred', or as '?token=SECRET'")
        if not any(is_one_of(one, source.secrets) for one in given):
            raise NotAuthenticated("the secret is not one of this source")

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        leg = read_leg(request.body)
        if (leg.profile("chan_name") or "").startswith("loopback/"):
            return ()  # a leg that the switch has with itself
        alone = source.is_off("log_b_leg")
        return tuple(_agents_leg(leg) if leg.parent else _callers_leg(leg, alone=alone))

    def reply(
        self,
        source: CallSource,
        request: HookRequest,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
    ) -> HookReply:
        return HookReply()


def _callers_leg(leg: Leg, *, alone: bool) -> Iterator[CallEvent]:
    """The end comes first, so that what follows of the past is not offered to anybody."""
    inbound = leg.direction in (Direction.INBOUND, None)
    type_, seconds = EventType.HANGUP, optional_count(leg.variable("billsec"))
    if inbound and leg.bridged_at is None:
        type_ = EventType.VOICEMAIL if "voicemail" in leg.applications else EventType.MISSED
        seconds = None
    agent = None if inbound else leg.variable("user_name") or leg.variable("dialed_user") or leg.caller
    name = leg.profile("caller_id_name")
    end = CallEvent(
        type=type_,
        call_key=leg.call_key,
        leg_key=leg.key,
        event_key=leg.key,
        direction=leg.direction,
        ani=leg.caller,
        dnis=leg.profile("destination_number"),
        display_name=name if inbound and name != leg.caller else None,
        agent_refs=(agent,) if agent else (),
        occurred_at=leg.ended_at,
        duration_seconds=seconds,
        cause=leg.variable("hangup_cause"),
        ends_call=True,
    )
    yield end
    if alone:
        key = f"{leg.key}:ringing"
        yield replace(end, type=EventType.RINGING, event_key=key, occurred_at=leg.started_at, **_UNDER_WAY)
        yield from _bridged_legs(leg, end, inbound=inbound)


def _bridged_legs(leg: Leg, end: CallEvent, *, inbound: bool) -> Iterator[CallEvent]:
    """The legs that the caller was put through to, as the call flow has them: one for each part of it."""
    until = leg.ended_at
    for part in leg.flow:
        bridged = time_of(part, "bridged_time")
        originatee = object_of(object_of(part, "caller_profile"), "originatee")
        profile = next(iter(objects_of(originatee, "originatee_caller_profiles")), {})
        key, phone = text_of(profile, "uuid"), text_of(profile, "destination_number")
        if bridged is not None and key is not None:
            over = replace(
                end,
                type=EventType.HANGUP,
                leg_key=required_key("originatee", key),
                parent_leg_key=leg.key,
                event_key=key,
                agent_refs=(phone,) if phone and inbound else (),
                occurred_at=until,
                duration_seconds=seconds_between(bridged, until),
                cause=None,
            )
            yield over
            key = f"{key}:answered"
            yield replace(over, type=EventType.ANSWERED, event_key=key, occurred_at=bridged, **_UNDER_WAY)
        until = time_of(part, "profile_created_time") or until


def _agents_leg(leg: Leg) -> Iterator[CallEvent]:
    """A leg that the switch made for a caller: to an agent, or of an agent's call to the customer."""
    outbound = leg.direction is Direction.OUTBOUND
    ringing = CallEvent(
        type=EventType.RINGING,
        call_key=leg.call_key,
        leg_key=leg.key,
        parent_leg_key=leg.parent,
        event_key=f"{leg.key}:ringing",
        direction=leg.direction,
        ani=text_of(leg.originator, "caller_id_number") or leg.caller,
        dnis=text_of(leg.originator, "destination_number"),
        occurred_at=leg.started_at,
    )
    yield ringing  # names nobody: it is too late to show it to an agent
    named = replace(ringing, agent_refs=() if outbound else leg.phone)
    if leg.answered_at is not None:
        yield replace(
            named, type=EventType.ANSWERED, event_key=f"{leg.key}:answered", occurred_at=leg.answered_at
        )
    yield replace(
        named,
        type=EventType.HANGUP,
        event_key=leg.key,
        occurred_at=leg.ended_at,
        duration_seconds=optional_count(leg.variable("billsec")) if leg.answered_at is not None else None,
        cause=leg.variable("hangup_cause"),
        ends_call=True,
    )


PROVIDER = FreeswitchCdrProvider()
