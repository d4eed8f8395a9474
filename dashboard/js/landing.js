// What there is to commit, push and merge of a session, in words, and which acts there are. Pure.

/** What there is, in words: [phrases]. */
export function stateOf(view) {
  const files = view.filesTotal === 0 ? "everything is committed" : view.filesTotal === 1 ? "1 file is not committed" : `${view.filesTotal} files are not committed`;
  const commits = (number) => (number === 1 ? "1 commit" : `${number} commits`);
  const push = !view.remote ? "no remote" : view.ahead === null || view.ahead === undefined ? `the branch is not on ${view.remote}` : view.ahead > 0 ? `${commits(view.ahead)} not pushed` : `pushed to ${view.remote}`;
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
