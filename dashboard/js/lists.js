// What REST's lists and `house_changed` say of agents and houses, and how it changes the page's world. Pure.
//
// Every age of a status comes from here: the service stamps it, by its own clock.

import { millis } from "./format.js";
import { alertKey, approvalKey } from "./ids.js";
import { isFinal } from "./status.js";

const TYPES = { codex: "codex", claude_code: "claude" };

export function listedAgents(world, items, context) {
  const agents = { ...world.agents };
  for (const item of items) {
    const listed = fromList(item);
    const known = agents[item.agentId];
    agents[item.agentId] = merged(known, listed);
  }
  return { ...dropped({ ...world, agents }, items, context), approvals: askedIn(items, world.approvals), alerts: alertsIn(items, world.alerts) };
}

/** What a list says of an agent, over what is known of it. What the stream said after the list was made stays. */
function merged(known, listed) {
  const same = known?.sessionId === listed.sessionId;
  const newest = told(same && known.toldSeq > listed.toldSeq ? known : listed);
  if (same && known.statusSeq > listed.listedSeq) {
    return { ...listed, ...known, ...newest, runnerStatus: listed.runnerStatus, runnerId: listed.runnerId };
  }
  const since = same && known.state === listed.state && !listed.stateTold ? { stateAt: known.stateAt, stateSeq: known.stateSeq } : {};
  return { ...(same ? known : {}), ...listed, ...since, ...newest };
}

/** The fields that lists and `house_changed` alone tell: ages by the service's clock, and what was last. */
function told({ activityAt, lastEventAt, activity, lastLine, preview, lastTest, diff, turnEndedAt, toldSeq, seenBy }) {
  return { activityAt, lastEventAt, activity, lastLine, preview, lastTest, diff, turnEndedAt, toldSeq, seenBy };
}

/** Agents that have not ended, from the list of their sessions: they are shown before the long list has come. */
export function listedSessions(world, items) {
  const agents = { ...world.agents };
  for (const { detached, ...item } of items.toReversed()) { // the newest of an agent's last
    const listed = { ...fromList(item), agentType: TYPES[item.providerId] ?? "custom", runnerStatus: detached ? "offline" : (agents[item.agentId]?.runnerStatus ?? "online") };
    agents[item.agentId] = merged(agents[item.agentId], listed);
  }
  return { ...world, agents, approvals: askedIn(items, world.approvals), alerts: alertsIn(items, world.alerts) };
}

export function houseChanged(world, e) {
  let next = world;
  const agents = { ...world.agents };
  for (const item of e.agents ?? []) {
    const known = agents[item.agentId];
    if (known === undefined || known.sessionId !== item.sessionId || known.toldSeq > item.lastEventSeq) continue;
    const listed = fromList({ ...known, activityAt: undefined, turnEndedAt: undefined, lastTest: undefined, diff: undefined, ...item });
    const since = known.state === item.state && item.stateAt !== undefined ? { stateAt: item.stateAt, stateTold: true } : {};
    agents[item.agentId] = { ...known, ...told(listed), ...since };
    next = { ...next, alerts: alertsIn([item], next.alerts) };
  }
  const house = world.houses[e.repoId];
  const houses = house === undefined ? world.houses : { ...world.houses, [e.repoId]: { ...house, lastTest: e.lastTest } };
  return { ...next, agents, houses };
}

/** The open alerts that sessions are listed with: all of them, and no other of these sessions. */
function alertsIn(items, known) {
  const alerts = { ...known };
  for (const { agentId, sessionId, openAlerts } of items) {
    if (!Array.isArray(openAlerts)) continue;
    const open = new Set(openAlerts.map((one) => alertKey({ sessionId, ...one })));
    for (const [key, alert] of Object.entries(alerts)) {
      if (alert.sessionId === sessionId && alert.bot && !open.has(key)) alerts[key] = { ...alert, resolved: true };
    }
    for (const one of openAlerts) {
      const key = alertKey({ sessionId, ...one });
      alerts[key] = { progress: 0, ...alerts[key], ...one, agentId, sessionId, at: one.raisedAt, bot: true, resolved: false };
    }
  }
  return alerts;
}

function dropped(world, items, context) {
  const agents = { ...world.agents };
  const listed = new Set(items.map((item) => item.agentId));
  for (const agent of Object.values(agents)) {
    // Of this village and not in its list any more: deleted, and so not shown.
    if (context.villageId && agent.villageId === context.villageId && !listed.has(agent.agentId)) {
      if ((agent.startedAt ?? 0) < context.now - 10_000) delete agents[agent.agentId];
    }
  }
  return { ...world, agents };
}

/** The questions that agents are listed with: whoever may see the agent sees what it waits for. */
function askedIn(items, known) {
  const approvals = { ...known };
  for (const { agentId, villageId, pendingApprovals } of items) {
    for (const one of Array.isArray(pendingApprovals) ? pendingApprovals : []) {
      const key = approvalKey(one);
      if (!approvals[key]?.decision) approvals[key] = { villageId, agentId, ...approvals[key], ...one };
    }
  }
  return approvals;
}

function fromList({ pendingApprovals, openAlerts, ...item }) {
  const lastEventAt = millis(item.lastEventAt);
  const stateAt = millis(item.stateAt);
  return {
    ...item,
    agentName: item.agentName || item.agentId,
    startedAt: millis(item.startedAt),
    endedAt: millis(item.endedAt),
    lastEventAt,
    activityAt: millis(item.activityAt),
    turnEndedAt: millis(item.turnEndedAt),
    lastTest: item.lastTest ?? undefined,
    diff: item.diff ?? undefined,
    seenBy: item.seenBy ?? undefined,
    preview: item.lastLine ?? item.preview,
    stateAt: stateAt ?? lastEventAt, // until an event of the past tells better
    stateTold: stateAt !== undefined,
    stateSeq: 0,
    statusSeq: item.lastEventSeq ?? 0,
    listedSeq: item.lastEventSeq ?? 0,
    toldSeq: item.lastEventSeq ?? 0,
    online: !isFinal(item.state),
  };
}
