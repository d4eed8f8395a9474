// What the page knows, and how each event changes it: pure reducers, no DOM, no clock of their own.
//
// Every reducer may see an event twice, or an old one after a newer one (a replay after a lost connection, the REST
// answer beside the live stream): the result is the same. Statuses carry the seq that set them, lists are keyed.

import { cut, detailsFrom, left, usageTick } from "./details.js";
import { baseName, millis } from "./format.js";
import { alertKey, approvalKey } from "./ids.js";
import { lastLine, lineOf, lineOfAlert } from "./lines.js";
import { houseChanged, listedAgents, listedSessions } from "./lists.js";
import { isFinal } from "./status.js";
import { okOf } from "./verdict.js";

export { approvalKey };

export const FEED_LINES = 500;
export const EMPTY_WORLD = Object.freeze({
  villages: [], // {villageId, name, role, public}
  houses: {}, // by repoId
  agents: {}, // by agentId
  approvals: {}, // by approvalKey
  sessions: {}, // by sessionId: {tests, diff, files, ticks}
  feed: [], // oldest first: {key, at, seq, agentId, sessionId, kind, tone, text}
  alerts: {}, // by alertKey
  keyboards: {}, // by sessionId: {holder {userId, name} or null, since, freeAt, asking}
  presence: {}, // by room: {people, visitors}
  seen: {}, // by sessionId: the highest seq the socket delivered
});


/**
 * Applies one event. `context`: {villageId, now, followed}, the village that the page looks at, epoch ms, and the sessions that it
 * keeps whole: left out, all of them.
 */
export function reduce(world, name, data, context) {
  const reducer = REDUCERS[name];
  return reducer === undefined || data === null || typeof data !== "object" ? world : reducer(world, data, context);
}

const REDUCERS = {
  agent_spawn: spawn,
  agent_disconnect: (world, e) => patchAgent(world, e.agentId, { online: false, endedAt: millis(e.timestamp) }),
  agent_update: update,
  work_stream_event: workStream,
  alert_raised: alertRaised,
  bug_bot_spawn: (world, e) => patchIn(world, "alerts", alertKey(e), { bot: true, progress: 0 }),
  bug_bot_progress: (world, e) => patchIn(world, "alerts", alertKey(e), { progress: e.progress }),
  bug_bot_resolved: (world, e) => patchIn(world, "alerts", alertKey(e), { resolved: true, progress: 1 }),
  keyboard: (world, e) => ({ ...world, keyboards: { ...world.keyboards, [e.sessionId]: e } }),
  presence: (world, e) => ({ ...world, presence: { ...world.presence, [e.room]: e } }),
  usage_tick: usageTick,
  approval_requested: approval,
  approval_resolved: approval,
  approval_decided: decided,
  decidedApprovals: (world, items, context) => items.reduce((next, item) => approval(next, item, context), world),
  "house.activity": houseActivity,
  villages: (world, items) => ({ ...world, villages: items }),
  houses: listedHouses,
  agents: listedAgents,
  liveSessions: listedSessions,
  house_changed: houseChanged,
  approvals: listedApprovals,
  history,
  left: (world, { sessionId }) => left(world, sessionId),
  cut: (world, { sessionId }) => cut(world, sessionId),
};

// --- agents ----------------------------------------------------------------------------------------------------------

function spawn(world, e, context) {
  const known = world.agents[e.agentId];
  const fresh = known?.sessionId !== e.sessionId;
  const house = Object.values(world.houses).find((h) => h.repoPath === e.repoPath);
  const base = fresh ? { state: "RUNNING", stateAt: context.now, statusSeq: 0, startedAt: context.now, activityAt: undefined } : {};
  return patchAgent(world, e.agentId, {
    villageId: context.villageId,
    ...known,
    ...(fresh ? { exitCode: undefined, reason: undefined, endedAt: undefined } : {}),
    ...base,
    sessionId: e.sessionId,
    agentType: e.agentType,
    agentName: e.agentName,
    repoPath: e.repoPath,
    repoId: house?.repoId ?? (known?.repoPath === e.repoPath ? known?.repoId : undefined),
    online: true,
  }, true);
}

/** What an agent's adapter says it does, beside the state of its session. */
const AGENT_STATUSES = new Set(["idle", "busy", "waiting", "starting", "unknown"]);

function update(world, e) {
  const agent = world.agents[e.agentId];
  if (agent === undefined) return world;
  if (e.status === "DETACHED") return patchAgent(world, e.agentId, { runnerStatus: "offline" });
  if (AGENT_STATUSES.has(e.status)) return patchAgent(world, e.agentId, { agentStatus: { status: e.status, reason: e.reason, since: e.since ?? e.ts } });
  const back = agent.runnerStatus === "offline" ? { runnerStatus: "online" } : {};
  if (isFinal(agent.state) || (agent.stateAt ?? 0) > e.ts) return patchAgent(world, e.agentId, back);
  const since = agent.state === e.status ? agent.stateAt : e.ts;
  return patchAgent(world, e.agentId, { ...back, state: e.status, reason: e.reason, stateAt: since });
}

function patchAgent(world, agentId, change, create = false) {
  return patchIn(world, "agents", agentId, change, create ? { agentId, agentName: agentId } : undefined);
}

function patchIn(world, slice, id, change, initial) {
  const known = world[slice][id] ?? initial;
  if (known === undefined) return world;
  return { ...world, [slice]: { ...world[slice], [id]: { ...known, ...change } } };
}

// --- the work stream -------------------------------------------------------------------------------------------------

function workStream(world, e, context) {
  const at = millis(e.timestamp) ?? context.now;
  let next = world;
  const seen = world.seen[e.sessionId] ?? 0;
  if (e.seq > seen) next = { ...next, seen: { ...next.seen, [e.sessionId]: e.seq } };
  next = previewFrom(next, e);
  next = statusFrom(next, e, context.past ? at : context.now, context.past);
  next = detailsFrom(next, e, at, context);
  const line = lineOf(e);
  return line === null ? next : { ...next, feed: intoFeed(next.feed, { ...line, ...placeOf(e, at) }) };
}

const placeOf = (e, at) => ({ key: `${e.sessionId}#${e.seq}`, at, seq: e.seq ?? 0, agentId: e.agentId, sessionId: e.sessionId });

/** The last line at once. When it was said, the lists and `house_changed` tell: nobody's clock but the service's. */
function previewFrom(world, e) {
  const agent = world.agents[e.agentId];
  if (e.type !== "output" || agent === undefined || agent.sessionId !== e.sessionId || (agent.toldSeq ?? 0) > e.seq) return world;
  const preview = lastLine(e.payload?.data ?? "");
  return preview ? patchAgent(world, e.agentId, { preview }) : world;
}

/** `at`: a moment of the service's clock, but of the past's events, which have their runner's. */
function statusFrom(world, e, at, past) {
  const agent = world.agents[e.agentId];
  if (agent === undefined || agent.sessionId !== e.sessionId) return world;
  const p = e.payload ?? {};
  if ((agent.statusSeq ?? 0) > e.seq) return !past || agent.stateTold ? world : began(world, agent, p.newState ?? p.finalState, e.seq, at);
  if (e.type === "session_end") {
    return patchAgent(world, e.agentId, {
      state: p.finalState, exitCode: p.exitCode, usage: p.totalUsage ?? agent.usage, stateAt: at, endedAt: at, statusSeq: e.seq, stateSeq: e.seq, online: false,
    });
  }
  if (e.type !== "status_change" || p.newState === undefined || isFinal(agent.state)) return world;
  const stateAt = agent.state === p.newState ? agent.stateAt : at;
  return patchAgent(world, e.agentId, { state: p.newState, reason: p.reason, stateAt, statusSeq: e.seq, stateSeq: e.seq });
}

/** An event of the past tells since when the state that a list named has been so: the last one that set it. */
function began(world, agent, state, seq, at) {
  if (state !== agent.state || (agent.stateSeq ?? 0) >= seq) return world;
  return patchAgent(world, agent.agentId, { stateAt: at, stateSeq: seq });
}

function intoFeed(feed, line) {
  let at = feed.length;
  while (at > 0 && before(line, feed[at - 1])) at--;
  for (let i = feed.length - 1; i >= 0; i--) if (feed[i].key === line.key) return feed;
  if (at === 0 && feed.length >= FEED_LINES) return feed;
  return [...feed.slice(0, at), line, ...feed.slice(at)].slice(-FEED_LINES);
}

const before = (a, b) => (a.sessionId === b.sessionId ? a.seq < b.seq : a.at < b.at);

/** Runs from their two events: newest first. A start without an end is still running (or its session has ended). */
export function testRuns(tests) {
  const runs = [];
  for (const event of tests) {
    if (event.type === "test_start") {
      runs.push({ seq: event.seq, runId: event.runId, command: event.command, startedAt: event.at });
      continue;
    }
    const open = runs.findLast((run) => run.finishedAt === undefined && run.runId === event.runId);
    const run = open ?? { seq: event.seq, command: "tests", startedAt: event.at - (event.duration ?? 0) };
    if (open === undefined) runs.push(run);
    const { passed, failed, skipped, exitCode, duration, reason, failureText, failureCut, at } = event;
    Object.assign(run, { passed, failed, skipped, exitCode, duration, reason, failureText, failureCut, finishedAt: at, finishedSeq: event.seq, ok: okOf(event) });
  }
  return runs.reverse();
}

/**
 * What a tool of the agent returned while a run went on: its output may have gone there instead of to the terminal. Of several,
 * the one that began last. story: the session's, or undefined.
 */
export function toolBeside(run, story) {
  const end = run.finishedSeq ?? Infinity;
  const beside = Object.values(story?.items ?? {}).filter((item) => item.kind === "tool" && item.output && item.seq <= run.seq && item.last >= run.seq && item.seq < end);
  return beside.sort((a, b) => a.seq - b.seq).at(-1);
}

// --- alerts, usage, approvals, houses --------------------------------------------------------------------------------

function alertRaised(world, e, context) {
  const at = millis(e.timestamp) ?? context.now;
  const alerts = { ...world.alerts, [alertKey(e)]: { ...world.alerts[alertKey(e)], ...e, at, bot: isBot(e) } };
  const line = { ...lineOfAlert(e), ...placeOf(e, at), key: `alert#${alertKey(e)}`, seq: e.seq ?? 0 };
  return { ...world, alerts, feed: intoFeed(world.feed, line) };
}

/** An open alert of these severities is a bug bot: somebody has to look. */
const isBot = (alert) => alert.severity === "error" || alert.severity === "critical";

/** The sum of what ticks say: used where the service has not sent its own totals. */
export function sumUsage(list) {
  const total = {};
  for (const usage of list) {
    for (const [name, value] of Object.entries(usage ?? {})) if (Number.isFinite(value)) total[name] = (total[name] ?? 0) + value;
  }
  return total;
}

function approval(world, e, context) {
  const known = world.approvals[approvalKey(e)];
  const { timestamp, ...fields } = e;
  if (known?.decision && !e.decision) return world; // a replayed request never reopens what was decided
  const villageId = world.agents[e.agentId]?.villageId ?? known?.villageId ?? context.villageId;
  return { ...world, approvals: { ...world.approvals, [approvalKey(e)]: { villageId, ...known, ...fields, gone: undefined } } };
}

/** A decision at once, before its agent has it; without one it was taken back, or more people are needed, and it waits. */
function decided(world, e) {
  const known = world.approvals[approvalKey(e)];
  if (known === undefined) return world;
  const { timestamp, allowedBy = [], needed, ...fields } = e;
  const none = { decision: undefined, resolvedBy: undefined, note: undefined, releaseAt: undefined, resolvedAt: undefined };
  const answer = known.answer || needed ? { ...known.answer, allowedBy, needed: needed ?? known.answer?.needed } : undefined;
  const change = e.decision ? { ...none, ...fields, resolvedAt: millis(timestamp) } : { ...none, answer };
  return { ...world, approvals: { ...world.approvals, [approvalKey(e)]: { ...known, ...change, gone: undefined } } };
}

function listedApprovals(world, items, context) {
  let next = world;
  for (const item of items) {
    const known = next.approvals[approvalKey(item)];
    // Decided here before the list was made, and it waits there: it was taken back while this page did not look.
    if (known?.decision && known.resolvedAt < context.asked - 2_000) next = decided(next, { sessionId: item.sessionId, approvalId: item.approvalId });
    next = approval(next, item, context);
  }
  const listed = new Set(items.map(approvalKey));
  const approvals = { ...next.approvals };
  for (const one of Object.values(approvals)) {
    // Pending here, not there, and older than the question: it was settled while this page did not look.
    if (!one.decision && !one.gone && !listed.has(approvalKey(one)) && one.requestedAt < context.asked - 2_000) {
      approvals[approvalKey(one)] = { ...one, gone: true };
    }
  }
  return { ...next, approvals };
}

export const isPending = (one) => !one.decision && !one.gone;

/** What waits, the nearest deadline first, then the oldest. */
export function pendingOf(approvals, matches = () => true) {
  return Object.values(approvals).filter((one) => isPending(one) && matches(one)).sort(byDeadline);
}

const byDeadline = (a, b) => (a.timeoutAt ?? Infinity) - (b.timeoutAt ?? Infinity) || a.requestedAt - b.requestedAt;

/** How long a card stays in its place after it was settled. */
const SETTLED_MS = 10_000;

/** What waits, what is held, and what was settled a moment ago, in the order of what waits. */
export function recentOf(approvals, now, matches = () => true) {
  const recent = (one) => !one.gone && (isPending(one) || one.releaseAt > now || one.resolvedAt > now - SETTLED_MS);
  return Object.values(approvals).filter((one) => recent(one) && matches(one)).sort(byDeadline);
}

function houseActivity(world, e) {
  const known = world.houses[e.repoId];
  if (known?.version > e.version) return world;
  const { houseId, name, ...fields } = e;
  const own = baseName(known?.repoPath ?? e.repoId);
  const called = name === undefined ? {} : { name: name || own };
  return { ...world, houses: { ...world.houses, [e.repoId]: { name: own, ...known, ...fields, ...called } } };
}

function listedHouses(world, items, context) {
  const houses = Object.fromEntries(Object.entries(world.houses).filter(([, house]) => house.villageId !== context.villageId));
  for (const item of items) {
    const known = world.houses[item.repoId];
    const newer = known?.version > item.version ? { version: known.version, indicators: known.indicators } : {};
    houses[item.repoId] = { ...item, name: item.name || baseName(item.repoPath), ...newer };
  }
  return { ...world, houses };
}

// --- history: runner events from the durable log, as they are on the runner's wire --------------------------------------

function history(world, { agentId, events }, context) {
  let next = world;
  for (const event of events) {
    const translated = fromRunnerEvent(event, agentId);
    if (translated) next = reduce(next, translated[0], translated[1], { ...context, past: true });
  }
  return { ...next, seen: world.seen };
}

/** CONTRACT section 2's translation, for what the page shows of the past: [event name, payload] or null. */
export function fromRunnerEvent(event, agentId) {
  const { type, sessionId, orgId, repoRef, ts, seq, ...fields } = event;
  const place = { agentId, sessionId, seq, timestamp: ts };
  switch (type) {
    case "ALERT_RAISED":
      return ["alert_raised", { ...place, ...fields }];
    case "USAGE_TICK":
      return ["usage_tick", { ...place, ...fields }];
    case "APPROVAL_REQUESTED":
      return ["work_stream_event", { ...place, type: "status_change", payload: { ...fields, newState: "WAITING_FOR_APPROVAL" } }];
    case "PROVIDER_EVENT_FORWARDED":
      return ["work_stream_event", { ...place, ...providerEvent(fields) }];
    case "FILE_TOUCHED":
      return ["work_stream_event", { ...place, type: FILE_TYPES[fields.reason] ?? "file_read", payload: fields }];
    default:
      return WORK_TYPES[type] ? ["work_stream_event", { ...place, type: WORK_TYPES[type], payload: fields }] : null;
  }
}

const FILE_TYPES = { delete: "file_delete", write: "file_edit" };
const WORK_TYPES = {
  SESSION_STARTED: "session_start",
  SESSION_STATE_CHANGED: "status_change",
  SESSION_ENDED: "session_end",
  DIFF_SUMMARY: "file_edit",
  TEST_RUN_STARTED: "test_start",
  TEST_RUN_FINISHED: "test_finish",
  APPROVAL_RESOLVED: "status_change",
};

/** One of the vocabulary of all agents comes under its own name; any other as it is. */
function providerEvent(fields) {
  const { type, providerId, timestamp, ...payload } = fields.providerEvent ?? {};
  return /^agent\.[a-z]+$/.test(type) ? { type: type.replace(".", "_"), payload } : { type: "provider_event", payload: fields };
}
