// One tab at a time has the telephone; the others wait until it lets go (Web Locks API).

const NAME = "ringpost.phone";

export class Turn {
  #tabs = new BroadcastChannel(NAME);
  #wish = null;
  #release = null;

  // `asked` runs in the tab that has its turn when another one asks for it.
  constructor(asked) {
    this.#tabs.addEventListener("message", () => { if (this.#release) asked(); });
  }

  ask() {
    this.#tabs.postMessage("take");
  }

  // `mine` runs when it is this tab's turn, with a signal that tells of its end; `waiting` when another has it first.
  async take(mine, waiting) {
    const wish = this.#wish = new AbortController();
    let granted = false;
    const have = (lock) => {
      if (!lock || wish.signal.aborted) return null;
      granted = true;
      const held = new Promise((resolve) => { this.#release = resolve; });
      mine(wish.signal);
      return held;
    };
    await navigator.locks.request(NAME, { ifAvailable: true }, have);
    if (granted || wish.signal.aborted) return;
    waiting();
    await navigator.locks.request(NAME, { signal: wish.signal }, have).catch(() => {});
  }

  // Ends the turn, or the wait for it.
  give() {
    this.#wish?.abort();
    this.#release?.();
    this.#release = null;
  }
}
