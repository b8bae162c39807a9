"""The records of the API as OpenAPI describes them. Ids are opaque text, times RFC 3339 in UTC."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel

from handlers.resource import Answer

Id = Annotated[str, Field(description="opaque id", examples=["1001"])]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Version = Annotated[int, Field(description="the ETag's number")]
Channel = Literal["call", "email", "form", "sms"]


class Phone(Answer):
    number: Annotated[str, Field(description="E.164")]
    label: str
    extension: str
    verified: bool


class Email(Answer):
    address: str
    verified: bool


class Customer(Answer):
    id: Id
    number: str
    kind: Literal["person", "company"]
    name: str
    company: str
    language: str
    time_zone: str
    owner_agent_id: Id | None
    tier: str
    blocked: bool
    provisional: Annotated[bool, Field(description="made by a contact, confirmed by nobody yet")]
    do_not_contact: list[Channel]
    phones: list[Phone]
    emails: list[Email]
    external_ids: dict[str, str]
    tags: list[str]
    fields: dict[str, Any]
    notes: str
    created_at: Time
    updated_at: Time
    version: Version


class TimelineEntry(Answer):
    """One of a customer's contacts, tickets, messages or changes; each type has fields of its own beside these."""

    model_config = ConfigDict(extra="allow")
    type: Literal["contact", "ticket", "message", "change"]
    id: Id
    at: Time
    ticket_id: Id | None
    agent_id: Id | None
    agent_name: str | None


class Lesson(Answer):
    id: Id
    key: Annotated[str, Field(description="tel:+442079460123 or mail:name@example.com")]
    customer_id: Id
    customer_name: str
    verdict: Literal["is", "never"]
    agent_id: Id | None
    contact_id: Id | None
    created_at: Time


class UndoneLesson(Answer):
    id: Id
    customer_id: Id
    verdict: Literal["is", "never"]


class Ticket(Answer):
    id: Id
    number: Annotated[str, Field(examples=["RP-000123"])]
    kind: str
    subject: str
    status: Literal["open", "waiting", "resolved", "closed"]
    stage: str
    priority: Literal["low", "normal", "high", "urgent"]
    queue: str | None
    assignee_agent_id: Id | None
    customer_id: Id | None
    channel: str
    fields: dict[str, Any]
    first_response_due_at: Time | None
    first_responded_at: Time | None
    resolve_due_at: Time | None
    created_at: Time
    updated_at: Time
    resolved_at: Time | None
    version: Version


class ListedTicket(Ticket):
    customer_name: str | None
    assignee_name: str | None


class Attachment(Answer):
    id: Id
    name: str
    type: str
    size: int
    sha256: str
    inline: bool
    content_id: str


class Delivery(Answer):
    state: Literal["queued", "sent", "failed"]
    error: str
    sent_at: Time | None


class Message(Answer):
    id: Id
    ticket_id: Id
    contact_id: Id | None
    kind: Literal["note", "reply", "email", "form", "event"]
    direction: Literal["inbound", "outbound", "internal"]
    author_agent_id: Id | None
    author_name: str | None
    from_: Annotated[str, Field(alias="from")]
    from_name: str
    to: list[str]
    cc: list[str]
    subject: str
    body_text: str
    body_html: Annotated[
        str | None, Field(description="made safe; show it in a sandboxed frame all the same")
    ]
    quoted_text: str
    trust: Annotated[str, Field(description="empty, or why the sender is not to be trusted")]
    message_id: str | None
    has_raw: bool
    delivery: Annotated[Delivery | None, Field(description="of a reply")]
    attachments: list[Attachment]
    created_at: Time


class Candidate(Answer):
    model_config = ConfigDict(extra="allow")
    customer_id: Id
    name: str
    score: float
    reason: str


class Recording(Answer):
    state: Annotated[
        Literal["waiting", "fetched", "linked", "failed", "deleted"],
        Field(description="fetched: a copy is here; linked: it stays with the provider"),
    ]
    type: Annotated[str | None, Field(examples=["audio/mpeg"])]
    size: Annotated[int | None, Field(description="bytes")]
    duration_seconds: Annotated[float | None, Field(description="where the file tells it")]
    url: Annotated[str | None, Field(description="where it can be had now")]
    error: Annotated[str | None, Field(description="why the last try failed")]


class Play(Answer):
    id: Id
    agent_id: Id | None
    agent_name: str | None
    at: Time


class Contact(Answer):
    id: Id
    channel: Channel
    direction: Literal["inbound", "outbound", "internal"]
    source: str
    state: str
    ani: str | None
    ani_raw: str
    dnis: str | None
    withheld: bool
    display_name: str
    linkedid: str
    customer_id: Id | None
    customer_name: str | None
    ticket_id: Id | None
    continued: bool
    agent_id: Id | None
    agent_name: str | None
    queue: str | None
    match: Literal["matched", "ambiguous", "unknown"]
    candidates: list[Candidate]
    subject: Annotated[str | None, Field(description="of a mail or form")]
    started_at: Time
    answered_at: Time | None
    ended_at: Time | None
    hangup_cause: str | None
    ring_seconds: Annotated[int | None, Field(description="to the first pick-up, else to the end")]
    talk_seconds: Annotated[int | None, Field(description="picked up by agents, without holds")]
    hold_seconds: int | None
    stir: Annotated[str | None, Field(description="STIR/SHAKEN verdict: A, B, C or failed")]
    recording_url: str | None
    recording: Recording | None
    disposition: str | None
    note: str
    wrapped_up_at: Time | None
    version: Version


class TaughtContact(Contact):
    lesson_ids: list[Id]


class CommandedContact(Contact):
    commands: Annotated[
        list[Literal["answer", "hang_up", "hold", "unhold", "transfer", "attended", "complete"]],
        Field(description="what the one who asks can ask of the call now"),
    ]


class Transition(Answer):
    state: Literal["ringing", "answered", "held", "transferred", "voicemail", "ended", "missed"]
    at: Time
    agent_id: Id | None
    agent: Annotated[str | None, Field(description="the agent's name, else the telephone system's word")]


class ContactInFull(CommandedContact):
    transitions: Annotated[list[Transition], Field(description="of a call: what happened, in order")]


class MadeCall(Answer):
    call_key: Annotated[str, Field(description="`linkedid` of its contact; empty when the PBX does not say")]
    source: str


class Agent(Answer):
    id: Id
    email: str
    name: str
    role: Literal["agent", "supervisor", "administrator"]
    extension: str | None
    queues: list[str]
    skills: list[str]
    language: str
    state: Literal["available", "not_ready", "offline"]
    reason: str
    since: Time | None
    disabled: bool
    busy: Annotated[bool, Field(description="on a call, or being rung")]
    version: Version


class State(Answer):
    state: Literal["available", "not_ready"]
    reason: str
    since: Time


class Disposition(Answer):
    code: str
    en: str
    zh_CN: str


class WrapUp(Answer):
    """After-call work: nothing is offered to the agent until it is done, or its time is over."""

    contact_id: Id
    until: Annotated[Time | None, Field(description="null: until it is done")]
    since: Time | None
    customer_name: str | None
    ani: Annotated[str | None, Field(description="the customer's number")]
    withheld: bool
    display_name: str
    dispositions: list[Disposition]
    required: Annotated[bool, Field(description="it does not end without a disposition")]
    disposition: str | None
    note: str


class WrapUpOrNull(RootModel[WrapUp | None]):
    """Null when there is none."""


class QueueAgents(Answer):
    free: int
    busy: int
    wrap_up: Annotated[int, Field(description="available, and at after-call work")]
    not_ready: int
    offline: int


class Queue(Answer):
    id: Id
    name: str
    title_en: str
    title_zh: str
    is_default: bool
    dnis: Annotated[list[str], Field(description="numbers dialled that lead here")]
    skills: Annotated[dict[str, int], Field(description="skill -> the least level that an agent must have")]
    wrap_up_seconds: int
    dispositions: list[Disposition]
    disposition_required: bool
    overflow_after_seconds: int | None
    overflow_queue: str | None
    hours: dict[str, list[list[str]]]
    holidays: list[str]
    time_zone: str
    callback_due_seconds: int
    is_open: bool
    waiting: int
    oldest_wait_seconds: int | None
    agents: QueueAgents
    version: Version


class Quarantined(Answer):
    id: Id
    door: Literal["call", "email", "form"]
    source: str
    reason: str
    meta: dict[str, Any]
    state: Literal["open", "retried", "discarded"]
    attempts: int
    size: int
    received_at: Time
    settled_at: Time | None


class QuarantinedRaw(Quarantined):
    raw_text: Annotated[str, Field(description="the raw payload as far as it is text")]
    raw_base64: str


class Session(Answer):
    token: Annotated[str, Field(description="for Authorization: Bearer, until logged out or expired")]
    agent: Agent


class Token(Answer):
    id: Id
    agent_id: Id
    email: str
    name: str
    created_at: Time
    revoked_at: Time | None


class NewTokenGiven(Answer):
    token: Annotated[str, Field(description="shown this once")]
