"""An agent's requests to the telephony: to dial a customer, to hold, transfer or end a call.

Each is checked, audited before and after, done once for a key, and answered in words.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import uuid4

from handlers.telephony.call_deeds import NEEDS_TARGET, decide_deeds, live_call, read_target
from handlers.telephony.control import Command, CommandFailed, Deed
from server.context import Context
from server.domain.errors import Conflict, Forbidden, Invalid, RingpostError
from server.domain.permission import Actor
from server.services import asked_once, dialling
from server.services.asked_once import Request
from server.services.dialling import Dialling
from server.services.going_call import GoingCall, fetch_going_call

NO_SOURCE = "no telephony here can make calls: the administrator configures one that can"
NO_TARGET = "an extension, a number or a SIP address"


@dataclass(frozen=True, slots=True)
class Dialled:
    """``source`` is the one under which the call's events come in."""

    call_key: str
    source: str


def dial_source(ctx: Context, named: str | None = None) -> str | None:
    """The named source, or the first that can dial; None when there is none. Raises Invalid."""
    sources = ctx.settings.call_sources
    if named is None:
        return next((name for name in sources if Deed.DIAL in ctx.telephony.deeds(name)), None)
    if named not in sources:
        raise Invalid(fields={"source": "there is no such call source"})
    if Deed.DIAL not in ctx.telephony.deeds(named):
        raise Invalid(fields={"source": "this call source cannot make calls, or not now"})
    return named


async def dial(ctx: Context, actor: Actor, wanted: Dialling, source: str | None, key: str = "") -> Dialled:
    """The agent's phone rings, then the customer's. Raises Invalid, Conflict, CommandFailed."""
    chosen = dial_source(ctx, source)
    if chosen is None:
        raise Invalid(fields={"source": NO_SOURCE})
    said = {"number": wanted.number, "source": chosen}
    request = Request(key or uuid4().hex, "call.dial", "agent", actor.agent_id, said)
    seen_as = ctx.settings.call_sources[chosen].joins or chosen
    before = await asked_once.begin(ctx.pool, actor, request)
    if before is not None:
        return Dialled(before.get("call_key", ""), seen_as)
    command = Command(Deed.DIAL, _provider_key(actor, request), wanted.extension, wanted.number)
    call_key = await _act(ctx, actor, chosen, command, request)
    await dialling.expect_call(ctx.pool, ctx.hub, actor, wanted, seen_as, call_key)
    return Dialled(call_key, seen_as)


def deeds_now(ctx: Context, actor: Actor, going: GoingCall | None) -> tuple[Deed, ...]:
    """What this agent can ask of the call now; nothing of a contact that is no call."""
    if going is None:
        return ()
    can = {deed for source in _sources_of(ctx, going) for deed in ctx.telephony.deeds(source)}
    return decide_deeds(going, actor, can)


def _sources_of(ctx: Context, going: GoingCall) -> list[str]:
    """The source of the call, and those that join it: they tell of the same calls, and may do more with them."""
    sources = ctx.settings.call_sources
    own = [going.source] if going.source in sources else []
    return own + [name for name, said in sources.items() if said.joins == going.source]


async def command_call(
    ctx: Context, actor: Actor, contact_id: int, deed: Deed, target: str = "", key: str = ""
) -> None:
    """Raises NotFound, Forbidden (not this agent's call), Conflict (over, or it cannot), Invalid, CommandFailed."""
    if deed is Deed.DIAL:
        raise Invalid(fields={"do": "a call that goes on cannot be dialled"})
    going = await fetch_going_call(ctx.pool, contact_id)
    if going is None:
        raise Conflict("this contact is no call")
    if not going.may_be_commanded_by(actor):
        raise Forbidden("only the agent on the call or a supervisor can do that")
    where = _read_target(ctx, deed, target)
    said = {"do": deed.value, **({"target": where} if where else {})}
    request = Request(key or uuid4().hex, "call.command", "contact", contact_id, said)
    if key and await asked_once.find_done(ctx.pool, actor, request) is not None:
        return  # and the call may be over by now
    _refuse_impossible(ctx, actor, going, deed)
    if await asked_once.begin(ctx.pool, actor, request) is not None:
        return
    directory = ctx.directory.snapshot
    on_it = directory.agents.get(going.agent_id or actor.agent_id)
    phone = (on_it.extension if on_it is not None else None) or ""
    call = live_call(going, directory)
    command = Command(deed, _provider_key(actor, request), phone, where, call=call)
    source = next(name for name in _sources_of(ctx, going) if deed in ctx.telephony.deeds(name))
    await _act(ctx, actor, source, command, request)


def _read_target(ctx: Context, deed: Deed, text: str) -> str:
    if deed not in NEEDS_TARGET:
        return ""
    if not text.strip():
        raise Invalid(fields={"target": f"is required: {NO_TARGET}"})
    found = read_target(text, ctx.settings.region.default_country, ctx.directory.snapshot)
    if found is None:
        raise Invalid(fields={"target": f"must be {NO_TARGET}"})
    return found


def _refuse_impossible(ctx: Context, actor: Actor, going: GoingCall, deed: Deed) -> None:
    if not going.goes_on:
        raise Conflict("the call is over")
    possible = deeds_now(ctx, actor, going)
    if deed not in possible:
        can = ", ".join(possible) or "nothing"
        raise Conflict(f"that cannot be done with this call now; what can be done: {can}")


async def _act(ctx: Context, actor: Actor, source: str, command: Command, request: Request) -> str:
    """Done or failed, it is noted."""
    try:
        call_key = await ctx.telephony.act(source, command)
    except (CommandFailed, RingpostError) as failed:
        await asked_once.finish(ctx.pool, actor, request, "failed", {"reason": str(failed)[:500]})
        raise
    await asked_once.finish(ctx.pool, actor, request, "done", {"call_key": call_key} if call_key else None)
    return call_key


def _provider_key(actor: Actor, request: Request) -> str:
    """The client's key is its own: two agents may use the same one."""
    whole = f"{request.action}:{request.subject_id}:{actor.agent_id}:{request.key}"
    return hashlib.sha256(whole.encode(errors="replace")).hexdigest()[:32]
