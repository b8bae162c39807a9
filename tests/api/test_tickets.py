"""Tickets and messages over the API, and the replies that leave."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from email import policy
from typing import Any

from handlers.api.shapes import ListedTicket, Message, Ticket
from tests.api.conftest import Api

RAW = b"From: ann@example.com\r\nTo: support@ringpost.test\r\nSubject: Help\r\n\r\nPlease"


async def inbound(
    api: Api, ticket_id: str, *, sender: str = "ann@example.com", html: str | None = None
) -> int:
    """A mail of a customer, as intake stores it."""
    await api.ctx.pool.execute(
        "INSERT INTO blobs VALUES (sha256($1), length($1), $1) ON CONFLICT DO NOTHING", RAW
    )
    return int(
        await api.ctx.pool.fetchval(
            """
            INSERT INTO messages (ticket_id, kind, direction, from_address, to_addresses, subject, body_text, body_html,
                                  message_id, thread_ids, raw_sha256)
            VALUES ($1, 'email', 'inbound', $2, '{support@ringpost.test}', 'Help', 'Please', $3, '<b@example.com>',
                    '{<a@example.com>}', sha256($4)) RETURNING id
            """,
            int(ticket_id), sender, html, RAW,
        )
    )  # fmt: skip


async def test_round_trip(api: Api) -> None:
    customer = await api.call("POST", "/customers", {"name": "Ann"})
    me = await api.call("GET", "/agents/me")
    body = {
        "subject": "  The lamp\nis off ", "kind": "fault_report", "priority": "high", "queue": "Support",
        "assignee_agent_id": me["id"], "customer_id": customer["id"], "fields": {"lamp": 3},
        "resolve_due_at": "2030-01-01T10:00:00+02:00",
    }  # fmt: skip
    answer = await api.raw("POST", "/tickets", json=body)
    assert answer.status == 201
    made = await answer.json()
    Ticket.model_validate(made)
    assert answer.headers["ETag"] == '"1"'
    assert made["subject"] == "The lamp is off"
    assert made["number"] == f"RP-{int(made['id']):06d}"
    assert made["queue"] == "support"
    assert made["resolve_due_at"] == "2030-01-01T08:00:00.000Z"
    assert await api.call("GET", f"/tickets/{made['id']}") == made
    bare = await api.call("POST", "/tickets", {"subject": "Bare"})
    assert (bare["queue"], bare["kind"], bare["status"], bare["channel"]) == (
        "support",
        "inquiry",
        "open",
        "api",
    )


async def test_status_and_its_clock(api: Api) -> None:
    made = await api.call("POST", "/tickets", {"subject": "x"})
    path = f"/tickets/{made['id']}"
    done = await api.call("PATCH", path, {"status": "resolved"})
    assert done["resolved_at"] is not None
    closed = await api.call("PATCH", path, {"status": "closed"})
    assert closed["resolved_at"] == done["resolved_at"]
    again = await api.call("PATCH", path, {"status": "open", "queue": "售后", "resolve_due_at": None})
    assert (again["resolved_at"], again["queue"], again["resolve_due_at"]) == (None, "售后", None)
    assert again["version"] == made["version"] + 3
    stale = await api.raw("PATCH", path, json={"status": "closed"}, headers={"If-Match": '"1"'})
    assert stale.status == 412
    kept = await api.ctx.pool.fetchval(
        "SELECT data FROM audit WHERE subject_id = $1 AND action = 'ticket.update' ORDER BY id LIMIT 1",
        int(made["id"]),
    )
    assert kept == {"status": ["open", "resolved"]}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"subject": " "}, "subject"),
    ({"subject": "a\u0000"}, "subject"),
    ({"subject": "\ud800"}, "subject"),
    ({"subject": None}, "subject"),
    ({"kind": "alien"}, "kind"),
    ({"status": "done"}, "status"),
    ({"priority": "p1"}, "priority"),
    ({"queue": "nowhere"}, "queue"),
    ({"assignee_agent_id": "77777777"}, "assignee_agent_id"),
    ({"assignee_agent_id": 5}, "assignee_agent_id"),
    ({"customer_id": "77777777"}, "customer_id"),
    ({"customer_id": "x"}, "customer_id"),
    ({"fields": {"a": "\u0000"}}, "fields"),
    ({"fields": []}, "fields"),
    ({"resolve_due_at": "tomorrow"}, "resolve_due_at"),
    ({"resolve_due_at": "2030-01-01T10:00:00"}, "resolve_due_at"),
    ({"resolve_due_at": "0001-01-01T00:00:00+14:00"}, "resolve_due_at"),
    ({"number": "RP-000001"}, "number"),
    ({"stage": "x"}, "stage"),
]


async def test_what_is_wrong_is_named(api: Api) -> None:
    made = await api.call("POST", "/tickets", {"subject": "x"})
    for change, field in WRONG:
        refused = await api.call("POST", "/tickets", {"subject": "y"} | change, status=422)
        assert field in refused["fields"], (change, refused)
        refused = await api.call("PATCH", f"/tickets/{made['id']}", change, status=422)
        assert field in refused["fields"], (change, refused)
    assert len((await api.call("GET", "/tickets"))["items"]) == 1


async def test_lists_by_every_filter(api: Api) -> None:
    customer = await api.call("POST", "/customers", {"name": "Ann"})
    me = await api.call("GET", "/agents/me")
    one = await api.call(
        "POST",
        "/tickets",
        {"subject": "Lamp 100% off", "customer_id": customer["id"], "assignee_agent_id": me["id"]},
    )
    two = await api.call(
        "POST", "/tickets", {"subject": "发票问题", "priority": "urgent", "status": "waiting"}
    )
    await api.call("PATCH", f"/tickets/{two['id']}", {"resolve_due_at": "2020-01-01T00:00:00Z"})

    async def found(query: str) -> list[str]:
        page = await api.call("GET", f"/tickets?{query}")
        for item in page["items"]:
            ListedTicket.model_validate(item)
        return [item["id"] for item in page["items"]]

    both = [two["id"], one["id"]]
    for query, expected in (
        ("", both), ("status=open,waiting", both), ("status=waiting", [two["id"]]), ("priority=urgent", [two["id"]]),
        ("kind=inquiry", both), ("channel=api", both), ("channel=call", []), ("queue=SUPPORT", both), ("queue=x", []),
        (f"customer_id={customer['id']}", [one["id"]]), ("assignee_agent_id=me", [one["id"]]),
        ("assignee_agent_id=none", [two["id"]]), (f"assignee_agent_id={me['id']}", [one["id"]]),
        (f"number={one['number']}", [one["id"]]), ("q=lamp", [one["id"]]), ("q=100%25", [one["id"]]), ("q=%25%25", []),
        ("q=发票", [two["id"]]), (f"q={two['number'].lower()}", [two["id"]]), ("subject=LAMP", [one["id"]]),
        ("overdue=true", [two["id"]]), ("created_after=2020-01-01T00:00:00Z", both),
        ("created_before=2020-01-01T00:00:00Z", []), (f"id={one['id']}", [one["id"]]), ("stage=x", []),
    ):  # fmt: skip
        assert await found(query) == expected, query
    listed = await api.call("GET", "/tickets?limit=1")
    assert listed["items"][0]["id"] == two["id"]
    following = await api.call("GET", f"/tickets?limit=1&cursor={listed['next']}")
    assert following["items"][0]["customer_name"] == "Ann"
    assert following["next"] is None
    for query in ("status=done", "number=abc", "created_after=x", "customer_id=x", "limit=500", "foo=1"):
        await api.call("GET", f"/tickets?{query}", status=422)


async def test_note(api: Api) -> None:
    made = await api.call("POST", "/tickets", {"subject": "x"})
    path = f"/tickets/{made['id']}/messages"
    note = await api.call("POST", path, {"kind": "note", "body": "line one\nline two"}, status=201)
    Message.model_validate(note)
    assert (note["kind"], note["direction"], note["body_text"]) == ("note", "internal", "line one\nline two")
    for body, field in (
        ({"kind": "note", "body": " "}, "body"), ({"kind": "note", "body": "a\u0000"}, "body"),
        ({"kind": "note", "body": "a", "to": "x@y.example"}, "to"), ({"kind": "shout", "body": "a"}, "kind"),
        ({"kind": "reply", "body": "a", "to": "x@y.example\r\nBcc: z@y.example"}, "to"), ({"kind": "note"}, "body"),
        ({"kind": "reply", "body": "a"}, "to"),
    ):  # fmt: skip
        refused = await api.call("POST", path, body, status=422)
        assert field in refused["fields"], refused
    assert len((await api.call("GET", path))["items"]) == 1
    await api.call("POST", "/tickets/999999/messages", {"kind": "note", "body": "x"}, status=404)
    await api.call("GET", f"{path}/{note['id']}/raw", status=404)


async def test_reply_leaves_by_mail(api: Api) -> None:
    made = await api.call("POST", "/tickets", {"subject": "Help", "queue": "售后"})
    path = f"/tickets/{made['id']}/messages"
    source = await inbound(api, made["id"], html="<p>Hi<script>alert(1)</script><img src=x onerror=alert(2)>")
    reply = await api.call("POST", path, {"kind": "reply", "body": "We are on it."}, status=201)
    Message.model_validate(reply)
    assert reply["to"] == ["ann@example.com"]
    assert reply["delivery"]["state"] == "queued"
    row = await api.ctx.pool.fetchrow("SELECT * FROM outbox")
    assert row is not None
    assert (row["mailbox"], row["mail_from"], row["rcpt_to"]) == (
        "support",
        "support@ringpost.test",
        ["ann@example.com"],
    )
    mail = email.message_from_bytes(row["raw"], policy=policy.default)
    assert mail["In-Reply-To"] == "<b@example.com>"
    assert str(mail["References"]).split() == ["<a@example.com>", "<b@example.com>"]
    assert mail["Message-ID"] == reply["message_id"]
    assert made["number"] in mail["Subject"] and mail["Subject"] == reply["subject"]
    assert "The support team" in mail.get_content()
    ticket = await api.call("GET", f"/tickets/{made['id']}")
    assert ticket["status"] == "waiting"
    assert ticket["first_responded_at"] is not None
    assert ticket["assignee_agent_id"] == (await api.call("GET", "/agents/me"))["id"]
    messages = (await api.call("GET", path))["items"]
    assert [one["id"] for one in messages] == [reply["id"], str(source)]
    assert "script" not in messages[1]["body_html"] and "onerror" not in messages[1]["body_html"]
    original = await api.raw("GET", f"{path}/{source}/raw")
    assert await original.read() == RAW
    assert original.headers["Content-Disposition"].startswith("attachment")
    assert (await api.raw("GET", f"{path}/{reply['id']}/raw")).status == 200
    other = await api.call("POST", "/tickets", {"subject": "other"})
    await api.call("GET", f"/tickets/{other['id']}/messages/{source}/raw", status=404)
    told = await api.call(
        "POST", path, {"kind": "reply", "body": "x", "to": ["B@Example.com", "b@example.com"]}
    )
    assert told["to"] == ["b@example.com"]


async def test_reply_settles_what_waited(api: Api) -> None:
    made = await api.call("POST", "/tickets", {"subject": "Help"})
    contact = await api.ctx.pool.fetchval(
        "INSERT INTO contacts (channel, direction, source, call_key, state, ticket_id, started_at) "
        "VALUES ('email', 'inbound', 'mail', 'k', 'ringing', $1, $2) RETURNING id",
        int(made["id"]), datetime.now(UTC),
    )  # fmt: skip
    await api.call(
        "POST", f"/tickets/{made['id']}/messages", {"kind": "reply", "body": "x", "to": "a@example.com"}
    )
    answered = await api.call("GET", f"/contacts/{contact}")
    assert (answered["state"], answered["agent_id"]) == ("answered", str(api.actors["agent"].agent_id))


async def test_attachment_is_a_download(api: Api) -> None:
    made = await api.call("POST", "/tickets", {"subject": "x"})
    message = await inbound(api, made["id"])
    attachment = await api.ctx.pool.fetchval(
        "INSERT INTO attachments (message_id, name, content_type, size, sha256) "
        "VALUES ($1, $2, 'text/html', $3, sha256($4)) RETURNING id",
        message, '发"票.html', len(RAW), RAW,
    )  # fmt: skip
    listed = (await api.call("GET", f"/tickets/{made['id']}/messages"))["items"][0]["attachments"][0]
    assert listed["id"] == str(attachment)
    answer = await api.raw("GET", f"/tickets/{made['id']}/attachments/{attachment}")
    assert await answer.read() == RAW
    assert answer.content_type == "application/octet-stream"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    other = await api.call("POST", "/tickets", {"subject": "y"})
    await api.call("GET", f"/tickets/{other['id']}/attachments/{attachment}", status=404)


async def test_merge(api: Api) -> None:
    customer = await api.call("POST", "/customers", {"name": "Ann"})
    one = await api.call("POST", "/tickets", {"subject": "one", "customer_id": customer["id"]})
    two = await api.call("POST", "/tickets", {"subject": "two"})
    three = await api.call("POST", "/tickets", {"subject": "three"})
    await api.call("POST", f"/tickets/{one['id']}/messages", {"kind": "note", "body": "n"})
    merged = await api.call("POST", f"/tickets/{two['id']}/merge", {"from": one["id"]})
    assert (merged["id"], merged["customer_id"]) == (two["id"], customer["id"])
    assert (await api.call("GET", f"/tickets/{one['id']}"))["id"] == two["id"]
    assert len((await api.call("GET", f"/tickets/{two['id']}/messages"))["items"]) == 1
    last = await api.call("POST", f"/tickets/{two['id']}/merge", {"into": three["id"]})
    assert last["id"] == three["id"]
    assert (await api.call("GET", f"/tickets/{one['id']}"))["id"] == three["id"]
    assert [t["id"] for t in (await api.call("GET", "/tickets"))["items"]] == [three["id"]]
    for body in (
        {"into": two["id"]},
        {"into": "99999"},
        {},
        {"into": one["id"], "from": two["id"]},
        {"from": "x"},
    ):
        await api.call(
            "POST", f"/tickets/{three['id']}/merge", body, status=404 if body.get("from") == "9" else 422
        )
    await api.call("POST", "/tickets/99999/merge", {"into": three["id"]}, status=404)
