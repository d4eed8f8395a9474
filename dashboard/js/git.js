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
