// The structured past of sessions: read when one is looked at, and kept whole for the few that were looked at last. A page that
// stays open for days would end by holding everything that every agent ever did.

import * as api from "./api.js";
import * as store from "./store.js";

const AT_ONCE = 500;
/** Of a session with more events than this, its first page and so many of the latest are read. Pieces of its terminal count, too. */
const LATEST = 20_000;
/** So many sessions have all their details; of the others the page keeps what its lists show. */
const KEPT = 12;
/** Of the feed, which is a log: every status comes from the lists. */
const PREFILLED_AGENTS = 6;
const PREFILLED = 2_000;
const AGAIN_MS = 3_000;

/** A session is looked at: from now on its whole story is kept, and what was before is read, once. */
export async function tellHistory(agent) {
  const { sessionId, listedSeq = 0 } = agent;
  const known = store.followed.delete(sessionId);
  store.followed.add(sessionId); // behind all others: the one that was looked at last
  if (known) return;
  for (const one of [...store.followed].slice(0, -KEPT)) leave(one);
  for (let after = 0; after !== undefined && store.followed.has(sessionId); ) {
    const first = after === 0;
    after = await read(agent, after);
    if (!first || after === undefined || listedSeq - after <= LATEST) continue;
    store.dispatch([["cut", { sessionId }]]);
    after = listedSeq - LATEST;
  }
}

/** Nothing of the village that was looked at before is looked at any more. */
export const leaveAll = () => [...store.followed].forEach(leave);

/** The feed as it was before this page was opened: of those who worked last. */
export async function prefillFeed() {
  const recent = [...store.roster.peek()].sort((a, b) => (b.lastEventAt ?? 0) - (a.lastEventAt ?? 0));
  for (const agent of recent.slice(0, PREFILLED_AGENTS)) {
    for (let after = Math.max(0, (agent.listedSeq ?? 0) - PREFILLED); after !== undefined; ) after = await read(agent, after);
  }
}

function leave(sessionId) {
  store.followed.delete(sessionId);
  store.dispatch([["left", { sessionId }]]);
}

/** Reads a page of events and tells it. Where the next one begins; undefined where none is. A service that is away is asked again. */
async function read(agent, after) {
  const answer = await api.events(agent.sessionId, after, AT_ONCE).catch((error) => error);
  if (answer instanceof Error) return answer.status >= 400 && answer.status < 500 && answer.status !== 429 ? undefined : sleep(AGAIN_MS, after);
  const items = answer?.items ?? [];
  if (items.length) store.dispatch([["history", { agentId: agent.agentId, events: items }]]);
  return items.length && answer.next !== null && answer.next !== undefined ? items.at(-1).seq : undefined;
}

const sleep = (ms, value) => new Promise((resolve) => setTimeout(resolve, ms, value));
