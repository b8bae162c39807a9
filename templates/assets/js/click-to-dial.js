// A pressed telephone number: busy while it is asked for; a question where somebody does not want to be called.
// Where the telephone at the foot of the page is signed on, it dials itself or picks up the call that was asked for.

import { isSame } from "./call-control.js";
import { softphone } from "./softphone.js";

const RINGS_WITHIN = 20_000;
let asked = { number: "", until: 0 };

const isReady = () => softphone.state.registration === "registered" && !softphone.inCall;

export function prepareClickToDial() {
  const ask = document.getElementById("call-ask");
  document.body.addEventListener("htmx:configRequest", ({ detail }) => {
    if (detail.verb === "post" && detail.path.startsWith("/calls") && isReady()) detail.parameters.set("phone", "here");
  });
  document.body.addEventListener("htmx:beforeRequest", ({ detail }) => {
    if (isDial(detail)) (detail.requestConfig.triggeringEvent?.submitter ?? detail.elt).setAttribute("aria-busy", "true");
  });
  document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (!isDial(detail)) return;
    (detail.requestConfig.triggeringEvent?.submitter ?? detail.elt).removeAttribute("aria-busy");
    if (ask.contains(detail.elt)) ask.close();
  });
  document.body.addEventListener("htmx:afterSwap", ({ detail }) => {
    if (detail.target === ask && !ask.open && ask.firstElementChild) ask.showModal();
  });
  ask.addEventListener("click", ({ target }) => { if (target.closest("[data-call-not]")) ask.close(); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a.dial[href^="tel:"]');
    if (!link || !isReady()) return;
    event.preventDefault();
    const values = { number: link.getAttribute("href").slice(4), customer: link.dataset.customer, ticket: link.dataset.ticket };
    htmx.ajax("POST", "/calls", { source: link, target: ask, swap: "innerHTML", values });
  });
  document.body.addEventListener("rp-dialled", ({ detail: { number, byBrowser } }) => {
    if (byBrowser) softphone.dial(number);
    else asked = { number, until: Date.now() + RINGS_WITHIN };
  });
  document.body.addEventListener("softphone:change", ({ detail: { call } }) => {
    // The agent has asked for this call: it need not be answered as well.
    if (call?.phase !== "ringing" || Date.now() > asked.until || !isSame(call.number, asked.number)) return;
    asked = { number: "", until: 0 };
    softphone.answer();
  });
}

function isDial({ requestConfig }) {
  return requestConfig?.verb === "post" && requestConfig.path.startsWith("/calls");
}
