"""Mails and form posts of simulated customers: whole messages as a mail program or a browser makes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from random import Random

from server.services.demo_words import STORIES_EN, STORIES_ZH, Story
from server.store.simulation import SimCustomer, SimReply

THANKS_ZH = "您好，谢谢您的回复。我还有一个问题：大概什么时候可以处理好？"
THANKS_EN = "Thanks for coming back to me. One more question: when will this be done?"
_POLICY = policy.SMTP.clone(cte_type="7bit")


def choose_story(random: Random, language: str, queue: str | None) -> Story:
    """In the customer's language, of that queue where there is one."""
    stories: Sequence[Story] = STORIES_ZH if language == "zh_CN" else STORIES_EN
    fitting = [story for story in stories if queue is None or story.queue == queue]
    return random.choice(fitting or stories)


def fill(text: str, random: Random, name: str) -> str:
    return text.format(order=random.randrange(40_000, 99_999), name=name)


def new_mail(random: Random, customer: SimCustomer, to: str, story: Story, unique: str) -> bytes:
    mail = _mail(customer.name, customer.email, to, unique)
    mail["Subject"] = fill(story.subject, random, customer.name)
    mail.set_content(fill(story.opening, random, customer.name))
    if random.random() < 0.3:
        # Half of the mail programs of the world send both.
        paragraphs = fill(story.opening, random, customer.name).split("\n\n")
        mail.add_alternative("".join(f"<p>{_html(one)}</p>" for one in paragraphs), subtype="html")
    return mail.as_bytes(policy=_POLICY)


def answer_mail(reply: SimReply, unique: str) -> bytes:
    """What a customer's mail program makes of "Reply"."""
    chinese = reply.language == "zh_CN"
    mail = _mail(
        reply.customer_name or reply.customer_address, reply.customer_address, reply.mailbox_address, unique
    )
    subject = reply.subject if reply.subject.lower().startswith("re:") else f"Re: {reply.subject}"
    mail["Subject"] = " ".join(subject.split())
    mail["In-Reply-To"] = reply.message_id
    mail["References"] = reply.message_id
    heading = f"{reply.mailbox_address} 写道：" if chinese else f"{reply.mailbox_address} wrote:"
    mail.set_content(f"{THANKS_ZH if chinese else THANKS_EN}\n\n{heading}\n> ...\n")
    return mail.as_bytes(policy=_POLICY)


def form_values(random: Random, customer: SimCustomer, story: Story) -> dict[str, str]:
    return {
        "name": customer.name,
        "email": customer.email,
        "phone": customer.phone,
        "subject": fill(story.subject, random, customer.name),
        "message": fill(story.opening, random, customer.name),
    }


def _mail(name: str, address: str, to: str, unique: str) -> EmailMessage:
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Address(name, addr_spec=address)
    mail["To"] = Address(addr_spec=to)
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{unique}@{address.rpartition('@')[2]}>"
    return mail


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", "<br>")
