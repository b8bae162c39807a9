"""Vonage's recordings need a token that the application's private key signs, as its REST API does
("Download a recording" of its docs). Without the option ``application_id`` they are asked for as they are."""

from __future__ import annotations

from handlers.telephony.control import CommandFailed
from handlers.telephony.provider import CallSource
from handlers.telephony.vonage_control import application_token
from server.domain.recording import Fault
from server.jobs.media import FetchFailed, MediaRequest


class VonageMedia:
    """The ``MediaProvider`` of sources with ``provider = "vonage"``."""

    name = "vonage"

    def request(self, source: CallSource, url: str) -> MediaRequest:
        if not source.options.get("application_id"):
            return MediaRequest(url)
        try:
            return MediaRequest(url, (f"Bearer {application_token(source)}",))
        except CommandFailed:
            raise FetchFailed(Fault.SETTINGS) from None


MEDIA = VonageMedia()
