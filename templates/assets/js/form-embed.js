// A Ringpost form inside another site:
//   <script src="https://cti.example.com/forms/contact.js" async></script>
// The form appears where the script stands, or in the element that data-target="#id" names. data-lang="zh-CN"
// sets the language, else that of the page. It lives in a shadow tree: neither side's styles reach the other.
// The site's origin must be among the form's `origins` in the server's settings.
(() => {
  "use strict";
  const form = __FORM__;
  const script = document.currentScript;
  if (!script) return;
  const server = new URL(script.src).origin;
  const wanted = (script.dataset.lang || document.documentElement.lang || navigator.language || "en").toLowerCase();
  const language = wanted.startsWith("zh") ? "zh_CN" : "en";
  const { say, title, labels } = form.languages[language];

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(key, "");
      else if (value !== false && value !== null) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };

  const style = `
    :host { display: block; font: 1rem/1.5 system-ui, "PingFang SC", "Microsoft YaHei", sans-serif; }
    * { box-sizing: border-box; }
    h2 { font-size: 1.25rem; margin: 0 0 .5rem; }
    label { display: block; font-weight: 600; margin: .75rem 0 .25rem; }
    label span { font-weight: 400; opacity: .8; }
    input, textarea, select { width: 100%; font: inherit; color: inherit; background: transparent;
      border: 1px solid #7b8794; border-radius: .375rem; padding: .5rem .625rem; }
    [aria-invalid="true"] { border: 2px solid #b3261e; }
    .error { color: #b3261e; margin: .125rem 0 0; }
    .trap { position: absolute; left: -10000px; width: 1px; height: 1px; overflow: hidden; }
    button { margin-top: 1rem; font: inherit; font-weight: 600; color: #fff; background: #0b5cad; border: 0;
      border-radius: .375rem; padding: .625rem 1.5rem; cursor: pointer; }
    button[disabled] { opacity: .6; cursor: wait; }
    :focus-visible { outline: 3px solid #0b5cad; outline-offset: 1px; }`;

  const completes = { name: "name", email: "email", phone: "tel" };
  const inputs = new Map();

  const fieldOf = (field) => {
    const id = `f-${field.name}`;
    const shared = {
      id, name: field.name, maxlength: field.max, required: field.required,
      autocomplete: completes[field.name] || null, "aria-describedby": `e-${field.name}`,
    };
    let input;
    if (field.type === "textarea") {
      input = make("textarea", { ...shared, rows: 6 });
    } else if (field.type === "select") {
      delete shared.maxlength;
      const options = field.choices.map((choice) => make("option", { value: choice }, choice));
      input = make("select", shared, make("option", { value: "" }, say.choose), ...options);
    } else {
      input = make("input", { ...shared, type: field.type });
    }
    const error = make("p", { class: "error", id: `e-${field.name}`, hidden: true });
    inputs.set(field.name, { input, error });
    const label = make("label", { for: id }, labels[field.name]);
    if (field.required) label.append(" ", make("span", {}, `(${say.required})`));
    return make("div", {}, label, input, error);
  };

  const trap = make("input", { name: form.honeypot, tabindex: -1, autocomplete: "off" });
  const status = make("p", { class: "error", role: "alert" });
  const button = make("button", { type: "submit" }, say.send);
  const view = make("form", { novalidate: true },
    make("h2", {}, title),
    make("div", { class: "trap", "aria-hidden": "true" }, make("label", {}, say.trap, trap)),
    ...form.fields.map(fieldOf), status, button);

  const newId = () => (crypto.randomUUID ? crypto.randomUUID()
    : Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(""));
  // One key for one text: a second press, or a retry after a lost answer, makes no second ticket.
  let sent = { text: "", key: "" };

  const showErrors = (fields) => {
    let first = null;
    for (const [name, { input, error }] of inputs) {
      const text = fields[name] || "";
      error.textContent = text;
      error.hidden = !text;
      input.setAttribute("aria-invalid", text ? "true" : "false");
      if (text && !first) first = input;
    }
    if (first) first.focus();
  };

  view.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    const values = { [form.honeypot]: trap.value };
    for (const [name, { input }] of inputs) values[name] = input.value;
    const text = JSON.stringify(values);
    if (text !== sent.text) sent = { text, key: newId() };
    button.disabled = true;
    button.textContent = say.sending;
    status.textContent = "";
    try {
      const reply = await fetch(`${server}/forms/${encodeURIComponent(form.name)}?lang=${language}`, {
        method: "POST",
        credentials: "omit",
        headers: { "Content-Type": "application/json", "Idempotency-Key": sent.key },
        body: text,
      });
      const answer = await reply.json().catch(() => ({}));
      if (reply.status === 201) {
        const number = make("strong", {}, answer.ticket || "");
        const thanks = make("div", { role: "status", tabindex: -1 }, make("h2", {}, say.thanks_title),
          make("p", {}, say.thanks_text), make("p", {}, `${say.thanks_number} `, number));
        view.replaceWith(thanks);
        thanks.focus();
        return;
      }
      showErrors(reply.status === 422 ? answer.fields || {} : {});
      status.textContent = reply.status === 422 ? say.errors_title
        : reply.status === 429 ? say.error_too_many : say.error_failed;
    } catch {
      status.textContent = say.error_failed;
    }
    button.disabled = false;
    button.textContent = say.send;
  });

  const host = make("div", { lang: language === "zh_CN" ? "zh-CN" : "en" });
  host.attachShadow({ mode: "open" }).append(make("style", {}, style), view);
  const place = () => {
    const target = script.dataset.target ? document.querySelector(script.dataset.target) : null;
    if (target) target.append(host);
    else script.after(host);
  };
  if (script.dataset.target && document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", place);
  } else {
    place();
  }
})();
