"""A believable demo in an empty database: a week of work of five agents for 200 customers, in two languages.

Deterministic by seed; times are relative to ``now``, so the demo is always of this week. One
transaction, a statement per table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from server.domain.errors import Conflict
from server.domain.identity import email_match_key, normalise_email
from server.domain.names import search_key
from server.domain.view import ticket_number
from server.services.demo_people import ZONES, Person, make_people
from server.services.demo_words import AGENTS, PASSWORD, QUEUES, STORIES_EN, STORIES_ZH, Story
from server.services.directory import notify_directory
from server.services.sessions import hash_password
from server.store import demo as store
from server.store.pool import Pool, transaction_errors

CUSTOMERS = 200
TICKETS = 240
SEED = 20_26
OVERDUE = 9
WAITING = 4
MAIL_DOMAIN = "ringpost.example"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DemoMade:
    """How much was put in."""

    customers: int
    tickets: int
    contacts: int
    messages: int


@dataclass(slots=True)
class _Week:
    """Rows while they are made; ids are given at the end, in the order of time."""

    tickets: list[Row] = field(default_factory=list)
    contacts: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)


async def is_fresh(pool: Pool) -> bool:
    """Nobody has begun to work here: the first start."""
    async with transaction_errors(), pool.acquire() as connection:
        return await store.is_empty(connection)


async def fill_demo(
    pool: Pool,
    now: datetime,
    *,
    seed: int = SEED,
    first_response: timedelta = timedelta(hours=4),
    resolve: timedelta = timedelta(days=2),
) -> DemoMade:
    """Put the demo in. Raises Conflict when there are customers or agents already."""
    random = Random(seed)
    people = make_people(random, CUSTOMERS)
    # One hash for all: they share their password, and each hash costs 50 ms on purpose.
    password_hash = hash_password(PASSWORD)
    async with transaction_errors(), pool.acquire() as connection, connection.transaction():
        if not await store.is_empty(connection):
            raise Conflict(
                "the database has customers or agents already: demo data goes into an empty one only"
            )
        week = _make_week(random, people, now, first_response, resolve)
        touches = sorted([*week.contacts, *week.messages], key=lambda row: row["_at"])
        ids, ticket_ids = await store.next_ids(
            connection, len(AGENTS) + len(people) + len(touches), len(week.tickets)
        )
        spare = iter(ids)
        agents = [_agent(agent, next(spare), password_hash) for agent in AGENTS]
        await store.insert(connection, agents=agents, queues=_queues())
        queue_ids = await store.fetch_queue_ids(connection)
        agent_ids = {row["email"]: row["id"] for row in agents}
        customers = [_customer(random, person, next(spare), agent_ids, now) for person in people]
        for row in touches:
            row["id"] = next(spare)
        week.tickets.sort(key=lambda row: row["_at"])
        for row, ticket_id in zip(week.tickets, ticket_ids, strict=True):
            row["id"] = ticket_id
        _resolve(week, customers, agent_ids, queue_ids)
        await store.insert(
            connection,
            queue_dnis=[{"dnis": dnis, "queue_id": queue_ids[q.name]} for q in QUEUES for dnis in q.dnis],
            queue_agents=[
                {"queue_id": queue_ids[name], "agent_id": agent_ids[agent.email]}
                for agent in AGENTS
                for name in agent.queues
            ],
            customers=customers,
            customer_phones=_phones(people, customers),
            customer_emails=_emails(people, customers),
            tickets=week.tickets,
            contacts=week.contacts,
            messages=week.messages,
        )
        await store.analyze(connection)
        await notify_directory(connection)
    return DemoMade(len(customers), len(week.tickets), len(week.contacts), len(week.messages))


# -- rows ------------------------------------------------------------------------------------------


def _agent(agent: Any, agent_id: int, password_hash: str) -> Row:
    return {
        "id": agent_id,
        "email": agent.email,
        "name": agent.name,
        "role": agent.role,
        "extension": agent.extension,
        "language": agent.language,
        "password_hash": password_hash,
    }


def _queues() -> list[Row]:
    return [
        {"name": q.name, "title_en": q.title_en, "title_zh": q.title_zh, "is_default": q is QUEUES[0]}
        for q in QUEUES
    ]


def _customer(
    random: Random, person: Person, customer_id: int, agent_ids: dict[str, int], now: datetime
) -> Row:
    speakers = [a for a in AGENTS if a.role == "agent" and a.language == person.language]
    owner = random.choice(speakers).email if person.tier == "vip" else None
    return {
        "id": customer_id,
        "kind": person.kind,
        "name": person.name,
        "company": person.company if person.kind == "person" else "",
        "language": person.language,
        "time_zone": ZONES[person.country],
        "owner_agent_id": agent_ids[owner] if owner else None,
        "tier": person.tier,
        "blocked": person.blocked,
        "do_not_contact": list(person.do_not_contact),
        "tags": list(person.tags),
        "notes": person.notes,
        "search_key": search_key(
            f"{person.name} {person.company}" if person.kind == "person" else person.name
        ),
        "created_at": (now - timedelta(days=random.randrange(30, 900))).isoformat(),
    }


def _phones(people: list[Person], customers: list[Row]) -> list[Row]:
    return [
        {
            "customer_id": row["id"],
            "number": number,
            "label": label,
            "verified": place == 0,
            "position": place,
        }
        for person, row in zip(people, customers, strict=True)
        for place, (number, label) in enumerate(person.phones)
    ]


def _emails(people: list[Person], customers: list[Row]) -> list[Row]:
    rows = []
    for person, row in zip(people, customers, strict=True):
        address = normalise_email(person.email) or person.email
        rows.append(
            {
                "customer_id": row["id"],
                "address": address,
                "match_key": email_match_key(address),
                "verified": True,
            }
        )
    return rows


def _resolve(week: _Week, customers: list[Row], agent_ids: dict[str, int], queue_ids: dict[str, int]) -> None:
    """Turn the references between rows into ids, and times into texts."""
    for row in week.tickets:
        row["customer_id"] = customers[row.pop("_customer")]["id"]
        row["assignee_agent_id"] = agent_ids.get(row.pop("_agent"))
        row["queue_id"] = queue_ids[row.pop("_queue")]
    for row in [*week.contacts, *week.messages]:
        ticket = row.pop("_ticket", None)
        row["ticket_id"] = ticket["id"] if ticket else None
    for row in week.contacts:
        ticket_customer = row.pop("_customer")
        row["customer_id"] = customers[ticket_customer]["id"] if ticket_customer is not None else None
        agent = agent_ids.get(row.pop("_agent"))
        row["agent_id"], row["rung_agent_ids"] = agent, [agent] if agent else []
        row["queue_id"] = queue_ids[row.pop("_queue")]
    for row in week.messages:
        contact = row.pop("_contact")
        row["contact_id"] = contact["id"] if contact else None
        row["author_agent_id"] = agent_ids.get(row.pop("_author"))
        if row.pop("_numbered"):
            row["subject"] = f"[{ticket_number(row['ticket_id'])}] {row['subject']}"
    for row in [*week.tickets, *week.contacts, *week.messages]:
        for name, value in row.items():
            if isinstance(value, datetime):
                row[name] = value.isoformat()


# -- the week --------------------------------------------------------------------------------------


def _make_week(
    random: Random, people: list[Person], now: datetime, first_response: timedelta, resolve: timedelta
) -> _Week:
    week = _Week()
    for place in range(TICKETS):
        customer = random.randrange(len(people))
        person = people[customer]
        story = random.choice(STORIES_ZH if person.language == "zh_CN" else STORIES_EN)
        if place < OVERDUE:
            at, fate = now - resolve - timedelta(hours=random.uniform(1, 40)), "overdue"
        elif place < OVERDUE + WAITING:
            at, fate = now - timedelta(minutes=random.uniform(4, 45)), "waiting"
        else:
            at = _working_time(random, now)
            fate = random.choices(
                ("done", "answered", "open"), (7, 2, 1) if now - at > timedelta(hours=20) else (1, 2, 3)
            )[0]
        _tell(week, random, place, customer, person, story, at, fate, now, first_response, resolve)
    for place in range(12):
        _missed_call(week, random, place, people, _working_time(random, now))
    return week


def _working_time(random: Random, now: datetime) -> datetime:
    """Within the last week, mostly by day, never in the future."""
    while True:
        at = now - timedelta(days=7 * random.random() ** 1.2, minutes=random.uniform(20, 90))
        if 7 <= at.astimezone(UTC).hour < 19 or random.random() < 0.15:
            return at


def _tell(
    week: _Week, random: Random, place: int, customer: int, person: Person, story: Story, at: datetime, fate: str,
    now: datetime, first_response: timedelta, resolve: timedelta,
) -> None:  # fmt: skip
    """One matter: how it came in, what the agent did, what the customer said then."""
    filled = {"order": f"{random.randrange(40_000, 99_999)}", "name": person.name}
    channel = "email" if fate == "waiting" else random.choices(("call", "email", "form"), (5, 5, 2))[0]
    speakers = [a for a in AGENTS if a.language == person.language and story.queue in a.queues]
    speakers = speakers or [a for a in AGENTS if story.queue in a.queues]
    agent = random.choice(speakers)
    handled = fate != "waiting" and not (fate == "overdue" and place % 3 == 0)
    subject = story.subject.format(**filled)
    answered = at + timedelta(minutes=random.uniform(6, 150))
    if fate == "overdue" or answered > now:
        answered = at + (now - at) * 0.4
    ticket: Row = {
        "_at": at, "_customer": customer, "_agent": agent.email if handled else "", "_queue": story.queue,
        "kind": story.kind, "subject": subject, "priority": story.priority, "channel": channel, "status": "open",
        "created_at": at, "updated_at": at, "first_response_due_at": at + first_response,
        "first_responded_at": None, "resolve_due_at": at + resolve, "resolved_at": None,
    }  # fmt: skip
    week.tickets.append(ticket)
    contact = _contact(random, place, customer, person, story, channel, at, agent.email if handled else "")
    contact["_ticket"] = ticket
    week.contacts.append(contact)
    mailbox = f"{'sales' if story.queue == 'sales' else 'support'}@{MAIL_DOMAIN}"
    opening_id = f"<demo-{place}-1@{person.email.partition('@')[2]}>"

    def say(kind: str, direction: str, when: datetime, body: str, **more: Any) -> None:
        row: Row = {
            "_at": when, "_ticket": ticket, "_contact": None, "_author": "", "_numbered": False, "kind": kind,
            "direction": direction, "from_address": "", "from_name": "", "to_addresses": [], "subject": subject,
            "body_text": body.format(**filled), "message_id": None, "thread_ids": [], "created_at": when,
        }  # fmt: skip
        row.update(more)
        week.messages.append(row)
        ticket["updated_at"] = max(ticket["updated_at"], when)

    if channel == "call":
        ended = contact["ended_at"]
        say("note", "internal", ended, story.note, _contact=contact, _author=agent.email, subject="")
        ticket["first_responded_at"] = contact["answered_at"]
    else:
        say(
            "email" if channel == "email" else "form", "inbound", at, story.opening, _contact=contact,
            from_address=person.email, from_name=person.name, to_addresses=[mailbox] if channel == "email" else [],
            message_id=opening_id if channel == "email" else None,
        )  # fmt: skip
    if not handled or fate == "open":
        return
    reply_id = f"<demo-{place}-2@{MAIL_DOMAIN}>"
    when = max(answered, ticket["updated_at"] + timedelta(minutes=1))
    say(
        "reply", "outbound", when, story.reply, _author=agent.email, _numbered=True, from_address=mailbox,
        from_name=agent.name, to_addresses=[person.email], subject=f"Re: {subject}", message_id=reply_id,
        thread_ids=[opening_id] if channel == "email" else [],
    )  # fmt: skip
    ticket["first_responded_at"] = ticket["first_responded_at"] or when
    ticket["status"] = "waiting"
    if fate != "done":
        return
    thanked = min(
        when + timedelta(hours=random.uniform(1, 9)), now - timedelta(minutes=random.uniform(1, 15))
    )
    if thanked <= when:
        return
    back = _contact(random, place + 10_000, customer, person, story, "email", thanked, agent.email)
    back.update({"_ticket": ticket, "continued": True})
    week.contacts.append(back)
    say(
        "email", "inbound", thanked, story.thanks, _contact=back, _numbered=True, from_address=person.email,
        from_name=person.name, to_addresses=[mailbox], subject=f"Re: {subject}",
        message_id=f"<demo-{place}-3@{person.email.partition('@')[2]}>", thread_ids=[reply_id, opening_id],
    )  # fmt: skip
    resolved = thanked + (now - thanked) * 0.3
    old = now - resolved > timedelta(days=3)
    ticket.update(status="closed" if old else "resolved", resolved_at=resolved, updated_at=resolved)


def _contact(
    random: Random,
    place: int,
    customer: int,
    person: Person,
    story: Story,
    channel: str,
    at: datetime,
    agent: str,
) -> Row:
    queue = next(q for q in QUEUES if q.name == story.queue)
    call = channel == "call"
    answered = at + timedelta(seconds=random.uniform(4, 40)) if call else None
    ended = answered + timedelta(seconds=random.uniform(50, 600)) if answered else None
    source = {"email": "mail", "form": "form:contact"}.get(channel) or (
        "pbx" if person.country == "CN" else "main"
    )
    return {
        "_at": at, "_customer": customer, "_agent": agent, "_queue": story.queue, "_ticket": None,
        "channel": channel, "direction": "inbound", "call_key": f"demo-{place}",
        "source": source,
        "state": "ended" if call else "answered" if agent else "ringing",
        "ani": person.phones[0][0] if call else None, "ani_raw": person.phones[0][0] if call else person.email,
        "dnis": queue.dnis[0] if call else None, "display_name": "" if call else person.name, "withheld": False,
        "continued": False, "match": "matched", "candidates": [], "started_at": at, "answered_at": answered,
        "ended_at": ended, "hangup_cause": "normalClearing" if call else None,
    }  # fmt: skip


def _missed_call(week: _Week, random: Random, place: int, people: list[Person], at: datetime) -> None:
    """Nobody was free, or the caller gave up: a call in the history without a matter; some withheld."""
    customer = random.randrange(len(people))
    person = people[customer]
    story = (STORIES_ZH if person.language == "zh_CN" else STORIES_EN)[0]
    row = _contact(random, 20_000 + place, customer, person, story, "call", at, "")
    withheld = place % 3 == 0
    row.update(
        state="missed", answered_at=None, ended_at=at + timedelta(seconds=random.uniform(8, 60)),
        hangup_cause="cancel", withheld=withheld,
    )  # fmt: skip
    if withheld:
        row.update(ani=None, ani_raw="anonymous", _customer=None, match="unknown")
    week.contacts.append(row)
