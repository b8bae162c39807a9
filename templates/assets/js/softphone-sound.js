// What the telephone sounds like beside the voices: ring, ringing at the other end, busy, end, keys. Made here: no file.

import { lead } from "./softphone-devices.js";
import { sound } from "./sound.js";

// Each sound: its notes as [start, length, frequencies...] in seconds and hertz, and after how long it comes again.
// Ringing and busy are those of ITU-T E.180 as most of Europe and China have them (425, 450 Hz).
const SOUNDS = {
  ring: { to: "ring", every: 2.6, notes: [[0, .35, 659, 784], [.4, .35, 784, 988], [.8, .35, 659, 784], [1.2, .35, 784, 988]] },
  ringing: { to: "speaker", every: 5, notes: [[0, 1, 440]] },
  busy: { to: "speaker", every: 0, notes: [[0, .4, 440], [.8, .4, 440], [1.6, .4, 440]] },
  end: { to: "speaker", every: 0, notes: [[0, .12, 440], [.16, .16, 330]] },
};
// ITU-T Q.23: rows and columns of the keypad.
const ROWS = [697, 770, 852, 941];
const COLUMNS = [1209, 1336, 1477];
const KEYS = "123456789*0#";
const SOFT = .12;

let context = null;
const outputs = new Map();
let timer = 0;
let notes = [];

export const tones = {
  playing: "",

  start(name) {
    if (this.playing === name) return;
    this.stop();
    this.playing = name;
    const { every } = SOUNDS[name];
    play(SOUNDS[name]);
    if (every) timer = setInterval(() => play(SOUNDS[name]), every * 1000);
  },

  stop() {
    clearInterval(timer);
    hush();
    this.playing = "";
  },

  once(name) {
    this.stop();
    play(SOUNDS[name]);
  },

  key(key) {
    const place = KEYS.indexOf(key);
    if (place >= 0) play({ to: "speaker", notes: [[0, .12, ROWS[Math.floor(place / 3)], COLUMNS[place % 3]]] });
  },

  // After another device was chosen.
  async leadAll() {
    for (const [kind, { audio }] of outputs) await lead(audio, kind);
  },
};

function play({ to, notes: written }) {
  const loud = to === "ring" ? sound.on * (sound.volume / 100) * .4 : SOFT;
  if (!loud) return;
  try {
    const { node } = output(to);
    // Before the first click on a page browsers let nothing sound: what waited does not come all at once then.
    if (context.state !== "running") hush();
    notes = notes.filter((one) => one.until > context.currentTime);
    for (const [start, length, ...pitches] of written) {
      for (const pitch of pitches) notes.push(note(node, context.currentTime + start, length, pitch, loud / pitches.length));
    }
  } catch { /* no audio device: the panel is seen all the same */ }
}

function hush() {
  for (const one of notes.splice(0)) one.stop();
}

function note(node, at, length, pitch, loud) {
  const tone = context.createOscillator();
  const gain = context.createGain();
  tone.frequency.value = pitch;
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(loud, at + .015);
  gain.gain.setValueAtTime(loud, at + length - .02);
  gain.gain.linearRampToValueAtTime(0, at + length);
  tone.connect(gain).connect(node);
  tone.start(at);
  tone.stop(at + length);
  return { until: at + length, stop: () => { gain.disconnect(); } };
}

// Through an <audio>, because only that can be led to a device in every browser.
function output(kind) {
  context ??= new AudioContext();
  if (context.state === "suspended") context.resume();
  if (!outputs.has(kind)) {
    const node = context.createMediaStreamDestination();
    const audio = new Audio();
    audio.srcObject = node.stream;
    lead(audio, kind).then(() => audio.play()).catch(() => {});
    outputs.set(kind, { node, audio });
  }
  const made = outputs.get(kind);
  if (made.audio.paused) made.audio.play().catch(() => {});
  return made;
}
