// Shows how the socket is: a quiet dot while all is well, words and a way out when it is not.

import { say } from "./texts.js";

export function showConnection(socket) {
  const light = document.getElementById("connection");
  const outage = document.getElementById("outage");
  const words = outage.querySelector("[data-outage-words]");
  const button = outage.querySelector("[data-outage-action]");
  let counting = 0;
  let patience = 0;

  function bar(text, action) {
    words.textContent = text;
    button.textContent = action;
    outage.hidden = false;
  }

  socket.addEventListener("state", ({ detail: { state, seconds } }) => {
    clearInterval(counting);
    light.dataset.state = state;
    const said = {
      connected: say("connected"), connecting: say("connecting"), waiting: say("reconnecting_now"),
      offline: say("offline"), replaced: say("replaced"),
    }[state];
    light.querySelector(".words").textContent = said;
    light.title = said;
    if (state === "connected") {
      clearTimeout(patience);
      patience = 0;
      outage.hidden = true;
    } else if (state === "replaced") {
      bar(said, say("use_here"));
    } else if (state === "offline") {
      bar(said, say("now"));
    } else if (state === "waiting") {
      let left = seconds;
      const tick = () => { words.textContent = left > 0 ? say("reconnecting_in", { seconds: left }) : say("reconnecting_now"); left -= 1; };
      counting = setInterval(tick, 1000);
      // A blink of the connection is not worth a word.
      patience ||= setTimeout(() => bar(words.textContent, say("now")), 1200);
      tick();
    }
  });
  button.addEventListener("click", () => socket.reconnect());
}
