"""How a Telnyx call is led: what follows each event, as commands.

An incoming call is parked until somebody commands it:

    initiated -> answer -> answered -> ring the chosen agents | queue, and look again every few seconds
    an agent's leg ends untaken -> greeting -> message -> hang up | queue again (voicemail off)
    the queue is closed -> the same greeting | a word and the end (voicemail off)

Click to dial starts with the agent's leg (``telnyx_control``): answered -> transfer it to the customer.
Nothing is remembered here: a leg's client_state says where it stands and for whose sake it rings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from handlers.telephony.control import CommandFailed
from handlers.telephony.fields import optional_count
from handlers.telephony.spoken import CLOSED, VOICEMAIL, WAIT, is_chinese, text_of
from handlers.telephony.telnyx_commands import CallGone, Commands, address_of, recording
from handlers.telephony.telnyx_events import TelnyxEvent
from handlers.telephony.telnyx_message import ClientState, Step
from server.domain.event import Direction, EventType
from server.domain.outcome import CallOutcome, RungAgent

RING_SECONDS = 20
MAX_RUNG = 10
_LOOK_AGAIN_SECONDS = 10
_MESSAGE_SECONDS = 120
_FINISHED = ("normal_clearing", "time_limit", "originator_cancel")
"""Why an agent's leg ends that leaves nobody waiting."""

_ENGLISH, _CHINESE = "AWS.Polly.Amy", "AWS.Polly.Zhiyu"


@dataclass(frozen=True, slots=True)
class Turn:
    """One event, with what intake decided of it, and the commands that may follow."""

    event: TelnyxEvent
    outcome: CallOutcome | None
    commands: Commands

    def option(self, name: str, default: str = "") -> str:
        return self.commands.source.options.get(name) or default

    @property
    def queue(self) -> str:
        source = self.commands.source
        return (self.outcome.queue if self.outcome is not None else None) or source.queue or source.name

    @property
    def caller(self) -> ClientState:
        """Who waits and for whom: what every state of a waiting caller carries."""
        event = self.event
        if event.state.step is Step.RING:
            return ClientState(caller=event.state.caller, line=event.state.line)
        return ClientState(caller=event.ani, line=event.dnis)


async def lead_on(turn: Turn) -> None:
    """Give the commands that follow from this event. Raises CommandFailed."""
    event = turn.event
    follow = _FOLLOWS.get((event.kind, event.state.step))
    if follow is None:
        return
    with suppress(CallGone):  # the caller was faster
        await follow(turn)


# -- the caller's leg ------------------------------------------------------------------------------


async def _answer(turn: Turn) -> None:
    event = turn.event
    incoming = event.type is EventType.RINGING and event.direction is Direction.INBOUND
    if event.control is not None and incoming and not event.agent_refs:
        await turn.commands.on(event.control, "answer", client_state=ClientState(step=Step.ANSWER))


async def _ring_or_queue(turn: Turn) -> None:
    event, outcome = turn.event, turn.outcome
    if event.control is None:
        return
    agents = outcome.agents if outcome is not None else ()
    if not agents:
        await _queue(turn, event.control)
        return
    try:
        await _ring(turn, event.control, agents)
    except CallGone:
        raise
    except CommandFailed:
        # No phone rings: the caller must not be left in silence.
        await _untaken(turn, event.control)
        raise


async def _ring(turn: Turn, control: str, agents: tuple[RungAgent, ...]) -> None:
    """Ring one agent, or the group at once; who picks up is put through."""
    event, source = turn.event, turn.commands.source
    phones = [agent.extension or agent.email.partition("@")[0] for agent in agents][:MAX_RUNG]
    addresses = [address_of(source, phone) for phone in phones]
    group = len(addresses) > 1
    state = replace(
        turn.caller,
        step=Step.RING,
        agent=None if group else phones[0],
        leg=event.leg_key,
        control=control,
        round=event.event_key,
        group=group,
    )
    seconds = optional_count(turn.option("ring_seconds")) or RING_SECONDS
    shown = _shown(turn, addresses)
    if not group:
        await turn.commands.on(
            control,
            "transfer",
            to=addresses[0],
            from_=shown,
            timeout_secs=seconds,
            target_leg_client_state=state,
            **recording(source),
        )
        return
    await turn.commands.dial(
        connection_id=event.connection,
        to=addresses,
        from_=shown,
        link_to=control,
        bridge_intent=True,
        bridge_on_answer=True,
        timeout_secs=seconds,
        client_state=state,
        **recording(source),
    )


def _shown(turn: Turn, addresses: list[str]) -> str | None:
    """Whose number the agent sees: the caller's on SIP phones; to a number only our own may be shown."""
    own = turn.option("number") or turn.event.dnis
    caller = turn.event.ani or ""
    number_rings = any(address.startswith("+") for address in addresses)
    return caller if caller.startswith("+") and not number_rings else own


async def _queue(turn: Turn, control: str) -> None:
    """Wait, with a word, until the queue lets the caller go and routing looks again; never in a closed one."""
    if turn.outcome is not None and turn.outcome.closed:
        await _close(turn, control)
        return
    state = replace(turn.caller, step=Step.WAIT)
    await turn.commands.on(
        control,
        "enqueue",
        queue_name=turn.queue,
        max_wait_time_secs=_LOOK_AGAIN_SECONDS,
        client_state=state,
    )
    await _say(turn, control, WAIT, state)


async def _close(turn: Turn, control: str) -> None:
    """Nobody comes for this caller: a message may be left, else a word and the end."""
    if turn.commands.source.takes_voicemail:
        await _greet(turn, control)
    else:
        await _say(turn, control, CLOSED, replace(turn.caller, step=Step.CLOSED))


async def _hang_up(turn: Turn) -> None:
    if turn.event.control is not None:
        await turn.commands.on(turn.event.control, "hangup")


async def _say(turn: Turn, control: str, what: str, state: ClientState) -> None:
    language = turn.option("language")
    voice = turn.option("voice", _CHINESE if is_chinese(language) else _ENGLISH)
    await turn.commands.on(control, "speak", payload=text_of(what, language), voice=voice, client_state=state)


async def _untaken(turn: Turn, control: str) -> None:
    """Nobody took the call: to the voicemail, or back to the queue."""
    if turn.commands.source.takes_voicemail:
        await _greet(turn, control)
    else:
        await _queue(turn, control)


async def _greet(turn: Turn, control: str) -> None:
    await _say(turn, control, VOICEMAIL, replace(turn.caller, step=Step.GREET))


async def _take_message(turn: Turn) -> None:
    if turn.event.control is not None:
        await turn.commands.on(
            turn.event.control,
            "record_start",
            format="mp3",
            channels="single",
            play_beep=True,
            max_length=_MESSAGE_SECONDS,
            client_state=replace(turn.caller, step=Step.MESSAGE, voicemail=True, control=turn.event.control),
        )


async def _hang_up_other(turn: Turn) -> None:
    """The leg for whose sake this one was made (a recording's own leg) has nothing to wait for."""
    if turn.event.state.control is not None:
        await turn.commands.on(turn.event.state.control, "hangup")


# -- agents' legs ----------------------------------------------------------------------------------


async def _agent_ended(turn: Turn) -> None:
    """An agent's phone was not picked up, and no other one rings: the caller is on our hands."""
    event, state = turn.event, turn.event.state
    if event.cause in _FINISHED or state.control is None:
        return
    if state.group:
        if await _others(turn):
            return
        # Several phones may give up at once, each with its own event: one follow-up for all of them.
        turn = replace(turn, commands=replace(turn.commands, seed=f"{state.round}:untaken"))
    await _untaken(turn, state.control)


async def _silence_group(turn: Turn) -> None:
    """Of a group one picked up, or the caller hung up: the other phones stop ringing."""
    state = turn.event.state
    several = state.group if state.step is Step.RING else turn.commands.source.ring == "group"
    if several:
        for control in await _others(turn):
            with suppress(CallGone):
                await turn.commands.on(control, "hangup")


async def _others(turn: Turn) -> list[str]:
    """The phones that ring or talk for the same caller, beside this leg."""
    event = turn.event
    caller_leg = event.state.leg or event.leg_key
    legs = await turn.commands.active(event.connection) if event.connection is not None else []
    return [
        leg.control
        for leg in legs
        if leg.call_key == event.call_key
        and leg.leg_key != event.leg_key
        and leg.state.step is Step.RING
        and leg.state.leg == caller_leg
    ]


async def _call_customer(turn: Turn) -> None:
    """Click to dial, second half: the agent has picked up."""
    event, state, source = turn.event, turn.event.state, turn.commands.source
    if event.control is None or state.customer is None:
        return
    try:
        await turn.commands.on(
            event.control,
            "transfer",
            to=state.customer,
            from_=event.ani,
            target_leg_client_state=ClientState(
                step=Step.CUSTOMER, customer=state.customer, leg=event.leg_key, control=event.control
            ),
            **recording(source),
        )
    except CallGone:
        raise
    except CommandFailed:
        await turn.commands.on(event.control, "hangup")
        raise


_FOLLOWS: dict[tuple[str, Step | None], Callable[[Turn], Awaitable[None]]] = {
    ("initiated", None): _answer,
    ("answered", Step.ANSWER): _ring_or_queue,
    ("dequeued", Step.WAIT): _ring_or_queue,
    ("speak.ended", Step.GREET): _take_message,
    ("speak.ended", Step.CLOSED): _hang_up,
    ("recording.saved", Step.MESSAGE): _hang_up_other,
    ("hangup", Step.ANSWER): _silence_group,
    ("hangup", Step.WAIT): _silence_group,
    ("answered", Step.RING): _silence_group,
    ("hangup", Step.RING): _agent_ended,
    ("answered", Step.DIAL): _call_customer,
    ("hangup", Step.CUSTOMER): _hang_up_other,
}
