"""Mail to ticket to reply to mail, and form to pop, over real SMTP and HTTP."""

from __future__ import annotations

import asyncio
import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib

from tests.flows.conftest import Ringpost


def letter(**headers: str) -> EmailMessage:
    message = EmailMessage()
    values = {
        "From": "Mary Shaw <mary@customer.test>",
        "To": "support@ringpost.test",
        "Subject": "Broken lamp",
        "Message-ID": "<first@customer.test>",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    for name, value in values.items():
        message[name] = value
    message.set_content("The lamp arrived broken.\n\nMary")
    return message


async def send(ringpost: Ringpost, message: EmailMessage) -> None:
    await aiosmtplib.send(message, hostname="127.0.0.1", port=ringpost.ctx.addresses["smtp_port"])


async def test_mail_to_ticket_to_reply_to_mail(ringpost: Ringpost, tmp_path: Path) -> None:
    await ringpost.add_agent("priya")
    priya = await ringpost.socket("priya")
    await send(ringpost, letter())
    pop = await priya.next("screen_pop")
    assert pop["reason"] == "assigned" and pop["contact"]["channel"] == "email"
    assert pop["match"] == "unknown" and pop["customer"]["emails"][0]["address"] == "mary@customer.test"
    ticket = pop["ticket"]
    assert ticket["subject"] == "Broken lamp"
    await ringpost.api(
        "POST",
        f"/tickets/{ticket['id']}/messages",
        "priya",
        json={"kind": "reply", "body": "A new one is on its way."},
    )
    outgoing = tmp_path / "var" / "outgoing"
    async with asyncio.timeout(10):
        while not (outgoing.exists() and list(outgoing.glob("*.eml"))):
            await asyncio.sleep(0.02)
    sent = email.message_from_bytes(next(outgoing.glob("*.eml")).read_bytes(), policy=email.policy.default)
    assert sent["In-Reply-To"] == "<first@customer.test>" and ticket["number"] in sent["Subject"]
    assert sent["To"] == "mary@customer.test" and "A new one" in sent.get_content()
    answer = letter(
        Subject=f"Re: {sent['Subject']}",
        Message_ID="<second@customer.test>",
        In_Reply_To=str(sent["Message-ID"]),
        References=f"<first@customer.test> {sent['Message-ID']}",
    )
    await send(ringpost, answer)
    await priya.next("screen_pop")
    assert await ringpost.count("tickets") == 1
    messages = await ringpost.api("GET", f"/tickets/{ticket['id']}/messages", "priya")
    assert sorted(item["kind"] for item in messages["items"]) == ["email", "email", "reply"]


async def test_the_number_in_the_subject_needs_a_known_participant(ringpost: Ringpost) -> None:
    await send(ringpost, letter())
    number = f"RP-{await ringpost.ctx.pool.fetchval('SELECT max(id) FROM tickets'):06d}"
    await send(ringpost, letter(Subject=f"about {number}", Message_ID="<a@customer.test>"))
    assert await ringpost.count("tickets") == 1
    stranger = letter(Subject=f"about {number}", Message_ID="<b@evil.test>", From="eve@evil.test")
    await send(ringpost, stranger)
    assert await ringpost.count("tickets") == 2


async def test_the_same_mail_twice_is_one(ringpost: Ringpost) -> None:
    for _ in range(2):
        await send(ringpost, letter())
    assert await ringpost.count("messages") == 1 and await ringpost.count("contacts") == 1


async def test_unknown_address_is_refused(ringpost: Ringpost) -> None:
    try:
        await send(ringpost, letter(To="nobody@ringpost.test"))
    except aiosmtplib.SMTPRecipientsRefused as refused:
        assert refused.recipients[0].code == 550
    else:
        raise AssertionError("accepted")


async def test_a_form_pops_and_a_double_click_is_one_ticket(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya")
    priya = await ringpost.socket("priya")
    body = {
        "name": "李雷",
        "email": "lilei@customer.test",
        "phone": "+8613800138000",
        "subject": "发票",
        "message": "请补开发票。",
    }
    headers = {"Idempotency-Key": "8b0c6a5e-0001"}
    first, second = [
        await ringpost.http.post(f"{ringpost.url}/forms/contact", json=body, headers=headers)
        for _ in range(2)
    ]
    assert first.status == 201, await first.text()
    assert (await first.json())["ticket"] == (await second.json())["ticket"]
    pop = await priya.next("screen_pop")
    assert pop["contact"]["channel"] == "form" and pop["customer"]["name"] == "李雷"
    assert await ringpost.count("tickets") == 1
    # The same person by phone is the customer that the form made.
    await ringpost.cti(event="newCall", callId="f1", from_="8613800138000", direction="in")
    call = await priya.next("screen_pop")
    assert call["customer"]["id"] == pop["customer"]["id"] and call["ticket"]["continued"] is True
