// What there is to commit, push and merge of a session, as its runner said last, and what a person did about it here.

import * as api from "./api.js";
import { signal } from "./html.js";
import { landedText } from "./lines.js";

/** Statuses of so many sessions are kept. */
const MOST = 8;

/** By sessionId: {busy, view, error, code, heard}. `view` is the last answer of GET …/git; `heard`: the newest event that it knows. */
export const landings = signal({});

function told(sessionId, change) {
  const { [sessionId]: known, ...others } = landings.peek();
  const kept = Object.entries(others).slice(-(MOST - 1));
  landings.value = { ...Object.fromEntries(kept), [sessionId]: { ...known, ...change } };
}

/** Asks the runner. When that fails, what was known before stays. Asked again while it is under way, it is asked once more behind it. */
export async function lookAtGit(sessionId) {
  const known = landings.peek()[sessionId];
  if (known?.busy) return told(sessionId, { again: true });
  told(sessionId, { busy: true, again: false });
  try {
    told(sessionId, { busy: false, error: "", code: "", view: await api.gitStatus(sessionId) });
  } catch (error) {
    told(sessionId, { busy: false, error: error.message, code: error.code });
  }
  if (landings.peek()[sessionId]?.again) await lookAtGit(sessionId);
}

/**
 * Does it. → {state: done | asked | confirm | refused | sent, text, rule}. confirm: a rule asks, and this person may say yes: the same
 * again with `confirm`. What was done is looked at anew.
 */
export async function land(sessionId, act, body) {
  let outcome;
  try {
    outcome = inWords(await api.land(sessionId, act, body));
  } catch (error) {
    outcome = refusal(error);
  }
  lookAtGit(sessionId);
  return outcome;
}

function inWords(answer) {
  switch (answer.state) {
    case "done":
      return { state: "done", text: `Done: ${landedText(answer.outcome)}.`, url: answer.outcome?.url ?? undefined };
    case "asked":
      return { state: "asked", text: `The rule ${answer.rule ?? "of this village"} asks people first (${answer.why}). It is done when it is allowed; the question is above, and under Approvals.`, approvalId: answer.approvalId };
    case "waiting":
      return { state: "sent", text: "Its runner is away. It is done if the runner comes back within ten minutes; the timeline says so." };
    default:
      return { state: "sent", text: "Its runner is at it. The timeline says when it is done." };
  }
}

function refusal(error) {
  const rule = error.details?.rule ?? "";
  if (error.code === "E_CONFIRM") return { state: "confirm", text: error.message, rule };
  if (error.code === "E_POLICY") return { state: "refused", text: `Not allowed: ${error.message}` };
  if (error.status === 0) return { state: "refused", text: "The service did not answer. Whether it was done, the timeline says when it is back." };
  return { state: "refused", text: error.message };
}

/** Removes the worktree of an ended session, with whatever only it has. */
export async function discardWorktree(sessionId) {
  try {
    await api.discardTree(sessionId, true);
    return { state: "done", text: "Done: the worktree is removed." };
  } catch (error) {
    return { state: "refused", text: error.message };
  }
}

/** What there is, in words: [phrases]. */
export function stateOf(view) {
  const files = view.filesTotal === 0 ? "everything is committed" : view.filesTotal === 1 ? "1 file is not committed" : `${view.filesTotal} files are not committed`;
  const commits = (number) => (number === 1 ? "1 commit" : `${number} commits`);
  const push = !view.remote ? "no remote" : view.ahead === null || view.ahead === undefined ? `not on ${view.remote}` : view.ahead > 0 ? `${commits(view.ahead)} not pushed` : `pushed to ${view.remote}`;
  const behind = view.behind > 0 ? [`${commits(view.behind)} behind ${view.remote}`] : [];
  const merge = view.base ? [view.baseAhead > 0 ? `${commits(view.baseAhead)} not in ${view.base}` : `all of it is in ${view.base}`] : [];
  return [files, push, ...behind, ...merge];
}

/** Which acts there are, each with why it cannot be done now ("" where it can): [{act, label, why, high}]. */
export function actsOf(view, { ended, worktree }) {
  const detached = view.branch ? "" : "No branch is checked out: make one first.";
  const pushed = view.ahead === 0 ? "Everything is pushed." : "";
  const acts = [
    { act: "commit", label: "Commit", why: view.filesTotal === 0 ? "Everything is committed." : "" },
    { act: "branch", label: "Branch", why: "" },
    { act: "push", label: "Push", why: detached || (view.remote ? (view.head ? pushed : "There is no commit yet.") : "The repository has no remote."), high: view.pushRisk === "high" },
  ];
  if (view.forge) acts.push({ act: "pull-request", label: "Pull request", why: detached || (view.ahead === 0 ? "" : "Push the branch first.") });
  if (view.base) acts.push({ act: "merge", label: `Merge into ${view.base}`, why: detached || (view.baseAhead > 0 ? "" : `${view.base} has all of it.`), high: true });
  if (worktree && ended) acts.push({ act: "discard", label: "Discard worktree", why: "", high: true });
  return acts;
}
