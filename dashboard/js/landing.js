// What there is to commit, push and merge of a session, in words, and which acts there are. Pure.

/** Why a field is not known; "" where it is. */
export const unknownOf = (view, ...fields) => fields.map((field) => view.unknown?.[field] ?? "").find((why) => why !== "") ?? "";

/** What there is, in words: [phrases]. What the runner could not find out is said so, and is no number. */
export function stateOf(view) {
  const files = unknownOf(view, "files") ? "what is not committed is not known" : view.filesTotal === 0 ? "everything is committed" : view.filesTotal === 1 ? "1 file is not committed" : `${view.filesTotal} files are not committed`;
  const commits = (number) => (number === 1 ? "1 commit" : `${number} commits`);
  const push = unknownOf(view, "remote", "ahead") ? "what is not pushed is not known" : !view.remote ? "no remote" : view.ahead === null || view.ahead === undefined ? `the branch is not on ${view.remote}` : view.ahead > 0 ? `${commits(view.ahead)} not pushed` : `pushed to ${view.remote}`;
  const behind = view.behind > 0 ? [`${commits(view.behind)} behind ${view.remote}`] : [];
  const merge = unknownOf(view, "base", "baseAhead") ? ["what is not merged is not known"] : view.base ? [view.baseAhead > 0 ? `${commits(view.baseAhead)} not in ${view.base}` : `all of it is in ${view.base}`] : [];
  return [files, push, ...behind, ...merge];
}

/** Which acts there are, each with why it cannot be done now ("" where it can): [{act, label, why, high}]. */
export function actsOf(view, { ended, worktree }) {
  const detached = unknownOf(view, "branch", "head") || (view.branch ? "" : "No branch is checked out: make one first.");
  const pushed = view.ahead === 0 ? "Everything is pushed." : "";
  const ahead = unknownOf(view, "remote", "ahead");
  const acts = [
    { act: "commit", label: "Commit", why: unknownOf(view, "head", "branch", "files") || (view.filesTotal === 0 ? "Everything is committed." : "") },
    { act: "branch", label: "Branch", why: unknownOf(view, "head", "branch") },
    { act: "push", label: "Push", why: detached || ahead || (view.remote ? (view.head ? pushed : "There is no commit yet.") : "The repository has no remote."), high: view.pushRisk === "high" },
  ];
  if (view.forge) acts.push({ act: "pull-request", label: "Pull request", why: detached || ahead || (view.ahead === 0 ? "" : "Push the branch first.") });
  if (view.base) acts.push({ act: "merge", label: `Merge into ${view.base}`, why: detached || unknownOf(view, "baseAhead") || (view.baseAhead > 0 ? "" : `${view.base} has all of it.`), high: true });
  if (worktree && ended) acts.push({ act: "discard", label: "Discard worktree", why: "", high: true });
  return acts;
}
