// What the page keeps of each session: its tests, the files it touched, its diff, its usage, and its story. All of it only of
// those that are looked at. Pure.

import { millis } from "./format.js";
import { EMPTY_STORY, tell } from "./story.js";

/** What is kept of a session: of one that is looked at, and of each other one. */
const WHOLE = { tests: 200, ticks: 120, files: 300 };
const BRIEF = { tests: 20, ticks: 10, files: 60 };
const NO_DETAILS = Object.freeze({ tests: [], diff: undefined, files: {}, ticks: [], story: EMPTY_STORY });

const isWhole = (sessionId, { followed }) => followed?.has(sessionId) ?? true;

/** A work_stream_event into the details of its session. */
export function detailsFrom(world, e, at, context) {
  const whole = isWhole(e.sessionId, context);
  const known = world.sessions[e.sessionId] ?? NO_DETAILS;
  const story = whole && e.seq !== undefined ? tell(known.story, e, at) : known.story;
  const listed = details(known, e, at, whole ? WHOLE : BRIEF);
  const next = story === known.story ? listed : { ...listed, story };
  return next === known ? world : { ...world, sessions: { ...world.sessions, [e.sessionId]: next } };
}

function patchDetails(world, sessionId, change) {
  return { ...world, sessions: { ...world.sessions, [sessionId]: change(world.sessions[sessionId] ?? NO_DETAILS) } };
}

/** A session is not looked at any more. */
export const left = (world, sessionId) => patchDetails(world, sessionId, (known) => ({ ...inBrief(known), story: EMPTY_STORY }));

/** Of a long session's past not all was read. */
export const cut = (world, sessionId) => patchDetails(world, sessionId, (known) => ({ ...known, story: { ...known.story, cut: true } }));

function inBrief(known) {
  const files = Object.entries(known.files).sort(([, a], [, b]) => a.seq - b.seq).slice(-BRIEF.files);
  return { ...known, tests: known.tests.slice(-BRIEF.tests), ticks: known.ticks.slice(-BRIEF.ticks), files: Object.fromEntries(files) };
}

function details(known, e, at, most) {
  const p = e.payload ?? {};
  switch (e.type) {
    case "test_start":
    case "test_finish":
      return { ...known, tests: keyed(known.tests, { seq: e.seq, at, type: e.type, ...p }, most.tests) };
    case "file_edit":
      if (p.files) return (known.diff?.seq ?? 0) > e.seq ? known : { ...known, diff: { seq: e.seq, at, ...p } };
      return touched(known, p.path, "wrote", e.seq, at, most.files);
    case "file_delete":
      return touched(known, p.path, "deleted", e.seq, at, most.files);
    case "file_read":
      return touched(known, p.path, "read", e.seq, at, most.files);
    default:
      return known;
  }
}

function touched(known, path, how, seq, at, most) {
  const before = known.files[path];
  if (before !== undefined && before.seq >= seq) return known;
  const files = { ...known.files, [path]: { path, how, seq, at } };
  const paths = Object.keys(files);
  if (paths.length > most) delete files[paths.reduce((a, b) => (files[a].seq < files[b].seq ? a : b))];
  return { ...known, files };
}

/** Inserts by seq, ignores what is there already, keeps the newest `limit`. */
function keyed(list, item, limit) {
  if (list.some((other) => other.seq === item.seq)) return list;
  return [...list, item].sort((a, b) => a.seq - b.seq).slice(-limit);
}

export function usageTick(world, e, context) {
  const known = world.sessions[e.sessionId] ?? NO_DETAILS;
  const at = millis(e.timestamp) ?? context.now;
  if (known.ticks.some((tick) => tick.at === at)) return world;
  const ticks = [...known.ticks, { at, units: e.units, intervalMs: e.intervalMs }].sort((a, b) => a.at - b.at).slice(-(isWhole(e.sessionId, context) ? WHOLE : BRIEF).ticks);
  return { ...world, sessions: { ...world.sessions, [e.sessionId]: { ...known, ticks } } };
}
