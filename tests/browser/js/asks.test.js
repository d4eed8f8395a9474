// What an approval asks, as a person reads it, and when an allow is held. Run: node --test tests/browser/js/*.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { answersOf, askOf, partsOf, termsOf } from "../../../dashboard/js/asks.js";
import { EMPTY_WORLD, pendingOf, recentOf, reduce } from "../../../dashboard/js/world.js";

const NOW = 1_800_000_000_000;
const asked = (change) => ({ approvalId: "a1", sessionId: "s1", agentId: "x", category: "shell", risk: "low", summary: "make", requestedAt: NOW, ...change });

test("a command is cut where another begins, and not in quotes", () => {
  assert.deepEqual(partsOf("cd /srv && a 'x && y' | b; c || d"), [
    { op: "", text: "cd /srv " }, { op: "&&", text: "a 'x && y' " }, { op: "|", text: "b" }, { op: ";", text: "c " }, { op: "||", text: "d" },
  ]);
  assert.deepEqual(partsOf("echo \\; a"), [{ op: "", text: "echo \\; a" }]);
  assert.deepEqual(partsOf("cat >| f"), [{ op: "", text: "cat >| f" }]);
});

test("nothing of a context is left out: what has no form of its own is a fact", () => {
  const ask = askOf(asked({ context: { tool: "Bash", cwd: "/src", rule: "r1", input: { command: "rm -rf x", timeout: 5 }, odd: { deep: [1] } } }));
  assert.equal(ask.command, "rm -rf x");
  assert.deepEqual(ask.facts.map(([name]) => name), ["tool", "cwd", "rule", "odd", "timeout"]);
  assert.equal(ask.summary, "make");
});

test("what was cut on its way is said, in each of the forms in which runners cut", () => {
  const cut = (change) => askOf(asked(change)).cut;
  assert.equal(cut({}), false);
  assert.equal(cut({ truncated: true }), true);
  assert.equal(cut({ context: { truncated: true, bytes: 1, start: "" } }), true);
  assert.equal(cut({ context: { input: { cut: true, bytes: 1, beginning: "" } } }), true);
  assert.equal(cut({ category: "edit", context: { diff: "+".repeat(32 * 1024) } }), true);
});

test("a question is answered when each of it has an answer", () => {
  const questions = askOf(asked({ category: "question", context: { questions: [{ question: "A?", options: [{ label: "x" }] }, { question: "B?", multiSelect: true, options: [] }] } })).questions;
  assert.equal(answersOf(questions, { "A?": { chosen: ["x"] } }), null);
  assert.deepEqual(answersOf(questions, { "A?": { chosen: ["x"] }, "B?": { chosen: ["y"], own: " z " } }), { answers: { "A?": "x", "B?": ["y", "z"] } });
  const bare = askOf(asked({ category: "question", summary: "Go?", context: { options: [{ id: "o1", label: "Yes" }] } })).questions;
  assert.deepEqual(answersOf(bare, { "Go?": { chosen: ["o1"] } }), { optionId: "o1" });
});

test("what its agent cannot take from here is not offered, and nothing odd takes an allow away", () => {
  const options = [{ id: "always", label: "Always", kind: "allow_always" }];
  const ask = (fromAfar) => askOf(asked({ context: { options, fromAfar } }));
  const { allow, note, why, always, facts } = ask({ allow: "no", note: "no", why: "in its terminal" });
  assert.deepEqual([allow, note, why, always.length, facts.length], ["no", "no", "in its terminal", 0, 0]);
  assert.deepEqual([ask({ allow: "option" }).allow, ask({ allow: "option" }).always.length], ["option", 1]);
  for (const odd of [undefined, null, "no", { allow: 7, note: [], why: {} }]) assert.deepEqual([ask(odd).allow, ask(odd).note, ask(odd).why], ["plain", "any", ""]);
});

test("a question without words of one's own is answered by its options alone, in their own words", () => {
  const [only] = askOf(asked({ category: "question", context: { questions: [{ question: "A?", options: [{ label: "x" }], freeText: false }] } })).questions;
  assert.equal(only.byOption, true);
  assert.deepEqual(answersOf([only], { "A?": { chosen: ["x"] } }), { answers: { "A?": "x" } });
});

test("an allow that is held stays in its place, and waits again when it is taken back", () => {
  const context = { villageId: "demo", now: NOW, asked: NOW };
  const held = reduce(reduce(EMPTY_WORLD, "approval_requested", asked(), context), "approval_decided", { ...asked(), decision: "allow", resolvedBy: "ada", releaseAt: NOW + 5000, timestamp: new Date(NOW).toISOString() }, context);
  assert.equal(pendingOf(held.approvals).length, 0);
  assert.equal(recentOf(held.approvals, NOW).length, 1);
  const back = reduce(held, "approval_decided", { sessionId: "s1", approvalId: "a1" }, context);
  assert.equal(pendingOf(back.approvals).length, 1);
  const later = { ...context, asked: NOW + 10_000 };
  assert.equal(pendingOf(reduce(held, "approvals", [asked()], later).approvals).length, 1, "a list that was made later says that it waits");
  assert.equal(pendingOf(reduce(held, "approvals", [asked()], context).approvals).length, 0, "one that was made before says nothing");
});

test("who may allow it is said in words, and how far the allow is", () => {
  assert.equal(termsOf(asked({})), "");
  assert.match(termsOf(asked({ context: { rule: { id: "r", answer: { people: 2 } } } })), /^2 people have to allow this: 0 of 2 so far\.$/);
  const answer = { people: 1, needed: 2, allowedBy: ["Ann"], notStarter: true, role: "owner", human: false };
  assert.match(termsOf(asked({ answer })), /1 of 2 so far, by Ann; only an owner may allow it; the allow of the person who started/);
});

test("a counted allow is shown, and the approval waits", () => {
  const context = { now: NOW, asked: NOW, villageId: "demo" };
  const before = reduce(EMPTY_WORLD, "approval_requested", asked(), context);
  const after = reduce(before, "approval_decided", { sessionId: "s1", approvalId: "a1", needed: 2, allowedBy: ["Ann"] }, context);
  assert.deepEqual(pendingOf(after.approvals).map((one) => one.answer), [{ needed: 2, allowedBy: ["Ann"] }]);
});

test("what a person wants to do by hand is theirs, and no agent's", () => {
  const context = { tool: "person", askedBy: "Ann", cwd: "/w", input: { command: "git push origin main" } };
  const ask = askOf(asked({ summary: "push 1 commit of main (abc) to origin", context }));
  assert.deepEqual([ask.title, ask.command, ask.summary, ask.byPerson], ["Ann wants to push 1 commit of main (abc) to origin", "git push origin main", "", true]);
  assert.deepEqual(ask.facts, [["cwd", "/w"]]);
  assert.equal(askOf(asked({ context: { tool: "Bash", askedBy: "Ann" } })).byPerson, false);
});
