// While the telephone is signed on, the agent goes from page to page without leaving this one: a call would end
// with it. The Navigation API (HTML, 7.2.6) tells of every link, form and script that wants to leave; the page is
// fetched instead, and its parts are put in the place of those that are here.

import { addNotice } from "./page.js";
import { say } from "./texts.js";

const PARTS = ["#main", ".nav", "#notices"];
let phone = null;
let going = null;
let leaving = false;
let shown = location.pathname + location.search;
let moved = false;

export function stayOnPage(softphone) {
  phone = softphone;
  addEventListener("beforeunload", (event) => { if (phone.inCall) event.preventDefault(); });
  window.navigation?.addEventListener("navigate", take);
  // Before htmx, which would load the page anew.
  addEventListener("popstate", (event) => {
    if (location.pathname + location.search === shown) return;
    if (isBound()) {
      event.stopImmediatePropagation();
      go(location.href, { keepsAddress: true });
    } else if (moved) location.reload();
  }, { capture: true });
  document.body.addEventListener("htmx:pushedIntoHistory", () => { shown = location.pathname + location.search; });
}

function isBound() {
  return phone.isOn || phone.inCall;
}

function take(event) {
  const { destination, navigationType } = event;
  if (leaving || !isBound() || !event.cancelable || !event.canIntercept) return;
  if (destination.sameDocument || event.hashChange || event.downloadRequest !== null) return;
  if (navigationType === "reload" && !phone.inCall) return;
  event.preventDefault();
  go(destination.url, { form: event.formData, keepsAddress: navigationType !== "push" });
}

async function go(address, { form = null, keepsAddress = false }) {
  going?.abort();
  const mine = going = new AbortController();
  document.body.classList.add("htmx-request");
  try {
    const answer = await fetch(address, { ...asSent(form), headers: { Accept: "text/html" }, signal: mine.signal });
    if (answer.status === 204) return;
    if (!isPage(answer)) { mine.abort(); save(address); return; }
    const { hash } = new URL(address);
    show(await answer.text(), answer.redirected ? answer.url : answer.url + hash, keepsAddress);
  } catch (failed) {
    if (!mine.signal.aborted) addNotice(say("request_failed"), form ? null : () => go(address, { keepsAddress }));
  } finally {
    if (going === mine) document.body.classList.remove("htmx-request");
  }
}

// As a browser sends a form; one with files goes as multipart.
function asSent(form) {
  if (!form) return {};
  const plain = [...form].every(([, value]) => typeof value === "string");
  return { method: "POST", body: plain ? new URLSearchParams([...form]) : form };
}

function isPage(answer) {
  const type = answer.headers.get("Content-Type") ?? "";
  return type.startsWith("text/html") && !(answer.headers.get("Content-Disposition") ?? "").startsWith("attachment");
}

function save(address) {
  const link = document.createElement("a");
  link.href = address;
  link.download = "";
  link.click();
}

function show(text, address, keepsAddress) {
  const made = new DOMParser().parseFromString(text, "text/html");
  // Logged out, another language, a newer Ringpost: that needs the whole page, once no call hangs on this one.
  if (!made.getElementById("main") || (!phone.inCall && stampOf(made) !== stampOf(document))) {
    leaving = true;
    location.assign(address);
    return;
  }
  const method = keepsAddress || address === location.href ? "replaceState" : "pushState";
  history[method](null, "", address);
  shown = location.pathname + location.search;
  moved = true;
  for (const open of document.querySelectorAll("[popover]:popover-open")) open.hidePopover();
  for (const part of PARTS) {
    const there = made.querySelector(part);
    if (there) document.querySelector(part)?.replaceWith(document.adoptNode(there));
  }
  document.title = made.title;
  for (const back of document.querySelectorAll('input[name="back"]')) back.value = location.pathname;
  const main = document.getElementById("main");
  htmx.process(main);
  document.body.dispatchEvent(new CustomEvent("htmx:afterSwap", { detail: { target: main, elt: main } }));
  const aim = location.hash && document.getElementById(location.hash.slice(1));
  if (aim) aim.scrollIntoView();
  else scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function stampOf(page) {
  const agent = page.querySelector('meta[name="ringpost-agent"]')?.content;
  return [agent, page.documentElement.lang, page.querySelector('script[type="module"]')?.getAttribute("src")].join(" ");
}
