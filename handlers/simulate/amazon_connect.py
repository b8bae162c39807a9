"""Calls as Amazon Connect's contact events tell of them, posted by an EventBridge API destination.

Connect routes calls itself: the agent is known when the call is put through. Events are unordered and may
come twice. Who calls is said only where the source names the field for it (``caller_field``).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from handlers.simulate.answers import is_empty
from handlers.simulate.pbx import PbxCall, lead
from handlers.simulate.plan import Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.stage import Request
from server.settings import CallSourceSettings
from server.store.simulation import SimAgent

INSTANCE = "arn:aws:connect:eu-west-2:111122223333:instance/00000000-0000-4000-8000-000000000000"


class ConnectCall(PbxCall):
    def __init__(self, line: Line) -> None:
        super().__init__(line, line.stage.new_id())
        self.contact: dict[str, Any] = {}
        self.began("INBOUND", self.key)

    def began(self, method: str, contact_id: str, **more: str) -> None:
        """The details of one contact; what happens to it is added as it happens."""
        self.contact = {
            "contactId": contact_id,
            "channel": "VOICE",
            "instanceArn": INSTANCE,
            "initiationMethod": method,
            "initiationTimestamp": self.stamp(),
            **more,
        }
        plan = self.plan
        for option, value in (("caller_field", plan.caller.number), ("called_field", plan.dnis)):
            *way, last = plan.option(option).split(".")
            if last and value:
                place = self.contact
                for name in way:
                    place = place.setdefault(name, {})
                place[last] = value

    def stamp(self) -> str:
        return f"{self.line.now():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

    async def tell(self, kind: str) -> None:
        contact = f"{INSTANCE}/contact/{self.contact['contactId']}"
        event = {
            "version": "0",
            "id": self.line.stage.new_id(),
            "detail-type": "Amazon Connect Contact Event",
            "source": "aws.connect",
            "account": "111122223333",
            "time": f"{self.line.now():%Y-%m-%dT%H:%M:%SZ}",
            "region": "eu-west-2",
            "resources": [contact, INSTANCE],
            "detail": {"eventType": kind, **self.contact},
        }
        body = json.dumps(event).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Amazon/EventBridge/ApiDestinations",
            "Range": "bytes=0-1048575",
            **_credentials(self.plan.secret, self.plan.option("header")),
        }
        await self.line.tell(Request(self.line.hook_url, body, headers, is_empty))

    async def ring(self, agent: SimAgent | None) -> None:
        await self.tell("INITIATED")
        await self.tell("CONNECTED_TO_SYSTEM")  # the flow speaks: passed over
        queue = next(iter(self.plan.table("queues")), self.plan.settings.queue or "")
        queue_arn = queue if queue.startswith("arn:") else f"{INSTANCE}/queue/{queue}"
        self.contact["queueInfo"] = {
            "queueArn": queue_arn,
            "queueType": "STANDARD",
            "enqueueTimestamp": self.stamp(),
        }
        await self.tell("QUEUED")

    async def pick_up(self, agent: SimAgent) -> None:
        self.contact["agentInfo"] = {
            "agentArn": self.agent_arn(agent),
            "connectedToAgentTimestamp": self.stamp(),
        }
        await self.tell("CONNECTED_TO_AGENT")

    def agent_arn(self, agent: SimAgent) -> str:
        """As the settings' table has it; else the extension is the id."""
        agents = self.plan.table("agents")
        known = next((key for key, extension in agents.items() if extension == agent.extension), "")
        return known if known.startswith("arn:") else f"{INSTANCE}/agent/{known or agent.extension}"

    async def hand_over(self, agent: SimAgent, to: SimAgent) -> None:
        first = self.contact
        more = {"initialContactId": self.key, "previousContactId": str(first["contactId"])}
        self.began("TRANSFER", self.line.stage.new_id(), **more)
        await self.tell("INITIATED")
        await self.pick_up(to)
        second, self.contact = self.contact, first
        await self.disconnect()
        self.contact = second

    async def dial(self, agent: SimAgent) -> None:
        self.began("OUTBOUND", self.key)
        await self.tell("INITIATED")

    async def reach(self, agent: SimAgent) -> None:
        await self.pick_up(agent)

    async def disconnect(self) -> None:
        self.contact["disconnectTimestamp"] = self.stamp()
        await self.tell("DISCONNECTED")

    async def hang_up(self, kind: Kind) -> None:
        await self.disconnect()
        if "agentInfo" in self.contact:
            await self.tell("COMPLETED")  # after-contact work is done: passed over


def _credentials(secret: str, header: str) -> dict[str, str]:
    """A key in the connection's header; ``user:password`` is Basic unless a header is named."""
    if header or ":" not in secret:
        return {header or "X-Api-Key": secret}
    return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}


class ConnectScript:
    name = "amazon_connect"
    kinds = frozenset({Kind.ANSWERED, Kind.TRANSFERRED, Kind.ABANDONED, Kind.OUTGOING, Kind.UNTAKEN})
    led = False

    def lack(self, settings: CallSourceSettings) -> str:
        return ""

    async def play(self, line: Line) -> Sequence[Played]:
        return await lead(ConnectCall(line))


SCRIPT = ConnectScript()
