"""Who calls and who answers: the customers and agents of this database, and strangers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from random import Random

from handlers.simulate.plan import Caller
from server.settings import Settings
from server.store import simulation as store
from server.store.pool import Pool
from server.store.simulation import SimAgent, SimCustomer, SimReply

SAMPLE = 500
REPLIES = 50
LOOK_SECONDS = 5.0
STRANGERS = 0.12
WITHHELD = 0.08
STRANGER_NUMBERS = (("+4477009", 5), ("+1202555", 4), ("+49302312", 5), ("+8610555", 5))  # and so many digits
CALLING_CODES = {"GB": "+44", "US": "+1", "DE": "+49", "CN": "+86"}
A_NUMBER_OF_OURS = "+442079460100"


class People:
    """``at_desk``: only those answer who are available in a console; else every agent with a phone does."""

    def __init__(
        self, settings: Settings, pool: Pool, random: Random, *, seed: int, at_desk: bool = False
    ) -> None:
        self.customers: list[SimCustomer] = []
        self._settings = settings
        self._pool = pool
        self._random = random
        self._seed = seed
        self._at_desk = at_desk
        self._agents: list[SimAgent] = []
        self._on_call: set[str] = set()  # extensions
        self._changed = asyncio.Condition()
        self._dnis: dict[str, list[str]] = {}
        self._looked_at = 0.0

    async def open(self) -> None:
        self.customers = await store.fetch_customers(self._pool, str(self._seed), SAMPLE)
        for name, source in self._settings.call_sources.items():
            self._dnis[name] = await store.fetch_dnis(self._pool, source.queue or "") or [A_NUMBER_OF_OURS]
        await self.look()

    async def look(self) -> None:
        """See who is there, every few seconds."""
        now = asyncio.get_running_loop().time()
        if not self._agents or now - self._looked_at > LOOK_SECONDS:
            self._agents, self._looked_at = await store.fetch_agents(self._pool), now

    def dnis(self, source: str) -> str:
        return self._random.choice(self._dnis[source])

    # -- customers ---------------------------------------------------------------------------------

    def caller(self, source: str, *, known: bool = False) -> Caller:
        """Somebody of the source's country, where there is one. ``known``: with a number that can be called."""
        country = self._settings.call_sources[source].country or self._settings.region.default_country
        code = CALLING_CODES.get(country, "+")
        chance = self._random.random()
        if chance < WITHHELD and not known:
            return Caller("somebody", "")
        with_phone = [customer for customer in self.customers if customer.phone]
        near = [customer for customer in with_phone if customer.phone.startswith(code)] or with_phone
        if chance < WITHHELD + STRANGERS or not near:
            ranges = [one for one in STRANGER_NUMBERS if one[0].startswith(code)] or STRANGER_NUMBERS
            prefix, digits = ranges[0]
            return Caller("a stranger", f"{prefix}{self._random.randrange(10**digits):0{digits}d}")
        customer = self._random.choice(near)
        return Caller(customer.name, customer.phone)

    def writer(self) -> SimCustomer:
        writers = [customer for customer in self.customers if customer.email]
        if not writers or self._random.random() < STRANGERS:
            number = self._random.randrange(10**6)
            return SimCustomer(f"Stranger {number}", "en", "", f"stranger{number}@example.net")
        return self._random.choice(writers)

    async def replies(self) -> list[SimReply]:
        """The newest of ours that nobody has answered yet."""
        return await store.fetch_replies(self._pool, REPLIES)

    # -- agents ------------------------------------------------------------------------------------

    def colleagues(self) -> list[SimAgent]:
        """Everybody with a phone, whoever talks, in an order of chance."""
        known = [agent for agent in self._agents if agent.extension]
        self._random.shuffle(known)
        return known

    async def take(self, count: int, seconds: float) -> list[SimAgent]:
        """Up to ``count`` agents who are not on the phone, waiting for the first as long as ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                while self._there() and not self._free():
                    await self._changed.wait()
        taken = self._free()[:count]
        self._on_call.update(agent.extension for agent in taken)
        return taken

    async def give_back(self, agents: Iterable[SimAgent]) -> None:
        async with self._changed:
            self._on_call.difference_update(agent.extension for agent in agents)
            self._changed.notify_all()

    def _there(self) -> list[SimAgent]:
        return [one for one in self.colleagues() if one.available or not self._at_desk]

    def _free(self) -> list[SimAgent]:
        return [agent for agent in self._there() if agent.extension not in self._on_call]
