"""The work of one batch of call events, inside its transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson

from server.domain.call import Call, CallState, apply_event, call_of
from server.domain.directory import Agent, Directory
from server.domain.event import Direction, EventType
from server.domain.identity import format_phone
from server.domain.matching import decide_match
from server.domain.names import search_key
from server.domain.outcome import CallOutcome, RungAgent
from server.domain.routing import FreeAgent, decide_agent, decide_group
from server.push.hub import Pop
from server.services.call_after import follow_callbacks, take_back, wrap_up
from server.services.call_contact import (
    Contact,
    ContactPop,
    Found,
    decide_continued,
    provisional,
)
from server.services.call_item import CallItem, IntakeRules, caller_words
from server.services.call_rows import call_payload
from server.services.call_work import ROUTED, Work, work_of
from server.services.call_writing import write_batch
from server.services.callbacks import MissedCall
from server.services.match_rows import evidence_of
from server.services.pop_payload import customer_of_found
from server.store import intake as store
from server.store.pool import Connection

GROUP_MAX = 500  # agents rung at once
ENDED = (CallState.ENDED, CallState.MISSED, CallState.VOICEMAIL)


class CallBatch:
    """The work of one transaction."""

    def __init__(
        self,
        items: list[CallItem],
        directory: Directory,
        rules: IntakeRules,
        is_connected: Callable[[int], bool],
    ) -> None:
        self.works = [work_of(item, directory) for item in items]
        self.directory = directory
        self.rules = rules
        self.contacts: dict[tuple[str, str], Contact] = {}
        self.events: dict[tuple[str, str], tuple[Any, ...]] = {}  # for the ledger
        self.tickets: list[tuple[Any, ...]] = []
        self.customers: list[tuple[Any, ...]] = []
        self.touched: set[int] = set()
        self.freed: set[int] = set()
        self.busy: dict[int, int] = {}  # agent -> call
        self.is_connected = is_connected
        self.pops: list[ContactPop] = []
        self.free: dict[int, list[FreeAgent]] = {}
        self.taken: set[int] = set()
        self._opened: dict[int, dict[str, Any]] = {}  # customer -> ticket opened in this batch
        self._born: dict[str, dict[str, Any]] = {}  # number -> customer made in this batch
        self._duplicates: list[bool] = []
        self.tickets_changed: set[int] = set()
        self.wraps: dict[int, tuple[int, datetime | None]] = {}  # agent -> contact to wrap up, until when
        self.not_answering: set[int] = set()  # agents whose phone rang and was not picked up
        self.waiting_again: set[int] = set()  # queues with a caller whom nobody picked up
        self.lines_changed: set[int] = set()  # queues in which one began or ceased to wait
        self.missed: dict[int, MissedCall] = {}
        self.spoken: dict[int, int | None] = {}  # customer -> the agent who speaks with them
        self.identity: dict[tuple[str, str], Work] = {}
        self.identified: list[Contact] = []

    def lock_keys(self) -> list[int]:
        keys = []
        for work in self.works:
            keys.append(store.lock_key(work.item.source, work.item.event.call_key))
            if work.e164:
                keys.append(store.lock_key("tel", work.e164))
            if work.queue is not None and work.needs_routing:
                keys.append(store.ROUTING)
        return keys

    async def work(self, connection: Connection) -> None:
        """Read under the batch's locks, decide, write. The caller gives the locks back."""
        works = self.works
        rows = await store.lock_and_read(
            connection,
            self.lock_keys(),
            [work.item.source for work in works],
            [work.item.event.event_key for work in works],
            [work.item.event.call_key for work in works],
            [work.e164 or "" for work in works],
        )
        for row in rows:
            work = works[row["i"]]
            work.row = row
            if row["found"]:
                work.found = orjson.loads(row["found"])
            # Who calls is asked of the event that says it, whichever of a call's events came first.
            if work.e164:
                self.identity.setdefault((work.item.source, work.item.event.call_key), work)
        await self._find_free(connection)
        for work in works:
            self._take(work)
        await write_batch(connection, self)

    async def _find_free(self, connection: Connection) -> None:
        """Who is free in the queues that need routing; the customers' own agents among them."""
        queues: set[int] = set()
        wanted: set[int] = set()
        limit = 0
        for work in self.works:
            if work.needs_routing and work.queue is not None:
                queues.add(work.queue.id)
                limit += GROUP_MAX if work.item.ring_group else 1
                for row in work.found:
                    wanted.update(filter(None, (row["owner_agent_id"], _last_agent(row))))
        if not queues:
            return
        rows = await store.fetch_free_agents(connection, list(queues), list(wanted), min(limit, GROUP_MAX))
        for one in sorted(rows, key=lambda one: (one["idle_since"], one["agent_id"])):
            self.free.setdefault(one["queue_id"], []).append(FreeAgent(one["agent_id"], one["idle_since"]))

    # -- one event -------------------------------------------------------------------------------

    def _take(self, work: Work) -> None:
        item = work.item
        contact = self._contact(work)
        assert work.row is not None
        key = (item.source, item.event.event_key)
        duplicate = (
            work.row["seen"] or key in self.events
        )  # the same key twice in one batch is a duplicate too
        self._duplicates.append(duplicate)
        if duplicate:
            return
        self.events[key] = (
            item.source,
            item.event.event_key,
            item.event.call_key,
            item.raw,
            item.received_at,
        )
        before = CallState(contact.state) if contact.state else None
        rang = contact.agent_id
        refs = tuple([f"agent:{agent.id}" for agent in work.named]) if work.named else None
        contact.call = apply_event(contact.call, item.event, item.received_at, refs)
        stands = contact.call.standing
        contact.state = stands.state.value
        contact.changed = True
        contact.stir = item.event.stir or contact.stir
        contact.routed = contact.routed or (
            item.routed and item.event.type in ROUTED and item.event.parent_leg_key is None
        )
        self._follow_agents(contact, work, before)
        take_back(self, contact, item)
        ended = stands.ended_at is not None
        if rang is not None and (rang != contact.agent_id or (ended and not contact.ended_before)):
            self.freed.add(rang)
            wrap_up(self, contact, rang, item.received_at)
        if contact.agent_id is not None and not ended:
            self.busy[contact.agent_id] = contact.id
        follow_callbacks(self, contact, item, ended)
        waits = not ended and contact.agent_id is None and not contact.rung and contact.queue_id is not None
        if waits != contact.waited:
            contact.waited = waits
            self.lines_changed.add(contact.queue_id or 0)
        contact.ended_before, contact.answered_before = ended, stands.answered_at is not None

    def _contact(self, work: Work) -> Contact:
        item, row = work.item, work.row
        assert row is not None
        key = (item.source, item.event.call_key)
        contact = self.contacts.get(key)
        if contact is not None:
            return contact
        if row["contact_id"] is not None:
            call = call_of(item.event.call_key, orjson.loads(row["legs"]))
            contact = Contact(
                id=row["contact_id"],
                is_new=False,
                call=call,
                source=item.source,
                item=item,
                agent_id=row["agent_id"],
                rung=list(row["rung_agent_ids"]),
                queue_id=row["queue_id"],
                customer_id=row["customer_id"],
                ticket_id=row["ticket_id"],
                continued=row["continued"],
                match=row["match"],
                state=row["state"],
                ended_before=call.ended_at is not None,
                answered_before=call.answered_at is not None,
                waited=call.ended_at is None and row["agent_id"] is None and not row["rung_agent_ids"],
                row=row,
            )
            if key in self.identity and row["customer_id"] is None and row["ani"] is None and item.inbound:
                self._identify_late(contact, self.identity[key])
        else:
            contact = Contact(
                id=row["new_contact_id"],
                is_new=True,
                call=Call(item.event.call_key),
                source=item.source,
                item=self.identity.get(key, work).item,
            )
            self._match(contact, self.identity.get(key, work))
            self._ticket(contact, work, row["new_ticket_id"])
        if contact.queue_id is None and item.direction is not Direction.OUTBOUND:
            contact.queue_id = work.queue.id if work.queue is not None else None
        self.contacts[key] = contact
        return contact

    def _identify_late(self, contact: Contact, work: Work) -> None:
        """The event that says who calls came after others of its call."""
        contact.item = work.item
        self._match(contact, work)
        if contact.customer_id is not None or contact.candidates:
            self.identified.append(contact)

    def _match(self, contact: Contact, work: Work) -> None:
        item, e164 = work.item, work.e164
        contact.found = work.found
        if not contact.found:
            if e164 is None or not item.inbound:
                return
            born = self._born.get(e164)
            if born is None:
                assert work.row is not None
                new_id = work.row["new_customer_id"]
                name = item.event.display_name or item.ani.display_name or format_phone(e164, item.country)
                born = provisional(new_id, name, e164, item.received_at)
                self._born[e164] = born
                self.customers.append((new_id, name, search_key(name), item.received_at, e164))
            contact.found = [born]
        contact.settle(decide_match([evidence_of(row) for row in contact.found]))

    def _ticket(self, contact: Contact, work: Work, new_ticket_id: int) -> None:
        """Continue the open ticket of this customer within the window, or open one (inbound only)."""
        item, queue = contact.item, work.queue
        customer = customer_of_found(contact.found, contact.customer_id)
        if customer is not None:
            going_on = self._opened.get(customer["id"]) or decide_continued(
                customer["tickets"] or (), item.received_at, self.rules.continue_window
            )
            if going_on is not None:
                contact.ticket_id, contact.continued = going_on["id"], True
                self.touched.add(going_on["id"])
                return
        if item.direction is not Direction.INBOUND:
            return
        who = customer["name"] if customer is not None else caller_words(item, self.rules.language)
        subject = f"来电：{who}" if self.rules.language == "zh_CN" else f"Call from {who}"
        now = item.received_at
        due, resolve = now + self.rules.first_response, now + self.rules.resolve
        contact.ticket_id = new_ticket_id
        ticket = {
            "id": new_ticket_id, "subject": subject, "status": "open", "kind": "inquiry", "priority": "normal",
            "queue_id": queue.id if queue else None, "assignee_agent_id": None, "channel": "call",
            "created_at": now, "updated_at": now, "resolve_due_at": resolve,
        }  # fmt: skip
        if customer is not None:
            self._opened[customer["id"]] = ticket
            customer["tickets"] = [ticket, *(customer["tickets"] or ())]
        else:
            contact.found.append({"id": None, "tickets": [ticket]})
        self.tickets.append(
            (new_ticket_id, subject, ticket["queue_id"], contact.customer_id, due, resolve, now)
        )

    # -- whom ------------------------------------------------------------------------------------

    def _follow_agents(self, contact: Contact, work: Work, before: CallState | None) -> None:
        """Set the contact's agent, and pop those whom this event is about and who were not popped yet."""
        item, named, directory = work.item, work.named, self.directory
        event = item.event
        talking = directory.find_agent(contact.call.agent_ref) if contact.call.agent_ref else None
        if talking is not None:
            contact.agent_id = talking.id
        state = CallState(contact.state)
        if state in ENDED:
            return
        if event.type is EventType.TRANSFERRED:
            self._pop(contact, item, named, "transferred")
        elif event.type is EventType.ANSWERED:
            self._pop(contact, item, named, "answered")
        elif event.type in (EventType.RINGING, EventType.DIALING) and named:
            reason = "transferred" if before is CallState.TRANSFERRED else "ringing"
            self._pop(contact, item, named, reason)
            if state is CallState.RINGING and len(named) == 1:
                contact.agent_id = named[0].id
        elif work.needs_routing and state is CallState.RINGING and not contact.rung:
            self._route(contact, item)

    def _route(self, contact: Contact, item: CallItem) -> None:
        if self._closed(contact, item):
            return
        free = self.free.get(contact.queue_id or 0, [])
        if item.ring_group:
            chosen = decide_group(free, self.taken)
        else:
            customer = customer_of_found(contact.found, contact.customer_id) or {}
            recent = _last_agent(customer)
            one = decide_agent(
                free,
                voice=True,
                last_agent_id=recent,
                owner_agent_id=customer.get("owner_agent_id"),
                taken=self.taken,
            )
            chosen = [one] if one is not None else []
        agents = [self.directory.agents[agent_id] for agent_id in chosen if agent_id in self.directory.agents]
        if len(agents) == 1:
            contact.agent_id = agents[0].id
            self.taken.add(agents[0].id)
        self._pop(contact, item, agents, "ringing")

    def _closed(self, contact: Contact, item: CallItem) -> bool:
        queue = self.directory.queues.get(contact.queue_id or 0)
        return queue is not None and not queue.hours.is_open(item.received_at)

    def _pop(self, contact: Contact, item: CallItem, agents: Sequence[Agent], reason: str) -> None:
        new = [agent for agent in agents if agent.id not in contact.rung]
        if not new:
            return
        contact.rung.extend(agent.id for agent in new)
        self.pops.extend(ContactPop(agent.id, contact, item, reason) for agent in new)

    # -- answers ---------------------------------------------------------------------------------

    def frames(self) -> list[Pop]:
        """The pops for the sockets that are here. An agent who is not gets them on connecting."""
        return [
            Pop(pop.id, pop.agent_id, pop.payload or call_payload(pop, self.directory))
            for pop in self.pops
            if self.is_connected(pop.agent_id)
        ]

    def changed(self) -> list[Contact]:
        return [contact for contact in self.contacts.values() if contact.changed and not contact.is_new]

    def outcomes(self) -> list[CallOutcome]:
        found = []
        for work, duplicate in zip(self.works, self._duplicates, strict=True):
            contact = self.contacts[(work.item.source, work.item.event.call_key)]
            wanted = [contact.agent_id] if contact.agent_id is not None else contact.rung
            agents = tuple(
                RungAgent(agent.id, agent.name, agent.email, agent.extension)
                for agent_id in wanted
                if (agent := self.directory.agents.get(agent_id)) is not None
            )
            queue = self.directory.queue_name(contact.queue_id)
            closed = not agents and work.item.routed and self._closed(contact, work.item)
            found.append(CallOutcome(contact.id, contact.state, queue, agents, duplicate, closed))
        return found


def _last_agent(customer: Found) -> int | None:
    return next((row["agent_id"] for row in customer.get("recent") or () if row["agent_id"]), None)
