"""How values are written for people: states, times, spans, numbers, telephone numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_decimal
from babel.units import format_unit
from markupsafe import Markup

from handlers.console.language import TAGS, Catalogue, Language
from server.domain.identity import format_phone

FILTERS = ("label", "said", "when", "since", "left", "span", "duration", "phone", "num", "filesize")


def mark(context: str, text: str) -> tuple[str, str]:
    """Names a text for the catalogue, to be translated when it is shown."""
    return context, text


LABELS: dict[str, dict[str, tuple[str, str]]] = {
    "status": {
        "open": mark("status", "Open"),
        "waiting": mark("status", "Waiting"),
        "resolved": mark("status", "Resolved"),
        "closed": mark("status", "Closed"),
    },
    "priority": {
        "low": mark("priority", "Low"),
        "normal": mark("priority", "Normal"),
        "high": mark("priority", "High"),
        "urgent": mark("priority", "Urgent"),
    },
    "channel": {
        "call": mark("channel", "Call"),
        "email": mark("channel", "Email"),
        "form": mark("channel", "Form"),
        "sms": mark("channel", "Text message"),
        "api": mark("channel", "API"),
    },
    "call_state": {
        "ringing": mark("call", "Ringing"),
        "answered": mark("call", "In conversation"),
        "held": mark("call", "On hold"),
        "transferred": mark("call", "Transferred"),
        "ended": mark("call", "Ended"),
        "missed": mark("call", "Missed"),
        "voicemail": mark("call", "Voicemail"),
    },
    "presence": {
        "available": mark("presence", "Available"),
        "busy": mark("presence", "On a call"),
        "wrap_up": mark("presence", "After-call work"),
        "not_ready": mark("presence", "Not ready"),
        "offline": mark("presence", "Offline"),
    },
    "reason": {
        "break": mark("not ready", "Break"),
        "lunch": mark("not ready", "Lunch"),
        "wrap-up": mark("not ready", "Wrap-up"),
        "meeting": mark("not ready", "Meeting"),
        "training": mark("not ready", "Training"),
        "no_answer": mark("not ready", "Did not answer"),
    },
    "stir": {
        "A": mark("stir", "Number verified by the carrier (A)"),
        "B": mark("stir", "The carrier knows the caller, not the number (B)"),
        "C": mark("stir", "The carrier does not know the caller (C)"),
        "failed": mark("stir", "Number could not be verified"),
    },
    "pop": {
        "ringing": mark("pop", "Incoming call"),
        "answered": mark("pop", "Call answered"),
        "transferred": mark("pop", "Call transferred to you"),
        "assigned": mark("pop", "New for you"),
        "callback_due": mark("pop", "Callback due"),
    },
    "role": {
        "agent": mark("role", "Agent"),
        "supervisor": mark("role", "Supervisor"),
        "administrator": mark("role", "Administrator"),
    },
    "customer_kind": {
        "person": mark("customer", "Person"),
        "company": mark("customer", "Company"),
    },
    "tier": {
        "standard": mark("tier", "Standard"),
        "vip": mark("tier", "VIP"),
    },
    "kind": {
        "inquiry": mark("ticket", "Inquiry"),
        "service_request": mark("ticket", "Service request"),
        "complaint": mark("ticket", "Complaint"),
        "work_order": mark("ticket", "Work order"),
        "callback": mark("ticket", "Callback"),
        "return": mark("ticket", "Return"),
        "fault_report": mark("ticket", "Fault report"),
    },
    "phone": {
        "mobile": mark("phone", "Mobile"),
        "work": mark("phone", "Work"),
        "home": mark("phone", "Home"),
        "office": mark("phone", "Office"),
        "fax": mark("phone", "Fax"),
        "main": mark("phone", "Main line"),
    },
    "why": {
        "taught": mark("why", "An agent said so before"),
        "external_id": mark("why", "Known by the id of another system"),
        "phone_verified": mark("why", "This is their confirmed number"),
        "phone_exact": mark("why", "This number is theirs"),
        "phone_extension": mark("why", "Number and extension are theirs"),
        "other_extension": mark("why", "Same company, another extension"),
        "shared_line": mark("why", "Shares this number with others"),
        "shared_address": mark("why", "Shares this address with others"),
        "email_verified": mark("why", "This is their confirmed address"),
        "email_exact": mark("why", "This address is theirs"),
        "email_alias": mark("why", "The address is a spelling of theirs"),
        "text_mention": mark("why", "The number is mentioned in a text of theirs"),
        "name_similar": mark("why", "The name is alike"),
    },
    "door": {
        "call": mark("door", "Call webhook"),
        "email": mark("door", "Email"),
        "form": mark("door", "Form"),
    },
    "connection": {
        "connecting": mark("connection", "Connecting"),
        "up": mark("connection", "Connected"),
        "waiting": mark("connection", "Not connected"),
        "refused": mark("connection", "Refused"),
        "standby": mark("connection", "Standby"),
    },
    "quarantine_state": {
        "open": mark("quarantine", "Kept"),
        "retried": mark("quarantine", "Taken in"),
        "discarded": mark("quarantine", "Discarded"),
    },
    "direction": {
        "inbound": mark("direction", "Inbound"),
        "outbound": mark("direction", "Outbound"),
        "internal": mark("direction", "Internal"),
    },
    "way": {
        "inbound": mark("message", "Inbound"),
        "outbound": mark("message", "Outbound"),
        "internal": mark("message", "Internal"),
    },
    "delivery": {
        "queued": mark("delivery", "Being sent"),
        "sent": mark("delivery", "Sent"),
        "failed": mark("delivery", "Could not be sent"),
    },
    "field": {
        "status": mark("field", "Status"),
        "priority": mark("field", "Priority"),
        "kind": mark("field", "Kind"),
        "subject": mark("field", "Subject"),
        "queue_id": mark("field", "Queue"),
        "assignee_agent_id": mark("field", "Assigned to"),
        "customer_id": mark("field", "Customer"),
        "first_response_due_at": mark("field", "First answer due"),
        "resolve_due_at": mark("field", "Solution due"),
        "fields": mark("field", "Fields"),
        "name": mark("field", "Name"),
        "company": mark("field", "Company"),
        "language": mark("field", "Language"),
        "time_zone": mark("field", "Time zone"),
        "owner_agent_id": mark("field", "Contact person"),
        "tier": mark("field", "Tier"),
        "blocked": mark("field", "Blocked"),
        "provisional": mark("field", "Not confirmed"),
        "do_not_contact": mark("field", "Do not contact"),
        "phones": mark("field", "Phones"),
        "emails": mark("field", "Email addresses"),
        "external_ids": mark("field", "Other systems"),
        "tags": mark("field", "Tags"),
        "notes": mark("field", "Notes"),
        "version": mark("field", "Version"),
    },
    "action": {
        "ticket.merge": mark("action", "Merged with another ticket"),
        "ticket.customer": mark("action", "Another customer"),
        "ticket.update": mark("action", "Changed"),
        "ticket.open": mark("action", "Opened"),
        "ticket.callback": mark("action", "Nobody took the call: to be called back"),
        "customer.create": mark("action", "Made"),
        "customer.update": mark("action", "Changed"),
        "customer.confirm": mark("action", "Confirmed"),
        "customer.learn": mark("action", "Learned a number or an address"),
        "customer.merge": mark("action", "Merged"),
        "customer.delete": mark("action", "Deleted"),
        "contact.customer": mark("action", "The caller was confirmed"),
        "contact.refuse": mark("action", "Not the caller"),
        "lesson.undo": mark("action", "A lesson was undone"),
    },
    "language": {
        "en": mark("language", "English"),
        "zh_CN": mark("language", "Chinese (Simplified)"),
        "": mark("language", "As the browser says"),
    },
}


NUMBER = re.compile(r"\d+")


def fault(text: str) -> str:
    """Names a sentence of a service for the catalogue; ``{n}`` stands for its number."""
    return text


FAULTS = (
    fault("must not be empty"),
    fault("at least {n} characters"),
    fault("at most {n} characters"),
    fault("at most {n} entries"),
    fault("at most {n} addresses"),
    fault("there is no such agent"),
    fault("there is no such customer"),
    fault("there is no such ticket"),
    fault("there is no queue of that name"),
    fault("must be a mail address"),
    fault("not a mail address"),
    fault("the customer has no address: name one"),
    fault("another queue has it"),
    fault("another agent has it"),
    fault("must be a language such as en or zh_CN"),
    fault("must be a time zone such as Europe/London or Asia/Shanghai"),
    fault("the contact has no number or address to remember it by"),
    fault("a ticket cannot be merged into itself"),
    fault("one of them belongs to another customer"),
    fault("It was changed meanwhile. Look at it again, then decide."),
)


@dataclass(frozen=True, slots=True)
class Words:
    """One reader's way of writing. ``country`` decides which numbers are national."""

    language: Language
    texts: Catalogue
    zone: ZoneInfo
    country: str
    now: datetime

    def label(self, value: str | None, group: str) -> str:
        """The word for a state; a value that has none is shown as it is."""
        found = LABELS[group].get(value or "")
        return self.texts.pgettext(*found) if found is not None else (value or "")

    def said(self, text: str) -> str:
        """A sentence of a service in the reader's language; one that is not in the catalogue stays English."""
        number = NUMBER.search(text)
        if number is None:
            return self.texts.gettext(text)
        return self.texts.gettext(NUMBER.sub("{n}", text, count=1)).replace("{n}", number[0])

    def when(self, value: datetime | str | None, style: str = "short") -> str:
        """A ``<time>``: the clock today, the day within the year, else the date; in full as its title.

        ``style``: "full" is always the whole, "clock" only the clock, with its seconds.
        """
        at = _moment(value)
        if at is None:
            return ""
        local, today = at.astimezone(self.zone), self.now.astimezone(self.zone).date()
        clock = format_time(local, "HH:mm", locale=self.language)
        if style == "clock":
            text = format_time(local, "HH:mm:ss", locale=self.language)
        elif style == "full":
            text = format_datetime(local, "medium", locale=self.language)
        elif local.date() == today:
            text = clock
        elif local.date() == today - timedelta(days=1):
            text = self.texts.gettext("Yesterday") + " " + clock
        elif local.date() == today + timedelta(days=1):
            text = self.texts.gettext("Tomorrow") + " " + clock
        elif local.year == today.year:
            pattern = "M月d日" if self.language == "zh_CN" else "d MMM"
            text = format_date(local, pattern, locale=self.language) + " " + clock
        else:
            text = format_date(local, "medium", locale=self.language)
        full = format_datetime(local, "full", locale=self.language)
        stamp = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(stamp, full, text)

    def span(self, seconds: float | None) -> str:
        """``4:07`` below an hour, ``2 h 05 min`` below two days, else days."""
        if seconds is None:
            return ""
        whole = max(0, int(seconds))
        if whole < 3600:
            return f"{whole // 60}:{whole % 60:02d}"
        if whole < 2 * 86400:
            hours, minutes = whole // 3600, whole % 3600 // 60
            return self.texts.gettext("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": minutes}
        return self.texts.ngettext("%(num)s day", "%(num)s days", whole // 86400) % {"num": whole // 86400}

    def since(self, value: datetime | str | None) -> str:
        """A span that the page goes on counting."""
        at = _moment(value)
        if at is None:
            return ""
        stamp = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        shown = self.span((self.now - at).total_seconds())
        return Markup('<time class="figure" datetime="{}" data-since>{}</time>').format(stamp, shown)

    def left(self, value: datetime | str | None) -> str:
        """The span until then, which the page goes on counting down to nothing."""
        at = _moment(value)
        if at is None:
            return ""
        seconds = max(0, math.ceil((at - self.now).total_seconds()))
        shown = f"{seconds // 60}:{seconds % 60:02d}"
        return Markup('<time class="figure left" role="timer" data-left="{}">{}</time>').format(
            seconds, shown
        )

    def duration(self, seconds: int | None) -> str:
        """In words: ``4 min 7 sec``."""
        if seconds is None:
            return ""
        units = (("hour", seconds // 3600), ("minute", seconds // 60 % 60), ("second", seconds % 60))
        said = [
            format_unit(count, f"duration-{unit}", length="short", locale=self.language)
            for unit, count in units
            if count or (unit == "second" and seconds < 60)
        ]
        return ("" if self.language == "zh_CN" else " ").join(said)

    def phone(self, value: str | None) -> str:
        """E.164 as people of the region write it; kept on one line and read from left to right."""
        if not value:
            return ""
        return Markup('<bdi class="phone">{}</bdi>').format(format_phone(value, self.country))

    def num(self, value: float | None) -> str:
        return "" if value is None else format_decimal(value, locale=self.language)

    def filesize(self, size: int) -> str:
        for unit in ("B", "KB", "MB"):
            if size < 1000 or unit == "MB":
                break
            size = round(size / 1000)
        return f"{format_decimal(size, locale=self.language)} {unit}"

    @property
    def tag(self) -> str:
        return TAGS[self.language]


def named(text: str) -> str:
    """A name that is only a number says nothing: it is left out of the field where the name belongs."""
    return text if any(char.isalpha() for char in text) else ""


def initials(name: str | None) -> str:
    """Two letters of a Latin name, the last two characters of a Chinese one."""
    words = (name or "").split()
    if not words:
        return "?"
    if ord(words[0][0]) >= 0x2E80:
        return words[0][-2:]
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def _moment(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
