"""Recordings of ARI lie in the PBX: ``GET /recordings/stored/{name}/file`` (``recordings.json`` of its API
docs), asked for with the user and the password of the source. The PBX's host must be in
``recordings.allow_hosts`` when it is in the own network or speaks plain HTTP, as nearly all do.
"""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from handlers.telephony.ari_settings import read_settings
from handlers.telephony.provider import CallSource
from server.domain.recording import Fault
from server.jobs.media import FetchFailed, MediaRequest
from server.settings import SettingsError

_SCHEME = "ari-recording:"


class AriMedia:
    """The ``MediaProvider`` of sources with ``provider = "asterisk_ari"``."""

    name = "asterisk_ari"

    def request(self, source: CallSource, url: str) -> MediaRequest:
        if not url.startswith(_SCHEME):
            return MediaRequest(url)
        try:
            settings = read_settings(source)
        except SettingsError:
            raise FetchFailed(Fault.SETTINGS) from None
        name = quote(url.removeprefix(_SCHEME), safe="")
        credentials = (aiohttp.encode_basic_auth(settings.username, secret) for secret in source.secrets)
        return MediaRequest(f"{settings.url}/recordings/stored/{name}/file", tuple(credentials))


MEDIA = AriMedia()
