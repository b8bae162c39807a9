"""The commands that follow Telnyx's events and agents' requests, against a server on the loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from handlers.telephony.control import Command, CommandFailed, Control, Deed, LiveCall
from handlers.telephony.provider import HookRequest
from handlers.telephony.telnyx import PROVIDER
from handlers.telephony.telnyx_message import ClientState, Step, read_state
from server.domain.event import CallEvent, EventType
from server.domain.outcome import CallOutcome, RungAgent
from tests.conformance.telnyx_requests import (
    AGENT_CONTROL,
    AGENT_LEG,
    CALL,
    CONTROL,
    LEG,
    RINGING,
    agents_leg,
    hook,
    parse_one,
    source,
)

PRIYA = RungAgent(agent_id=1, name="Priya Raman", email="priya.raman@example.com", extension=None)
HUGO = RungAgent(agent_id=2, name="Hugo", email="h@example.com", extension="102")
MOBILE = RungAgent(agent_id=3, name="Mia", email="m@example.com", extension="+447700900555")
LIVE = LiveCall(CALL, LEG, AGENT_LEG, "inbound", "+447700900123", "+442079460100")


class Api:
    """Telnyx's API on the loopback: notes what is asked, answers as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.active: list[dict[str, str]] = []
        self.keys: set[str] = set()
        self.url = ""

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    async def command(self, request: web.Request) -> web.Response:
        self.keys.add(request.headers["Authorization"])
        self.asked.append((request.raw_path.removeprefix("/v2"), await request.json()))
        status, answer = self.answers.pop(0) if self.answers else (200, {"data": {"result": "ok"}})
        return web.json_response(answer, status=status)

    async def listed(self, request: web.Request) -> web.Response:
        """Cursor pages of 250 rows."""
        assert request.match_info["connection"] == "77"
        start = int(request.query.get("page[after]", "0"))
        size = int(request.query["page[limit]"])
        rows = self.active[start : start + size]
        after = str(start + size) if len(self.active) > start + size else None
        return web.json_response({"data": rows, "meta": {"cursors": {"after": after}}})


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    application = web.Application()
    application.router.add_get("/v2/connections/{connection}/active_calls", made.listed)
    application.router.add_post("/v2/{tail:.*}", made.command)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v2"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


Follow = Callable[..., Any]


@pytest.fixture
def follow(api: Api, http: aiohttp.ClientSession) -> Follow:
    async def run(
        request: HookRequest,
        *agents: RungAgent,
        ring: str = "one",
        is_closed: bool = False,
        **options: str,
    ) -> None:
        ours = source(ring, **({"api_url": api.url, "api_key": "KEY"} | options))
        events = PROVIDER.parse(ours, request)
        outcomes = [CallOutcome(1, "ringing", "sales", agents, closed=is_closed) for _ in events]
        await PROVIDER.follow_up(ours, events, outcomes, http)

    return run


def state_of(body: dict[str, Any], name: str = "client_state") -> ClientState:
    return read_state(body[name])


async def test_an_incoming_call_is_answered(api: Api, follow: Follow) -> None:
    await follow(hook("initiated", direction="incoming"), PRIYA)
    ((path, body),) = api.asked
    assert path == f"/calls/{CONTROL}/actions/answer"
    assert state_of(body) == ClientState(Step.ANSWER)
    assert api.keys == {"Bearer KEY"}


async def test_other_legs_and_sources_without_a_key_get_no_command(api: Api, follow: Follow) -> None:
    await follow(agents_leg("initiated", RINGING, direction="outgoing"), PRIYA)
    await follow(hook("initiated", direction="outgoing", to="+15550100"))
    await follow(hook("answered"), PRIYA)
    await follow(agents_leg("hangup", RINGING, hangup_cause="normal_clearing"))
    await follow(hook("hangup", ClientState(Step.ANSWER), hangup_cause="normal_clearing"))
    await follow(hook("initiated", direction="incoming"), api_key="")
    assert api.asked == []


async def test_the_chosen_agent_rings(api: Api, follow: Follow) -> None:
    await follow(hook("answered", ClientState(Step.ANSWER)), PRIYA, record="dual")
    ((path, body),) = api.asked
    assert path == f"/calls/{CONTROL}/actions/transfer"
    assert (body["to"], body["from"], body["timeout_secs"]) == (
        "sip:priya.raman@sip.telnyx.com", "+447700900123", 20,
    )  # fmt: skip
    assert (body["record"], body["record_channels"]) == ("record-from-answer", "dual")
    assert state_of(body, "target_leg_client_state") == replace(RINGING, round="event-1")


async def test_a_number_sees_our_own_number_only(api: Api, follow: Follow) -> None:
    await follow(hook("answered", ClientState(Step.ANSWER)), MOBILE, number="+442079460199")
    await follow(hook("answered", ClientState(Step.ANSWER), from_="anonymous"), PRIYA)
    assert [body["from"] for _, body in api.asked] == ["+442079460199", "+442079460100"]
    assert api.asked[0][1]["to"] == "+447700900555"


async def test_with_nobody_free_the_caller_waits_and_is_looked_after(api: Api, follow: Follow) -> None:
    await follow(hook("answered", ClientState(Step.ANSWER)), language="zh-CN")
    assert api.paths == [f"/calls/{CONTROL}/actions/enqueue", f"/calls/{CONTROL}/actions/speak"]
    queued, spoken = (body for _, body in api.asked)
    assert (queued["queue_name"], queued["max_wait_time_secs"]) == ("sales", 10)
    assert state_of(queued) == ClientState(Step.WAIT, caller="+447700900123", line="+442079460100")
    assert spoken["payload"].startswith("客服") and spoken["voice"] == "AWS.Polly.Zhiyu"
    api.asked.clear()
    again = hook("dequeued", state_of(queued), reason="timeout", from_=None, to=None)
    await follow(again, HUGO, sip_domain="phones.example.com")
    ((path, body),) = api.asked
    assert path.endswith("/transfer")
    assert (body["to"], body["from"]) == ("sip:102@phones.example.com", "+447700900123")
    api.asked.clear()
    await follow(again, MOBILE)
    assert api.asked[0][1]["from"] == "+442079460100"


async def test_a_group_rings_at_once_and_falls_silent(api: Api, follow: Follow) -> None:
    await follow(hook("answered", ClientState(Step.ANSWER)), PRIYA, HUGO, ring="group")
    ((path, body),) = api.asked
    assert path == "/calls"
    assert body["to"] == ["sip:priya.raman@sip.telnyx.com", "sip:102@sip.telnyx.com"]
    assert (body["link_to"], body["connection_id"]) == (CONTROL, "77")
    assert body["bridge_on_answer"] is True
    state = state_of(body)
    assert (state.group, state.agent, state.leg) == (True, None, LEG)
    api.asked.clear()

    def row(leg: str, control: str, own: ClientState, session: str = CALL) -> dict[str, str]:
        return {"call_control_id": control, "call_leg_id": leg, "call_session_id": session,
                "client_state": own.pack()}  # fmt: skip

    api.active = [row(f"other-{number}", "v3:x", state, "session-2") for number in range(300)]
    api.active += [
        row(LEG, CONTROL, ClientState(Step.ANSWER)),
        row(AGENT_LEG, AGENT_CONTROL, state),
        row("leg-c", "v3:ccc", state),
    ]
    # One is busy, the other still rings: nothing happens yet.
    await follow(agents_leg("hangup", state, hangup_cause="user_busy"), ring="group")
    assert api.asked == []
    await follow(agents_leg("answered", state), ring="group")
    assert api.paths == ["/calls/v3:ccc/actions/hangup"]
    api.asked.clear()
    await follow(hook("hangup", ClientState(Step.ANSWER), hangup_cause="normal_clearing"), ring="group")
    assert api.paths == [f"/calls/{AGENT_CONTROL}/actions/hangup", "/calls/v3:ccc/actions/hangup"]
    # The last ones give up together: one follow-up.
    api.active, api.asked = [], []
    for key, leg in (("e-1", AGENT_LEG), ("e-2", "leg-c")):
        await follow(
            agents_leg("hangup", state, key=key, call_leg_id=leg, hangup_cause="timeout"), ring="group"
        )
    assert api.paths == [f"/calls/{CONTROL}/actions/speak"] * 2
    assert api.asked[0] == api.asked[1]


async def test_untaken_the_caller_may_leave_a_message(api: Api, follow: Follow) -> None:
    await follow(agents_leg("hangup", RINGING, hangup_cause="timeout"))
    ((path, spoken),) = api.asked
    assert path == f"/calls/{CONTROL}/actions/speak"
    assert spoken["payload"] == "Please leave a message after the tone."
    assert state_of(spoken).step is Step.GREET
    api.asked.clear()
    await follow(hook("speak.ended", state_of(spoken), from_=None, to=None))
    ((path, recorded),) = api.asked
    assert path.endswith("/record_start")
    assert (recorded["format"], recorded["channels"], recorded["play_beep"], recorded["max_length"]) == (
        "mp3", "single", True, 120,
    )  # fmt: skip
    api.asked.clear()
    saved = hook(
        "recording.saved", state_of(recorded), call_control_id=None, from_=None, to=None,
        recording_urls={"mp3": "https://recordings.example.com/a.mp3"},
    )  # fmt: skip
    assert parse_one(saved).type is EventType.VOICEMAIL
    api.answers = [(422, {"errors": [{"code": "90018", "title": "Call has already ended"}]})]
    await follow(saved)
    assert api.paths == [f"/calls/{CONTROL}/actions/hangup"]


async def test_untaken_without_a_voicemail_the_caller_waits_again(api: Api, follow: Follow) -> None:
    await follow(agents_leg("hangup", RINGING, hangup_cause="timeout"), voicemail="off")
    assert api.paths == [f"/calls/{CONTROL}/actions/enqueue", f"/calls/{CONTROL}/actions/speak"]


async def test_nobody_is_held_in_a_closed_queue(api: Api, follow: Follow) -> None:
    waiting = ClientState(Step.WAIT, caller="+447700900123", line="+442079460100")
    moments = (
        hook("answered", ClientState(Step.ANSWER)),
        hook("dequeued", waiting, reason="timeout", from_=None, to=None),
    )
    for moment in moments:
        api.asked.clear()
        await follow(moment, is_closed=True)
        ((path, spoken),) = api.asked
        assert path == f"/calls/{CONTROL}/actions/speak"
        assert state_of(spoken).step is Step.GREET  # then a message, as after a phone that rang in vain
        api.asked.clear()
        await follow(moment, is_closed=True, voicemail="off", language="zh-CN")
        ((_, spoken),) = api.asked
        assert "无人" in spoken["payload"]
        api.asked.clear()
        await follow(hook("speak.ended", state_of(spoken), from_=None, to=None))
        assert api.paths == [f"/calls/{CONTROL}/actions/hangup"]
    api.asked.clear()
    await follow(agents_leg("hangup", RINGING, hangup_cause="timeout"), is_closed=True, voicemail="off")
    assert api.paths == [f"/calls/{CONTROL}/actions/speak"]


async def test_an_address_that_cannot_be_rung_does_not_leave_silence(api: Api, follow: Follow) -> None:
    api.answers = [(422, {"errors": [{"code": "10015", "detail": "Invalid destination"}]})]
    with pytest.raises(CommandFailed, match="Invalid destination"):
        await follow(hook("answered", ClientState(Step.ANSWER)), PRIYA)
    assert [path.rpartition("/")[2] for path in api.paths] == ["transfer", "speak"]


async def test_a_retried_event_gives_the_same_commands(api: Api, follow: Follow) -> None:
    for _ in range(2):
        await follow(hook("answered", ClientState(Step.ANSWER), key="event-1"))
    await follow(hook("answered", ClientState(Step.ANSWER), key="event-2"))
    ids = [body["command_id"] for _, body in api.asked]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4


async def test_a_lost_answer_is_asked_for_again_with_the_same_id(api: Api, follow: Follow) -> None:
    api.answers = [(503, {})]
    await follow(hook("initiated", direction="incoming"))
    assert len(api.asked) == 2 and api.asked[0] == api.asked[1]
    api.answers = [(500, {}), (500, {})]
    with pytest.raises(CommandFailed, match="refused"):
        await follow(hook("initiated", direction="incoming"))


async def test_a_call_that_was_not_taken_in_goes_on_all_the_same(
    api: Api, http: aiohttp.ClientSession
) -> None:
    ours = source(api_url=api.url, api_key="KEY")
    await PROVIDER.follow_up(ours, PROVIDER.parse(ours, hook("initiated", direction="incoming")), (), http)
    await PROVIDER.follow_up(ours, (), (), http)
    assert [path.rpartition("/")[2] for path in api.paths] == ["answer"]


async def test_a_foreign_event_is_left_alone(api: Api, http: aiohttp.ClientSession) -> None:
    plain = CallEvent(type=EventType.RINGING, call_key=CALL, leg_key=LEG, event_key="x")
    await PROVIDER.follow_up(source(api_url=api.url, api_key="KEY"), [plain], [], http)
    assert api.asked == []


# -- what agents ask -------------------------------------------------------------------------------


@pytest.fixture
def act(api: Api, http: aiohttp.ClientSession) -> Follow:
    api.active = [
        {"call_control_id": CONTROL, "call_leg_id": LEG, "call_session_id": CALL, "client_state": ""},
        {"call_control_id": AGENT_CONTROL, "call_leg_id": AGENT_LEG, "call_session_id": CALL},
    ]

    async def run(deed: Deed, target: str = "", call: LiveCall | None = None, **options: str) -> str:
        known = {"api_url": api.url, "api_key": "KEY", "connection_id": "77", "number": "+442079460100"}
        command = Command(deed, "request-1", "101", target, call=call)
        return await PROVIDER.act(source(**(known | options)), command, http)

    return run


async def test_dialling_rings_the_agent_first_then_the_customer(
    api: Api, act: Follow, follow: Follow
) -> None:
    assert isinstance(PROVIDER, Control)
    api.answers = [(200, {"data": {"call_session_id": CALL, "call_leg_id": LEG}})]
    assert await act(Deed.DIAL, "+15550100") == CALL
    ((path, body),) = api.asked
    assert path == "/calls"
    assert (body["to"], body["from"]) == ("sip:101@sip.telnyx.com", "+442079460100")
    state = state_of(body)
    assert state == ClientState(Step.DIAL, agent="101", customer="+15550100")
    api.asked.clear()
    await follow(hook("answered", state, from_="+442079460100", to="sip:101@sip.telnyx.com"))
    ((path, body),) = api.asked
    assert path == f"/calls/{CONTROL}/actions/transfer"
    assert (body["to"], body["from"]) == ("+15550100", "+442079460100")
    customer = state_of(body, "target_leg_client_state")
    assert (customer.step, customer.leg, customer.control) == (Step.CUSTOMER, LEG, CONTROL)
    api.asked.clear()
    await follow(agents_leg("hangup", customer, hangup_cause="user_busy", to="+15550100"))
    assert api.paths == [f"/calls/{CONTROL}/actions/hangup"]


async def test_hanging_up_ends_the_customers_leg(api: Api, act: Follow) -> None:
    assert await act(Deed.HANG_UP, call=LIVE) == ""
    assert await act(Deed.HANG_UP, call=replace(LIVE, customer_leg="gone")) == ""
    assert api.paths == [f"/calls/{CONTROL}/actions/hangup", f"/calls/{AGENT_CONTROL}/actions/hangup"]
    with pytest.raises(CommandFailed, match="ended"):
        await act(Deed.HANG_UP, call=replace(LIVE, call_key="session-9"))


async def test_a_transfer_names_its_target(api: Api, act: Follow) -> None:
    await act(Deed.TRANSFER, "102", LIVE)
    await act(Deed.TRANSFER, "+447700900555", LIVE)
    (path, body), (_, outside) = api.asked
    assert path == f"/calls/{CONTROL}/actions/transfer"
    assert (body["to"], body["from"]) == ("sip:102@sip.telnyx.com", "+447700900123")
    assert (outside["to"], outside["from"]) == ("+447700900555", "+442079460100")
    state = state_of(body, "target_leg_client_state")
    assert (state.step, state.agent, state.leg) == (Step.TRANSFER, "102", LEG)


async def test_what_cannot_be_done_is_said(api: Api, act: Follow, http: aiohttp.ClientSession) -> None:
    for deed, target, call, options, said in (
        (Deed.HOLD, "", LIVE, {}, "cannot"),
        (Deed.DIAL, "02079460100", None, {}, "country"),
        (Deed.DIAL, 'x"; y', None, {}, "neither"),
        (Deed.HANG_UP, "", None, {}, "no call"),
        (Deed.DIAL, "+15550100", None, {"number": ""}, r"call_sources\.main\.number"),
        (Deed.DIAL, "+15550100", None, {"api_url": "http://127.0.0.1:9/v2"}, "reached"),
    ):
        with pytest.raises(CommandFailed, match=said):
            await act(deed, target, call, **options)
    assert api.asked == []
