"""The customers of a company on a busy day: who gets in touch next, how, and with whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from uuid import uuid4

import aiohttp

from handlers.simulate.letters import answer_mail, choose_story, form_values, new_mail
from handlers.simulate.stage import Caller, CallPlan, Stage, discover_scripts, shown
from server.mail.transport import PermanentFailure, SmtpTransport, TemporaryFailure
from server.settings import Settings
from server.store import simulation as store
from server.store.pool import Pool
from server.store.simulation import SimAgent, SimCustomer

SAMPLE = 500
LOOK_SECONDS = 5.0
STRANGERS = 0.12
WITHHELD = 0.08
STRANGER_NUMBERS = ("+4477009", "+1202555", "+49302312", "+8610555")
CALLING_CODES = {"GB": "+44", "US": "+1", "DE": "+49", "CN": "+86"}


class Company:
    """Who is known here, and the play. ``contacts`` counts what was begun."""

    def __init__(
        self, stage: Stage, settings: Settings, pool: Pool, *, seed: int, smtp: tuple[str, int]
    ) -> None:
        self.stage = stage
        self.contacts = 0
        self._random = stage.random = Random(seed)
        self._seed = seed
        self._settings = settings
        self._pool = pool
        self._smtp = SmtpTransport(smtp[0], smtp[1], tls="none")
        self._scripts = discover_scripts()
        self._customers: list[SimCustomer] = []
        self._agents: list[SimAgent] = []
        self._dnis: dict[str, list[str]] = {}

    async def open(self) -> None:
        self._customers = await store.fetch_customers(self._pool, str(self._seed), SAMPLE)
        self._agents = await store.fetch_agents(self._pool)
        for name, source in self._settings.call_sources.items():
            self._dnis[name] = await store.fetch_dnis(self._pool, source.queue or "") or ["+442079460100"]

    def describe(self) -> str:
        sources = [name for name, one in self._settings.call_sources.items() if one.provider in self._scripts]
        doors = [*sources, *self._settings.mailboxes, *self._settings.forms]
        return f"{len(self._customers)} customers call, write and post to {', '.join(doors)}"

    async def play(self, rate: float, seconds: float) -> None:
        """Contacts at random times, ``rate`` a second on average; calls under way are played to their end."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        looked = loop.time()
        try:
            async with asyncio.TaskGroup() as scenes:
                while True:
                    await asyncio.sleep(self._random.expovariate(rate))
                    if loop.time() >= end:
                        break
                    if loop.time() - looked > LOOK_SECONDS:
                        self._agents, looked = await store.fetch_agents(self._pool), loop.time()
                    self.contacts += 1
                    scenes.create_task(self._safely(self._choose()))
        finally:
            await self._smtp.close()

    def _choose(self) -> Callable[[], Awaitable[None]]:
        calls = [name for name, one in self._settings.call_sources.items() if one.provider in self._scripts]
        scenes: list[tuple[Callable[[], Awaitable[None]], float]] = []
        if calls:
            source = self._random.choice(calls)
            scenes.append((lambda: self._call(source), 5))
        if self._settings.mailboxes:
            scenes += [(self._mail, 3), (self._answer, 1.5)]
        if self._settings.forms:
            scenes.append((self._form, 1))
        return self._random.choices([scene for scene, _ in scenes], [weight for _, weight in scenes])[0]

    async def _safely(self, scene: Callable[[], Awaitable[None]]) -> None:
        """One customer's bad luck is not the others'."""
        try:
            await scene()
        except (aiohttp.ClientError, TemporaryFailure, PermanentFailure, TimeoutError, OSError) as bad:
            self.stage.refused += 1
            self.stage.tell(f"could not be sent: {type(bad).__name__}: {bad}")

    # -- scenes ------------------------------------------------------------------------------------

    async def _call(self, source: str) -> None:
        settings = self._settings.call_sources[source]
        code = CALLING_CODES.get(settings.country or self._settings.region.default_country, "+")
        plan = CallPlan(
            key=f"sim-{uuid4().hex[:20]}",
            source=source,
            settings=settings,
            caller=self._caller(code),
            dnis=self._random.choice(self._dnis[source]),
            agents=self._free() if self._random.random() < 0.85 else (),
            ring_seconds=self._random.uniform(3, 9),
            talk_seconds=self._random.uniform(8, 40),
        )
        await self._scripts[settings.provider].play(self.stage, plan)

    def _free(self) -> list[SimAgent]:
        """Who can pick up: those at their desk, in an order of chance; without any, nobody answers."""
        free = [agent for agent in self._agents if agent.available and agent.extension]
        self._random.shuffle(free)
        return free

    def _caller(self, code: str) -> Caller:
        chance = self._random.random()
        if chance < WITHHELD:
            return Caller("somebody", "")
        near = [customer for customer in self._customers if customer.phone.startswith(code)]
        near = near or [customer for customer in self._customers if customer.phone]
        if chance < WITHHELD + STRANGERS or not near:
            prefix = next((one for one in STRANGER_NUMBERS if one.startswith(code)), STRANGER_NUMBERS[0])
            return Caller("a stranger", f"{prefix}{self._random.randrange(10**5):05d}")
        customer = self._random.choice(near)
        return Caller(customer.name, customer.phone)

    def _writer(self) -> SimCustomer:
        writers = [customer for customer in self._customers if customer.email]
        if not writers or self._random.random() < STRANGERS:
            number = self._random.randrange(10**6)
            return SimCustomer(f"Stranger {number}", "en", "", f"stranger{number}@example.net")
        return self._random.choice(writers)

    async def _mail(self) -> None:
        customer = self._writer()
        boxes = list(self._settings.mailboxes.values())
        story = choose_story(self._random, customer.language, None)
        # The mailbox of the story's queue where there is one.
        box = next((one for one in boxes if one.queue == story.queue), boxes[0])
        raw = new_mail(self._random, customer, box.address, story, uuid4().hex)
        await self._smtp.send(raw, customer.email, [box.address])
        self.stage.tell(f"mail  {customer.name} writes to {box.address}")

    async def _answer(self) -> None:
        known = {box.address.casefold() for box in self._settings.mailboxes.values()}
        replies = [
            r for r in await store.fetch_replies(self._pool, 50) if r.mailbox_address.casefold() in known
        ]
        if not replies:
            await self._mail()
            return
        reply = self._random.choice(replies)
        await self._smtp.send(
            answer_mail(reply, uuid4().hex), reply.customer_address, [reply.mailbox_address]
        )
        self.stage.tell(f"mail  {reply.customer_name or reply.customer_address} answers our reply")

    async def _form(self) -> None:
        name = self._random.choice(list(self._settings.forms))
        customer = self._writer()
        story = choose_story(self._random, customer.language, self._settings.forms[name].queue)
        body = json.dumps(form_values(self._random, customer, story)).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
        status, text = await self.stage.post(f"{self.stage.public_url}/forms/{name}", body, headers)
        number = json.loads(text).get("ticket", "") if status == 201 else ""
        self.stage.tell(f"form  {customer.name} {shown(customer.phone)} posts {name} -> {number or status}")
