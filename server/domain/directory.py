"""Agents and queues as intake needs them: who is meant by a name, which queue by a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from server.domain.hours import Hours


@dataclass(frozen=True, slots=True)
class Agent:
    id: int
    name: str
    email: str
    role: str
    extension: str | None
    language: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    id: int
    name: str
    title_en: str = ""
    title_zh: str = ""
    is_default: bool = False
    hours: Hours = field(default_factory=Hours)
    wrap_up_seconds: int = 0
    dispositions: tuple[str, ...] = ()  # codes
    disposition_required: bool = False
    callback_due_seconds: int = 3600
    overflow_after_seconds: int | None = None
    overflow_queue_id: int | None = None

    @property
    def wraps_up(self) -> bool:
        """Whether an agent has after-call work before the next contact is offered."""
        return self.wrap_up_seconds > 0 or self.disposition_required

    def callback_due(self, at: datetime) -> datetime:
        """By when somebody should have called back who was missed at ``at``: counted from when it is open."""
        return (self.hours.next_open(at) or at) + timedelta(seconds=self.callback_due_seconds)


@dataclass(frozen=True)
class Directory:
    """A snapshot; replaced as a whole when an agent or a queue changes."""

    agents: Mapping[int, Agent] = field(default_factory=dict)
    queues: Mapping[int, Queue] = field(default_factory=dict)
    by_ref: Mapping[str, int] = field(default_factory=dict)
    by_dnis: Mapping[str, int] = field(default_factory=dict)
    by_queue_name: Mapping[str, int] = field(default_factory=dict)
    members: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # queue -> its agents
    default_queue_id: int | None = None

    def find_agent(self, ref: str) -> Agent | None:
        """By extension, number, SIP URI, e-mail, its local part, id or name; None when nobody is meant."""
        found = self.by_ref.get(ref) or self.by_ref.get(_plain(ref))
        return self.agents[found] if found is not None else None

    def find_queue(self, *, ref: str | None, dnis: Iterable[str], fallback: str | None) -> Queue | None:
        """The queue that the event names, else that of the number dialled, the source's, the default."""
        queue_id = self.by_queue_name.get(ref.casefold()) if ref else None
        if queue_id is None:
            queue_id = next((self.by_dnis[number] for number in dnis if number in self.by_dnis), None)
        if queue_id is None and fallback:
            queue_id = self.by_queue_name.get(fallback.casefold())
        if queue_id is None:
            queue_id = self.default_queue_id
        return self.queues.get(queue_id) if queue_id is not None else None

    def queue_name(self, queue_id: int | None) -> str | None:
        queue = self.queues.get(queue_id) if queue_id is not None else None
        return queue.name if queue is not None else None


def build_directory(
    agents: Iterable[Agent],
    queues: Iterable[Queue],
    dnis: Mapping[str, int],
    members: Mapping[int, tuple[int, ...]] | None = None,
) -> Directory:
    by_ref: dict[str, int] = {}
    ambiguous: set[str] = set()
    known = {agent.id: agent for agent in agents}
    # Weakest names first, so that an extension is never shadowed by somebody's name.
    for names in (_names, _mail_locals, _mails, _extensions, _ids):
        level: dict[str, int] = {}
        for agent in known.values():
            for name in names(agent):
                if level.setdefault(name, agent.id) != agent.id:
                    ambiguous.add(name)
        for name, agent_id in level.items():
            by_ref[name] = agent_id
            if name in ambiguous:
                # Two agents of one name: nobody is meant, rather than the wrong one.
                del by_ref[name]
                ambiguous.discard(name)
    known_queues = {queue.id: queue for queue in queues}
    return Directory(
        agents=known,
        queues=known_queues,
        by_ref=by_ref,
        by_dnis=dict(dnis),
        members=members or {},
        by_queue_name={queue.name.casefold(): queue.id for queue in known_queues.values()},
        default_queue_id=next((queue.id for queue in known_queues.values() if queue.is_default), None)
        or next(iter(sorted(known_queues)), None),
    )


def _plain(ref: str) -> str:
    plain = ref.strip().casefold()
    for prefix in ("sip:", "sips:", "client:", "tel:", "pjsip/", "sip/", "local/"):
        plain = plain.removeprefix(prefix)
    return plain.partition(";")[0].removeprefix("+") if plain.startswith("+") else plain.partition(";")[0]


def _names(agent: Agent) -> list[str]:
    return [agent.name.casefold()] if agent.name else []


def _mail_locals(agent: Agent) -> list[str]:
    return [agent.email.casefold().partition("@")[0]]


def _mails(agent: Agent) -> list[str]:
    return [agent.email.casefold()]


def _extensions(agent: Agent) -> list[str]:
    if not agent.extension:
        return []
    plain = _plain(agent.extension)
    return [plain, plain.partition("@")[0]] if "@" in plain else [plain]


def _ids(agent: Agent) -> list[str]:
    return [f"agent:{agent.id}"]
