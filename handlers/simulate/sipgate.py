"""Calls as sipgate.io pushes them: signed forms; the answer to newCall names the addresses of what follows.

A call that is handed over goes on as a new one with the old id in ``origCallId`` (sipgate docs, Push-API).
sipgate signs with a private key of its own, so a source for a simulation has a key pair of ours: the
public key as its secret, the private one (PEM) as ``simulation_key``.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlencode
from xml.etree import ElementTree

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from handlers.simulate.answers import CallLost, is_response, read_response
from handlers.simulate.pbx import PbxCall, lead
from handlers.simulate.plan import Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.stage import Request
from server.settings import CallSourceSettings
from server.store.simulation import SimAgent

_CAUSES = {
    Kind.MISSED: "noAnswer",
    Kind.ABANDONED: "cancel",
    Kind.BUSY: "busy",
    Kind.UNTAKEN: "noAnswer",
}
Fields = list[tuple[str, str]]


@lru_cache(maxsize=8)
def _key(pem: str) -> RSAPrivateKey:
    key = load_pem_private_key(pem.strip().encode(), None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("simulation_key is no RSA key")
    return key


def sign(pem: str, body: bytes) -> str:
    """X-Sipgate-Signature: RSA (PKCS #1 v1.5) with SHA-256 over the body."""
    return base64.b64encode(_key(pem).sign(body, PKCS1v15(), SHA256())).decode()


class SipgateCall(PbxCall):
    def __init__(self, line: Line) -> None:
        super().__init__(line, f"{line.stage.ids.getrandbits(72):018x}")
        self.id = self.key  # of the part that goes on; the key is the first part's
        self.direction = "in"
        self.answer_url = self.hangup_url = line.hook_url
        self.dialled: list[str] = []  # whom our answer lets ring
        self.answered: Fields = []  # answeringNumber of the part that goes on

    def request(self, url: str, event: str, more: Fields) -> Request:
        plan = self.plan
        ends = [plan.caller.number.lstrip("+") or "anonymous", plan.dnis.lstrip("+")]
        if self.direction == "out":
            ends.reverse()
        fields = [("event", event), ("from", ends[0]), ("to", ends[1]), ("direction", self.direction)]
        body = urlencode([*fields, ("callId", self.id), *more]).encode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Sipgate-Signature": sign(plan.option("simulation_key"), body),
        }
        return Request(url, body, headers, is_response)

    async def new_call(self, agent: SimAgent | None, more: Fields) -> ElementTree.Element:
        users = [
            ("user[]", agent.name),
            ("userId[]", agent.extension),
            ("fullUserId[]", f"1234567{agent.extension}"),
        ] if agent is not None else []  # fmt: skip
        fields = [("origCallId", self.key), ("xcid", self.line.stage.new_id()), *users, *more]
        response = read_response(await self.line.ask(self.request(self.line.hook_url, "newCall", fields)))
        if not response.get("onAnswer") or not response.get("onHangup"):
            raise CallLost("the answer names no address for what follows")
        self.answer_url, self.hangup_url = response.get("onAnswer", ""), response.get("onHangup", "")
        return response

    async def ring(self, agent: SimAgent | None) -> Kind | None:
        response = await self.new_call(agent, [])
        self.dialled = [number.text or "" for number in response.iterfind("Dial/Number")]
        if response.find("Reject") is not None:
            return Kind.BUSY
        return Kind.VOICEMAIL if response.find("Dial/Voicemail") is not None else None

    async def pick_up(self, agent: SimAgent) -> None:
        number = self.dialled[0] if self.dialled else agent.extension
        user = [] if self.dialled else [("user", agent.name), ("userId", agent.extension)]
        self.answered = [("answeringNumber", number)]
        await self.line.tell(self.request(self.answer_url, "answer", [*user, *self.answered]))

    async def hand_over(self, agent: SimAgent, to: SimAgent) -> None:
        part, url, answered = self.id, self.hangup_url, self.answered
        self.id, self.dialled = f"{self.line.stage.ids.getrandbits(72):018x}", []
        await self.new_call(to, [("diversion", answered[0][1])])
        await self.pick_up(to)
        self.id, part = part, self.id
        await self.line.tell(self.request(url, "hangup", [("cause", "normalClearing"), *answered]))
        self.id = part

    async def take_message(self) -> None:
        await self.line.tell(self.request(self.answer_url, "answer", [("user", "voicemail")]))

    async def dial(self, agent: SimAgent) -> None:
        self.direction = "out"
        await self.new_call(agent, [])

    async def reach(self, agent: SimAgent) -> None:
        fields = [("user", agent.name), ("userId", agent.extension)]
        await self.line.tell(self.request(self.answer_url, "answer", fields))

    async def hang_up(self, kind: Kind) -> None:
        cause = _CAUSES.get(kind, "normalClearing")
        await self.line.tell(self.request(self.hangup_url, "hangup", [("cause", cause), *self.answered]))


class SipgateScript:
    name = "sipgate"
    kinds = frozenset(Kind) - {Kind.HELD}
    led = False

    def lack(self, settings: CallSourceSettings) -> str:
        known = (settings.model_extra or {}).get("simulation_key")
        return "" if known else 'simulation_key = """(the private RSA key of its public one, PEM)"""'

    async def play(self, line: Line) -> Sequence[Played]:
        return await lead(SipgateCall(line))


SCRIPT = SipgateScript()
