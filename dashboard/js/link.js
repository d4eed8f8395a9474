// The connection as a person sees it: a pure state machine and its back-off. No socket in here.

import { bytes, plural } from "./format.js";

/** Pings that go unanswered, one after the other, until "live" is over. */
const MISSED = 2;

export const FIRST_LINK = Object.freeze({
  phase: "connecting", // connecting | catching-up | live | silent | waiting | refused
  missed: 0, // pings in a row without an answer
  heardAt: undefined, // epoch ms: the last proof that what is shown is so
  attempt: 0,
  retryAt: undefined, // while waiting: epoch ms of the next attempt
  since: undefined, // epoch ms of the last change of phase
  reason: "",
  roundTrip: undefined, // ms, the last one
  roundTrips: [], // ms, the last 30
  gaps: [], // {room, sessionId?, from, to, bytes?, at}
});

const KEPT_ROUND_TRIPS = 30;
const KEPT_GAPS = 20;

/** So many attempts follow each other fast: a blip of some seconds is over at once when it is over. */
const QUICK = 14;
const QUICK_MS = 300;

/** Full jitter between half and all of 0.3 s, later of 0.5 s · 2^n, at most 10 s. `random` is in [0, 1). */
export function backoff(attempt, random) {
  const ceiling = attempt < QUICK ? QUICK_MS : Math.min(10_000, 500 * 2 ** Math.min(attempt - QUICK, 10));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}

/** What happened to the socket → the next state. A first failure and a lost connection take the same way. */
export function nextLink(link, event, now) {
  switch (event.type) {
    case "connecting":
      return { ...link, phase: "connecting", retryAt: undefined, since: now };
    case "connected":
      return { ...link, phase: "catching-up", attempt: 0, retryAt: undefined, reason: "", since: now };
    case "caught-up":
      return link.phase === "catching-up" ? { ...link, phase: "live", missed: 0, heardAt: now, since: now } : link;
    case "missed": {
      const missed = link.missed + 1;
      return link.phase === "live" && missed >= MISSED ? { ...link, phase: "silent", missed, roundTrip: undefined, since: now } : { ...link, missed };
    }
    case "lost":
      return {
        ...link,
        phase: "waiting",
        attempt: link.attempt + 1,
        retryAt: now + event.delay,
        reason: event.reason,
        roundTrip: undefined,
        since: link.phase === "waiting" || link.phase === "connecting" ? (link.since ?? now) : now,
      };
    case "refused":
      return { ...link, phase: "refused", retryAt: undefined, reason: event.reason, roundTrip: undefined, since: now };
    case "round-trip":
      return {
        ...link,
        ...(link.phase === "silent" ? { phase: "live", since: now } : {}),
        missed: 0,
        heardAt: now,
        roundTrip: event.ms,
        roundTrips: [...link.roundTrips.slice(1 - KEPT_ROUND_TRIPS), event.ms],
      };
    case "gap":
      return { ...link, gaps: [...link.gaps.slice(1 - KEPT_GAPS), { ...event.gap, at: now }] };
    case "gaps-seen":
      return { ...link, gaps: [] };
    default:
      return link;
  }
}

/** Whether what the page shows may not be so any more. Before the first answer there is nothing to be stale. */
export const isStale = (link) => link.heardAt !== undefined && link.phase !== "live" && link.phase !== "catching-up";

/** The words for it: {text, tone}. */
export function linkWords(link, now) {
  switch (link.phase) {
    case "live":
      return { text: link.roundTrip === undefined ? "live" : `live ${Math.round(link.roundTrip)} ms`, tone: "live" };
    case "silent":
      return { text: "no answer", tone: "lost" };
    case "catching-up":
      return { text: "catching up", tone: "busy" };
    case "waiting": {
      const seconds = Math.max(0, Math.ceil((link.retryAt - now) / 1000));
      return { text: `reconnecting in ${seconds} s`, tone: "lost" };
    }
    case "refused":
      return { text: "not connected", tone: "lost" };
    default:
      return { text: link.attempt ? "reconnecting" : "connecting", tone: "busy" };
  }
}

/** "gap of 340 KB", or in events where nobody knows the size. */
export function gapWords(gaps) {
  if (gaps.length === 0) return "";
  const size = gaps.reduce((sum, gap) => sum + (gap.bytes ?? 0), 0);
  if (size > 0) return `gap of ${bytes(size)}`;
  return `gap of ${plural(gaps.reduce((sum, gap) => sum + Math.max(1, (gap.to ?? 0) - (gap.from ?? 0)), 0), "event")}`;
}
