"""Who may do what. Every route and every socket message declares one permission; three roles hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from server.domain.errors import Forbidden


class Permission(StrEnum):
    PUBLIC = "public"  # no log-in; the door checks its own signature or nothing
    DESK_USE = "desk_use"
    CUSTOMERS_READ = "customers_read"
    CUSTOMERS_WRITE = "customers_write"
    TICKETS_READ = "tickets_read"
    TICKETS_WRITE = "tickets_write"
    CONTACTS_READ = "contacts_read"
    CONTACTS_WRITE = "contacts_write"
    AGENTS_READ = "agents_read"
    AGENTS_WRITE = "agents_write"
    QUEUES_READ = "queues_read"
    QUEUES_WRITE = "queues_write"
    PRESENCE_OWN = "presence_own"
    PRESENCE_OTHERS = "presence_others"
    QUARANTINE_READ = "quarantine_read"
    QUARANTINE_WRITE = "quarantine_write"
    REPORTS_READ = "reports_read"
    SESSION_OWN = "session_own"
    TOKENS_OWN = "tokens_own"


_AGENT = frozenset(
    {
        Permission.PUBLIC,
        Permission.DESK_USE,
        Permission.CUSTOMERS_READ,
        Permission.CUSTOMERS_WRITE,
        Permission.TICKETS_READ,
        Permission.TICKETS_WRITE,
        Permission.CONTACTS_READ,
        Permission.CONTACTS_WRITE,
        Permission.AGENTS_READ,
        Permission.QUEUES_READ,
        Permission.PRESENCE_OWN,
        Permission.SESSION_OWN,
        Permission.TOKENS_OWN,
    }
)
_SUPERVISOR = _AGENT | {
    Permission.PRESENCE_OTHERS,
    Permission.QUARANTINE_READ,
    Permission.QUARANTINE_WRITE,
    Permission.REPORTS_READ,
}
ROLE_PERMISSIONS: Mapping[str, frozenset[Permission]] = {
    "agent": _AGENT,
    "supervisor": _SUPERVISOR,
    "administrator": frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """The agent on whose behalf something is done."""

    agent_id: int
    name: str
    email: str
    role: str
    language: str = ""


def allowed(actor: Actor | None, permission: Permission) -> bool:
    if permission is Permission.PUBLIC:
        return True
    return actor is not None and permission in ROLE_PERMISSIONS.get(actor.role, frozenset())


def require(actor: Actor | None, permission: Permission) -> None:
    """Raise Forbidden unless the actor's role holds the permission."""
    if not allowed(actor, permission):
        raise Forbidden(f"this needs the permission {permission.value}")
