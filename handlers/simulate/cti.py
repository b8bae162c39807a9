"""Calls as a PBX with the generic CTI push tells of them: newCall, answer, hangup."""

from __future__ import annotations

from urllib.parse import urlencode

from handlers.simulate.stage import CallPlan, Stage, shown


class CtiScript:
    name = "cti"

    async def play(self, stage: Stage, call: CallPlan) -> None:
        agent = call.agents[0] if call.agents else None
        who = f"{call.caller.name} ({shown(call.caller.number)})"
        base = [
            ("from", call.caller.number.lstrip("+") or "anonymous"),
            ("to", call.dnis.lstrip("+")),
            ("direction", "in"),
            ("callId", call.key),
        ]

        async def send(event: str, *more: tuple[str, str]) -> int:
            headers = {
                "Authorization": f"Bearer {call.settings.secrets[0].get_secret_value()}",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            body = urlencode([("event", event), *base, *more]).encode()
            status, _ = await stage.post(stage.hook_url(call.source), body, headers)
            return status

        # Half of the time the PBX has chosen the agent itself, half of the time it rings a queue.
        named = agent is not None and stage.random.random() < 0.5
        queue = [("queue", call.settings.queue)] if call.settings.queue else []
        first = [("user[]", agent.extension)] if named and agent else queue
        status = await send("newCall", *first)
        stage.tell(
            f"call  {call.source}: {who} rings {agent.name if named and agent else 'the queue'} -> {status}"
        )
        await stage.pause(call.ring_seconds)
        if agent is None:
            await send("hangup", ("cause", "cancel"))
            stage.tell(f"call  {call.source}: {who} gave up")
            return
        await send("answer", ("user", agent.extension), ("answeringNumber", agent.extension))
        stage.tell(f"call  {call.source}: {agent.name} answers {who}")
        await stage.pause(call.talk_seconds)
        await send("hangup", ("cause", "normalClearing"), ("answeringNumber", agent.extension))
        stage.tell(f"call  {call.source}: {who} hangs up")


SCRIPT = CtiScript()
