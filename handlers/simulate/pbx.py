"""Calls that the PBX leads itself: the same steps, whatever each provider calls them.

A provider's call says in its own words what happens (``PbxCall``); ``lead`` lets it happen in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from handlers.simulate.plan import OUT, TALKS, Kind, Played
from handlers.simulate.script import Line
from server.store.simulation import SimAgent


class PbxCall:
    """One call. A provider overrides the steps that it tells of; the others pass in silence."""

    def __init__(self, line: Line, key: str) -> None:
        self.line = line
        self.plan = line.plan
        self.key = key

    async def ring(self, agent: SimAgent | None) -> Kind | None:
        """A call came in, for ``agent`` or for the queue. What the answer makes of it, if it does."""

    async def pick_up(self, agent: SimAgent) -> None:
        """An agent answers."""

    async def hold(self) -> None:
        """The customer hears music."""

    async def unhold(self) -> None:
        """... and the agent again."""

    async def hand_over(self, agent: SimAgent, to: SimAgent) -> None:
        """``to`` picks up what ``agent`` had answered."""

    async def take_message(self) -> None:
        """The voicemail answers, the caller speaks."""

    async def dial(self, agent: SimAgent) -> None:
        """An agent calls the customer."""

    async def reach(self, agent: SimAgent) -> None:
        """The customer answers."""

    async def hang_up(self, kind: Kind) -> None:
        """The end, of whatever kind the call was."""

    def played(self, kind: Kind) -> list[Played]:
        """What the server must have of it."""
        return [self.line.played(self.key, kind)]


async def lead(call: PbxCall) -> Sequence[Played]:
    """Play ``call`` as its plan says."""
    line, plan = call.line, call.plan
    agent = plan.agents[0] if plan.agents else None
    kind = plan.kind if agent is not None or plan.kind is Kind.VOICEMAIL else Kind.ABANDONED
    if agent is not None and kind in OUT:
        await _dial(call, agent, kind)
        return call.played(kind)
    # Half of the time the PBX has chosen the agent itself, half of the time it rings a queue.
    queued = kind is Kind.ABANDONED or (kind in TALKS and line.stage.random.random() < 0.5)
    made = await call.ring(None if queued else agent)
    kind = made or kind
    line.say(f"{line.who} rings {'the queue' if queued or agent is None else agent.name}")
    await line.pause(plan.ring_seconds if kind is not Kind.ABANDONED else plan.patience_seconds)
    if agent is not None and kind in TALKS:
        await _talk(call, agent, kind)
    elif kind is Kind.VOICEMAIL:
        line.say(f"{line.who} leaves a message")
        await call.take_message()
        await line.pause(plan.talk_seconds / 4)
    await call.hang_up(kind)
    line.say(f"{line.who} {'hangs up' if kind in TALKS or kind is Kind.VOICEMAIL else 'gave up'}")
    return call.played(kind)


async def _talk(call: PbxCall, agent: SimAgent, kind: Kind) -> None:
    line, plan = call.line, call.plan
    await call.pick_up(agent)
    line.say(f"{agent.name} answers {line.who}")
    await line.pause(plan.talk_seconds / 3)
    if kind is Kind.HELD:
        await call.hold()
        line.say(f"{agent.name} holds {line.who}")
        await line.pause(plan.talk_seconds / 6)
        await call.unhold()
    elif kind is Kind.TRANSFERRED:
        to = plan.agents[1] if len(plan.agents) > 1 else agent
        await call.hand_over(agent, to)
        line.say(f"{agent.name} hands {line.who} over to {to.name}")
    await line.pause(plan.talk_seconds * 2 / 3)


async def _dial(call: PbxCall, agent: SimAgent, kind: Kind) -> None:
    line, plan = call.line, call.plan
    await call.dial(agent)
    line.say(f"{agent.name} calls {line.who}")
    await line.pause(plan.ring_seconds)
    if kind is Kind.OUTGOING:
        await call.reach(agent)
        line.say(f"{line.who} answers {agent.name}")
        await line.pause(plan.talk_seconds)
    await call.hang_up(kind)
