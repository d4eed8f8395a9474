// The one state of the page. Events go in through `dispatch`, views read signals.

import { heldFor } from "./asks.js";
import { houseName } from "./history.js";
import { batch, computed, signal } from "./html.js";
import { FIRST_LINK, isStale, nextLink } from "./link.js";
import { parseRoute } from "./routes.js";
import { byAttention, mayDrive, mayManage, statusOf } from "./status.js";
import { EMPTY_WORLD, pendingOf, recentOf, reduce, sumUsage } from "./world.js";

const slices = Object.fromEntries(Object.keys(EMPTY_WORLD).map((name) => [name, signal(EMPTY_WORLD[name])]));
export const { villages, houses, agents, approvals, sessions, feed, alerts, keyboards, presence, seen } = slices;

/** The service's clock, as far as it is known: every age is told by it. It stands still while nothing is heard. */
export const now = signal(Date.now());
/** This machine's clock. */
export const clock = signal(Date.now());
let ahead = 0;

/** How far the service's clock is ahead of this machine's. Less than a second is the way that the answer took. */
export function serviceSaid(at) {
  const found = at - Date.now();
  ahead = Math.abs(found) < 1000 ? 0 : found;
}

export const serviceNow = () => Date.now() + ahead;

export function tick() {
  clock.value = Date.now();
  if (!stale.peek()) now.value = serviceNow();
}
export const route = signal(parseRoute(location.hash));
export const link = signal(FIRST_LINK);
/** The session whose keyboard this very page holds, or undefined: one at a time. */
export const driving = signal(undefined);
/** undefined while nobody knows, null for an anonymous visitor, else {userId, name, admin, chaos}. */
export const user = signal(undefined);
/** {label, start} of the provider that people can sign in at, or null. */
export const provider = signal(null);
/** The dialog that is open: palette, help or "". */
export const dialog = signal("");
/** What the person should know about signing in: {tone, text} or null. */
export const notice = signal(null);
export const villageId = signal(undefined);
/** False until the first answers about the village have come: no empty state before that. */
export const loaded = signal(false);
/** What is known not to be there: "agent ID", "house ID", "village ID". */
export const missing = signal(undefined);
/** approvalKey → {state: "sending" | "late" | "failed", text}: what became of this person's own decisions. */
export const verdicts = signal({});
export const serviceVersion = signal("");

/** Sessions of which the page keeps all it hears, the one that was looked at last behind all others. */
export const followed = new Set();

/** Applies events [[name, data], …] in order, in one update of the page. */
export function dispatch(events, context = {}) {
  const full = { villageId: villageId.peek(), now: serviceNow(), followed, ...context };
  let world = Object.fromEntries(Object.entries(slices).map(([name, slice]) => [name, slice.peek()]));
  for (const [name, data] of events) world = reduce(world, name, data, full);
  batch(() => {
    for (const [name, slice] of Object.entries(slices)) slice.value = world[name];
  });
}

export function linkEvent(event) {
  link.value = nextLink(link.peek(), event, Date.now());
}

/** Whether the connection is lost: what is shown was so at `heardAt`. */
export const stale = computed(() => isStale(link.value));
export const village = computed(() => villages.value.find((one) => one.villageId === villageId.value));
export const canDrive = computed(() => user.value !== null && mayDrive(village.value?.role));
export const canManage = computed(() => user.value !== null && mayManage(village.value?.role));
export const pending = computed(() => pendingOf(approvals.value));
/** Whether this person may answer it: by the role in its own village. */
export const mayDecide = (one) => user.value !== null && mayDrive((villages.value.find((each) => each.villageId === one.villageId) ?? village.value)?.role);
/** Allows that the service still holds, oldest first. */
export const held = computed(() => Object.values(approvals.value).filter((one) => heldFor(one, now.value) !== undefined).sort((a, b) => a.releaseAt - b.releaseAt));
/** What waits, what is held, and what was settled a moment ago: a card does not vanish under a hand. */
export const recentAsks = computed(() => recentOf(approvals.value, now.value));

/** The agents of the village, each with its pending approvals and its status, who needs a person first. */
export const roster = computed(() =>
  Object.values(agents.value)
    .filter((agent) => agent.villageId === villageId.value)
    .map((agent) => withStatus(agent, now.value))
    .sort(byAttention),
);

export function withStatus(agent, at) {
  const waiting = pendingOf(approvals.value, (one) => one.sessionId === agent.sessionId);
  return { ...agent, waiting, status: statusOf(agent, at, waiting) };
}

export const streetHouses = computed(() =>
  Object.values(houses.value)
    .filter((house) => house.villageId === villageId.value && house.repoPath !== "") // "": sessions that have not said where they work
    .sort((a, b) => a.name.localeCompare(b.name)),
);

/** What people call the house where a session worked; one that is not there any more is called as its folder. */
export const houseNameOf = (item) =>
  Object.values(houses.value).find((house) => house.repoPath === item.repoPath && house.villageId === (item.villageId ?? house.villageId))?.name ?? houseName(item);

/** An agent's usage: the service's total, or what the ticks since add up to where that is more. */
export function usageOf(agent) {
  const ticked = sumUsage((sessions.value[agent.sessionId]?.ticks ?? []).map((tick) => tick.units));
  const total = { ...agent.usage };
  for (const [name, value] of Object.entries(ticked)) total[name] = Math.max(total[name] ?? 0, value);
  return total;
}

export const villageUsage = computed(() => sumUsage(roster.value.map(usageOf)));
