// WHIP (RFC 9725) and WHEP from a browser, and what the pages have in common. A page tells what happens; this knows the protocol.

const EVENTS = "urn:ietf:params:whep:ext:core:server-sent-events";
const LAYER = "urn:ietf:params:whep:ext:core:layer";
/** A director that has just started refuses them for some seconds. */
const REFUSED_EVENTS_MS = 5000;
const EVENT_NAMES = ["active", "inactive", "layers", "reconnect", "ended"];

export const element = (id) => document.getElementById(id);

/** After `?`, or better `#`, which browsers keep to themselves. */
export const options = new URLSearchParams([...new URLSearchParams(location.search), ...new URLSearchParams(location.hash.slice(1))]);

/** The stream that this page is about: the last part of its address. */
export const stream = decodeURIComponent(location.pathname.split("/").pop());

/** The address to POST to: `endpoint=…` of the options, else this server's. */
export const endpoint = (protocol) => new URL(options.get("endpoint") ?? `/${protocol}/${encodeURIComponent(stream)}`, location.href);

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The server has said no, with this HTTP status. */
class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** A connection that gathers its candidates through what the answer's Link headers name; `policy=relay` of the options allows no others. */
export function connect() {
  return new RTCPeerConnection({ bundlePolicy: "max-bundle", iceTransportPolicy: options.get("policy") === "relay" ? "relay" : "all" });
}

/** One session from its POST to its DELETE. */
export class Session {
  constructor(url, events, token) {
    Object.assign(this, { url, events, token, source: null, deaf: false });
  }

  /** Offer what `connection` was prepared for. Throws Refusal; the caller closes the connection then. */
  static async open(address, connection, token) {
    const offer = await connection.createOffer();
    const response = await fetch(address, { method: "POST", headers: { ...authorization(token), "Content-Type": "application/sdp" }, body: offer.sdp });
    if (response.status !== 201) throw new Refusal(await problem(response), response.status);
    const found = links(response.headers.get("Link"));
    const events = found.find(({ rel }) => rel === EVENTS);
    const session = new Session(new URL(response.headers.get("Location"), response.url).href, events && new URL(events.url, response.url).href, token);
    const layer = found.find(({ rel }) => rel === LAYER);
    session.layer = layer && new URL(layer.url, response.url).href;
    try {
      connection.setConfiguration({ ...connection.getConfiguration(), iceServers: iceServers(found) });
      await connection.setLocalDescription(offer);
      await connection.setRemoteDescription({ type: "answer", sdp: await response.text() });
    } catch (error) {
      session.end();
      throw error;
    }
    return session;
  }

  /** Call `handlers[NAME](DATA)` for every event, where the server has events; `handlers.broken()` when it has refused them, now and then. */
  listen(handlers) {
    if (!this.events || this.deaf) return;
    this.source = new EventSource(this.events);
    for (const name of EVENT_NAMES) this.source.addEventListener(name, ({ data }) => handlers[name]?.(JSON.parse(data)));
    this.source.onerror = () => {
      if (this.source.readyState !== EventSource.CLOSED) return; // it connects again by itself
      handlers.broken?.();
      setTimeout(() => this.listen(handlers), REFUSED_EVENTS_MS);
    };
  }

  /** Get this layer from now on; null: the best that the way here carries. Throws Refusal. */
  async choose(rid) {
    const headers = { ...authorization(this.token), "Content-Type": "application/json" };
    const asked = rid === null ? { method: "DELETE", headers } : { method: "POST", headers, body: JSON.stringify({ encodingId: rid }) };
    const response = await fetch(this.layer, asked);
    if (!response.ok) throw new Refusal(await problem(response), response.status);
  }

  /** Why the server has ended the session, "gone" when it does not know it; null while it lives, or when nobody answers. */
  async reasonOfEnd() {
    const response = await fetch(this.url, { headers: authorization(this.token) }).catch(() => null);
    if (response?.status === 404) return "gone";
    return response?.status === 410 ? problem(response) : null;
  }

  /** No more events. */
  deafen() {
    this.deaf = true;
    this.source?.close();
  }

  /** End it; the page may be about to close. */
  async end() {
    this.deafen();
    await fetch(this.url, { method: "DELETE", headers: authorization(this.token), keepalive: true }).catch(() => null);
  }
}

/** The candidate pair that a statistics report says is in use. */
export function selectedPair(report) {
  const transport = [...report.values()].find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  const pair = transport && report.get(transport.selectedCandidatePairId);
  if (!pair) return undefined;
  const [local, remote] = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
  return { local: local?.candidateType, remote: remote?.candidateType, protocol: local?.protocol, relayProtocol: local?.relayProtocol ?? null, relayed: local?.candidateType === "relay" };
}

/** Link headers (RFC 8288), joined by the browser, as objects of their parameters. */
function links(header) {
  return [...(header ?? "").matchAll(/<([^>]+)>((?:\s*;\s*[^\s=;,]+(?:="[^"]*"|=[^\s;,"]+)?)*)/g)].map(([, url, rest]) => {
    const parameters = [...rest.matchAll(/;\s*([^\s=;,]+)(?:="([^"]*)"|=([^\s;,"]+))?/g)].map(([, name, quoted, plain]) => [name.toLowerCase(), quoted ?? plain ?? ""]);
    return { ...Object.fromEntries(parameters), url };
  });
}

/** RFC 9725 §4.6. */
function iceServers(found) {
  return found.filter(({ rel }) => rel === "ice-server").map(({ url, username, credential }) => ({ urls: url, username, credential }));
}

function authorization(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function problem(response) {
  const body = await response.json().catch(() => ({}));
  return body.reason ?? body.detail ?? body.title ?? `HTTP ${response.status}`;
}
