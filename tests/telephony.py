"""A telephony at the far edge: it does what it is told, or says no, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from handlers.telephony.control import Command, CommandFailed, Deed
from server.context import Connection, Context

ALL = frozenset(Deed)


@dataclass
class StandIn:
    """``can``: source -> what it can do. ``fault``: why it says no. ``answer``: the key of a dialled call."""

    can: dict[str, frozenset[Deed]]
    answer: str = "K-1"
    fault: str = ""
    asked: list[tuple[str, Command]] = field(default_factory=list)
    pause: asyncio.Event | None = None  # waits for it before it answers

    @property
    def connections(self) -> Sequence[Connection]:
        return ()

    @property
    def last(self) -> Command:
        return self.asked[-1][1]

    def deeds(self, source: str) -> frozenset[Deed]:
        return self.can.get(source, frozenset())

    async def act(self, source: str, command: Command) -> str:
        self.asked.append((source, command))
        if self.pause is not None:
            await self.pause.wait()
        if self.fault:
            raise CommandFailed(self.fault)
        return self.answer if command.deed is Deed.DIAL else ""

    def follow_up(self, *_: Any) -> None: ...

    async def start(self, ctx: Context) -> None: ...

    async def stop(self) -> None: ...
