"""Telnyx Call Control v2: signed JSON webhooks in, an empty 200 out, commands by REST afterwards.

Source options: ``api_key`` (without it the source only watches), ``connection_id`` (the Voice API
application) and ``number`` for click to dial and transfers, ``sip_domain`` of the agents' phones,
``record`` ("", "dual", "mono"), ``voicemail`` ("off"), ``language``, ``voice``, ``ring_seconds``, ``api_url``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import aiohttp

from handlers.telephony.control import Command, Deed
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from handlers.telephony.telnyx_commands import Commands
from handlers.telephony.telnyx_control import carry_out
from handlers.telephony.telnyx_events import TelnyxEvent, read_event
from handlers.telephony.telnyx_flow import Turn, lead_on
from handlers.telephony.telnyx_message import read_message
from handlers.telephony.telnyx_signature import check_signature
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome


class TelnyxProvider:
    """The ``Provider`` and ``Control`` of sources with ``provider = "telnyx"``."""

    name = "telnyx"
    public_secrets = True  # they check signatures, and open no door
    deeds = frozenset({Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER})
    needs = ("api_key",)
    needs_to_dial: tuple[str, ...] = ("connection_id", "number")

    def verify(self, source: CallSource, request: HookRequest) -> None:
        check_signature(request, source.secrets)

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        event = read_event(read_message(source, request))
        return () if event is None else (event,)

    def reply(
        self,
        source: CallSource,
        request: HookRequest,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
    ) -> HookReply:
        return HookReply()

    async def follow_up(
        self,
        source: CallSource,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
        http: aiohttp.ClientSession,
    ) -> None:
        """Give the commands that these events call for, after the reply. Raises CommandFailed.

        ``events`` are what ``parse`` gave. Done twice it is done once: the commands' ids come from the
        event's, so a retried webhook may follow up again and mend a first attempt that was cut off.
        """
        if not source.options.get("api_key"):
            return
        for event, outcome in zip_longest(events, outcomes[: len(events)]):
            if isinstance(event, TelnyxEvent):
                await lead_on(Turn(event, outcome, Commands(source, http, event.event_key)))

    async def act(self, source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
        return await carry_out(Commands(source, http, command.key), command)


PROVIDER = TelnyxProvider()
