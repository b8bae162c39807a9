// Desktop notifications, asked for by a button and never by surprise.

import { say } from "./texts.js";

export function notify(title, body, clicked) {
  if (!("Notification" in window) || Notification.permission !== "granted" || document.visibilityState === "visible" && document.hasFocus()) return;
  try {
    const shown = new Notification(title, { body, tag: "ringpost-pop", renotify: true, requireInteraction: true });
    shown.addEventListener("click", () => { window.focus(); shown.close(); clicked(); });
  } catch { /* some phones allow none from a page */ }
}

export function prepareNotifications() {
  const button = document.querySelector("[data-ask-notifications]");
  if (!button) return;
  const show = () => {
    const state = "Notification" in window ? Notification.permission : "denied";
    const words = button.querySelector("span");
    if (state === "granted") words.textContent = say("notifications_on");
    if (state === "denied") words.textContent = say("notifications_blocked");
    button.setAttribute("aria-pressed", String(state === "granted"));
    button.disabled = state !== "default";
  };
  button.addEventListener("click", async () => { await Notification.requestPermission(); show(); });
  show();
}
