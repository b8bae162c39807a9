// Microphone, speaker and ring device: which there are, which was chosen (kept on this computer), and in one
// word why there is no sound: insecure, blocked, missing, busy.

const KEPT = "ringpost.phone.";
const KINDS = { microphone: "audioinput", speaker: "audiooutput", ring: "audiooutput" };
// How getUserMedia says no (W3C Media Capture and Streams 10.2).
const REASONS = {
  NotAllowedError: "blocked", SecurityError: "blocked", NotFoundError: "missing", OverconstrainedError: "missing",
  NotReadableError: "busy", AbortError: "busy",
};

export const canChooseOutput = "setSinkId" in HTMLMediaElement.prototype;

export class NoMicrophone extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

export function chosen(kind) {
  return localStorage.getItem(KEPT + kind) ?? "";
}

export function choose(kind, id) {
  if (id) localStorage.setItem(KEPT + kind, id);
  else localStorage.removeItem(KEPT + kind);
}

// [{id, label}] of a kind. The system's default is no entry: it is what "" stands for.
export async function devicesOf(kind) {
  const all = await navigator.mediaDevices?.enumerateDevices() ?? [];
  return all
    .filter((one) => one.kind === KINDS[kind] && one.deviceId && one.deviceId !== "default")
    .map((one) => ({ id: one.deviceId, label: one.label }));
}

// Throws NoMicrophone. A device that is chosen but gone gives way to the default one.
export async function openMicrophone() {
  if (!navigator.mediaDevices?.getUserMedia) throw new NoMicrophone("insecure");
  const id = chosen("microphone");
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  if (id) audio.deviceId = { ideal: id };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new NoMicrophone(REASONS[error.name] ?? "busy");
  }
}

// Why the microphone could not be used, or null. Asks for leave where it is not given yet; opens nothing
// where it is, so that the browser's light stays off until there is a call.
export async function microphoneTrouble() {
  if (!navigator.mediaDevices?.getUserMedia) return "insecure";
  const leave = await navigator.permissions?.query({ name: "microphone" }).catch(() => null);
  if (leave?.state === "granted") {
    const all = await navigator.mediaDevices.enumerateDevices();
    return all.some((one) => one.kind === "audioinput") ? null : "missing";
  }
  try {
    close(await openMicrophone());
    return null;
  } catch (error) {
    return error.reason;
  }
}

export function close(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

// Leads an <audio> to the device that was chosen; where that is gone, to the default one.
export async function lead(audio, kind) {
  if (!canChooseOutput) return;
  await audio.setSinkId(chosen(kind)).catch(() => audio.setSinkId("")).catch(() => {});
}
