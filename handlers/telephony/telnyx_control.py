"""What agents ask of Telnyx: dial (the agent's phone first), hang up, transfer.

The API addresses legs by call_control_id, which no event of ours keeps: it is looked up among the
connection's calls that go on, by the leg's key.
"""

from __future__ import annotations

import re

from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall
from handlers.telephony.fields import optional_count
from handlers.telephony.telnyx_commands import ActiveLeg, CallGone, Commands, address_of, recording
from handlers.telephony.telnyx_flow import RING_SECONDS
from handlers.telephony.telnyx_message import ClientState, Step

_PHONE = re.compile(r"(sips?:)?[+\w][\w.!*'~@:;=-]{0,250}", re.ASCII)


async def carry_out(commands: Commands, command: Command) -> str:
    """As ``Control.act``."""
    for name in ("api_key", "connection_id", "number"):
        _option(commands, name)
    if command.deed is Deed.DIAL:
        return await _dial(commands, command)
    if command.deed is Deed.HANG_UP:
        await _hang_up(commands, _call(command))
    elif command.deed is Deed.TRANSFER:
        await _transfer(commands, command, _call(command))
    else:
        raise CommandFailed("Telnyx cannot do this")
    return ""


async def _dial(commands: Commands, command: Command) -> str:
    agent, customer = _phone(command.agent), _phone(command.target)
    if not customer.startswith("+"):
        raise CommandFailed("give the number as +44..., with the country")
    return await commands.dial(
        connection_id=_option(commands, "connection_id"),
        to=address_of(commands.source, agent),
        from_=command.caller_id or _option(commands, "number"),
        timeout_secs=_seconds(commands),
        client_state=ClientState(step=Step.DIAL, agent=agent, customer=customer),
    )


async def _hang_up(commands: Commands, call: LiveCall) -> None:
    legs = await _legs(commands, call)
    # The customer's side ends both; without it the agent's own leg does.
    control = legs.get(call.customer_leg) or legs.get(call.agent_leg or "")
    if control is None:
        raise CallGone("the call has ended")
    await commands.on(control, "hangup")


async def _transfer(commands: Commands, command: Command, call: LiveCall) -> None:
    target, source = _phone(command.target), commands.source
    control = (await _legs(commands, call)).get(call.customer_leg)
    if control is None:
        raise CallGone("the call has ended")
    address = address_of(source, target)
    customer = call.dnis if call.direction == "outbound" else call.ani
    # A number may only be shown one of our own.
    known = customer if customer and customer.startswith("+") and not address.startswith("+") else None
    await commands.on(
        control,
        "transfer",
        to=address,
        from_=known or _option(commands, "number"),
        timeout_secs=_seconds(commands),
        target_leg_client_state=ClientState(
            step=Step.TRANSFER, agent=target, leg=call.customer_leg, control=control, caller=customer
        ),
        **recording(source),
    )


async def _legs(commands: Commands, call: LiveCall) -> dict[str, str]:
    """Leg key -> call_control_id, of the legs of this call that go on."""
    active: list[ActiveLeg] = await commands.active(_option(commands, "connection_id"))
    return {leg.leg_key: leg.control for leg in active if leg.call_key == call.call_key and leg.control}


def _call(command: Command) -> LiveCall:
    if command.call is None:
        raise CommandFailed("there is no call")
    return command.call


def _phone(said: str) -> str:
    if not _PHONE.fullmatch(said):
        raise CommandFailed("this is neither a number nor a phone's name")
    return said


def _seconds(commands: Commands) -> int:
    return optional_count(commands.source.options.get("ring_seconds")) or RING_SECONDS


def _option(commands: Commands, name: str) -> str:
    """Raises CommandFailed naming the setting."""
    value = commands.source.options.get(name)
    if not value:
        raise CommandFailed(f"call_sources.{commands.source.name}.{name} is not set")
    return value
