// REST with the bearer token. Every failure is an ApiError that can be shown to a person.

const TOKEN = "townwatch.token";

export class ApiError extends Error {
  constructor(status, code, message, details) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export const token = {
  get: () => localStorage.getItem(TOKEN) ?? "",
  set: (value) => localStorage.setItem(TOKEN, value),
  drop: () => localStorage.removeItem(TOKEN),
};

export const get = (path, query) => call("GET", path + asQuery(query));
export const post = (path, body = {}) => call("POST", path, body);

function asQuery(query) {
  const text = new URLSearchParams(query ?? {}).toString();
  return text && `?${text}`;
}

async function call(method, path, body) {
  const response = await ask(method, path, body, 15_000);
  return response.json().catch(() => ({}));
}

/** The answer to a request, if it is a success. */
async function ask(method, path, body, ms) {
  const headers = { accept: "application/json" };
  if (token.get()) headers.authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(ms),
    });
  } catch {
    throw new ApiError(0, "NO_ANSWER", "the service does not answer");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  const error = answer.error ?? {};
  throw new ApiError(response.status, error.code ?? `HTTP_${response.status}`, error.message ?? response.statusText, error.details);
}

/** All pages of a list, at most `pages` of them. */
export async function list(path, query = {}, pages = 5) {
  const items = [];
  let cursor = null;
  for (let page = 0; page < pages; page++) {
    const answer = await get(path, cursor === null ? query : { ...query, cursor });
    items.push(...(answer.items ?? []));
    cursor = answer.next ?? null;
    if (cursor === null) break;
  }
  return items;
}

const at = (sessionId) => `/runner/sessions/${encodeURIComponent(sessionId)}`;

export const exchange = (code) => post("/auth/exchange", { code });
export const signInMethods = () => get("/auth/methods");
export const logout = () => post("/auth/logout");
export const me = () => get("/me");
export const withPassword = (email, password) => post("/auth/password", { email, password });
export const setPassword = (password, current) => call("PUT", "/me/password", current ? { password, current } : { password });
export const connections = () => list("/me/connections");
export const closeConnection = (id) => call("DELETE", `/me/connections/${encodeURIComponent(id)}`);
export const status = () => get("/status");
export const villages = () => list("/villages");
export const houses = (villageId) => list(`/villages/${encodeURIComponent(villageId)}/houses`);
export const agents = (villageId) => list(`/villages/${encodeURIComponent(villageId)}/agents`);
export const approvals = () => list("/approvals");
export const session = (sessionId) => get(at(sessionId));
export const supervision = () => get("/supervision");
export const nodeEvents = (path) => get("/supervision/events", { path, limit: 60 });
export const chaos = () => get("/chaos");
/** Answers when the part that was killed is back, which may take a while. */
export const fault = async (order) => (await ask("POST", "/chaos/faults", order, 30_000)).json();
export const events = (sessionId, after, limit) => get(`${at(sessionId)}/events`, { after, limit, exclude: "TERMINAL_CHUNK" });
export const decide = (one, decision, note) =>
  post(`${at(one.sessionId)}/approvals/${encodeURIComponent(one.approvalId)}`, note ? { decision, note } : { decision });
/** A session as a file, whole: a long one comes in parts. */
export async function file(sessionId, path) {
  const parts = [];
  for (let after = "0"; after !== null; ) {
    const response = await ask("GET", `${at(sessionId)}/${path}${after === "0" ? "" : `?after=${after}`}`, undefined, 120_000);
    parts.push(await response.blob());
    after = response.headers.get("x-next-after");
  }
  return new Blob(parts);
}
export const drop = (sessionId) => call("DELETE", at(sessionId));
/** verb: stop, pause or resume. */
export const command = (sessionId, verb, body) => post(`${at(sessionId)}/${verb}`, body);
