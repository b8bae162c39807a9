"""A call event that was understood but could not be taken in, as quarantine keeps it beside the raw bytes.

What it was read from may mean nothing by itself (one message of a live connection), so it is not read again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from server.domain.errors import Conflict
from server.domain.event import CallEvent

NAME = "event"
_EVENT = TypeAdapter(CallEvent)


def meta_of(event: CallEvent) -> dict[str, str]:
    """What ``event_of`` reads, fit to be shown and stored, whatever the event holds."""
    return {NAME: json.dumps(_EVENT.dump_python(event, mode="json", exclude_defaults=True, warnings=False))}


def event_of(meta: Mapping[str, Any]) -> CallEvent | None:
    """The event; None when what is kept never was one. Raises Conflict for one of another version."""
    if NAME not in meta:
        return None
    try:
        return _EVENT.validate_json(meta[NAME])
    except ValidationError:
        raise Conflict("this event was kept by another version of Ringpost and cannot be read") from None
