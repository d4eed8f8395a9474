// A session as a film: frames of its terminal, marks of what happened, and a clock in which long pauses are short. Pure.

/** A pause longer than this (ms) is this long when idle time is skipped. */
export const IDLE_MS = 2_000;
/** Events of a session that are played as one: beginning with 1, so many of its numbers. */
export const PART = 200_000;
/** Events before a part that are read to have its terminal as it stood: what was drawn before them is not on the screen. */
export const LEAD = 20_000;
export const SPEEDS = [1, 2, 4, 8, 16];

/** Runner events, oldest first → {frames, marks}. A frame: {seq, at, data} or {seq, at, cols, rows}. */
export function filmed(events) {
  const frames = [];
  const marks = [];
  for (const event of events) {
    const frame = frameOf(event);
    if (frame) frames.push(frame);
    const mark = markOf(event);
    if (mark) marks.push({ ...mark, seq: event.seq, at: event.ts });
  }
  return { frames, marks };
}

/** How many parts a session with so many events has. */
export const partsOf = (events) => Math.max(1, Math.ceil((events ?? 0) / PART));

/** Whether an event says how large the terminal is. */
export const isSize = ({ providerEvent: size }) => size?.type === "terminal_resized" && size.cols > 0 && size.rows > 0;

function frameOf(event) {
  if (event.type === "TERMINAL_CHUNK") return { seq: event.seq, at: event.ts, data: event.data };
  const size = event.providerEvent;
  if (isSize(event)) return { seq: event.seq, at: event.ts, cols: size.cols, rows: size.rows };
  return undefined;
}

function markOf(event) {
  switch (event.type) {
    case "APPROVAL_REQUESTED":
      return { kind: "asked", text: `asked: ${event.approval?.summary ?? ""}` };
    case "APPROVAL_RESOLVED":
      return { kind: event.decision === "deny" ? "failed" : "passed", text: `${{ allow: "allowed", deny: "denied" }[event.decision] ?? event.decision}${event.resolvedBy ? ` by ${event.resolvedBy}` : ""}` };
    case "TEST_RUN_FINISHED": {
      const verdict = event.verdict ?? (event.failed || event.exitCode ? "failed" : event.exitCode === 0 ? "passed" : "unknown");
      return { kind: verdict === "unknown" ? "other" : verdict, text: `tests: ${verdict}` };
    }
    case "ALERT_RAISED":
      return { kind: "failed", text: `alert: ${event.title ?? ""}` };
    case "PROVIDER_EVENT_FORWARDED":
      if (event.providerEvent?.type === "agent.prompt" && !event.providerEvent.queued && !event.providerEvent.withdrawn) return { kind: "prompt", text: `prompt: ${event.providerEvent.text ?? ""}` };
      return undefined;
    case "SESSION_ENDED":
      return { kind: event.finalState === "FAILED" ? "failed" : "passed", text: `ended: ${event.finalState === "FAILED" ? "failed" : "done"}` };
    default:
      return undefined;
  }
}

/** The moments of the events on a clock from 0: [{seq, at, time}], and its length. Clocks that go back stand still. */
export function clocked(events, skipIdle) {
  const moments = [];
  let time = 0;
  let before;
  for (const event of events) {
    const pause = before === undefined ? 0 : Math.max(0, event.ts - before);
    time += skipIdle ? Math.min(pause, IDLE_MS) : pause;
    before = Math.max(before ?? event.ts, event.ts);
    moments.push({ seq: event.seq, at: event.ts, time });
  }
  return { moments, length: time };
}

/** The place in `moments` of the last one with `name` ≤ value; -1 before the first. */
export function placeOf(moments, name, value) {
  let low = 0;
  let high = moments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (moments[middle][name] <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Signs of work over the whole length, in `slots` parts. */
export function bars(moments, length, slots) {
  const counts = new Array(slots).fill(0);
  for (const { time } of moments) counts[Math.min(slots - 1, Math.floor((time / (length || 1)) * slots))] += 1;
  return counts;
}

/** The mark before (step -1) or behind (step 1) an event; undefined where there is none. */
export function nextMark(marks, seq, step) {
  return step > 0 ? marks.find((mark) => mark.seq > seq) : marks.findLast((mark) => mark.seq < seq);
}
