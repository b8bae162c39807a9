// The desk's call: a pressed button is busy until its answer, the transfer opens below its button, and a call that
// the telephone at the foot of the page has is answered, held and ended there.

import { softphone } from "./softphone.js";

const BY_PHONE = ["do-answer", "do-hold", "do-hang-up"];
const PHONE_KEYS = { answer: "a", hold: "h", hangup: "X" };

const control = () => document.getElementById("call-control");

export function prepareCallControl() {
  document.body.addEventListener("htmx:beforeRequest", ({ detail }) => {
    if (!control()?.contains(detail.elt) || detail.requestConfig.verb !== "post") return;
    const pressed = detail.requestConfig.triggeringEvent?.submitter;
    pressed?.setAttribute("aria-busy", "true");
    // What the last button came to is of no interest any more.
    const said = control().querySelector('[role="status"]');
    delete said.dataset.keep;
    said.replaceChildren();
    document.getElementById("transfer")?.hidePopover();
    if (pressed?.closest("#transfer")) document.getElementById("do-transfer")?.setAttribute("aria-busy", "true");
  });
  document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (control()?.contains(detail.elt)) for (const one of control().querySelectorAll("[aria-busy]")) one.removeAttribute("aria-busy");
  });
  // The events do not bubble; they can be caught on their way down.
  document.addEventListener("beforetoggle", place, true);
  document.addEventListener("toggle", ({ target, newState }) => {
    if (target.id === "transfer" && newState === "open") htmx.trigger("#transfer-to", "rp-open");
  }, true);
  document.addEventListener("keydown", walk);
  document.body.addEventListener("softphone:change", giveToPhone);
  document.body.addEventListener("htmx:afterSettle", giveToPhone);
  giveToPhone();
}

// Below the button that opens it, within the window.
function place({ target, newState }) {
  const button = document.getElementById("do-transfer");
  if (target.id !== "transfer" || newState !== "open" || !button) return;
  const at = button.getBoundingClientRect();
  const width = parseFloat(getComputedStyle(target).width) || 352;
  target.style.top = `${at.bottom + 4}px`;
  target.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
  target.style.right = "auto";
  target.style.maxHeight = `${Math.max(220, innerHeight - at.bottom - 16)}px`;
}

// Arrows walk through the list below the field; Enter in the field goes to its first.
function walk(event) {
  const list = event.target.closest?.("#transfer");
  if (!list || !["ArrowDown", "ArrowUp", "Enter"].includes(event.key)) return;
  const field = document.getElementById("transfer-to");
  if (event.key === "Enter" && event.target !== field) return;
  if (event.target.type === "radio") return;
  const stops = [field, ...list.querySelectorAll(".targets button")];
  const step = event.key === "ArrowUp" ? stops.length - 1 : 1;
  event.preventDefault();
  stops[(stops.indexOf(document.activeElement) + step) % stops.length]?.focus();
}

// The telephone at the foot of the page has this call: its buttons, and their keys, instead of these.
function giveToPhone() {
  const here = control();
  const { call } = softphone.state;
  // Of a number that is withheld or inside the house nothing can be compared: it is the one call that there is.
  const has = Boolean(here && "mine" in here.dataset && softphone.inCall
    && (!endOf(call.number) || !endOf(here.dataset.peer) || isSame(call.number, here.dataset.peer)));
  for (const id of BY_PHONE) {
    const button = document.getElementById(id);
    if (button) button.hidden = has;
  }
  const words = here?.querySelector("[data-by-phone]");
  if (words) words.hidden = !has;
  for (const [name, key] of Object.entries(PHONE_KEYS)) {
    const button = document.querySelector(`#softphone [data-phone="${name}"]`);
    if (has) button?.setAttribute("data-key", key);
    else button?.removeAttribute("data-key");
  }
}

// A number in its national and in its international spelling ends alike.
export function isSame(one, other) {
  return endOf(one) !== "" && endOf(one) === endOf(other);
}

function endOf(number) {
  const digits = (number ?? "").replace(/\D/g, "");
  return digits.length < 7 ? "" : digits.slice(-7);
}
