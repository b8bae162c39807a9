// The agent's socket: connects, resumes, acknowledges. What it learns it tells as events; it touches no page.
//
// "state" {state, seconds}: connecting, connected, waiting (reconnects in `seconds`), offline, replaced
// "pop" frame: a screen pop that this tab has not shown yet. "hint" {type, id}. "hello" frame. "logout".

const LEAST = 500;
const MOST = 20_000;
const PING_EVERY = 25_000;
const QUIET_AT_MOST = 60_000;
const SHOWN = "ringpost.shown";

export class AgentSocket extends EventTarget {
  #url;
  #socket = null;
  #attempt = 0;
  #timer = 0;
  #pinger = 0;
  #heard = 0;
  #stopped = false;
  #shown = new Set(readShown());

  constructor(url) {
    super();
    this.#url = url;
    addEventListener("online", () => this.reconnect());
    addEventListener("offline", () => this.#tell("offline"));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && !this.#isOpen() && !this.#stopped) this.reconnect();
    });
    addEventListener("pagehide", () => this.#drop());
    addEventListener("pageshow", (event) => { if (event.persisted) this.reconnect(); });
  }

  connect() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#stopped = false;
    this.#tell("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("open", () => { this.#heard = Date.now(); });
    socket.addEventListener("message", (event) => this.#take(socket, event.data));
    socket.addEventListener("close", (event) => { if (socket === this.#socket) this.#closed(event.code); });
  }

  reconnect() {
    this.#attempt = 0;
    this.connect();
  }

  ack(id) {
    this.#shown.add(id);
    sessionStorage.setItem(SHOWN, JSON.stringify([...this.#shown].slice(-300)));
    this.#send({ type: "ack", id });
  }

  #take(socket, text) {
    if (socket !== this.#socket) return;
    this.#heard = Date.now();
    let frame;
    try { frame = JSON.parse(text); } catch { return; }
    if (frame.type === "hello") {
      this.#attempt = 0;
      clearInterval(this.#pinger);
      this.#pinger = setInterval(() => this.#beat(), PING_EVERY);
      this.#tell("connected");
      this.dispatchEvent(new CustomEvent("hello", { detail: frame }));
    } else if (frame.type === "screen_pop") {
      // Shown before in this tab (the acknowledgement was lost): acknowledge again, show nothing twice.
      if (this.#shown.has(frame.id)) this.#send({ type: "ack", id: frame.id });
      else this.dispatchEvent(new CustomEvent("pop", { detail: frame }));
    } else if (frame.type?.endsWith("_changed") || frame.type === "announcement") {
      this.dispatchEvent(new CustomEvent("hint", { detail: frame }));
    }
  }

  #closed(code) {
    this.#drop();
    if (code === 4401) return this.dispatchEvent(new CustomEvent("logout"));
    if (code === 4409) { this.#stopped = true; return this.#tell("replaced"); }
    if (!navigator.onLine) return this.#tell("offline");
    const ceiling = Math.min(MOST, LEAST * 2 ** this.#attempt++);
    // Full jitter: after a restart five hundred consoles do not knock in the same moment.
    const wait = code === 4408 ? 50 : LEAST / 2 + Math.random() * ceiling;
    this.#tell("waiting", Math.ceil(wait / 1000));
    this.#timer = setTimeout(() => this.connect(), wait);
  }

  #beat() {
    if (Date.now() - this.#heard > QUIET_AT_MOST) this.#closed(1006);
    else this.#send({ type: "ping" });
  }

  #drop() {
    clearInterval(this.#pinger);
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState <= WebSocket.OPEN) socket.close(1000);
  }

  #isOpen() { return this.#socket !== null && this.#socket.readyState <= WebSocket.OPEN; }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #tell(state, seconds = 0) {
    this.dispatchEvent(new CustomEvent("state", { detail: { state, seconds } }));
  }
}

function readShown() {
  try { return JSON.parse(sessionStorage.getItem(SHOWN)) ?? []; } catch { return []; }
}
