// What there is to commit, push and merge, in words, and which acts there are.

import assert from "node:assert/strict";
import { test } from "node:test";

import { actsOf, stateOf } from "../../../dashboard/js/landing.js";
import { landedText } from "../../../dashboard/js/lines.js";
import { EMPTY_STORY, tell } from "../../../dashboard/js/story.js";

const VIEW = { head: "a".repeat(40), branch: "x", filesTotal: 2, files: [], remote: "origin", remotes: ["origin"], ahead: null, behind: null, forge: null, base: null, baseAhead: null, pushRisk: "med", underWay: [], landed: [] };
const whys = (view, where = { ended: false, worktree: false }) => Object.fromEntries(actsOf(view, where).map((one) => [one.act, one.why]));

test("the state says what is not committed, pushed and merged", () => {
  assert.deepEqual(stateOf(VIEW), ["2 files are not committed", "the branch is not on origin"]);
  const pushed = { ...VIEW, filesTotal: 0, ahead: 0, behind: 1, base: "main", baseAhead: 3 };
  assert.deepEqual(stateOf(pushed), ["everything is committed", "pushed to origin", "1 commit behind origin", "3 commits not in main"]);
  assert.deepEqual(stateOf({ ...VIEW, filesTotal: 1, remote: null }), ["1 file is not committed", "no remote"]);
});

test("an act that cannot be done says why, and one that its machine cannot do is not there", () => {
  assert.deepEqual(whys(VIEW), { commit: "", branch: "", push: "" });
  assert.deepEqual(whys({ ...VIEW, filesTotal: 0, ahead: 0, forge: "gh", base: "main", baseAhead: 0 }), {
    commit: "Everything is committed.", branch: "", push: "Everything is pushed.", "pull-request": "", merge: "main has all of it.",
  });
  assert.match(whys({ ...VIEW, branch: null }).push, /No branch is checked out/);
  assert.equal("discard" in whys(VIEW, { ended: false, worktree: true }), false);
  assert.deepEqual(actsOf({ ...VIEW, pushRisk: "high" }, { ended: true, worktree: true }).filter((one) => one.high).map((one) => one.act), ["push", "discard"]);
});

test("what is not known is said so, and no act goes on upon it", () => {
  const why = "the branch that is checked out is not known: git did not answer in 15 s";
  const view = { ...VIEW, branch: null, remote: null, base: "main", unknown: { branch: why, remote: why, ahead: why, base: why, files: "not known: no disk" } };
  assert.deepEqual(stateOf(view), ["what is not committed is not known", "what is not pushed is not known", "what is not merged is not known"]);
  assert.deepEqual(whys(view), { commit: why, branch: why, push: why, merge: why });
  assert.equal(landedText({ act: "push", ok: false, unknown: true, by: "Ann", branch: "x", says: "not known: it was ended" }), "Ann: push of x, not known: it was ended");
});

test("an outcome is one line of the timeline, however often it comes", () => {
  const payload = { act: "commit", ok: true, by: "Ann", branch: "x", commit: "abcdef0123", subject: "Say more", filesTotal: 1, approvedBy: "Bob" };
  const event = { type: "agent_landed", seq: 7, payload };
  const story = tell(tell(EMPTY_STORY, event, 5), event, 5);
  assert.equal(story.landedSeq, 7);
  assert.deepEqual(Object.values(story.items).map((one) => [one.text, one.tone]), [["Ann committed abcdef01 on x: Say more, 1 file, allowed by Bob", "good"]]);
  assert.equal(landedText({ act: "push", ok: false, by: "Ann", branch: "x", says: "rejected" }), "Ann: push of x failed: rejected");
});
