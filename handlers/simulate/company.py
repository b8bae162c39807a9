"""The customers of a company on a busy day: who gets in touch next, and how."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import aiohttp

from handlers.simulate.calls import Calls, spans_of_a_show
from handlers.simulate.letters import answer_mail, choose_story, form_values, new_mail
from handlers.simulate.people import People
from handlers.simulate.plan import choose_kind
from handlers.simulate.stage import Request, Stage, shown
from server.mail.transport import PermanentFailure, SmtpTransport, TemporaryFailure
from server.settings import Settings

Scene = Callable[[], Awaitable[None]]


class Company:
    """The play of calls, mails and forms. ``seconds``: None until it is stopped."""

    def __init__(
        self,
        stage: Stage,
        settings: Settings,
        people: People,
        calls: Calls,
        sources: Sequence[str],
        post: SmtpTransport,
        *,
        rate: float,
        seconds: float | None,
    ) -> None:
        self.contacts = 0  # begun
        self._stage = stage
        self._random = stage.random
        self._settings = settings
        self._people = people
        self._calls = calls
        self._sources = sources
        self._turn: list[str] = []
        self._post = post
        self._rate = rate
        self._seconds = seconds

    def describe(self) -> str:
        doors = [*self._sources, *self._settings.mailboxes, *self._settings.forms]
        return f"{len(self._people.customers)} customers call, write and post to {', '.join(doors)}"

    async def play(self) -> None:
        """Contacts at random times; calls under way are played to their end. Raises WrongServer, in a group."""
        stage, loop = self._stage, asyncio.get_running_loop()
        end = loop.time() + self._seconds if self._seconds is not None else None
        try:
            async with asyncio.TaskGroup() as scenes:
                while True:
                    await stage.pause(self._random.expovariate(self._rate) * stage.speed)
                    if stage.stopping.is_set() or (end is not None and loop.time() >= end):
                        break
                    self.contacts += 1
                    scenes.create_task(self._safely(self._choose()))
        finally:
            await self._post.close()

    def summary(self) -> str:
        return f"{self.contacts} contacts{self._calls.summary()}"

    def _choose(self) -> Scene:
        scenes: list[tuple[Scene, float]] = []
        if self._sources:
            scenes.append((self._call, 5))
        if self._settings.mailboxes:
            scenes += [(self._mail, 3), (self._answer, 1.5)]
        if self._settings.forms:
            scenes.append((self._form, 1))
        return self._random.choices([scene for scene, _ in scenes], [weight for _, weight in scenes])[0]

    async def _safely(self, scene: Scene) -> None:
        """One customer's bad luck is not the others'."""
        try:
            await scene()
        except (aiohttp.ClientError, TemporaryFailure, PermanentFailure, TimeoutError, OSError) as bad:
            self._stage.tally.refused += 1
            self._stage.tell(f"could not be sent: {type(bad).__name__}: {bad}")

    # -- scenes ------------------------------------------------------------------------------------

    async def _call(self) -> None:
        """Each source has its turn before any has another."""
        if not self._turn:
            self._turn = self._random.sample(self._sources, len(self._sources))
        source = self._turn.pop()
        kind = choose_kind(self._random, self._calls.script(source).kinds)
        await self._calls.play(source, kind, spans_of_a_show(self._random, kind))

    async def _mail(self) -> None:
        customer = self._people.writer()
        boxes = list(self._settings.mailboxes.values())
        story = choose_story(self._random, customer.language, None)
        # The mailbox of the story's queue where there is one.
        box = next((one for one in boxes if one.queue == story.queue), boxes[0])
        raw = new_mail(self._random, customer, box.address, story, uuid4().hex)
        await self._post.send(raw, customer.email, [box.address])
        self._stage.tell(f"mail  {customer.name} writes to {box.address}")

    async def _answer(self) -> None:
        known = {box.address.casefold() for box in self._settings.mailboxes.values()}
        replies = [r for r in await self._people.replies() if r.mailbox_address.casefold() in known]
        if not replies:
            await self._mail()
            return
        reply = self._random.choice(replies)
        await self._post.send(
            answer_mail(reply, uuid4().hex), reply.customer_address, [reply.mailbox_address]
        )
        self._stage.tell(f"mail  {reply.customer_name or reply.customer_address} answers our reply")

    async def _form(self) -> None:
        name = self._random.choice(list(self._settings.forms))
        customer = self._people.writer()
        story = choose_story(self._random, customer.language, self._settings.forms[name].queue)
        body = json.dumps(form_values(self._random, customer, story)).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
        url = f"{self._stage.public_url}/forms/{name}"
        answer = await self._stage.send(Request(url, body, headers, _no_ticket))
        told = f"{customer.name} {shown(customer.phone)} posts {name}"
        self._stage.tell(
            f"form  {told} -> {json.loads(answer.text)['ticket'] if answer.ok else answer.status}"
        )


def _no_ticket(text: str) -> str:
    try:
        return "" if json.loads(text)["ticket"] else "the answer names no ticket"
    except (ValueError, KeyError, TypeError):
        return "the answer names no ticket"
