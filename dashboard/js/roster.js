// The table of agents: filter, sort, group, and which rows are in view. Pure.

import { fits } from "./finding.js";
import { ATTENTION, TONE_WORDS, byAttention, needsPerson } from "./status.js";

/** From so many agents on, rows are grouped; from so many on, what is done is folded away. */
const GROUPED_FROM = 7;
const FOLDED_FROM = 13;
/** Rows that are drawn beyond those in view. */
const AROUND = 6;

const SORTS = {
  attention: byAttention,
  name: (a, b) => a.agentName.localeCompare(b.agentName),
  house: (a, b) => (a.houseName ?? "").localeCompare(b.houseName ?? "") || byAttention(a, b),
  cost: (a, b) => (b.usage?.costUsd ?? 0) - (a.usage?.costUsd ?? 0) || byAttention(a, b),
  diff: (a, b) => sizeOf(b) - sizeOf(a) || byAttention(a, b),
  since: (a, b) => (a.status.since ?? 0) - (b.status.since ?? 0),
};
/** Columns whose biggest comes first. */
const BIGGEST_FIRST = new Set(["cost", "diff"]);

/** "name", pressed: → "-name", the other way round; → "", by attention. */
export const nextSort = (sort, by) => (by === "" ? "" : ({ [by]: `-${by}`, [`-${by}`]: "" })[sort] ?? by);

/** How a column is sorted now: ascending, descending, other (by attention, the column ""), or none. */
export function sortOf(sort = "", by) {
  if (sort.replace(/^-/, "") !== by) return "none";
  if (by === "") return "other";
  return BIGGEST_FIRST.has(by) === sort.startsWith("-") ? "ascending" : "descending";
}

function orderOf(sort = "") {
  const order = SORTS[sort.replace(/^-/, "")] ?? byAttention;
  return sort.startsWith("-") ? (a, b) => order(b, a) : order;
}

const sizeOf = (agent) => (agent.diff?.linesAdded ?? 0) + (agent.diff?.linesRemoved ?? 0);

export const countsOf = (agents) => Object.fromEntries(ATTENTION.map((tone) => [tone, agents.filter((agent) => agent.status.tone === tone).length]));

/**
 * agents: with status, houseName. query: {tone, q, by, sort, hide} of the address; tone "needs" is all that need a person; hide "done": without what has ended well.
 * closed: keys of groups that a person folded, or unfolded ("+key").
 * → {items: [{group} | {agent}], shown, total, folded}
 */
export function tableOf(agents, query, closed = new Set()) {
  const hidden = (agent) => query.hide === "done" && query.tone !== "done" && agent.status.tone === "done";
  const wanted = (agent) => !hidden(agent) && (!query.tone || (query.tone === "needs" ? needsPerson(agent.status) : agent.status.tone === query.tone));
  const words = (agent) => `${agent.agentName} ${agent.houseName ?? ""} ${agent.status.label} ${agent.status.why ?? ""} ${agent.preview ?? ""} ${agent.agentType ?? ""} ${agent.runnerId ?? ""}`;
  const shown = agents.filter((agent) => wanted(agent) && fits(words(agent), query.q ?? "")).sort(orderOf(query.sort));
  const by = query.by ?? (agents.length >= GROUPED_FROM && !query.sort ? "state" : "none");
  if (by === "none" || by === "") return { items: shown.map((agent) => ({ agent })), shown: shown.length, total: agents.length, folded: 0 };
  const groups = groupsOf(shown, by);
  const isClosed = (key) => !query.tone && !query.q && (closed.has(key) || (key === "done" && agents.length >= FOLDED_FROM && !closed.has(`+${key}`)));
  let folded = 0;
  const items = [];
  for (const [key, rows] of groups) {
    const shut = isClosed(key);
    items.push({ group: { key, label: by === "state" ? TONE_WORDS[key] : key, tone: by === "state" ? key : undefined, count: rows.length, closed: shut, oldest: key === "turn" ? Math.min(...rows.map((one) => one.status.since ?? Infinity)) : undefined } });
    if (shut) folded += rows.length;
    else items.push(...rows.map((agent) => ({ agent })));
  }
  return { items, shown: shown.length, total: agents.length, folded };
}

const KEYS = { state: (one) => one.status.tone, house: (one) => one.houseName || "no house", runner: (one) => one.runnerId || "no runner", kind: (one) => one.agentType || "custom" };

function groupsOf(rows, by) {
  const key = KEYS[by] ?? KEYS.state;
  const found = new Map();
  for (const row of rows) found.set(key(row), [...(found.get(key(row)) ?? []), row]);
  if (by === "state") return [...found].sort(([a], [b]) => ATTENTION.indexOf(a) - ATTENTION.indexOf(b));
  const best = (list) => Math.min(...list.map((one) => ATTENTION.indexOf(one.status.tone)));
  return [...found].sort(([a, x], [b, y]) => best(x) - best(y) || a.localeCompare(b));
}

/** The rows in view and a few around: {from, to}. */
export function windowOf(count, top, height, row) {
  return { from: Math.max(0, Math.floor(top / row) - AROUND), to: Math.min(count, Math.ceil((top + height) / row) + AROUND) };
}
