"""The pages of a form and the script that puts it into another site."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jinja2
from aiohttp import web

from handlers.form_fields import Field, Submission
from handlers.form_guard import honeypot_of
from handlers.form_texts import FOLDER, LANGUAGES, TEXTS, Language
from server.settings import Form

EMBED = FOLDER.parent / "assets" / "js" / "form-embed.js"
_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)


@dataclass(frozen=True, slots=True)
class FormDoor:
    """One configured form as one request sees it: ``language`` is the reader's."""

    name: str
    form: Form
    fields: tuple[Field, ...]
    language: Language

    @property
    def honeypot(self) -> str:
        return honeypot_of([field.name for field in self.fields])

    @property
    def title(self) -> str:
        titles = self.form.title
        return titles.get(self.language) or titles.get(self.language[:2]) or TEXTS[self.language]["title"]


def form_page(door: FormDoor, sent: Submission, hidden: Mapping[str, str], *, status: int) -> web.Response:
    """The form, with what was typed and what was wrong with it; works without JavaScript."""
    shown = {"fields": door.fields, "sent": sent, "hidden": hidden, "honeypot": door.honeypot}
    return render(door, "page.html", shown, status=status)


def render(door: FormDoor, template: str, values: Mapping[str, object], *, status: int) -> web.Response:
    nonce = secrets.token_urlsafe(12)
    other = LANGUAGES[1 - LANGUAGES.index(door.language)]
    text = _PAGES.get_template(template).render(
        door=door, say=TEXTS[door.language], nonce=nonce, other=other, form_name=door.name, **values
    )
    ancestors = " ".join(["'self'", *door.form.origins])
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; "
        f"frame-ancestors {ancestors}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Content-Language": "zh-CN" if door.language == "zh_CN" else "en",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Language",
    }
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


def embed_script(door: FormDoor) -> web.Response:
    """The script with the form's description in both languages; it finds its server by its own address."""
    description = {
        "name": door.name,
        "honeypot": door.honeypot,
        "languages": {
            language: {
                "say": dict(TEXTS[language]),
                "title": replace(door, language=language).title,
                "labels": {field.name: field.label(language) for field in door.fields},
            }
            for language in LANGUAGES
        },
        "fields": [
            {
                "name": field.name,
                "type": field.type,
                "required": field.required,
                "max": field.max_length,
                "choices": list(field.choices),
            }
            for field in door.fields
        ],
    }
    script = EMBED.read_text(encoding="utf-8").replace(
        "__FORM__", json.dumps(description, ensure_ascii=False), 1
    )
    headers = {
        "Cache-Control": "public, max-age=300",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    return web.Response(text=script, content_type="text/javascript", charset="utf-8", headers=headers)
