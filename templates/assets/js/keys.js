// One-key deeds. Off while somebody types, and off altogether when the agent wants so (WCAG 2.1.4).

import { accept } from "./pops.js";

const ON = "ringpost.keys";
const PLACES = { d: "/", t: "/tickets", c: "/customers", l: "/calls", q: "/queues" };
// A call is ended with Shift: who types on after leaving a field must not hang up on anybody.
const DEEDS = ["a", "c", "o", "d", "h", "t", "X", ..."123456789"];
let going = 0;

export const keys = {
  get on() { return localStorage.getItem(ON) !== "off"; },
  set on(value) { localStorage.setItem(ON, value ? "on" : "off"); },
};

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const field = event.target.closest?.("input:not([type=radio]), textarea, select, [contenteditable]");
    if (event.key === "Escape") {
      if (field) field.blur();
      document.getElementById("quick")?.replaceChildren();
      return;
    }
    if (field || !keys.on || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    if (going && Date.now() - going < 1500 && PLACES[key]) {
      going = 0;
      event.preventDefault();
      location.assign(PLACES[key]);
      return;
    }
    going = 0;
    if (key === "g") going = Date.now();
    else if (key === "/") press(event, () => document.getElementById("quick-field")?.focus());
    else if (key === "?") press(event, () => document.getElementById("keys")?.showModal());
    else if (key === "a" && accept()) event.preventDefault();
    else {
      const said = event.shiftKey && key === "x" ? "X" : key;
      const deed = DEEDS.includes(said) && [...document.querySelectorAll(`[data-key="${said}"]`)].find((one) => one.offsetParent !== null);
      if (deed && !event.repeat) press(event, () => { if (deed.matches("input")) deed.focus(); deed.click(); });
    }
  });
}

function press(event, deed) {
  event.preventDefault();
  deed();
}
