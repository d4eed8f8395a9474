// What an agent's state means to the person watching: a word, a tone, a reason and the moment it began. Pure.

import { age, spelled } from "./format.js";

/** Tones are the only vocabulary of colour and shape in the page: wait, fail, lost, begin, work, quiet, pause, done. */
const STATES = {
  CREATED: { label: "created", tone: "begin" },
  PREPARING_WORKSPACE: { label: "preparing", tone: "begin" },
  STARTING_PROVIDER: { label: "starting", tone: "begin" },
  RUNNING: { label: "working", tone: "work" },
  WAITING_FOR_APPROVAL: { label: "waits for you", tone: "wait" },
  PAUSED_BY_HUMAN: { label: "paused", tone: "pause" },
  STOPPING: { label: "stopping", tone: "pause" },
  COMPLETED: { label: "done", tone: "done" },
  FAILED: { label: "failed", tone: "fail" },
};

/** Who needs a person first. */
export const ATTENTION = ["wait", "fail", "lost", "turn", "quiet", "work", "begin", "pause", "done"];
/** The words of the counters and groups. */
export const TONE_WORDS = { wait: "needs you", fail: "failed", lost: "runner lost", turn: "your turn", quiet: "quiet", work: "working", begin: "starting", pause: "paused", done: "done" };

/** A session that says RUNNING and shows no sign of work for this long is idle. */
export const QUIET_AFTER_MS = 60_000;

export const isFinal = (state) => state === "COMPLETED" || state === "FAILED";

/** {label, tone, why, since}: `why` is one line or "", `since` epoch ms of entering the status. */
export function statusOf(agent, now, pending = []) {
  const known = STATES[agent.state] ?? { label: String(agent.state ?? "unknown").toLowerCase(), tone: "quiet" };
  const since = agent.stateAt ?? agent.lastEventAt ?? agent.startedAt;
  if (isFinal(agent.state)) return { ...known, since, why: ending(agent), seen: agent.state === "FAILED" && Boolean(agent.seenBy) };
  if (agent.runnerStatus && agent.runnerStatus !== "online" && agent.runnerStatus !== "draining") {
    const heard = agent.lastEventAt ? `, last heard ${age(now - agent.lastEventAt)} ago` : "";
    return { label: "runner lost", tone: "lost", since: agent.lastEventAt ?? since, why: `was ${known.label}${heard}` };
  }
  if (known.tone === "wait" || pending.length > 0) {
    return { ...STATES.WAITING_FOR_APPROVAL, since: pending[0]?.requestedAt ?? since, why: waiting(agent, pending) };
  }
  const said = agent.agentStatus;
  if (known.tone === "work" && said?.status === "waiting") return { label: "waits for you", tone: "wait", since: said.since ?? since, why: said.reason ?? "a dialog is open in its terminal" };
  const turned = agent.turnEndedAt && (said === undefined || said.status === "idle");
  if (known.tone === "work" && (turned || said?.status === "idle")) return { label: "your turn", tone: "turn", since: said?.since ?? agent.turnEndedAt ?? since, why: said?.reason ?? "finished its turn" };
  const worked = agent.activityAt ?? agent.startedAt;
  if (known.tone === "work" && worked && now - worked > QUIET_AFTER_MS) {
    return { label: "idle", tone: "quiet", since: worked, why: "running, but no sign of work" };
  }
  return { ...known, since, why: agent.reason ?? "" };
}

function ending(agent) {
  const known = agent.exitCode !== undefined && agent.exitCode !== null && !/\bcode \d/.test(agent.reason ?? "");
  return [agent.reason, known ? `exit code ${agent.exitCode}` : ""].filter(Boolean).join(", ");
}

function waiting(agent, pending) {
  if (pending.length === 0) return agent.reason ?? "asks for an approval";
  const more = pending.length > 1 ? ` (and ${pending.length - 1} more)` : "";
  return `${pending[0].category.replace("_", " ")}: ${spelled(pending[0].summary)}${more}`;
}

const NEEDS = new Set(["wait", "fail", "lost"]);

/** Whether a person has to look. A failure that somebody who drives has seen needs nobody any more. */
export const needsPerson = (status) => NEEDS.has(status.tone) && !status.seen;

/** The place in the order; a failure that was seen comes behind those whose turn it is. */
const rankOf = (status) => (status.seen ? ATTENTION.indexOf("turn") + 0.5 : ATTENTION.indexOf(status.tone));

/** Who needs a person first: the order of every list of agents. */
export function byAttention(a, b) {
  const rank = rankOf(a.status) - rankOf(b.status);
  if (rank !== 0) return rank;
  const oldestFirst = (a.status.since ?? 0) - (b.status.since ?? 0);
  const final = a.status.tone === "done" || a.status.tone === "fail";
  return (final ? -oldestFirst : oldestFirst) || a.agentName.localeCompare(b.agentName);
}

const DRIVERS = new Set(["owner", "admin", "maintainer", "operator", "driver", "editor", "member", "developer"]);

/** Whether a role may manage the village: its members, its runners, what is kept of it. */
export const mayManage = (role) => String(role ?? "").toLowerCase() === "owner";
/** Whether a role may type, decide and stop. Everybody else reads. The service decides; this only greys out buttons. */
export const mayDrive = (role) => DRIVERS.has(String(role ?? "").toLowerCase());
