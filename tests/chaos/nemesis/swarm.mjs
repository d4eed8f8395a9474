// Many official socket.io clients in one process, each with a memory of its own: what it saw, in which order, what it was told it missed.
//
//   node swarm.mjs '{"url":…,"token":…,"village":…,"clients":10,"first":0,"socketio":"…/node_modules/socket.io-client/…"}'
//
// Lines on standard input: "report" prints one JSON line {client: {work, terminal}} with the last seq per session; "end" prints everything.
import { createInterface } from "node:readline";

const options = JSON.parse(process.argv[2]);
const { io } = await import(options.socketio);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const AGENTS_EACH = 8;
const TRAIL = 120;

class Watcher {
  constructor(number) {
    this.number = number;
    // Of three, one watches the village, one the village and terminals, one comes by long polling and upgrades.
    this.terminals = number % 3 !== 0;
    this.seen = { work: {}, terminal: {} }; // stream → session → seqs, in the order they came
    this.last = { work: {}, terminal: {} };
    this.problems = []; // repeats nobody asked for, steps back
    this.trail = []; // the last things that happened, told with the first problem
    this.gaps = [];
    this.resolved = []; // [approvalId, decision] of approval_resolved, in order
    this.asked = [];
    this.wanted = new Map(); // room key → {event, payload, session?}
    this.inRooms = new Set();
    this.underWay = new Map(); // a join without its ack yet → its since, and those of its tries before
    this.joining = new Set();
    this.agents = new Set();
    this.lossless = true;
    this.leftAt = undefined; // since when it is out of its rooms
    this.away = [];
    this.counts = { connects: 0, recovered: 0, repeats: 0, refused: 0, joins: 0, retries: 0 };
    this.want("village", "join_village", { villageId: options.village });
    this.socket = io(options.url, {
      transports: number % 3 === 2 ? ["polling", "websocket"] : ["websocket"],
      auth: { token: options.token },
      reconnectionDelay: options.delay,
      reconnectionDelayMax: 1000,
      forceNew: true,
    });
    this.listen();
  }

  note(...what) {
    this.trail.push(what.join(" "));
    if (this.trail.length > TRAIL) this.trail.shift();
  }

  listen() {
    const { socket } = this;
    socket.on("connect", () => this.arrived());
    socket.on("disconnect", (reason) => {
      this.note("disconnect", reason, socket._lastOffset);
      this.joining.clear();
      this.leftAt ??= performance.now();
      if (reason === "io server disconnect") setTimeout(() => socket.connect(), 300);
    });
    socket.on("connect_error", (error) => {
      if (socket.active) return;
      this.counts.refused += 1;
      this.lastRefusal = error.message;
      setTimeout(() => socket.connect(), 500);
    });
    socket.on("server_ping", (...args) => args.findLast((arg) => typeof arg === "function")?.());
    socket.on("gap", (gap) => this.gaps.push(gap));
    socket.on("work_stream_event", (event, offset) => this.saw("work", event.sessionId, event.seq, offset));
    socket.on("terminal_output", (output, offset) => {
      if (output.snapshot) this.problems.push({ what: "a screen although it said since when", session: output.sessionId, seq: output.seq });
      else this.saw("terminal", output.sessionId, output.seq, offset);
    });
    socket.on("agent_spawn", (agent) => this.met(agent));
    socket.on("approval_requested", (approval) => this.asked.push(approval.approvalId));
    socket.on("approval_resolved", (approval) => this.resolved.push([approval.approvalId, approval.decision]));
  }

  saw(stream, session, seq, offset) {
    const last = this.last[stream][session] ?? 0;
    this.note(offset, stream, session.slice(0, 4), seq);
    if (seq > last) {
      this.last[stream][session] = seq;
      (this.seen[stream][session] ??= []).push(seq);
    } else if ([...this.underWay.values()].flat().some((since) => (since[session] ?? 0) < seq)) {
      this.counts.repeats += 1; // a join that is under way asked for it: its other stream is behind
    } else {
      const trail = this.problems.length ? [] : [...this.trail];
      this.problems.push({ what: "came again", stream, session, seq, last, trail });
    }
  }

  met(agent) {
    if (!this.terminals || this.agents.has(agent.agentId) || this.agents.size >= AGENTS_EACH) return;
    if ((parseInt(agent.sessionId.slice(0, 4), 16) + this.number) % 3 === 0) return; // not everybody follows everybody
    this.agents.add(agent.agentId);
    this.want(`agent ${agent.agentId}`, "join_agent", { agentId: agent.agentId, terminal: true }, agent.sessionId);
    if (this.socket.connected) this.join(`agent ${agent.agentId}`);
  }

  want(key, event, payload, session) {
    this.wanted.set(key, { event, payload, session });
  }

  since({ session }) {
    if (session === undefined) return { ...this.last.work };
    return { [session]: Math.min(this.last.work[session] ?? 0, this.last.terminal[session] ?? 0) };
  }

  async arrived() {
    this.counts.connects += 1;
    this.note("connect", this.socket.recovered ? "recovered" : "anew", this.socket.id, this.socket._lastOffset);
    if (this.socket.recovered) this.counts.recovered += 1;
    else {
      this.inRooms.clear();
      this.underWay.clear(); // recovered, the answer to a join from before still comes
    }
    for (const key of this.wanted.keys()) if (!this.inRooms.has(key)) await this.join(key);
    this.isBack();
  }

  isBack() {
    if (this.leftAt === undefined || !this.socket.connected || [...this.wanted.keys()].some((key) => !this.inRooms.has(key))) return;
    this.away.push(performance.now() - this.leftAt);
    this.leftAt = undefined;
  }

  async join(key) {
    const connection = this.connection();
    const room = this.wanted.get(key);
    while (this.socket.connected && this.connection() === connection && !this.inRooms.has(key) && !this.joining.has(key)) {
      const since = this.since(room);
      this.underWay.set(key, [...(this.underWay.get(key) ?? []), since]);
      this.joining.add(key);
      this.counts.joins += 1;
      this.note("join", key, JSON.stringify(Object.entries(since).map(([id, seq]) => `${id.slice(0, 4)}:${seq}`)));
      let ack;
      try {
        ack = await this.socket.timeout(20000).emitWithAck(room.event, { ...room.payload, since });
      } catch (error) {
        ack = { ok: false, error: { code: "NO_ANSWER", message: String(error) } };
      }
      this.note("ack", key, ack.ok, this.connection() === connection);
      if (this.connection() !== connection) return;
      this.joining.delete(key);
      if (ack.ok) {
        this.inRooms.add(key);
        this.underWay.delete(key);
        this.isBack();
      }
      else {
        this.counts.retries += 1;
        this.lastRefusal = JSON.stringify(ack.error);
        await sleep(1000 * (ack.error.retryAfter ?? 1));
      }
    }
  }

  connection() {
    return `${this.counts.connects} ${this.socket.connected}`;
  }

  story() {
    const { number, seen, problems, gaps, resolved, asked, counts, lastRefusal, away } = this;
    return { number, seen, problems, gaps, resolved, asked, counts, lastRefusal, away, rooms: [...this.inRooms], wanted: [...this.wanted.values()] };
  }
}

const watchers = Array.from({ length: options.clients }, (_, index) => new Watcher(options.first + index));
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const answer = line === "end" ? watchers.map((one) => one.story()) : watchers.map((one) => ({ number: one.number, last: one.last, rooms: [...one.inRooms], wanted: one.wanted.size }));
    process.stdout.write(JSON.stringify(answer) + "\n");
  })
  .on("close", () => process.exit(0));
