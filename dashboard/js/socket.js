// The live connection: connects, joins, comes back by itself, and says at every moment where it stands.
//
// Reconnecting is done here and not by the client library, because a first failure must be treated like a lost connection,
// and because the page shows when the next attempt is due. Recovery by the service (same session id, missed packets sent
// again) still works: it hangs on the Socket object, which stays.

import { io } from "../vendor/socket.io-client/socket.io.js";
import { below } from "./base.js";
import { backoff } from "./link.js";
import { Pacer } from "./pacer.js";

/** Two missed pings, one after the other, are noticed 12 s after the service fell silent, at the latest. */
const PING_EVERY_MS = 4_000;
const PING_TIMEOUT_MS = 3_500;
const ACK_TIMEOUT_MS = 10_000;
/** What comes meanwhile is shown together: this often, or seldom enough that taking it in is a thirteenth of the time; painting it is about as much again. */
const FLUSH_MS = 40;
const SELDOMEST_MS = 400;
const PAUSES_FOR_ONE = 12;
/** What to do where the service takes this page for a stranger's. */
const NOT_THIS_ADDRESS = `the service does not know this page's address ${location.origin}: its proxy must pass Host and X-Forwarded-Proto and be in [server] trusted_proxies, or the address be in allowed_origins`;
/** Refusals after which trying again by itself would only annoy: the person decides. */
const FINAL = new Set(["WS_INVALID_TOKEN", "CONNECTION_LIMIT", "E_CONNECTION_LIMIT", "WS_CONNECTION_LIMIT"]);
const STREAMS = [
  "agent_spawn", "agent_disconnect", "agent_update", "work_stream_event", "alert_raised", "house.activity", "usage_tick",
  "bug_bot_spawn", "bug_bot_progress", "bug_bot_resolved", "approval_requested", "approval_resolved", "approval_decided", "keyboard", "presence",
  "house_changed",
];

/** So many the service takes in one join. */
const HOUSES_AT_ONCE = 100;

/** What a join says beside the id: the terminals of a whole village are no load for its page, their last lines are. */
const MORE = { village: { output: "none" }, agent: { terminal: true } };

export class Live {
  /** hooks: {link(event), events(batch), terminal(output), since(kind, id) → {sessionId: seq}, joined(), refused(code)} */
  constructor(token, hooks) {
    this.hooks = hooks;
    this.wanted = new Map(); // "village demo" → {event, payload}
    this.joined = new Set(); // of `wanted`, on this very connection
    this.answered = new Set(); // of `joined`, those whose join was confirmed
    this.gathering = undefined; // the connection on which houses are being joined
    this.before = new Set(); // of `wanted`, on any connection: their next join says since when
    this.queue = [];
    this.pause = FLUSH_MS;
    this.pacer = new Pacer();
    this.attempt = 0;
    this.socket = io({ path: below("/socket.io"), transports: ["websocket", "polling"], tryAllTransports: true, auth: token ? { token } : {}, reconnection: false, autoConnect: false });
    this.listen();
    this.connect();
  }

  /** This connection's id, while there is one. */
  get id() {
    return this.socket.id;
  }

  listen() {
    const { socket, hooks } = this;
    socket.on("connect", () => this.arrived());
    socket.on("connect_error", (error) => this.failed(error));
    socket.on("disconnect", (reason) => this.lost(reason));
    socket.on("server_ping", (...args) => args.findLast((arg) => typeof arg === "function")?.());
    socket.on("gap", (gap) => hooks.link({ type: "gap", gap }));
    socket.on("terminal_output", (output) => hooks.terminal(output));
    for (const name of STREAMS) socket.on(name, (data) => this.enqueue(name, data));
    this.pinging = setInterval(() => this.ping(), PING_EVERY_MS);
    this.onlineAgain = () => this.retry();
    addEventListener("online", this.onlineAgain);
  }

  connect() {
    this.timer = undefined;
    this.hooks.link({ type: "connecting" });
    this.socket.connect();
  }

  /** Now instead of when it would be due. */
  retry() {
    if (this.socket.connected) return;
    clearTimeout(this.timer);
    this.connect();
  }

  async arrived() {
    this.attempt = 0;
    this.hooks.link({ type: "connected" });
    this.joined.clear();
    this.answered.clear();
    this.ping();
    const connection = this.socket.id;
    await Promise.all([...this.wanted].filter(([, room]) => room.kind !== "repo").map(([key]) => this.join(key)));
    if (this.socket.id !== connection) return;
    await Promise.all([this.joinHouses(), this.hooks.joined()]);
    if (this.socket.id === connection) this.hooks.link({ type: "caught-up" });
  }

  failed(error) {
    const code = error.data?.code ?? "";
    if (FINAL.has(code) || error.data?.retry === false) {
      this.hooks.link({ type: "refused", reason: error.message });
      this.hooks.refused(code, error.message);
      return;
    }
    if (this.attempt !== 1 || error.data) return this.later(error.message);
    this.originRefused().then((refused) => (refused ? this.hooks.link({ type: "refused", reason: NOT_THIS_ADDRESS }) : this.later(error.message)));
  }

  /** A browser says nothing of why a WebSocket was refused. A POST has the page's origin with it, too, and its answer can be read. */
  async originRefused() {
    try {
      const answer = await fetch(below("/socket.io/?EIO=4&transport=polling"), { method: "POST", signal: AbortSignal.timeout(ACK_TIMEOUT_MS) });
      return answer.status === 403 && (await answer.json()).code === 4;
    } catch {
      return false;
    }
  }

  lost(reason) {
    if (reason !== "io client disconnect") this.later(reason);
  }

  later(reason) {
    const delay = backoff(this.attempt++, Math.random());
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), delay);
    this.hooks.link({ type: "lost", reason, delay });
  }

  // --- rooms ---------------------------------------------------------------------------------------------------------

  /** kind: village, agent or repo. Kept through every reconnection until `unwant`. */
  want(kind, id) {
    const key = `${kind} ${id}`;
    if (this.wanted.has(key)) return;
    const payload = { [`${kind}Id`]: id, ...MORE[kind] };
    this.wanted.set(key, { kind, id, payload });
    if (this.socket.connected) kind === "repo" ? this.joinHouses() : this.join(key);
  }

  unwant(kind, id) {
    const key = `${kind} ${id}`;
    const room = this.wanted.get(key);
    if (room === undefined) return;
    this.wanted.delete(key);
    this.before.delete(key);
    this.answered.delete(key);
    if (this.joined.delete(key)) this.socket.emit(`leave_${kind}`, { [`${kind}Id`]: id });
  }

  unwantAll(kind) {
    for (const room of [...this.wanted.values()]) if (room.kind === kind) this.unwant(kind, room.id);
  }

  async join(key) {
    const connection = this.socket.id;
    await this.turn();
    const room = this.wanted.get(key);
    if (room === undefined || this.socket.id !== connection || this.joined.has(key)) return;
    this.joined.add(key);
    const since = this.before.has(key) ? this.hooks.since(room.kind, room.id) : undefined;
    const ack = await this.ask(`join_${room.kind}`, since ? { ...room.payload, since } : room.payload);
    if (ack.ok) {
      this.before.add(key);
      this.answered.add(key);
      if (room.kind === "village") this.joinHouses();
      return;
    }
    this.joined.delete(key);
    if (mayTryAgain(ack)) {
      await sleep(1000 * (ack.error.retryAfter ?? 2));
      if (this.socket.id === connection) await this.join(key);
    }
  }

  /** The houses of the village, a hundred in one join: each alone, two hundred would take a minute. Behind the village's own join, whose `since` brings what was missed. */
  async joinHouses() {
    const connection = this.socket.id;
    if (this.gathering === connection) return;
    this.gathering = connection;
    try {
      while (this.socket.id === connection) {
        const village = [...this.wanted.values()].find((room) => room.kind === "village" && this.answered.has(`village ${room.id}`));
        const missing = () => [...this.wanted].filter(([key, room]) => room.kind === "repo" && !this.joined.has(key)).slice(0, HOUSES_AT_ONCE);
        if (village === undefined || missing().length === 0) return;
        await this.turn();
        const rooms = missing(); // those that were wanted meanwhile, too
        if (this.socket.id !== connection || !this.answered.has(`village ${village.id}`) || rooms.length === 0) continue;
        for (const [key] of rooms) this.joined.add(key);
        const ack = await this.ask("join", { ...village.payload, repos: rooms.map(([, room]) => room.id) });
        if (ack.ok) continue;
        if (this.socket.id === connection) for (const [key] of rooms) this.joined.delete(key);
        if (!mayTryAgain(ack)) return;
        await sleep(1000 * (ack.error.retryAfter ?? 2));
      }
    } finally {
      if (this.gathering === connection) this.gathering = undefined;
    }
  }

  async turn() {
    for (let wait = this.pacer.take(Date.now()); wait > 0; wait = this.pacer.take(Date.now())) await sleep(wait);
  }

  /** Emits and gives the ack; no answer in time is an answer too. */
  async ask(event, ...args) {
    return this.askWithin(ACK_TIMEOUT_MS, event, ...args);
  }

  async askWithin(ms, event, ...args) {
    try {
      return (await this.socket.timeout(ms).emitWithAck(event, ...args)) ?? { ok: true };
    } catch {
      return { ok: false, error: { code: "NO_ANSWER", message: "the service does not answer" } };
    }
  }

  // --- what comes and goes -------------------------------------------------------------------------------------------

  enqueue(name, data) {
    this.queue.push([name, data]);
    this.flushing ??= setTimeout(() => this.flush(), this.pause);
  }

  flush() {
    this.flushing = undefined;
    const batch = this.queue;
    this.queue = [];
    const began = performance.now();
    this.hooks.events(batch);
    const drawn = () => (this.pause = Math.min(SELDOMEST_MS, Math.max(FLUSH_MS, PAUSES_FOR_ONE * (performance.now() - began))));
    setTimeout(drawn); // behind what the page does with it at the end of this task
  }

  async ping() {
    if (!this.socket.connected || document.hidden) return;
    const { id } = this.socket;
    const started = performance.now();
    const ack = await this.askWithin(PING_TIMEOUT_MS, "ping");
    if (this.socket.id !== id) return; // of a connection that is over
    const answered = ack?.error === undefined;
    this.hooks.link(answered ? { type: "round-trip", ms: performance.now() - started } : { type: "missed" });
  }

  input(sessionId, data) {
    return this.ask("terminal_input", { sessionId, data });
  }

  keyboard(sessionId, action, more) {
    return this.ask("keyboard", { sessionId, action, ...more });
  }

  resize(sessionId, cols, rows) {
    return this.ask("terminal_resize", { sessionId, cols, rows });
  }

  close() {
    clearTimeout(this.timer);
    clearInterval(this.pinging);
    removeEventListener("online", this.onlineAgain);
    this.socket.removeAllListeners();
    this.socket.disconnect();
  }
}

const mayTryAgain = (ack) => ack.error?.code === "E_RATE_LIMIT" || ack.error?.code === "E_INTERNAL";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
