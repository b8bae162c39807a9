"""The desk's call: its buttons, whom it may be handed to, and what became of a button that was pressed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from aiohttp import web

from handlers.console.call_faults import CANNOT_CONTROL, told_to
from handlers.console.door import form_of, id_of, page
from handlers.console.render import render, see_other
from handlers.telephony.call_deeds import read_target
from handlers.telephony.commands import command_call, deeds_now
from handlers.telephony.control import CommandFailed, Deed
from server.context import Context
from server.domain.errors import Conflict, Forbidden, Invalid, RingpostError
from server.domain.identity import phone_digits_of_query
from server.domain.permission import Actor, Permission
from server.services import dialling
from server.services.going_call import fetch_going_call

FAILED = 409  # the page puts this answer in place, beside the buttons
TEXT_MOST = 200


async def control_of(ctx: Context, actor: Actor, contact_id: int) -> dict[str, Any]:
    """What the buttons need: ``commands`` in their order, ``consulting`` (with whom), ``key`` of the next request."""
    going = await fetch_going_call(ctx.pool, contact_id)
    return {
        "contact_id": contact_id,
        "commands": [deed.value for deed in deeds_now(ctx, actor, going)],
        "consulting": going.consulting if going is not None else None,
        "peer": (going.dnis if going.direction == "outbound" else going.ani) if going is not None else None,
        "is_mine": going is not None and going.is_at(actor),
        "key": uuid4().hex,
    }


@page("POST", "/desk/contacts/{id}/commands", Permission.CONTACTS_WRITE)
async def command(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """A button was pressed: the buttons again, and why it failed where it did."""
    contact_id, form = id_of(request), await form_of(request)
    said, target = form.get("do", ""), (form.get("target") or form.get("typed", ""))[:TEXT_MOST]
    try:
        if said not in set(Deed):
            raise Invalid("there is no such command")
        # One key a drawing of the buttons: pressed twice it is done once, another button is another request.
        key = f"{form['key'][:40]}:{said}:{target}"[:120] if form.get("key") else ""
        await command_call(ctx, actor, contact_id, Deed(said), target, key)
        failed = ""
    except CommandFailed as no:
        failed = told_to(actor, no, CANNOT_CONTROL)
    except (Invalid, Forbidden, Conflict) as no:
        failed = words_of(no)
    if not request.headers.get("HX-Request"):
        if not failed:
            return see_other(f"/?contact={contact_id}")
        return render(
            request, ctx, actor, "call_refused.html",
            status=FAILED, failed=failed, names=[], back=f"/?contact={contact_id}",
        )  # fmt: skip
    control = await control_of(ctx, actor, contact_id)
    return render(
        request, ctx, actor, "call_control.html",
        status=FAILED if failed else 200, control=control, failed=failed,
    )  # fmt: skip


@page("GET", "/desk/contacts/{id}/targets", Permission.CONTACTS_READ)
async def targets(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """Whom the call may be handed to; what was typed itself, when it is a number."""
    typed = request.query.get("typed", "").replace("\x00", "").strip()[:TEXT_MOST]
    going = await fetch_going_call(ctx.pool, id_of(request))
    found = await dialling.find_targets(ctx.pool, going.agent_id if going else None, _searched(typed))
    where = read_target(typed, ctx.settings.region.default_country, ctx.directory.snapshot) if typed else None
    listed = where is not None and any(one["target"] == where for one in found)
    return render(
        request, ctx, actor, "call_targets.html",
        found=found, typed=typed, number=None if listed else where,
    )  # fmt: skip


def _searched(typed: str) -> str:
    """A queue's number is kept as E.164: of a number in any spelling only its digits are looked for."""
    digits = phone_digits_of_query(typed)
    return digits if digits is not None and len(digits) > 4 else typed


def words_of(wrong: RingpostError) -> str:
    """The first thing that is wrong, as a sentence; what can be done instead the buttons say."""
    return next(iter(wrong.fields.values()), wrong.detail).partition(";")[0]
