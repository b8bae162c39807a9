"""Calls that the dialplan gave to our Stasis application: ring the chosen agents, connect, clear up.

In extensions.conf: ``Stasis(ringpost,inbound,support)``, and after it what is to happen when nobody
answers (VoiceMail, Hangup). A caller hears ringing while phones ring, music while nobody is free.
Channels and bridges that are made here are named ``rp-...``.

What is asked of the PBX here may fail (the caller gave up a moment ago): that is logged, and the events
that follow tell what became of the call.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from handlers.telephony.ari_calls import AriCalls
from handlers.telephony.ari_channel import Side
from handlers.telephony.ari_line import Leg
from handlers.telephony.ari_rest import AriRefused, AriRest
from handlers.telephony.ari_settings import AriSettings, dialable
from handlers.telephony.control import CommandFailed
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome, RungAgent

log = structlog.get_logger("asterisk_ari")

MOST_HELD = 4_000
MOST_RUNG = 50
"""Phones that are rung at once for one caller."""
NORMAL, ELSEWHERE = "16", "26"  # Q.850 causes: normal clearing, answered elsewhere


@dataclass(slots=True)
class Held:
    """A call in our hands. ``ringing``: channel -> the agent whose phone it rings, None for a customer."""

    first: str  # the leg that came to us: the customer's, or that of the agent who calls
    ringing: dict[str, int | None] = field(default_factory=dict)
    talking: str | None = None
    bridge: str | None = None
    music: bool = False


class Desk:
    """The calls of one PBX that we hold, by call key."""

    def __init__(self, settings: AriSettings, calls: AriCalls) -> None:
        self._settings = settings
        self._calls = calls
        self._held: OrderedDict[str, Held] = OrderedDict()

    async def follow(
        self, rest: AriRest, events: Sequence[CallEvent], outcomes: Sequence[CallOutcome]
    ) -> None:
        """Do what the events and whom intake chose for them ask for. Done twice it is done once."""
        for event, outcome in zip(events, outcomes, strict=False):
            leg = self._calls.legs.get(event.leg_key)
            match event.type:
                case EventType.RINGING | EventType.QUEUED if _is_ours(leg):
                    await self._offer(rest, event, outcome, leg)
                case EventType.DIALING if event.event_key.endswith(":StasisStart"):
                    await self._call_customer(rest, event, leg)
                case EventType.ANSWERED:
                    await self._connect(rest, event)
                case EventType.MISSED:
                    await self._give_back(rest, event)
                case EventType.HANGUP:
                    await self._clear(rest, event)

    def waiting(self, stamp: str) -> list[CallEvent]:
        """Every caller for whom no phone rings asks again: QUEUED, so that routing looks anew."""
        for leg in [*self._calls.legs.values()]:
            line = leg.line
            if leg is line.customer and _is_ours(leg) and not line.answered:
                held = self._held.get(line.key)
                if held is not None and not held.ringing:
                    self._calls.say(EventType.QUEUED, leg, f"{leg.id}:wait:{stamp}", None)
        return self._calls.take_said()

    async def leave(self, rest: AriRest, call_key: str, agent_leg: str | None) -> None:
        """The customer goes on in the dialplan: end the agent's part, and the customer's part no more."""
        held = self._held.pop(call_key, None)
        if agent_leg is not None:
            await self._hang_up(rest, agent_leg)
        if held is not None and held.bridge is not None:
            await self._ask(rest, "DELETE", "bridges", held.bridge)

    # -- steps -----------------------------------------------------------------------------------

    async def _offer(self, rest: AriRest, event: CallEvent, outcome: CallOutcome, leg: Leg | None) -> None:
        if leg is None or leg.line.answered:
            return
        held = self._hold(event.call_key, leg.id)
        for agent in outcome.agents[:MOST_RUNG]:
            if agent.agent_id not in held.ringing.values():
                await self._ring_agent(rest, held, agent, leg)
        if not held.ringing and not held.music:
            await self._ask(rest, "POST", "channels", leg.id, "answer")
            music = {"mohClass": self._settings.music} if self._settings.music else {}
            held.music = await self._ask(rest, "POST", "channels", leg.id, "moh", query=music)
        elif held.ringing and leg.channel.state != "Up":
            await self._ask(rest, "POST", "channels", leg.id, "ring")

    async def _ring_agent(self, rest: AriRest, held: Held, agent: RungAgent, leg: Leg) -> None:
        try:
            endpoint = self._settings.endpoint_of(agent.extension or "")
        except CommandFailed as wrong:
            log.warning("an agent has no phone", agent=agent.agent_id, why=str(wrong))
            return
        args = f"agent,{leg.id}"
        await self._ring(rest, held, endpoint, args, leg.id, agent.agent_id)

    async def _ring(
        self, rest: AriRest, held: Held, endpoint: str, args: str, caller: str, agent_id: int | None
    ) -> None:
        """Create the channel, then dial it: so its Dial events name the caller."""
        channel = f"rp-{secrets.token_hex(8)}"
        held.ringing[channel] = agent_id
        self._calls.attach(channel, caller)
        create = {
            "endpoint": endpoint, "app": self._settings.app, "appArgs": args,
            "channelId": channel, "originator": caller,
        }  # fmt: skip
        dial = {"caller": caller, "timeout": str(self._settings.ring_seconds)}
        if not await self._ask(rest, "POST", "channels", "create", query=create):
            held.ringing.pop(channel, None)
            self._calls.forget(channel)
        elif not await self._ask(rest, "POST", "channels", channel, "dial", query=dial):
            held.ringing.pop(channel, None)
            await self._hang_up(rest, channel)

    async def _call_customer(self, rest: AriRest, event: CallEvent, leg: Leg | None) -> None:
        """The agent who wanted to call somebody has picked up the own phone."""
        if leg is None or not leg.in_app or event.call_key in self._held or not self._settings.dial_endpoint:
            return
        held = self._hold(event.call_key, leg.id)
        try:
            number = dialable(event.dnis or "")
        except CommandFailed:
            await self._hang_up(rest, leg.id)
            return
        endpoint = self._settings.dial_endpoint.replace("{number}", number)
        if event.direction is Direction.INTERNAL:
            endpoint = self._settings.endpoint_of(number)
        await self._ring(rest, held, endpoint, "customer", leg.id, None)
        if not held.ringing:
            await self._hang_up(rest, leg.id)

    async def _connect(self, rest: AriRest, event: CallEvent) -> None:
        held = self._held.get(event.call_key)
        # Of an agent's call to a customer the key names the customer's channel, the leg is the agent's.
        far = event.event_key.partition(":")[0]
        leg = self._calls.legs.get(far)
        if held is None and leg is not None and leg.id.startswith("rp-") and _is_ours(leg.line.customer):
            # Rung by us before a restart.
            held = self._hold(event.call_key, event.parent_leg_key or leg.line.key)
            held.ringing[far] = None
        if held is None or far not in held.ringing:
            return
        if held.talking is not None:
            if held.talking != far:
                held.ringing.pop(far)
                await self._hang_up(rest, far, ELSEWHERE)
            return
        held.talking, held.bridge = far, f"rp-{held.first}"
        losers = [channel for channel in held.ringing if channel != far]
        if held.music:
            await self._ask(rest, "DELETE", "channels", held.first, "moh")
        first = self._calls.legs.get(held.first)
        if first is not None and first.channel.state != "Up":
            await self._ask(rest, "POST", "channels", held.first, "answer")
        await self._ask(rest, "POST", "bridges", held.bridge, query={"type": "mixing"})
        both = {"channel": f"{held.first},{far}"}
        if not await self._ask(rest, "POST", "bridges", held.bridge, "addChannel", query=both):
            await self._hang_up(rest, far)
        for channel in losers:
            held.ringing.pop(channel, None)
            await self._hang_up(rest, channel, ELSEWHERE)

    async def _give_back(self, rest: AriRest, event: CallEvent) -> None:
        """Nobody came to the phone: the dialplan goes on after ``Stasis``."""
        held = self._held.get(event.call_key)
        if held is not None and any(channel != event.leg_key for channel in held.ringing):
            return
        self._held.pop(event.call_key, None)
        customer = held.first if held is not None else event.parent_leg_key
        if customer is not None:
            await self._ask(rest, "POST", "channels", customer, "continue")

    async def _clear(self, rest: AriRest, event: CallEvent) -> None:
        """One end is gone: end the others, as a dialplan's ``Dial`` would."""
        held = self._held.get(event.call_key)
        if held is None:
            return
        if event.leg_key == held.first:
            self._held.pop(event.call_key)
            for channel in [*held.ringing]:
                await self._hang_up(rest, channel)
        elif event.leg_key in held.ringing:
            called = held.ringing.pop(event.leg_key) is None
            if event.leg_key != held.talking and not called:
                return  # somebody's phone stopped ringing; MISSED or the next look for an agent follows
            self._held.pop(event.call_key)
            if called or _is_ours(self._calls.legs.get(held.first)):
                await self._hang_up(rest, held.first)
        if held.bridge is not None and event.call_key not in self._held:
            await self._ask(rest, "DELETE", "bridges", held.bridge)

    # -- requests --------------------------------------------------------------------------------

    def _hold(self, call_key: str, first: str) -> Held:
        held = self._held.setdefault(call_key, Held(first))
        while len(self._held) > MOST_HELD:
            self._held.popitem(last=False)
        return held

    async def _hang_up(self, rest: AriRest, channel: str, cause: str = NORMAL) -> None:
        await self._ask(rest, "DELETE", "channels", channel, query={"reason_code": cause})

    async def _ask(
        self, rest: AriRest, method: str, *path: str, query: Mapping[str, str] | None = None
    ) -> bool:
        try:
            await rest.send(method, *path, query=query)
        except AriRefused as refused:
            # 404: it ended in the meantime, and its event is on the way.
            if refused.status != 404:
                log.warning("the PBX refuses", request=f"{method} {'/'.join(path)}", why=str(refused))
            return False
        return True


def _is_ours(leg: Leg | None) -> bool:
    """A customer who came in and whom our application still has."""
    return leg is not None and leg.in_app and leg.side is Side.CUSTOMER and not leg.outgoing
