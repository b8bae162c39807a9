"""Two agents with softphones at one SIP server, and ears for what arrives at each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from server.domain.permission import Actor
from server.services import agent_phones
from tests.browser.conftest import Console, add_agent, chromium_path
from tests.browser.sip_server import DOMAIN, SipServer

# One Chromium with a microphone that beeps, and leave to use it.
MICROPHONE = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",  # also where the computer has no network
)

# The page's own RTCPeerConnection is listened to: what WebRTC's statistics and a WebAudio analyser say.
EARS = """
(() => {
  const Native = RTCPeerConnection;
  const made = [];
  globalThis.RTCPeerConnection = class extends Native {
    constructor(...settings) { super(...settings); made.push(this); }
  };
  const inbound = async () => {
    const told = [...(await made.at(-1).getStats()).values()];
    const nothing = { bytesReceived: 0, totalAudioEnergy: 0 };
    return told.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio") ?? nothing;
  };
  const pause = () => new Promise((resolve) => setTimeout(resolve, 60));
  // What the page makes itself (ring, keys) goes through such destinations.
  const destinations = [];
  const makeDestination = AudioContext.prototype.createMediaStreamDestination;
  AudioContext.prototype.createMediaStreamDestination = function () {
    destinations.push(makeDestination.call(this));
    return destinations.at(-1);
  };
  const loudest = (analyser) => {
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    return Math.max(...samples.map(Math.abs));
  };
  globalThis.ears = {
    // Until the page itself is to be heard.
    async own() {
      const { context, stream } = destinations.at(-1);
      const analyser = context.createAnalyser();
      context.createMediaStreamSource(stream).connect(analyser);
      while (loudest(analyser) < 0.02) await pause();
    },
    // Until so much sound has come in since now; gives the bytes that it took.
    async hear(energy = 0.001) {
      const first = await inbound();
      for (;;) {
        const now = await inbound();
        if (now.totalAudioEnergy - first.totalAudioEnergy > energy) return now.bytesReceived - first.bytesReceived;
        await pause();
      }
    },
    // Until nothing was to be heard for so long.
    async silence(ms = 1800) {
      let last = await inbound();
      let since = performance.now();
      while (performance.now() - since < ms) {
        await pause();
        const now = await inbound();
        if (now.totalAudioEnergy - last.totalAudioEnergy > 1e-7) since = performance.now();
        last = now;
      }
    },
    // Until both of these pitches stand out of what is heard.
    async tones(...pitches) {
      const context = new AudioContext();
      const analyser = context.createAnalyser();
      analyser.fftSize = 4096;
      analyser.smoothingTimeConstant = 0;
      const [{ track }] = made.at(-1).getReceivers();
      context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
      const bins = new Float32Array(analyser.frequencyBinCount);
      const place = (hertz) => Math.round(hertz * analyser.fftSize / context.sampleRate);
      const at = (hertz) => Math.max(...bins.slice(place(hertz) - 1, place(hertz) + 2));
      const standsOut = (hertz) => at(hertz) > -50 && at(hertz) > at(hertz * 1.12) + 12;
      do {
        await new Promise(requestAnimationFrame);
        analyser.getFloatFrequencyData(bins);
      } while (!pitches.every(standsOut));
      await context.close();
    },
  };
})();
"""


@dataclass
class Phone:
    """One agent's browser page and the telephone at its foot."""

    page: Page

    @property
    def panel(self) -> Locator:
        return self.page.locator("#softphone")

    async def shows(self, view: str, words: str = "") -> None:
        await expect(self.panel).to_have_attribute("data-view", view, timeout=15_000)
        if words:
            await expect(self.panel.locator('[data-phone="words"]')).to_contain_text(words)

    async def press(self, name: str) -> None:
        await self.panel.get_by_role("button", name=name, exact=True).click()

    async def dial(self, number: str) -> None:
        await self.panel.locator('[data-phone="number"]').fill(number)
        await self.press("Call")

    async def hears(self, what: str = "hear()") -> Any:
        """Waits: ``hear()``, ``silence()``, ``tones(hertz, ...)``."""
        return await self.page.evaluate(
            f"Promise.race([ears.{what}, new Promise((_, no) => setTimeout(no, 15000, 'not heard: {what}'))])"
        )

    async def api(self, script: str) -> Any:
        """Runs ``script`` with ``softphone`` and ``tones``, the objects of the page's own modules."""
        return await self.page.evaluate(
            f"""async () => {{
                const {{ src }} = document.querySelector('script[type="module"]');
                const module = (name) => import(src.replace("main", name));
                const {{ softphone }} = await module("softphone");
                const {{ tones }} = await module("softphone-sound");
                return {script};
            }}"""
        )


@dataclass
class Phones:
    console: Console
    sip: SipServer
    ids: dict[str, int] = field(default_factory=dict)

    async def give(self, name: str, user: str, password: str, **more: str) -> None:
        boss = Actor(self.console.priya, "Priya", "", "administrator", "en")
        account = {"uri": f"sip:{user}@{DOMAIN}", "password": password, "wss_url": self.sip.plain_url} | more
        await agent_phones.set_phone(self.console.ctx.pool, boss, self.ids[name], account)

    async def hire(self, name: str, extension: str) -> None:
        self.ids[name] = await add_agent(self.console.running, name, "agent", extension)
        await self.console.ctx.directory.reload()

    async def sit_down(self, name: str, language: str = "en", **options: Any) -> Phone:
        """Logged in, in a window of their own, the telephone not signed on yet."""
        window = await self.console.window(language, **options)
        await window.add_init_script(EARS)
        phone = Phone(await self.console.log_in(window, name))
        await phone.shows("off")
        return phone

    async def sign_on(self, name: str, language: str = "en", **options: Any) -> Phone:
        phone = await self.sit_down(name, language, **options)
        await phone.panel.locator('[data-phone="on"]').click()
        await phone.shows("ready")
        return phone

    def forgive_lost_sockets(self) -> None:
        """What Chromium says of a SIP server that is away."""
        lost = f"WebSocket connection to '{self.sip.plain_url}"
        self.console.complaints[:] = [one for one in self.console.complaints if lost not in one]

    async def connect(self) -> tuple[Phone, Phone]:
        """Priya calls Bob, who answers; both are talking."""
        priya, bob = await self.sign_on("priya"), await self.sign_on("bob")
        await priya.dial("102")
        await bob.shows("ringing", "Incoming call")
        await bob.press("Answer")
        for one in (priya, bob):
            await one.shows("talking")
        return priya, bob


@pytest_asyncio.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """In place of the one of the other tests: this one has a microphone."""
    path = chromium_path()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *MICROPHONE])
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def phones(console: Console, tmp_path: Path) -> AsyncIterator[Phones]:
    sip = SipServer(tmp_path, {"101": "first secret", "102": "second secret", "103": "third"})
    await sip.start()
    made = Phones(console, sip, {"priya": console.priya})
    await made.hire("bob", "102")
    await made.hire("cleo", "103")
    await made.give("priya", "101", "first secret", display_name="Priya Patel")
    await made.give("bob", "102", "second secret", auth_user="102")
    await made.give("cleo", "103", "third")
    yield made
    await sip.stop()
