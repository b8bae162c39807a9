// After-call work: the time that is left counts down, and what was typed is kept before it is over.

const LAST_SECONDS = 2;
const begun = new WeakMap(); // countdown -> what the server said was left, and when that is over
let wasTyping = false;

export function prepareAfterCall() {
  setInterval(count, 1000);
  // Who is still typing when the time is over types on; the letters would press keys of the page otherwise.
  if (window.Idiomorph) Idiomorph.defaults.callbacks.beforeNodeRemoved = (node) => !isTypedIn(node);
  document.addEventListener("input", ({ target }) => {
    const form = target.closest?.("form.after-call");
    if (!form) return;
    form.dataset.unkept = "";
    // The keys are one choice: a part that is fetched again leaves them all alone.
    if (!target.closest(".codes")) return;
    target.closest(".codes").dataset.dirty = "";
    form.querySelector("#wrong-code").replaceChildren();
  });
  document.addEventListener("change", ({ target }) => keep(target.closest?.("form.after-call")));
  document.addEventListener("visibilitychange", () => keep(document.querySelector("form.after-call")));
  document.body.addEventListener("htmx:beforeSwap", () => { wasTyping ||= document.activeElement?.id === "call-note"; });
  document.body.addEventListener("htmx:afterSwap", takeOver);
  takeOver();
  count();
}

function isTypedIn(node) {
  const field = document.activeElement;
  return node.nodeType === 1 && node.matches("form.after-call") && field?.localName === "textarea" && node.contains(field);
}

function count() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-left]")) {
    let mark = begun.get(time);
    if (mark?.said !== time.dataset.left) {
      mark = { said: time.dataset.left, over: now + Number(time.dataset.left) * 1000 };
      begun.set(time, mark);
    }
    const left = Math.max(0, Math.ceil((mark.over - now) / 1000));
    time.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    const form = time.closest("form.after-call");
    if (form && left <= LAST_SECONDS) keep(form);
    if (form && left === 0) sayItIsOver(form);
  }
}

function sayItIsOver(form) {
  const words = form.querySelector("[data-over]");
  if (words.textContent.trim() === words.dataset.over) return;
  words.textContent = words.dataset.over;
  words.className = "small grow late";
}

// As far as it is: the time may end the work at any moment, and nothing that was typed may be lost with it.
function keep(form) {
  if (form?.dataset.unkept === undefined) return;
  delete form.dataset.unkept;
  const again = () => { form.dataset.unkept = ""; };
  fetch(form.dataset.keptAt, { method: "POST", body: new URLSearchParams(new FormData(form)), keepalive: true })
    .then((answer) => { if (!answer.ok) again(); }, again);
}

// The note that was being typed while the call ended goes on in the after-call work.
function takeOver() {
  const note = document.getElementById("after-note");
  const was = wasTyping;
  wasTyping = false;
  if (!note || note.value) return;
  const from = `ringpost.draft:${note.dataset.from}`;
  const text = sessionStorage.getItem(from);
  if (text) {
    sessionStorage.removeItem(from);
    note.value = text;
    note.dispatchEvent(new Event("input", { bubbles: true }));
  }
  if (was) note.focus({ preventScroll: true });
}
