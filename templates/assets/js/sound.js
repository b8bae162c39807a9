// Two soft notes, made here: no file. Volume and mute stay on this computer.

const ON = "ringpost.sound";
const VOLUME = "ringpost.volume";
let context = null;
let last = 0;

export const sound = {
  get on() { return localStorage.getItem(ON) !== "off"; },
  set on(value) { localStorage.setItem(ON, value ? "on" : "off"); },
  get volume() { return Number(localStorage.getItem(VOLUME) ?? 60); },
  set volume(value) { localStorage.setItem(VOLUME, String(value)); },
};

export function ring() {
  // Several at once ring once; and before the first click on a page browsers let nothing sound.
  if (!sound.on || sound.volume === 0 || Date.now() - last < 1500 || navigator.userActivation?.hasBeenActive === false) return;
  last = Date.now();
  try {
    context ??= new AudioContext();
    if (context.state === "suspended") context.resume();
    for (const [start, pitch] of [[0, 660], [0.16, 880], [0.55, 660], [0.71, 880]]) note(start, pitch);
  } catch { /* no audio device: the card is seen all the same */ }
}

function note(start, pitch) {
  const at = context.currentTime + start;
  const tone = context.createOscillator();
  const gain = context.createGain();
  tone.type = "sine";
  tone.frequency.value = pitch;
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime((sound.volume / 100) * 0.35, at + 0.02);
  gain.gain.exponentialRampToValueAtTime(0.0001, at + 0.3);
  tone.connect(gain).connect(context.destination);
  tone.start(at);
  tone.stop(at + 0.32);
}
