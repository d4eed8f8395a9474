// What the page does: signs in, looks at a village, opens an agent, decides, stops. Joins api, socket and store together.

import * as api from "./api.js";
import { batch, effect } from "./html.js";
import { leaveAll, prefillFeed, tellHistory } from "./past.js";
import { leavePush } from "./push.js";
import { toVillage } from "./routes.js";
import { Live } from "./socket.js";
import * as store from "./store.js";
import { EMPTY_WORLD, approvalKey } from "./world.js";

const REFRESH_MS = 30_000;
const ASK_AGAIN_MS = 3000;
/** So many of the latest decisions are asked for. */
const DECISIONS = 30;
const SIGNED_OUT = "townwatch.signed-out";
/** Why somebody came back from the provider without a code. */
const NOT_SIGNED_IN = {
  busy: "Too many sign-ins at once from your address: try again in a minute.",
  stale: "That sign-in took too long, or began in another tab: try again.",
  declined: "You were not signed in: the provider, or you, said no.",
  refused: "The provider knows you, but you have no access here: ask an administrator of this service.",
  unavailable: "The provider could not be asked, or gave an answer that cannot be trusted; the service's log says more.",
};

let live;
/** agentId → {write(output), seq()}: the open terminals. */
const terminals = new Map();
/** Where a link's id is looked for. */
const LOOKED_FOR = { agent: { read: api.agents, slice: "agents", key: "agentId" }, house: { read: api.houses, slice: "houses", key: "repoId" } };
/** The village that is not in the list, and was asked for again. */
let lookedFor;

export async function start() {
  setInterval(store.tick, 1000);
  await signIn();
  readClock();
  openLive();
  effect(lookWhereTheRouteSays);
  setInterval(() => !document.hidden && refresh(), REFRESH_MS);
  document.addEventListener("visibilitychange", () => !document.hidden && (live.retry(), refresh()));
}

function readClock() {
  const told = ({ version, startedAt, uptimeMs }) => {
    store.serviceVersion.value = version ?? "";
    if (Number.isFinite(startedAt + uptimeMs)) store.serviceSaid(startedAt + uptimeMs);
  };
  return api.status().then(told, () => {});
}

// --- who ---------------------------------------------------------------------------------------------------------------

async function signIn() {
  if (sessionStorage.getItem(SIGNED_OUT)) {
    sessionStorage.removeItem(SIGNED_OUT);
    store.notice.value = { tone: "wait", text: "You were signed out: `townwatch link` prints a link that signs you in again." };
  }
  const url = new URL(location.href);
  const code = url.searchParams.get("code");
  const failure = url.searchParams.get("sign-in");
  if (code || failure) {
    url.searchParams.delete("code");
    url.searchParams.delete("sign-in");
    history.replaceState(null, "", url.pathname + url.search + url.hash);
  }
  if (code) await redeem(code);
  else if (failure) store.notice.value = { tone: "fail", text: NOT_SIGNED_IN[failure] ?? NOT_SIGNED_IN.unavailable };
  await whoAmI();
}

/** A one-time code for a token. False and a notice when it is used up or wrong. */
export async function redeem(code) {
  try {
    api.keep(await api.exchange(code));
    store.notice.value = null;
    return true;
  } catch (error) {
    if (api.token.get()) return true; // an old link, opened again by somebody who is signed in
    const text = error.status === 0 ? "The service does not answer." : "That sign-in link was used already or is too old: `townwatch link` prints a new one.";
    store.notice.value = { tone: "fail", text };
    return false;
  }
}

export async function signInWith(code) {
  if (await redeem(code)) location.reload();
}

export async function signInByPassword(email, password) {
  api.keep(await api.withPassword(email, password));
  location.reload();
}

/** Every sign-in so far ends; this page goes on with the new one. */
export async function setPassword(password, current) {
  api.keep(await api.setPassword(password, current));
  location.reload();
}

/** The id of this page's own live connection. */
export const connectionId = () => live.id;

let leaving = false;

/** Here, and at the provider where it was the way in. The token is dropped even when the service does not answer. */
export async function signOut() {
  leaving = true; // its connection may end before the answer is here
  await leavePush();
  const answer = await api.logout().catch(() => ({}));
  api.token.drop();
  if (answer.providerUrl) location.assign(answer.providerUrl);
  else location.reload();
}

async function whoAmI() {
  if (api.token.get()) {
    try {
      const me = await api.me();
      seen({ userId: me.userId, name: me.name, admin: Boolean(me.admin), chaos: Boolean(me.chaos), mayCreateVillages: Boolean(me.mayCreateVillages) }, me.villages ?? []);
      return true;
    } catch (error) {
      if (error.status === 401) signedOut();
      else retryWhoAmI();
      return false;
    }
  }
  api.signInMethods().then((methods) => (store.provider.value = methods.provider), () => {});
  const open = await api.villages().catch(() => undefined);
  seen(null, open ?? store.villages.peek());
  return open !== undefined;
}

/** Who one is and what one sees, in one update: where the route leads hangs on both. */
const seen = (user, villages) => batch(() => ((store.user.value = user), store.dispatch([["villages", villages]])));

/** The villages as they are now, after one was made, changed or deleted. Whether there was an answer. */
export const follow = () => whoAmI();

/** The service is away at the very start: the page stands, and asks again. */
function retryWhoAmI() {
  setTimeout(whoAmI, 2000);
}

/** The token is no good any more: from here on a visitor, who is told so. */
function signedOut() {
  if (leaving) return;
  api.token.drop();
  sessionStorage.setItem(SIGNED_OUT, "yes");
  location.reload();
}

// --- where ---------------------------------------------------------------------------------------------------------------

function lookWhereTheRouteSays() {
  const route = store.route.value;
  const villages = store.villages.value;
  const named = { village: route.id, grid: route.query.v }[route.page];
  if (named !== lookedFor) lookedFor = undefined;
  if (villages.some((one) => one.villageId === named)) return enterVillage(named);
  if (named !== undefined && store.user.value !== undefined) return void openVillage(named);
  if (route.page in LOOKED_FOR) return void openPlace(route.page, route.id);
  const current = store.villageId.peek() ?? localStorage.getItem("townwatch.village");
  const first = villages.find((one) => one.villageId === current) ?? villages[0];
  if (first) enterVillage(first.villageId);
  if (route.page === "home" && first) location.replace(toVillage(first.villageId));
  if (!first && store.user.value !== undefined) store.loaded.value = true;
}

/** A village that is not known: it may have been made, or opened to this person, since it was asked. Looked for once. */
async function openVillage(villageId) {
  if (lookedFor === villageId) return;
  lookedFor = villageId;
  store.missing.value = undefined;
  if (!(await follow())) lookedFor = undefined; // nobody said that it is not there
  else if (!store.villages.peek().some((one) => one.villageId === villageId)) store.missing.value = `village ${villageId}`;
}

function enterVillage(villageId) {
  if (store.villageId.peek() === villageId) return;
  localStorage.setItem("townwatch.village", villageId);
  live.unwantAll("village");
  live.unwantAll("repo");
  store.villageId.value = villageId;
  store.loaded.value = false;
  store.feed.value = EMPTY_WORLD.feed;
  leaveAll();
  live.want("village", villageId);
  refresh().then(prefillFeed);
}

/** A link to an agent or a house names no village: look for it where this person may look. */
export async function openPlace(page, id) {
  const { read, slice, key } = LOOKED_FOR[page];
  const known = store[slice].peek()[id];
  if (known) {
    enterVillage(known.villageId);
    return page === "agent" ? tellHistory(known) : undefined;
  }
  const over = () => store.route.peek().page !== page || store.route.peek().id !== id;
  let complete = true;
  for (const { villageId } of store.villages.peek()) {
    const items = await read(villageId).catch((error) => (complete &&= error.status === 404, []));
    if (over()) return;
    if (!items.some((item) => item[key] === id)) continue;
    store.dispatch([[slice, items]], { villageId });
    return openPlace(page, id);
  }
  if (over()) return;
  store.loaded.value = store.villages.peek().length > 0 || store.user.peek() === null;
  // Only lists that were read to their end say that something is not there.
  store.missing.value = complete && store.loaded.peek() ? `${page} ${id}` : undefined;
  if (!complete) setTimeout(() => over() || openPlace(page, id), ASK_AGAIN_MS);
}

// --- what is there --------------------------------------------------------------------------------------------------------

/** The village's houses, agents and approvals as they are now. The live stream says what changes. */
export async function refresh() {
  const villageId = store.villageId.peek();
  if (villageId === undefined) return;
  const asked = store.serviceNow();
  try {
    if (!store.loaded.peek()) {
      const sessions = await api.liveSessions(villageId);
      if (store.villageId.peek() === villageId) store.dispatch([["liveSessions", sessions]], { asked });
    }
    const [houses, agents, approvals, decided] = await Promise.all([
      api.houses(villageId),
      api.agents(villageId),
      store.user.peek() ? api.approvals() : [],
      store.user.peek() ? api.decided(DECISIONS) : [],
    ]);
    if (store.villageId.peek() !== villageId) return;
    const events = [["houses", houses], ["agents", agents]];
    if (store.user.peek()) events.push(["approvals", approvals], ["decidedApprovals", decided]);
    store.dispatch(events, { asked });
    store.loaded.value = true;
    for (const house of houses) live.want("repo", house.repoId);
  } catch (error) {
    if (error.status === 401 && api.token.get()) signedOut();
  }
}

// --- live -----------------------------------------------------------------------------------------------------------------

function openLive() {
  live = new Live(api.token.get(), {
    link: store.linkEvent,
    events: received,
    terminal: shown,
    since,
    joined: comeBack,
    refused: (code, message) => {
      if (code !== "WS_INVALID_TOKEN") return void (store.notice.value = { tone: "fail", text: message });
      signedOut();
    },
  });
}

function received(events) {
  const told = events.findLast(([name]) => name === "house_changed");
  if (told) store.serviceSaid(told[1].ts);
  store.dispatch(events);
  const mine = store.keyboards.peek()[store.driving.peek()];
  if (mine && (mine.turn !== turn || mine.holder?.userId !== store.user.peek()?.userId)) store.driving.value = undefined;
  const unknown = events.some(([name, data]) => name === "agent_spawn" && !store.agents.peek()[data.agentId]?.repoId);
  if (unknown) refresh();
}

/** What this page has seen of each session, for a join after a lost connection. */
function since(kind, id) {
  const seen = store.seen.peek();
  if (kind === "repo") return undefined;
  if (kind === "agent") {
    const agent = store.agents.peek()[id];
    const seq = terminals.get(id)?.seq();
    return agent && seq ? { [agent.sessionId]: seq } : undefined;
  }
  const all = Object.values(store.agents.peek()).filter((agent) => agent.villageId === id);
  return Object.fromEntries(all.map((agent) => [agent.sessionId, seen[agent.sessionId] ?? agent.listedSeq ?? 0]));
}

export const retryNow = () => live.retry();

/** Connects a terminal on the screen to the agent's stream; returns how to let go of it. */
/** A terminal's output. The village's last line of that agent is made of it too: its watchers get no other copy. */
function shown(output) {
  terminals.get(output.agentId)?.write(output);
  if (!output.data || output.snapshot) return;
  const { agentId, sessionId, data, stream, seq } = output;
  store.dispatch([["work_stream_event", { agentId, sessionId, type: "output", payload: { data, stream }, seq, timestamp: new Date().toISOString() }]]);
}

export function attachTerminal(agentId, terminal) {
  terminals.set(agentId, terminal);
  live.want("agent", agentId);
  return () => {
    terminals.delete(agentId);
    live.unwant("agent", agentId);
  };
}

/** The service counts how often a keyboard was taken: this page's own take is the one that counts. */
let turn;

/** action: take, release, offer, ask. Answers "" or what went wrong. */
export async function useKeyboard(sessionId, action, more = {}) {
  const ack = await live.keyboard(sessionId, action, more);
  if (ack.ok === false) {
    if (action === "take" && store.driving.peek() === sessionId) store.driving.value = undefined;
    return ack.error.message;
  }
  const { ok, ...said } = ack;
  store.dispatch([["keyboard", said]]);
  if (action === "take") {
    turn = said.turn;
    store.driving.value = sessionId;
  }
  if ((action === "release" || action === "offer") && store.driving.peek() === sessionId) store.driving.value = undefined;
  return "";
}

/** After a lost connection: the lease of before is taken again, if it is still there. */
async function comeBack() {
  await refresh();
  const mine = store.driving.peek();
  if (mine !== undefined) await useKeyboard(mine, "take");
}

export const type = (sessionId, data) => live.input(sessionId, data);
export const resize = (sessionId, cols, rows) => live.resize(sessionId, cols, rows);

// --- what a person does -----------------------------------------------------------------------------------------------------

/** How long the service holds an allow that was given here: it can be taken back until then. */
const HOLD_MS = 5000;

/** more: {note, stop, optionId, answers}. */
export async function decide(one, decision, more = {}) {
  verdict(one, { state: "sending" });
  const { note } = more;
  try {
    const { releaseAt, needed, allowedBy } = await api.decide(one, decision, decision === "allow" ? { ...more, holdMs: HOLD_MS } : more);
    verdict(one, undefined);
    if (needed) return store.dispatch([["approval_decided", { sessionId: one.sessionId, approvalId: one.approvalId, needed, allowedBy }]]);
    const mine = { decision, note, releaseAt: releaseAt ?? undefined, resolvedBy: store.user.peek()?.name, resolvedAt: store.serviceNow() };
    store.dispatch([["approval_resolved", { ...one, ...mine }]]);
  } catch (error) {
    if (error.status !== 409) return verdict(one, { state: "failed", text: error.message });
    const standing = error.details?.standing ?? error.details ?? {};
    verdict(one, { state: "late", text: error.message });
    if (standing.decision) store.dispatch([["approval_resolved", { ...one, ...standing, resolvedAt: store.serviceNow(), approvalId: one.approvalId, sessionId: one.sessionId }]]);
    else refresh();
  }
}

export async function takeBack(one) {
  try {
    await api.takeBack(one);
    verdict(one, undefined);
    store.dispatch([["approval_decided", { sessionId: one.sessionId, approvalId: one.approvalId }]]);
  } catch (error) {
    verdict(one, { state: "failed", text: error.message });
  }
}

function verdict(one, value) {
  store.verdicts.value = { ...store.verdicts.peek(), [approvalKey(one)]: value };
}

/** verb: stop, pause, resume. Answers "" or what went wrong. */
export async function command(sessionId, verb, body) {
  try {
    await api.command(sessionId, verb, body);
    return "";
  } catch (error) {
    return error.message;
  }
}
