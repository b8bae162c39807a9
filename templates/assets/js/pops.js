// The pop card. It lies over the page and never takes the focus: an agent may be typing.

import { ring } from "./sound.js";
import { notify } from "./notify.js";
import { say } from "./texts.js";

const FRAGMENT_PATIENCE = 900;
const FRESH = 10_000;
const OF_A_CALL_ON = ["ringing", "answered", "transferred"];
const plainTitle = document.title;
const queue = [];
let shown = null;
let blink = 0;

export async function popComes(socket, frame) {
  // What comes late (the agent was away) is looked at first: a call that is over needs nobody any more.
  const late = Math.abs(Date.now() - Date.parse(frame.created_at)) > FRESH;
  if (late && isOver({ frame }, await look({ frame }))) { socket.ack(frame.id); return; }
  const contact = frame.contact;
  const known = [shown, ...queue].find((one) => one && one.frame.contact.id === contact.id);
  if (known) {
    // The same call goes on (rings, then is answered): the card that is there tells it.
    known.frame = frame;
    if (known === shown) fill(known);
  } else {
    const one = { frame, at: Date.now() };
    line(one);
    if (!shown) next();
    else if (urgent(one) && !urgent(shown)) {
      line(shown);
      next();
    } else more();
    ring();
    notify(title(frame), body(frame), () => accept());
  }
  socket.ack(frame.id);
  document.body.dispatchEvent(new CustomEvent("rp-popped"));
}

// A caller is on the line: the call goes before all that waits, mails and forms and calls that were missed.
function urgent(one) {
  return one.frame.contact.channel === "call" && OF_A_CALL_ON.includes(one.frame.reason) && !one.isOver;
}

function line(one) {
  const place = urgent(one) ? queue.findIndex((other) => !urgent(other)) : -1;
  queue.splice(place < 0 ? queue.length : place, 0, one);
}

export function accept() {
  if (!shown) return false;
  const id = shown.frame.contact.id;
  dismiss();
  open(id);
  return true;
}

function open(id) {
  const work = document.getElementById("work");
  if (work && !isTypedOn()) {
    history.replaceState(history.state, "", `/?contact=${id}`);
    const path = `/desk/work?contact=${id}`;
    // From here on the desk is this contact's: what was asked before is not waited for, and no hint of it is missed.
    htmx.trigger(work, "htmx:abort");
    work.setAttribute("hx-get", path);
    work.setAttribute("hx-trigger", `rp-contact-${id} from:body delay:120ms, ${work.getAttribute("hx-trigger")}`);
    htmx.process(work);
    // What takes longer than a blink is drawn as what will be there.
    const loading = setTimeout(() => document.getElementById("work")?.replaceChildren(document.getElementById("work-loading").content.cloneNode(true)), 250);
    htmx.ajax("GET", path, { source: work, target: work, swap: "morph:outerHTML" })
      .catch(() => {}) // a hint asked again meanwhile, or the page says what failed
      .then(() => {
        clearTimeout(loading);
        document.getElementById("main")?.focus({ preventScroll: true });
        document.body.dispatchEvent(new CustomEvent("rp-popped"));
      });
  } else {
    location.assign(`/?contact=${id}`);
  }
}

export async function contactChanged(id) {
  if (shown && shown.frame.contact.id === id) { fill(shown); return; }
  const waits = queue.find((one) => one.frame.contact.id === id);
  if (!waits) return;
  const body = await look(waits);
  if (!queue.includes(waits) || !isOver(waits, body) && !isOnDesk(waits, body)) return;
  queue.splice(queue.indexOf(waits), 1);
  more();
  if (isOnDesk(waits, body) && !isTypedOn()) open(id);
}

// Of a callback that is due the call ended long ago: only a pop of a call that was on can be over.
function isOver(one, body) {
  return body?.dataset.over !== undefined && OF_A_CALL_ON.includes(one.frame.reason);
}

function isOwn(one, body) {
  if (body?.dataset.state !== "answered" || one.frame.contact.channel !== "call") return false;
  return body.dataset.agent === document.querySelector('meta[name="ringpost-agent"]').content;
}

function isTypedOn() {
  return document.querySelector("#work [data-dirty]") !== null;
}

// What the agent has answered stands on the desk; another page needs the card as the way there.
function isOnDesk(one, body) {
  return isOwn(one, body) && document.getElementById("work") !== null;
}

// While a call is on, nothing that can wait is laid over it: mails and forms are in the list already, and their
// cards come when the call is over.
function isOnCall() {
  return document.querySelector("#presence .dot.busy") !== null;
}

function next() {
  const first = queue.findIndex(urgent);
  if (first < 0 && isOnCall()) show(null);
  else show(queue.splice(Math.max(first, 0), 1)[0] ?? null);
}

document.body.addEventListener("htmx:afterSettle", () => {
  if (!shown && queue.length > 0 && !isOnCall()) next();
});

function show(one) {
  shown = one;
  if (!shown) { settle(); return; }
  const card = document.getElementById("pop-frame").content.firstElementChild.cloneNode(true);
  card.setAttribute("aria-label", title(shown.frame));
  card.querySelector("[data-pop-accept]").addEventListener("click", accept);
  card.querySelector("[data-pop-later]").addEventListener("click", dismiss);
  card.querySelector("[data-pop-more]").addEventListener("click", turn);
  card.querySelector("[data-pop-none]").addEventListener("click", dismissAll);
  shown.card = card;
  fill(shown).then((body) => {
    if (!shown || shown.card !== card) return;
    if (isOver(shown, body)) { dismiss(); return; }
    document.getElementById("pops").replaceChildren(card);
    more();
    settle();
  });
}

function turn() {
  if (!shown || queue.length === 0) return;
  queue.push(shown);
  show(queue.shift());
}

function dismiss() {
  shown?.card?.remove();
  shown = null;
  next();
  more();
}

function dismissAll() {
  queue.length = 0;
  dismiss();
}

async function fill(one) {
  const place = one.card.querySelector(".pop-content");
  const body = await look(one);
  if (body) {
    place.replaceChildren(body);
    follow(one, body);
  } else if (!place.firstChild) place.replaceChildren(plain(one.frame));
  return body;
}

// The contact as it stands now, drawn by the server; null when that takes too long.
async function look(one) {
  try {
    const path = `/desk/pop/${one.frame.contact.id}?reason=${one.frame.reason}`;
    const answer = await fetch(path, { headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(FRAGMENT_PATIENCE) });
    if (!answer.ok) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html").body.firstElementChild;
  } catch {
    return null;
  }
}

// Who picks up the telephone need not press a key; and what a colleague answered needs nobody's eyes for long.
function follow(one, body) {
  if (one !== shown) return;
  one.isOver = isOver(one, body);
  const wasMissed = body.dataset.missed !== undefined;
  one.card.querySelector("[data-pop-accept] span").textContent = say(wasMissed || isOwn(one, body) ? "open" : "accept");
  if (one.isOver && !wasMissed) { dismiss(); return; }
  // A missed call makes room for who still waits, at once when somebody is on the line.
  if (one.isOver && queue.some(urgent)) { dismiss(); return; }
  if (one.isOver && queue.length > 0) setTimeout(() => { if (one === shown && queue.length > 0) dismiss(); }, 4000);
  if (body.dataset.state !== "answered" || one.frame.contact.channel !== "call") return;
  if (!isOwn(one, body)) setTimeout(() => { if (one === shown) dismiss(); }, 4000);
  else if (isOnDesk(one, body)) {
    if (isTypedOn()) dismiss();
    else accept();
  }
}

// Without the server's help: what the frame itself says.
function plain(frame) {
  const made = document.getElementById("pop-plain").content.cloneNode(true);
  made.querySelector(".pop-reason").textContent = why(frame);
  made.querySelector(".pop-name").textContent = title(frame);
  made.querySelector(".pop-number").textContent = frame.contact.ani ?? frame.contact.from ?? "";
  const list = made.querySelector(".warnings");
  for (const warning of frame.warnings ?? []) {
    const item = document.createElement("li");
    item.className = "warning";
    item.textContent = document.documentElement.lang.startsWith("zh") ? warning.text_zh ?? warning.text : warning.text;
    list.append(item);
  }
  return made;
}

function more() {
  const button = shown?.card?.querySelector("[data-pop-more]");
  if (!button) return;
  shown.card.querySelector("[data-pop-none]").hidden = queue.length < 2;
  button.parentElement.hidden = queue.length === 0;
  button.textContent = queue.length === 1 ? say("more_one") : say("more_many", { count: queue.length });
}

function title(frame) {
  if (frame.customer) return frame.customer.name;
  if (frame.contact.withheld && frame.contact.direction !== "outbound") return say("withheld");
  return frame.contact.display_name || frame.contact.from || frame.contact.ani || say("unknown_caller");
}

function body(frame) {
  const said = [why(frame)];
  if (frame.contact.ani && !frame.contact.withheld) said.push(frame.contact.ani);
  if (frame.contact.subject) said.push(frame.contact.subject);
  return said.join(" · ");
}

function why({ reason, contact }) {
  return say(reason === "ringing" && contact.direction === "outbound" ? "dialling" : reason);
}

// The tab says it too, while something waits to be accepted.
function settle() {
  clearInterval(blink);
  document.title = plainTitle;
  if (!shown) return;
  const words = `☎ ${title(shown.frame)}`;
  let lit = true;
  document.title = words;
  blink = setInterval(() => { lit = !lit; document.title = lit ? words : plainTitle; }, 1000);
}
