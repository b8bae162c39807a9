// The agent's telephone: signs on at the PBX (SIP over WebSocket, RFC 7118; JsSIP), rings, answers, dials.
// What it learns it tells as "softphone:change" on the page's body, with `softphone.state` as detail; it draws nothing.
//
//   state.registration  off, connecting, registered, reconnecting, refused, elsewhere (another tab has the phone)
//   state.trouble       null, or why something could not be done: insecure, blocked, missing, busy (the microphone),
//                       refused, account, unreachable (the PBX), number (what was dialled is none)
//   state.call          null, or {phase, direction, number, name, muted, held, heldByOther, since, cause};
//                       phase: ringing, dialing, talking, ended; since: ms of the phase's start; cause: of an end

import { close, lead, microphoneTrouble, openMicrophone } from "./softphone-devices.js";
import { callSettings, causeOf, dialable, identityOf, openAgent } from "./softphone-sip.js";
import { tones } from "./softphone-sound.js";
import { Turn } from "./softphone-turn.js";

const ON = "ringpost.phone.on";
const ENDED_FOR = 4000;
const RETRY_AFTER = 15_000;
const REFUSALS = [401, 403, 404, 407];

class Softphone {
  #state = Object.freeze({ registration: "off", trouble: null, call: null });
  #agent = null;
  #account = null;
  #session = null;
  #stream = null;
  #voice = new Audio();
  #turn = new Turn(() => this.#yield());
  #yielding = false;
  #retry = 0;

  constructor() {
    this.#voice.autoplay = true;
    addEventListener("online", () => this.reconnect());
    addEventListener("pagehide", () => { this.#leave(); this.#tell({ registration: "off" }); });
    addEventListener("pageshow", (event) => { if (event.persisted) this.resume(); });
    addEventListener("storage", ({ key, newValue }) => { if (key === ON && newValue === "off" && !this.inCall) this.signOff(); });
  }

  get state() { return this.#state; }

  get isOn() { return ["connecting", "registered", "reconnecting"].includes(this.#state.registration); }

  get inCall() { return this.#state.call !== null && this.#state.call.phase !== "ended"; }

  // As it was left on this computer.
  resume() {
    if (localStorage.getItem(ON) === "on") this.signOn();
  }

  async signOn() {
    if (this.isOn) return;
    this.#leave();
    localStorage.setItem(ON, "on");
    this.#tell({ registration: "connecting", trouble: null });
    const trouble = await microphoneTrouble();
    if (this.#state.registration !== "connecting") return;
    if (trouble) this.#tell({ registration: "off", trouble });
    else this.#take();
  }

  signOff() {
    localStorage.setItem(ON, "off");
    this.#leave();
    this.#tell({ registration: "off", trouble: null });
  }

  // The telephone comes to this tab, from another one that is in no call.
  takeHere() {
    this.#turn.ask();
  }

  // At once, not when JsSIP or the timer means to.
  reconnect() {
    if (!this.#agent || this.#state.registration !== "reconnecting") return;
    if (this.#agent.isConnected()) this.#agent.register();
    else this.#agent.transport.connect();
  }

  async answer() {
    if (this.#state.call?.phase !== "ringing") return;
    const session = this.#session;
    const stream = await this.#open();
    try {
      if (stream && session === this.#session && session.isInProgress()) session.answer(this.#settings(stream));
      else close(stream);
    } catch { // the browser takes no connection with these ICE servers
      this.#tell({ trouble: "account" });
    }
  }

  // Ends the call; one that rings goes to somebody else.
  hangUp() {
    if (this.#session) this.#session.terminate(this.#state.call.phase === "ringing" ? { status_code: 486 } : {});
    else if (this.inCall) this.#over("");
  }

  mute(on = !this.#state.call?.muted) {
    if (this.#state.call?.phase !== "talking") return;
    if (on) this.#session.mute({ audio: true });
    else this.#session.unmute({ audio: true });
  }

  hold(on = !this.#state.call?.held) {
    if (this.#state.call?.phase !== "talking") return;
    if (on) this.#session.hold();
    else this.#session.unhold();
  }

  // A number, an extension or a SIP address.
  async dial(number) {
    if (this.inCall || this.#state.registration !== "registered") return;
    const target = dialable(number);
    if (!target) return this.#tell({ trouble: "number" });
    const call = this.#begin("dialing", "outgoing", number.trim(), "");
    const stream = await this.#open();
    const goesOn = this.#agent !== null && this.#state.call === call;
    try {
      if (stream && goesOn) this.#agent.call(target, this.#settings(stream));
      else close(stream);
    } catch (error) { // JsSIP makes no SIP address of it; or as above
      this.#tell({ trouble: error instanceof TypeError ? "number" : "account" });
    }
    if (this.#session || !goesOn) return;
    close(stream);
    this.#tell({ call: null });
  }

  // Digits, * and #: as RTP events (RFC 4733) where the other side takes them, else as SIP INFO.
  sendTones(keys) {
    if (this.#state.call?.phase !== "talking" || !/^[0-9*#]+$/.test(keys)) return;
    const inBand = this.#session.connection.getSenders().some((one) => one.dtmf?.canInsertDTMF);
    this.#session.sendDTMF(keys, { transportType: inBand ? "RFC2833" : "INFO", duration: 120, interToneGap: 80 });
    tones.key(keys[0]);
  }

  // What was chosen in softphone-devices.js holds from now on, in a call too.
  async useDevice(kind) {
    if (kind !== "microphone") return Promise.all([lead(this.#voice, "speaker"), tones.leadAll()]);
    const session = this.#session;
    const sender = session?.connection?.getSenders().find((one) => one.track?.kind === "audio");
    if (!sender) return;
    const former = this.#stream;
    const stream = await this.#open();
    if (!stream || session !== this.#session) return close(stream);
    const [track] = stream.getAudioTracks();
    track.enabled = sender.track.enabled;
    await sender.replaceTrack(track);
    this.#keep(stream);
    close(former);
  }

  forgetTrouble() {
    if (this.#state.trouble) this.#tell({ trouble: null });
  }

  // Another tab asks for the telephone: at once, or after the call.
  #yield() {
    this.#yielding = this.inCall;
    if (this.#yielding) return;
    this.#leave();
    this.#take();
  }

  #take() {
    this.#turn.take((over) => this.#connect(over), () => this.#tell({ registration: "elsewhere" }));
  }

  #leave() {
    clearTimeout(this.#retry);
    this.#yielding = false;
    const agent = this.#agent;
    this.#agent = null;
    agent?.stop();
    if (this.inCall) this.#over("");
    this.#turn.give();
  }

  async #connect(over) {
    this.#tell({ registration: "connecting" });
    let agent;
    try {
      [agent, this.#account] = await openAgent();
    } catch (error) {
      if (over.aborted) return;
      if (error.isFinal) return this.#tell({ registration: "refused", trouble: "account" });
      this.#tell({ registration: "reconnecting", trouble: "unreachable" });
      this.#retry = setTimeout(() => this.#connect(over), RETRY_AFTER);
      return;
    }
    if (over.aborted) return;
    this.#agent = agent;
    let known = false;
    const on = (name, deed) => agent.on(name, (event) => { if (agent === this.#agent) deed(event); });
    on("disconnected", () => this.#tell({ registration: "reconnecting", trouble: known ? null : "unreachable" }));
    on("registered", () => { known = true; this.#tell({ registration: "registered", trouble: null }); });
    on("registrationFailed", ({ response }) => this.#refused(agent, response?.status_code));
    on("newRTCSession", ({ originator, session }) => {
      if (originator === "local") this.#follow(session);
      else if (this.inCall) session.terminate({ status_code: 486 });
      else {
        const { number, name } = identityOf(session);
        this.#begin("ringing", "incoming", number, name);
        this.#follow(session);
        tones.start("ring");
      }
    });
    agent.start();
  }

  #refused(agent, status) {
    if (REFUSALS.includes(status)) {
      this.#tell({ registration: "refused", trouble: "refused" });
      if (this.inCall) return; // it ends in its own time
      this.#agent = null;
      agent.stop();
    } else if (agent.isConnected()) {
      this.#tell({ registration: "reconnecting", trouble: "unreachable" });
      this.#retry = setTimeout(() => { if (agent === this.#agent && agent.isConnected()) agent.register(); }, RETRY_AFTER);
    }
  }

  #follow(session) {
    this.#session = session;
    const listen = (connection) => connection.addEventListener("track", ({ streams, track }) => {
      this.#voice.srcObject = streams[0] ?? new MediaStream([track]);
      lead(this.#voice, "speaker").then(() => this.#voice.play()).catch(() => {});
    });
    let patience = 0;
    const on = (name, deed) => session.on(name, (event) => { if (session === this.#session) deed(event); });
    if (session.connection) listen(session.connection);
    on("peerconnection", ({ peerconnection }) => listen(peerconnection));
    // A STUN server that does not answer keeps nobody waiting.
    on("icecandidate", ({ ready }) => { clearTimeout(patience); patience = setTimeout(ready, 500); });
    on("progress", ({ originator, response }) => {
      if (originator !== "remote") return;
      if (response.body) tones.stop(); // the PBX lets hear how it goes
      else tones.start("ringing");
    });
    on("accepted", () => { tones.stop(); this.#change({ phase: "talking", since: Date.now() }); });
    for (const name of ["muted", "unmuted"]) on(name, () => this.#change({ muted: session.isMuted().audio }));
    for (const name of ["hold", "unhold"]) {
      on(name, () => this.#change({ held: session.isOnHold().local, heldByOther: session.isOnHold().remote }));
    }
    on("refer", ({ reject }) => reject());
    on("ended", (event) => this.#over(event.cause === "Terminated" ? "" : causeOf(event)));
    on("failed", (event) => this.#over(causeOf(event)));
  }

  #begin(phase, direction, number, name) {
    const rest = { muted: false, held: false, heldByOther: false, since: Date.now(), cause: "" };
    const call = Object.freeze({ phase, direction, number, name, ...rest });
    this.#tell({ call, trouble: null });
    return call;
  }

  #change(news) {
    this.#tell({ call: Object.freeze({ ...this.#state.call, ...news }) });
  }

  #over(cause) {
    const { phase } = this.#state.call;
    close(this.#stream);
    this.#stream = this.#session = this.#voice.srcObject = null;
    tones.stop();
    if (phase === "talking") tones.once("end");
    if (phase === "dialing" && cause) tones.once("busy");
    this.#change({ phase: "ended", since: Date.now(), cause });
    const { call } = this.#state;
    setTimeout(() => { if (this.#state.call === call) this.#tell({ call: null }); }, ENDED_FOR);
    if (this.#yielding) this.#yield();
  }

  // A microphone's stream, or null after saying why there is none.
  async #open() {
    try {
      return await openMicrophone();
    } catch (error) {
      this.#tell({ trouble: error.reason });
      return null;
    }
  }

  #settings(stream) {
    this.#keep(stream);
    return callSettings(stream, this.#account.ice_servers);
  }

  // A headset that is unplugged gives way to what is left.
  #keep(stream) {
    this.#stream = stream;
    for (const track of stream.getAudioTracks()) track.addEventListener("ended", () => this.useDevice("microphone"));
  }

  #tell(news) {
    this.#state = Object.freeze({ ...this.#state, ...news });
    document.body.dispatchEvent(new CustomEvent("softphone:change", { detail: this.#state, bubbles: true }));
  }
}

export const softphone = new Softphone();
