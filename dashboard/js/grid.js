// Which agents' terminals a grid shows. Pure.

import { byAttention, needsPerson } from "./status.js";

export const MOST = 9;
export const LEAST = 2;

/** Whose grid it is: "chosen" by name, those that "needs" a person, or the "busy" ones: who needs somebody, then who works. */
export function kindOf(query) {
  if (query.agents !== undefined) return "chosen";
  return query.of === "busy" ? "busy" : "needs";
}

/** Names in an address → ids, each once, at most nine. */
export const idsOf = (text) => [...new Set(String(text ?? "").split(",").map((one) => one.trim()).filter(Boolean))];

const OVER = new Set(["done", "fail"]);

/** agents: with status. → {ids, of}: those to show, and how many there are of the kind. */
export function tilesOf(agents, query) {
  const kind = kindOf(query);
  if (kind === "chosen") {
    const ids = idsOf(query.agents);
    return { ids: ids.slice(0, MOST), of: ids.length };
  }
  const wanted = kind === "needs" ? (one) => needsPerson(one.status) : (one) => needsPerson(one.status) || !OVER.has(one.status.tone);
  const found = agents.filter(wanted).sort(byAttention);
  return { ids: found.slice(0, MOST).map((one) => one.agentId), of: found.length };
}

/**
 * What is shown next: a tile keeps its place while it belongs, and the one with the keyboard stays in any case.
 * shown, wanted: ids in order.
 */
export function settled(shown, wanted, driven) {
  const kept = shown.map((id) => (wanted.includes(id) || id === driven ? id : null));
  const fresh = wanted.filter((id) => !shown.includes(id));
  const filled = kept.map((id) => id ?? fresh.shift() ?? null).filter((id) => id !== null);
  return [...filled, ...fresh].slice(0, MOST);
}
