// What the telephone needs of SIP: the account, JsSIP's settings, what may be dialled, who calls, why a call ended.

const OWN = "/api/v1/agents/me/phone";
const INSTANCE = "ringpost.phone.instance";
const SESSION_SECONDS = 1800; // beyond a lost connection: JsSIP's own 90 would end calls with it
const CAUSES = {
  Busy: "busy", Rejected: "declined", Unavailable: "unavailable", "Not Found": "not_found",
  "Address Incomplete": "not_found", "No Answer": "no_answer", "Request Timeout": "no_answer", Expires: "no_answer",
  "RTP Timeout": "no_sound", "Connection Error": "disconnected",
};

// [JsSIP.UA, account], not started yet. Throws; `isFinal` where trying again is of no use.
export async function openAgent() {
  const [account, { default: JsSIP }] = await Promise.all([fetchAccount(), import("../vendor/jssip.js")]);
  try {
    const agent = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(account.wss_url)],
      uri: account.uri,
      authorization_user: account.auth_user || null,
      password: account.password,
      display_name: account.display_name || null,
      instance_id: instance(),
      user_agent: "Ringpost",
      no_answer_timeout: 180, // how long it rings is the PBX's affair
      connection_recovery_min_interval: 1,
      connection_recovery_max_interval: 20,
    });
    return [agent, account];
  } catch (error) {
    throw Object.assign(error, { isFinal: true });
  }
}

async function fetchAccount() {
  const answer = await fetch(OWN, { headers: { Accept: "application/json" } });
  if (answer.ok) return answer.json();
  throw Object.assign(new Error(`${OWN}: ${answer.status}`), { isFinal: answer.status < 500 });
}

// The same browser is the same telephone (RFC 5626 4.1): signing on again takes the place of the former.
function instance() {
  const kept = localStorage.getItem(INSTANCE) ?? crypto.randomUUID();
  localStorage.setItem(INSTANCE, kept);
  return kept;
}

export function callSettings(mediaStream, iceServers) {
  return {
    mediaStream,
    mediaConstraints: { audio: true, video: false },
    pcConfig: { iceServers },
    sessionTimersExpires: SESSION_SECONDS,
  };
}

// What people type and paste, as a SIP target; null for what is none.
export function dialable(text) {
  const said = text.normalize("NFKC").trim();
  if (/^sip:[^\s@]+@[^\s@]+$/i.test(said)) return said;
  const plain = said.replace(/^\+(.*?)\(0\)/, "+$1").replace(/[\s().\-/\u2010-\u2015]/g, "");
  if (/^\+?[0-9*#]{1,40}$/.test(plain)) return plain;
  return /^[a-z][\w.]{0,60}$/i.test(said) ? said : null;
}

// The caller as the PBX names them; "" for a withheld number.
export function identityOf(session) {
  const { uri, display_name: name } = session.remote_identity;
  const user = decode(uri.user ?? "");
  const withheld = !user || /^anonymous$/i.test(user) || /\.invalid$/i.test(uri.host);
  const shown = (name ?? "").trim().slice(0, 100);
  return { number: withheld ? "" : user.slice(0, 100), name: shown === user || /^anonymous$/i.test(shown) ? "" : shown };
}

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// Of JsSIP's "failed" and "ended". A CANCEL with the reason 200 is a colleague's answer (RFC 3326).
export function causeOf({ originator, cause, message }) {
  if (cause === "Canceled") {
    if (originator === "local") return "";
    return /cause=200/.test(message?.getHeader?.("Reason") ?? "") ? "elsewhere" : "gave_up";
  }
  if (originator === "local" && cause === "Rejected") return "";
  return CAUSES[cause] ?? "failed";
}
