// Puts the page's parts together.

import { prepareAfterCall } from "./after-call.js";
import { prepareCallControl } from "./call-control.js";
import { prepareClickToDial } from "./click-to-dial.js";
import { showConnection } from "./connection.js";
import { listenToKeys } from "./keys.js";
import { prepareNotifications } from "./notify.js";
import { preparePage } from "./page.js";
import { preparePlayers } from "./player.js";
import { contactChanged, popComes } from "./pops.js";
import { preparePreferences } from "./preferences.js";
import { AgentSocket } from "./socket.js";
import { prepareSoftphone } from "./softphone-ui.js";

const lately = new Map();

preparePage();
preparePlayers();

const address = document.querySelector('meta[name="ringpost-socket"]')?.content;
if (address) {
  const own = document.querySelector('meta[name="ringpost-agent"]').content;
  preparePreferences();
  prepareNotifications();
  listenToKeys();
  prepareSoftphone();
  prepareCallControl();
  prepareAfterCall();
  prepareClickToDial();

  const socket = new AgentSocket(address);
  showConnection(socket);
  let hellos = 0;
  socket.addEventListener("hello", () => {
    // Hints that were missed meanwhile: everything on the page is fetched once more, but not at first.
    if (hellos++ > 0) tell("rp-connected");
    else tell("rp-presence-own");
  });
  socket.addEventListener("pop", ({ detail }) => popComes(socket, detail));
  socket.addEventListener("logout", () => location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`));
  socket.addEventListener("hint", ({ detail: { type, id } }) => {
    const kind = type.replace("_changed", "");
    tell(`rp-${kind}`);
    tell(`rp-${kind}-${id}`);
    if (kind === "presence" && id === own) tell("rp-presence-own");
    if (kind === "contact") contactChanged(id);
  });
  socket.connect();
}

// At once, and then at most every second and a half: a busy hour is no reason to fetch without end.


function tell(name) {
  if (lately.has(name)) { lately.set(name, true); return; }
  lately.set(name, false);
  document.body.dispatchEvent(new CustomEvent(name));
  setTimeout(() => {
    const again = lately.get(name);
    lately.delete(name);
    if (again) tell(name);
  }, 1500);
}
