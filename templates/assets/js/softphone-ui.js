// The telephone at the foot of the page: shows what softphone.js tells, and passes on what is pressed.

import { keys } from "./keys.js";
import { notify } from "./notify.js";
import { canChooseOutput, choose, chosen, devicesOf } from "./softphone-devices.js";
import { softphone } from "./softphone.js";
import { tones } from "./softphone-sound.js";
import { stayOnPage } from "./softphone-stay.js";

const KINDS = ["microphone", "speaker", "ring"];
let panel = null;
let texts = {};
let drawn = "";
let resting = null; // where the focus waits while there is nothing to be done

// An agent without a telephone sees nothing of it; JsSIP is loaded by who signs on.
export async function prepareSoftphone() {
  const answer = await fetch("/softphone", { headers: { "HX-Request": "true" } }).catch(() => null);
  if (answer?.status !== 200) return;
  const made = new DOMParser().parseFromString(await answer.text(), "text/html");
  panel = made.getElementById("softphone");
  if (!panel) return;
  texts = JSON.parse(made.getElementById("softphone-texts").textContent);
  document.getElementById("pops").before(panel);
  document.querySelector("#keys .keys")?.append(...made.getElementById("softphone-key").content.childNodes);
  makeRoom();
  listen();
  document.body.addEventListener("softphone:change", ({ detail }) => draw(detail));
  draw(softphone.state);
  setInterval(drawTime, 1000);
  stayOnPage(softphone);
  softphone.resume();
}

const say = (name) => texts[name] ?? "";
const part = (name) => panel.querySelector(`[data-phone="${name}"]`);

// The page ends where the panel begins: nothing lies under it.
function makeRoom() {
  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--phone", `${panel.offsetHeight}px`);
  }).observe(panel);
}

function listen() {
  const deeds = {
    on: () => softphone.signOn(), off: () => { softphone.signOff(); part("devices").hidePopover(); },
    here: () => softphone.takeHere(), now: () => softphone.reconnect(), forget: () => softphone.forgetTrouble(),
    answer: () => softphone.answer(), hangup: () => softphone.hangUp(),
    mute: () => softphone.mute(), hold: () => softphone.hold(), test: () => tones.once("ring"),
  };
  panel.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button?.dataset.tone) press(button.dataset.tone);
    else deeds[button?.dataset.phone]?.();
  });
  part("dial").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = part("number");
    if (field.value.trim()) softphone.dial(field.value);
    else field.focus();
  });
  part("number").addEventListener("input", () => softphone.forgetTrouble());
  part("keypad").addEventListener("keydown", ({ key }) => { if (/^[0-9*#]$/.test(key)) press(key); });
  part("devices").addEventListener("toggle", ({ newState }) => { if (newState === "open") fillDevices(); });
  navigator.mediaDevices?.addEventListener("devicechange", () => fillDevices());
  for (const kind of KINDS) {
    part(kind).addEventListener("change", async ({ target }) => {
      choose(kind, target.value);
      await softphone.useDevice(kind);
      if (kind === "ring" && !softphone.inCall) tones.once("ring");
    });
  }
  part("outputs").hidden = !canChooseOutput;
  part("no-outputs").hidden = canChooseOutput;
  document.addEventListener("keydown", (event) => {
    if (event.key?.toLowerCase() !== "p" || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!keys.on || event.target.closest?.("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    (firstDeed() ?? part("open-devices")).focus();
  });
}

function press(tone) {
  softphone.sendTones(tone);
  const sent = part("sent");
  sent.value = (sent.value + tone).slice(-24);
}

async function fillDevices() {
  for (const kind of KINDS) {
    const select = part(kind);
    const found = await devicesOf(kind);
    const options = [new Option(say("default_device"), ""), ...found.map((one, place) => new Option(one.label || `${say("device")} ${place + 1}`, one.id))];
    select.replaceChildren(...options);
    select.value = found.some((one) => one.id === chosen(kind)) ? chosen(kind) : "";
  }
}

// off, connecting, ready, refused, elsewhere, or what the call is in.
function viewOf({ registration, call }) {
  if (call) return call.phase;
  return { registered: "ready", reconnecting: "connecting" }[registration] ?? registration;
}

function draw(state) {
  const { registration, trouble, call } = state;
  const view = viewOf(state);
  const changed = view !== drawn;
  const focused = panel.contains(document.activeElement);
  panel.dataset.view = view;
  panel.dataset.registration = registration;
  for (const one of panel.querySelectorAll("[data-show]")) one.hidden = !one.dataset.show.split(" ").includes(view);
  part("now").hidden = registration !== "reconnecting";
  part("account").hidden = call !== null;
  part("who").hidden = call === null;
  part("who").textContent = call ? callee(call) : "";
  write(part("words"), wordsOf(state));
  drawTime();
  part("mute").setAttribute("aria-pressed", String(Boolean(call?.muted)));
  part("hold").setAttribute("aria-pressed", String(Boolean(call?.held)));
  part("off").disabled = softphone.inCall || registration === "off";
  part("test").disabled = softphone.inCall;
  part("trouble").hidden = !trouble;
  write(part("trouble-words"), trouble ? say(`trouble_${trouble}`) : "");
  part("number").setAttribute("aria-invalid", String(trouble === "number"));
  if (!changed) return;
  drawn = view;
  if (view !== "talking") part("keypad").hidePopover();
  else part("sent").value = "";
  if (view === "talking" && call.direction === "outgoing") part("number").value = "";
  if (view === "ringing") notify(say("ringing"), callee(call), () => firstDeed()?.focus());
  // The button that was pressed is gone: the focus goes to what follows it, never out of the panel.
  if (focused && (!isShown(document.activeElement) || document.activeElement === resting)) {
    resting = firstDeed() ? null : part("open-devices");
    (resting ?? firstDeed()).focus();
  }
}

// Read out when it changes, and only then.
function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function callee({ name, number }) {
  return [name, number].filter(Boolean).join(" · ") || say("withheld");
}

function wordsOf({ registration, call }) {
  if (!call) return say(registration);
  const away = registration === "registered" ? "" : say(registration);
  const now = {
    ended: say(`ended_${call.cause}`) || say("ended_"),
    talking: call.held ? say("held") : call.heldByOther ? say("held_by_other") : call.muted ? say("muted") : say("talking"),
  }[call.phase] ?? say(call.phase);
  return [now, away].filter(Boolean).join(" · ");
}

function drawTime() {
  const { call } = softphone.state;
  part("time").hidden = call?.phase !== "talking";
  if (part("time").hidden) return;
  const seconds = Math.floor((Date.now() - call.since) / 1000);
  const parts = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((one) => String(Math.floor(one)).padStart(2, "0"));
  part("time").textContent = parts.join(":").replace(/^00:0?/, "");
}

function isShown(element) {
  return element !== document.body && element?.offsetParent !== null;
}

function firstDeed() {
  return [...panel.querySelectorAll(".phone-deeds :is(button, input)")].find((one) => isShown(one) && !one.disabled);
}
