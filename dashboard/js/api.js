// REST with the bearer token. Every failure is an ApiError that can be shown to a person.

import { below } from "./base.js";

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

/** By which the service knows this device again at a password sign-in. It is kept when somebody signs out. */
const DEVICE = "townwatch.device";
const device = { get: () => localStorage.getItem(DEVICE) ?? "", set: (value) => localStorage.setItem(DEVICE, value) };

/** What a sign-in answered. */
export function keep(signedIn) {
  token.set(signedIn.token);
  if (signedIn.device) device.set(signedIn.device);
}

export const get = (path, query) => call("GET", path + asQuery(query));
export const post = (path, body = {}) => call("POST", path, body);
export const put = (path, body) => call("PUT", path, body);
export const patch = (path, body) => call("PATCH", path, body);
export const del = (path) => call("DELETE", path);

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
    response = await fetch(below(`/api${path}`), {
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

/** The longest page that the service gives. */
const PAGE = 200;

/** A list to its end. A cursor that does not move is a fault of the service, and no reason to ask for ever. */
export async function list(path, query = {}) {
  const items = [];
  let cursor = null;
  for (;;) {
    const answer = await get(path, { limit: PAGE, ...query, ...(cursor === null ? {} : { cursor }) });
    items.push(...(answer.items ?? []));
    const next = answer.next ?? null;
    if (next === null || next === cursor) return items;
    cursor = next;
  }
}

const at = (sessionId) => `/runner/sessions/${encodeURIComponent(sessionId)}`;

export const exchange = (code) => post("/auth/exchange", { code });
export const signInMethods = () => get("/auth/methods");
export const logout = () => post("/auth/logout");
export const me = () => get("/me");
export const withPassword = (email, password) => post("/auth/password", { email, password, ...(device.get() ? { device: device.get() } : {}) });
export const setPassword = (password, current) => call("PUT", "/me/password", current ? { password, current } : { password });
export const connections = () => list("/me/connections");
export const closeConnection = (id) => call("DELETE", `/me/connections/${encodeURIComponent(id)}`);
export const channels = () => get("/me/channels").then((answer) => answer.items);
export const addChannel = async (channel) => (await ask("POST", "/me/channels", channel, 30_000)).json(); // a mail server may take a while
const atChannel = (id) => `/me/channels/${encodeURIComponent(id)}`;
export const changeChannel = (id, change) => call("PATCH", atChannel(id), change);
export const confirmChannel = (id, code) => post(`${atChannel(id)}/confirm`, { code });
export const testChannel = (id) => post(`${atChannel(id)}/test`);
export const removeChannel = (id) => call("DELETE", atChannel(id));
/** The latest calls: {items, next}. */
export const calls = () => get("/me/calls", { limit: 20 });
export const callSettings = () => get("/me/call-settings");
export const setCallSettings = (settings) => call("PUT", "/me/call-settings", settings);
const atEscalation = (villageId) => `/villages/${encodeURIComponent(villageId)}/escalation`;
export const escalation = (villageId) => get(atEscalation(villageId));
export const setEscalation = (villageId, minutes, people, waits) => call("PUT", atEscalation(villageId), { minutes, people, waits });
/** Of a link in a call: these need no token. */
export const lookAtLink = (link) => post("/links/look", { link });
export const decideByLink = (link, decision, holdMs) => post("/links/decide", { link, decision, holdMs });
export const takeBackByLink = (link) => post("/links/take-back", { link });
/** A part of a recording that was shared: needs no token. */
export const lookAtClip = (link, after) => post("/clips/look", { link, after });
/** part: {fromSeq, toSeq, hours}. */
export const shareClip = (sessionId, part) => post(`${at(sessionId)}/clips`, part);
const atClips = (villageId) => `/villages/${encodeURIComponent(villageId)}/clips`;
export const clips = (villageId, sessionId) => list(atClips(villageId), { sessionId });
export const endClip = (villageId, clipId) => del(`${atClips(villageId)}/${encodeURIComponent(clipId)}`);
export const status = () => get("/status");
export const villages = () => list("/villages");
export const runners = (query) => list("/runners", query);
/** Conversations that agents had outside of Townwatch, on a runner's machine, which is asked now: {items, unknown, truncated}. */
export const conversations = async (villageId, runnerId) => (await ask("GET", `/villages/${encodeURIComponent(villageId)}/conversations${asQuery({ runnerId })}`, undefined, 35_000)).json();
export const houses = (villageId) => list(`/villages/${encodeURIComponent(villageId)}/houses`);
/** The sessions that have not ended: the part of a long list that cannot wait for its end. */
export const liveSessions = (villageId) => list("/runner/sessions", { villageId, live: true });
export const agents = (villageId) => list(`/villages/${encodeURIComponent(villageId)}/agents`);
export const approvals = () => list("/approvals");
export const session = (sessionId) => get(at(sessionId));
/** One page: {items, next, total}. */
export const sessionPage = (query) => get("/runner/sessions", { limit: 50, ...query });
/** Sessions by house, agent, person and outcome, each as the other filters leave them; null where they are not counted. */
export const sessionCounts = (query) => get("/session-counts", query);
export const search = (query) => get("/search", { limit: 25, ...query });
export const members = (villageId) => list(`/villages/${encodeURIComponent(villageId)}/members`);
const atBudgets = (villageId) => `/villages/${encodeURIComponent(villageId)}/budgets`;
export const budgets = (villageId) => get(atBudgets(villageId)).then((answer) => answer.items ?? []);
export const makeBudget = (villageId, body) => post(atBudgets(villageId), body);
/** more: {amount, subject}. */
export const raiseBudget = (villageId, budgetId, more) => post(`${atBudgets(villageId)}/${encodeURIComponent(budgetId)}/raise`, more);
export const dropBudget = (villageId, budgetId) => call("DELETE", `${atBudgets(villageId)}/${encodeURIComponent(budgetId)}`);
/** All of a session's events, terminal output as viewers may have it: {items, next}. */
export const film = (sessionId, after) => get(`${at(sessionId)}/events`, { after, limit: 1000 });
export const supervision = () => get("/supervision");
export const replicas = () => get("/replicas");
export const nodeEvents = (path) => get("/supervision/events", { path, limit: 60 });
export const chaos = () => get("/chaos");
/** Answers when the part that was killed is back, which may take a while. */
export const fault = async (order) => (await ask("POST", "/chaos/faults", order, 30_000)).json();
export const events = (sessionId, after, limit) => get(`${at(sessionId)}/events`, { after, limit, exclude: "TERMINAL_CHUNK" });
const NO_TICKS = "TERMINAL_CHUNK,FILE_TOUCHED,DIFF_SUMMARY,TEST_RUN_STARTED,TEST_RUN_FINISHED,APPROVAL_REQUESTED,APPROVAL_RESOLVED,ALERT_RAISED,PROVIDER_EVENT_FORWARDED,SESSION_STATE_CHANGED";
/** The usage ticks among a session's events, from `after` on: {items, next}. */
export const ticks = (sessionId, after) => get(`${at(sessionId)}/events`, { after, limit: 1000, exclude: NO_TICKS });
/** What a session changed, as text; of one file alone with more room. git on the runner's machine may take a while. */
export const diff = async (sessionId, path) => (await ask("GET", `${at(sessionId)}/diff${asQuery(path === undefined ? {} : { path })}`, undefined, 35_000)).json();
/** What of a session's changes is not committed, pushed or merged: git on the runner's machine is asked. */
export const gitStatus = async (sessionId) => (await ask("GET", `${at(sessionId)}/git`, undefined, 35_000)).json();
/** act: commit, branch, push, pull-request or merge. Answers {state, outcome, approvalId, rule}; a push may take a while. */
export const land = async (sessionId, act, body) => (await ask("POST", `${at(sessionId)}/git/${act}`, body, 35_000)).json();
export const discardTree = async (sessionId, discard) => (await ask("POST", `${at(sessionId)}/worktree/clean`, { discard }, 35_000)).json();
const atApproval = (one) => `${at(one.sessionId)}/approvals/${encodeURIComponent(one.approvalId)}`;
/** more: {note, stop, optionId, answers, holdMs}. */
export const decide = (one, decision, more = {}) => post(atApproval(one), { decision, ...more });
export const takeBack = (one) => post(`${atApproval(one)}/take-back`);
/** The narrowest rules for what was asked, and what they would have answered: {rules, version, whyNot, answers, differ, of}. */
export const proposeRule = (one, effect) => get(`${atApproval(one)}/rule`, { effect });
export const saveRule = (one, rules, version) => post(`${atApproval(one)}/rule`, { rules, version });
/** The latest decisions. */
export const decided = async (limit) => (await get("/approvals", { state: "decided", limit })).items ?? [];
/** A session as a file, whole: a long one comes in parts. */
export async function file(sessionId, path) {
  const parts = [];
  for (let after = "0"; after !== null; ) {
    const response = await ask("GET", `${at(sessionId)}/${path}${after === "0" ? "" : `?after=${after}`}`, undefined, 900_000);
    parts.push(await response.blob());
    after = response.headers.get("x-next-after");
  }
  return new Blob(parts);
}
/** Somebody has seen to it: its bug bot goes, for all. */
export const resolveAlert = ({ sessionId, alertId }) => post(`/alerts/${encodeURIComponent(sessionId)}/${encodeURIComponent(alertId)}/resolve`);
/** Says that this person has seen that a session failed. */
export const seeFailure = (sessionId) => call("PUT", `${at(sessionId)}/seen`);
export const drop = (sessionId) => call("DELETE", at(sessionId));
/** verb: stop, pause or resume. */
export const command = (sessionId, verb, body) => post(`${at(sessionId)}/${verb}`, body);
/** Starts a session: {sessionId, agentId}. A runner may take a while to clone. */
export const start = async (body) => (await ask("POST", "/runner/sessions", body, 60_000)).json();
/** With what a session was started. */
export const order = (sessionId) => get(`${at(sessionId)}/order`);
export const prompts = (sessionId) => get(`${at(sessionId)}/prompts`).then((answer) => answer.items ?? []);
/** mode: send, queue or interrupt. */
export const givePrompt = async (sessionId, text, mode) => (await ask("POST", `${at(sessionId)}/prompts`, { text, mode }, 35_000)).json();
export const withdrawPrompt = (sessionId, promptId) => call("DELETE", `${at(sessionId)}/prompts/${encodeURIComponent(promptId)}`);
