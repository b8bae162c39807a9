"""Twilio's recordings: the media is at the recording's address with ``.mp3`` or ``.wav`` behind it.

With the option ``account`` the account and the auth token are sent (HTTP Basic), which accounts may demand
("Recordings" of its API reference). Nobody but Twilio can name another address: it signs what it sends.
"""

from __future__ import annotations

import aiohttp
from yarl import URL

from handlers.telephony.provider import CallSource
from server.jobs.media import MediaRequest


class TwilioMedia:
    """The ``MediaProvider`` of sources with ``provider = "twilio"``."""

    name = "twilio"

    def request(self, source: CallSource, url: str) -> MediaRequest:
        account = source.options.get("account", "")
        if not account or ":" in account:
            return MediaRequest(url)
        credentials = (aiohttp.encode_basic_auth(account, secret) for secret in source.secrets)
        return MediaRequest(_as_mp3(url), tuple(credentials))


def _as_mp3(address: str) -> str:
    try:
        url = URL(address)
    except ValueError:
        return address
    return (
        address if url.suffix in (".mp3", ".wav") else str(url.with_path(f"{url.path}.mp3", keep_query=True))
    )


MEDIA = TwilioMedia()
