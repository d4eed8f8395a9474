// Hash routes, so that every screen is a link that can be shared. Pure.

/** "#/a/runner_1f?tab=tests" → {page: "agent", id: "runner_1f", query: {tab: "tests"}}; what is not known → {page: "home"}. */
export function parseRoute(hash) {
  const [path, search = ""] = String(hash ?? "").replace(/^#?\/?/, "").split("?");
  const [page, id, more] = path.split("/").map(decode);
  return { query: Object.fromEntries(new URLSearchParams(search)), ...placeOf(page, id, more) };
}

function placeOf(page, id, more) {
  const pages = { v: "village", a: "agent", h: "house", s: "session" };
  if (pages[page]) return id ? { page: pages[page], id } : { page: "home" };
  if (page === "operator") return { page, id: id || "runners" };
  if (page === "approvals") return more ? { page, sessionId: id, approvalId: more } : { page };
  return ["supervision", "start", "history", "calls", "grid"].includes(page) ? { page } : { page: "home" };
}

/** The address of the same place with other values in its query; empty ones are left out. */
export function withQuery(hash, change) {
  const [path, search = ""] = String(hash || "#/").split("?");
  const query = new URLSearchParams(search);
  for (const [name, value] of Object.entries(change)) if (value) query.set(name, value); else query.delete(name);
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const toVillage = (id) => `#/v/${encodeURIComponent(id)}`;
export const toAgent = (id) => `#/a/${encodeURIComponent(id)}`;
export const toHouse = (id) => `#/h/${encodeURIComponent(id)}`;
export const toApproval = (one) => `#/approvals/${encodeURIComponent(one.sessionId)}/${encodeURIComponent(one.approvalId)}`;
export const toStart = (query = {}) => withQuery("#/start", query);
/** A session in the player, at one of its events. */
export const toSession = (id, at) => withQuery(`#/s/${encodeURIComponent(id)}`, { at: at ? String(at) : "" });
export const toHistory = (query = {}) => withQuery("#/history", query);
/** query: {v: village, of: needs | busy} or {v, agents: "a,b"}. */
export const toGrid = (query = {}) => withQuery("#/grid", query);
export const toOperator = (screen = "", query = {}) => withQuery(screen ? `#/operator/${screen}` : "#/operator", query);
export const APPROVALS = "#/approvals";
export const SUPERVISION = "#/supervision";
export const CALLS = "#/calls";
