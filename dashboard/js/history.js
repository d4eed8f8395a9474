// The history of sessions and the search in it: what the address says, what is asked of REST, how answers are shown. Pure.

import { baseName, plural } from "./format.js";

export const OUTCOMES = [["", "any outcome"], ["live", "still live"], ["completed", "done"], ["failed", "failed"]];
export const DAYS = [["", "any day"], ["1", "today"], ["7", "last 7 days"], ["30", "last 30 days"]];
export const KINDS = [["", "all text"], ["prompt", "prompts"], ["message", "messages"], ["tool", "tools"], ["terminal", "terminals"], ["path", "paths"], ["approval", "approvals"], ["test", "tests"], ["alert", "alerts"], ["state", "states"]];
/** What the address may narrow by. */
export const FILTERS = ["house", "agent", "who", "days", "outcome", "kind"];
const DAY_MS = 86_400_000;

/** The address's query → parameters of REST's lists. `now`: epoch ms; days begin at midnight where the reader is. */
export function asked(query, villageId, now) {
  const found = {};
  const put = (name, value) => value && (found[name] = value);
  put("villageId", villageId);
  put("repoId", query.house);
  put("agentId", query.agent);
  put("startedBy", query.who);
  put("outcome", OUTCOMES.some(([id]) => id === query.outcome) && query.outcome);
  if (DAYS.some(([id]) => id && id === query.days)) found.since = new Date(now - (Number(query.days) - 1) * DAY_MS).setHours(0, 0, 0, 0);
  return found;
}

/** The same for a search; undefined where there is nothing to look for. */
export function searched(query, villageId, now) {
  const q = (query.q ?? "").trim();
  if (!q) return undefined;
  const kind = KINDS.some(([id]) => id && id === query.kind) ? { kind: query.kind } : {};
  return { ...asked(query, villageId, now), ...kind, q: q.slice(0, 200) };
}

/** A snippet in parts: {text, marked}. Ranges count code points, strings count UTF-16. */
export function parts(snippet, matches) {
  const chars = Array.from(snippet);
  const found = [];
  let at = 0;
  for (const [from, to] of matches) {
    if (from > at) found.push({ text: chars.slice(at, from).join(""), marked: false });
    found.push({ text: chars.slice(Math.max(at, from), to).join(""), marked: true });
    at = Math.max(at, to);
  }
  if (at < chars.length) found.push({ text: chars.slice(at).join(""), marked: false });
  return found.filter((part) => part.text !== "");
}

/** Sessions, newest first, by the day on which they were created: [{day, items}]. */
export function byDay(items, now) {
  const days = [];
  for (const item of items) {
    const day = dayOf(item.createdAt, now);
    if (days.at(-1)?.day !== day) days.push({ day, items: [] });
    days.at(-1).items.push(item);
  }
  return days;
}

function dayOf(at, now) {
  if (!Number.isFinite(at)) return "day unknown";
  const day = new Date(at).setHours(0, 0, 0, 0);
  const today = new Date(now).setHours(0, 0, 0, 0);
  if (day === today) return "today";
  if (day === new Date(today - DAY_MS / 2).setHours(0, 0, 0, 0)) return "yesterday";
  return new Date(at).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

/** How long a session took, or has been there; undefined where that is not known. */
export function took(session, now) {
  const from = session.startedAt ?? session.createdAt;
  if (!Number.isFinite(from)) return undefined;
  const to = session.endedAt ?? (session.state === "COMPLETED" || session.state === "FAILED" ? session.lastEventAt : now);
  return Number.isFinite(to) ? Math.max(0, to - from) : undefined;
}

/** "20 of 143 places", "20 of more than 1000 places". */
export function foundText(shown, total, more) {
  return `${shown} of ${more ? "more than " : ""}${plural(total, "place")}`;
}

/** What is missing in the answers of a search, in words; "" where nothing is. */
export function indexText(index) {
  if (!index || index.state === "current") return "";
  const behind = plural(index.behindEvents, "event");
  if (index.state === "stopped") return `Search has stopped, ${behind} behind: ${index.reason}`;
  return `Search is catching up: ${behind} are not in it yet.`;
}

export const houseName = (item) => baseName(item.repoPath) || "no house";
