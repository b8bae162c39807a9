"""What an agent asks of the telephony: to dial, hang up, hold, transfer. One request, one answer in words.

A provider that can do something names it in ``deeds`` (the console shows no other button) and does
it in ``act``. The events that follow come in as they always do; ``act`` changes nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import aiohttp

if TYPE_CHECKING:
    from handlers.telephony.provider import CallSource


class Deed(StrEnum):
    DIAL = "dial"  # the agent's phone first, then the customer
    ANSWER = "answer"
    HANG_UP = "hang_up"
    HOLD = "hold"
    UNHOLD = "unhold"
    TRANSFER = "transfer"  # blind
    ATTENDED = "attended"  # speak with the target first; COMPLETE puts the two together
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call that goes on, as the provider names it.

    ``legs``: leg key -> who is at its end (an agent's reference), None at the customer's end.
    """

    call_key: str
    customer_leg: str
    agent_leg: str | None
    direction: str  # inbound, outbound
    ani: str | None = None
    dnis: str | None = None
    legs: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """``agent`` is the phone of the agent who asks (extension, SIP URI, client name, number).

    ``target`` is the number to dial (E.164) or where to transfer to (an extension, a SIP URI, E.164).
    ``key`` makes a repeated request the same request where the provider can tell.
    """

    deed: Deed
    key: str
    agent: str
    target: str = ""
    caller_id: str = ""
    call: LiveCall | None = None


class CommandFailed(Exception):
    """The telephony said no, or could not be reached; the text is for the agent's eyes."""


@runtime_checkable
class Control(Protocol):
    """The part of a ``Provider`` that acts. Settings of its own (account, key, api_url) are in ``options``.

    ``needs`` are the options without which it can do nothing, ``needs_to_dial`` those of DIAL beside them;
    ``a|b`` is one of two. Without them nothing is offered.
    """

    deeds: frozenset[Deed]
    needs: tuple[str, ...]
    needs_to_dial: tuple[str, ...]

    async def act(self, source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
        """Give the key of the call that was made (DIAL), else "". Raises CommandFailed."""
