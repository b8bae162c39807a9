// Plays a call's recording: over <audio>, with own controls that a keyboard reaches. Listens at the document, so
// that players which come later (a part of the page was fetched again) work as well.

const STEP_SECONDS = 5; // of an arrow key
const held = new WeakSet(); // whose place the agent is moving at the moment

export function preparePlayers() {
  document.addEventListener("click", (event) => {
    const player = playerOf(event.target);
    const button = event.target.closest?.("button");
    if (!player || !button) return;
    if (button.matches("[data-player-play]")) toggle(player);
    else if (button.matches("[data-player-again]")) again(player);
    else if (button.dataset.playerSpeed) setSpeed(player, button);
  });
  document.addEventListener("input", (event) => {
    if (!event.target.matches?.("[data-player-seek]")) return;
    const player = playerOf(event.target);
    held.add(player);
    show(player, Number(event.target.value));
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("[data-player-seek]")) seek(playerOf(event.target), Number(event.target.value));
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!step || !event.target.matches?.("[data-player-seek]")) return;
    event.preventDefault();
    seek(playerOf(event.target), Number(event.target.value) + step * STEP_SECONDS);
  });
  // Media events do not bubble: they are caught on their way down.
  for (const [name, told] of Object.entries(TOLD)) {
    document.addEventListener(name, (event) => {
      const player = event.target.matches?.("audio") && playerOf(event.target);
      if (player) told(player, event.target);
    }, true);
  }
}

const TOLD = {
  loadedmetadata: (player, audio) => {
    if (!Number.isFinite(audio.duration)) return;
    const place = part(player, "seek");
    place.max = String(audio.duration);
    place.disabled = false;
    part(player, "total").textContent = clock(audio.duration);
  },
  timeupdate: (player, audio) => { if (!held.has(player)) show(player, audio.currentTime); },
  waiting: (player, audio) => { if (!audio.paused) setState(player, "loading"); },
  playing: (player) => setState(player, "playing"),
  pause: (player) => { if (player.dataset.state !== "broken") setState(player, "paused"); },
  ended: (player) => { setState(player, "paused"); show(player, 0); },
  error: (player, audio) => { if (audio.error) setState(player, "broken"); },
};

const playerOf = (element) => element.closest?.("[data-player]");
const part = (player, name) => player.querySelector(`[data-player-${name}]`);
const audioOf = (player) => player.querySelector("audio");

function toggle(player) {
  const audio = audioOf(player);
  if (!audio.paused) { audio.pause(); return; }
  // Two voices at once are none.
  for (const other of document.querySelectorAll("[data-player] audio")) if (other !== audio) other.pause();
  setState(player, "loading");
  audio.play().catch((wrong) => { if (wrong.name === "NotAllowedError") setState(player, "paused"); });
}

function again(player) {
  const audio = audioOf(player);
  const place = Number(part(player, "seek").value);
  audio.load();
  audio.currentTime = place;
  setState(player, "paused");
  part(player, "play").focus();
  toggle(player);
}

function seek(player, seconds) {
  const audio = audioOf(player);
  held.delete(player);
  const place = Math.min(Math.max(0, seconds), Number(part(player, "seek").max));
  audio.currentTime = place;
  show(player, place);
}

function setSpeed(player, button) {
  const audio = audioOf(player);
  audio.defaultPlaybackRate = audio.playbackRate = Number(button.dataset.playerSpeed);
  for (const one of player.querySelectorAll("[data-player-speed]")) one.setAttribute("aria-pressed", String(one === button));
}

function setState(player, state) {
  const play = part(player, "play");
  const hadFocus = document.activeElement === play;
  player.dataset.state = state;
  const runs = state === "playing" || state === "loading";
  play.setAttribute("aria-label", runs ? player.dataset.pause : player.dataset.play);
  play.setAttribute("aria-busy", String(state === "loading"));
  part(player, "broken").hidden = state !== "broken";
  if (state === "broken" && hadFocus) part(player, "again").focus();
}

function show(player, seconds) {
  const place = part(player, "seek");
  place.value = String(seconds);
  const now = clock(seconds);
  part(player, "now").textContent = now;
  place.setAttribute("aria-valuetext", player.dataset.place.replace("{now}", now).replace("{total}", clock(Number(place.max))));
}

// As the page writes spans: 4:07, and 1:04:07 from an hour on.
function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = `${String(whole % 60).padStart(2, "0")}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
