// The page's words, in the page's language.

const texts = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");

export function say(name, values = {}) {
  return (texts[name] ?? name).replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}
