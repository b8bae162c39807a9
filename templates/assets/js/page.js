// What every page does: keeps what is being typed through updates, counts times, shows notices and failures.

import { say } from "./texts.js";

export function preparePage() {
  if (window.Idiomorph) {
    // A part that is fetched again never overwrites what the agent is typing.
    Idiomorph.defaults.ignoreActiveValue = true;
    Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) => !(old.nodeType === 1 && old.matches("[data-dirty], [data-keep]:not(:empty)"));
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.matches("details, dialog"));
  }
  document.addEventListener("input", (event) => {
    if (event.target.matches("textarea, input:not([type=search], [type=range], [type=checkbox])")) event.target.dataset.dirty = "";
  });
  document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const asked = detail.requestConfig?.elt;
    // A form that was taken away while its answer was on the way has lost the extension that morphs.
    if (asked?.isConnected === false && asked.getAttribute("hx-swap")?.startsWith("morph")) detail.swapOverride = "outerHTML";
    const form = asked?.closest?.("form");
    if (form && detail.requestConfig.verb !== "get" && detail.xhr.status < 400) {
      for (const field of form.querySelectorAll("[data-dirty]")) delete field.dataset.dirty;
      for (const field of form.querySelectorAll("[data-draft]")) sessionStorage.removeItem(draftKey(field));
      form.reset();
    }
  });
  document.body.addEventListener("htmx:afterSwap", fadeNotices);
  document.body.addEventListener("htmx:afterSettle", ({ detail }) => {
    // What was just written is seen: the end of the conversation, above the field that stays at the bottom.
    if (detail.requestConfig?.elt?.id !== "compose" || detail.requestConfig.verb !== "post" || detail.xhr.status >= 400) return;
    document.querySelector(".ticket-main")?.scrollIntoView({ block: "end" });
    const last = document.querySelector(".course > li:last-child");
    if (!last) return;
    last.tabIndex = -1;
    last.focus({ preventScroll: true });
  });
  document.body.addEventListener("htmx:configRequest", ({ detail }) => {
    // A hint that waited while the desk went to another contact asks for that one.
    if (detail.elt.id === "work" && detail.verb === "get") detail.path = detail.elt.getAttribute("hx-get");
    // The list marks the contact that the desk shows.
    const contact = document.getElementById("work")?.dataset.contact;
    if (detail.path === "/desk/queue" && contact) detail.parameters.set("contact", contact);
  });
  prepareDrafts();
  document.body.addEventListener("htmx:sendError", ({ detail }) => failed(detail, say("request_failed")));
  document.body.addEventListener("htmx:timeout", ({ detail }) => failed(detail, say("request_failed")));
  document.body.addEventListener("htmx:responseError", ({ detail }) => failed(detail, say("request_refused")));
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-dismiss]")) event.target.closest(".notice")?.remove();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
  });
  prepareQuickSearch();
  showMarked();
  fadeNotices();
  setInterval(count, 1000);
  setInterval(poll, 5000);
  document.addEventListener("visibilitychange", poll);
}

// A part that no hint tells of: asked again while somebody looks at it and the server is there.
function poll() {
  if (document.visibilityState !== "visible" || document.getElementById("connection")?.dataset.state !== "connected") return;
  for (const part of document.querySelectorAll("[data-poll]")) htmx.trigger(part, "rp-poll");
}

// A form that was refused: the first marked field may be below the fold.
function showMarked() {
  const field = document.querySelector(".form-errors") && document.querySelector(":is(input, select, textarea)[aria-invalid=true]");
  if (!field) return;
  const folded = field.closest("details");
  if (folded) folded.open = true;
  field.scrollIntoView({ block: "center" });
  field.focus({ preventScroll: true });
}

const draftKey = (field) => `ringpost.draft:${new URL(field.form.action).pathname}:${field.name}`;

// A call may lead away from a half-written answer: it is there when the agent comes back.
function prepareDrafts() {
  const restore = () => {
    for (const field of document.querySelectorAll("textarea[data-draft]")) {
      const kept = sessionStorage.getItem(draftKey(field));
      if (kept && !field.value) { field.value = kept; field.dataset.dirty = ""; }
    }
  };
  document.addEventListener("input", (event) => {
    if (!event.target.matches("textarea[data-draft]")) return;
    if (event.target.value) sessionStorage.setItem(draftKey(event.target), event.target.value);
    else sessionStorage.removeItem(draftKey(event.target));
  });
  document.body.addEventListener("htmx:afterSwap", restore);
  restore();
}

export function addNotice(text, action = null) {
  const place = document.getElementById("notices");
  const notice = document.createElement("div");
  notice.className = "notice bad";
  const words = document.createElement("span");
  words.textContent = text;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button plain";
  button.textContent = action ? say("retry") : say("dismiss");
  button.addEventListener("click", () => { notice.remove(); action?.(); });
  notice.append(words, button);
  place.replaceChildren(notice);
}

function failed(detail, text) {
  const element = detail.requestConfig?.elt ?? detail.elt;
  if (element?.matches?.("[data-part]")) addNotice(text, () => htmx.trigger(element, "rp-retry"));
  else addNotice(text);
}

function fadeNotices() {
  for (const notice of document.querySelectorAll("#notices .notice:not(.bad, [data-timed])")) {
    notice.dataset.timed = "";
    setTimeout(() => notice.classList.add("leaving"), 5000);
    setTimeout(() => notice.remove(), 5500);
  }
}

function count() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-since]")) {
    const seconds = Math.max(0, Math.floor((now - Date.parse(time.dateTime)) / 1000));
    if (seconds < 3600) time.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
}

// The results under the search field: arrows move, Escape and a click elsewhere close.
function prepareQuickSearch() {
  const box = document.querySelector(".quick");
  if (!box) return;
  const list = box.querySelector("#quick");
  const field = box.querySelector("input");
  document.addEventListener("click", (event) => { if (!box.contains(event.target)) list.replaceChildren(); });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const links = [field, ...list.querySelectorAll("a")];
    const here = links.indexOf(document.activeElement);
    const there = links[(here + (event.key === "ArrowDown" ? 1 : links.length - 1)) % links.length];
    event.preventDefault();
    there?.focus();
  });
}
