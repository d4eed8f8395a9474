// What the form for starting work says, as an order. Run: node --test tests/browser/js/*.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { choicesOf, goingOn, keeperOf, noRunner, orderOf, repoRefOf, repoText } from "../../../dashboard/js/starting.js";
import { EMPTY_STORY, inOrder, tell } from "../../../dashboard/js/story.js";

const FORM = { villageId: "demo", goal: "Fix the cart\nand test it", provider: "codex", command: "", repo: "/src/shop", tree: "asis", branch: "", runnerId: "", name: "", model: "", resumeOf: "", asks: ["merge"], network: "restricted" };

test("a form becomes an order, and what is missing is named with its field", () => {
  assert.deepEqual(orderOf(FORM).body, {
    agentName: "Fix the cart", villageId: "demo", providerId: "codex", repoRef: { provider: "local", path: "/src/shop" },
    task: { title: "Fix the cart", goal: "Fix the cart\nand test it" }, policy: { requiresApprovalFor: ["merge"], networkMode: "restricted" },
  });
  const own = orderOf({ ...FORM, provider: "command", goal: "", command: "make test", model: "x", tree: "new", branch: "tw/x", name: "Ada", runnerId: "r1" }).body;
  assert.deepEqual([own.command, own.task.goal, own.worktree.branch, own.agentName, own.runnerId], [["sh", "-c", "make test"], "make test", "tw/x", "Ada", "r1"]);
  assert.equal(own.model, undefined, "a command has none");
  assert.deepEqual(orderOf({ ...FORM, model: " m1 ", resumeOf: "s1" }).body.model, "m1");
  assert.deepEqual(orderOf({ ...FORM, tree: "branch", branch: "main" }).body.checkout, { type: "branch", ref: "main" });
  assert.deepEqual(orderOf({ ...FORM, budget: " 2,5 " }).body.budget, { usd: 2.5 });
  assert.deepEqual(orderOf({ ...FORM, budget: "200000", budgetUnit: "tokens" }).body.budget, { tokens: 200000 });
  for (const [change, field] of [[{ budget: "0" }, "budget"], [{ budget: "x" }, "budget"], [{ budget: "1.5", budgetUnit: "tokens" }, "budget"]]) {
    assert.equal(orderOf({ ...FORM, ...change }).wrong.field, field);
  }
  for (const [change, field] of [[{ goal: " " }, "goal"], [{ provider: "" }, "provider"], [{ repo: "shop" }, "repo"], [{ tree: "new" }, "branch"], [{ provider: "command" }, "command"]]) {
    assert.equal(orderOf({ ...FORM, ...change }).wrong.field, field);
  }
});

test("a repository is a path or a name at a forge", () => {
  assert.deepEqual(repoRefOf("github:ada/shop.git"), { provider: "github", owner: "ada", name: "shop" });
  assert.equal(repoText(repoRefOf("github:ada/shop")), "github:ada/shop");
  assert.equal(repoRefOf("C:\\src"), null);
});

test("only what the runners have can be chosen; the rest says why not", () => {
  const runner = (change) => ({ runnerId: "r1", name: "build-1", status: "online", connected: true, capabilities: { providers: ["codex", "command"], agents: [{ providerId: "codex", version: "0.171" }] }, ...change });
  const away = runner({ runnerId: "r2", status: "offline", connected: false, capabilities: { providers: ["claude_code"], agents: [] } });
  assert.deepEqual(choicesOf([runner(), away], "").map((one) => [one.provider, one.obstacle]), [["codex", ""], ["command", ""], ["claude_code", "its runner is not online"]]);
  assert.deepEqual(choicesOf([runner()], "")[0].versions, ["0.171"]);
  assert.match(noRunner([away]).text, /build-1 is offline/);
  assert.equal(noRunner([runner(), away]), null);
});

test("a message comes in pieces, in any order and more than once", () => {
  const piece = (seq, text) => ({ seq, type: "agent_message", payload: { id: "m1", text } });
  let story = EMPTY_STORY;
  for (const e of [piece(3, " world"), piece(2, "hello"), piece(3, " world")]) story = tell(story, e, e.seq);
  assert.deepEqual(inOrder(story).map((item) => [item.text, item.seq, item.at]), [["hello world", 2, 2]]);
});

test("a tool call that ended stays ended, and an approval has its decision", () => {
  let story = EMPTY_STORY;
  const events = [
    [5, "agent_tool", { id: "t", name: "Bash", status: "ok", ms: 9, output: "x" }], [4, "agent_tool", { id: "t", name: "Bash", title: "make", status: "running" }],
    [6, "status_change", { approval: { approvalId: "a", category: "shell", risk: "low", summary: "rm" } }], [7, "status_change", { approvalId: "a", decision: "deny", resolvedBy: "ada" }],
    [8, "agent_prompt", { id: "p", text: "later", queued: true }], [9, "agent_plan", { items: [{ text: "one", status: "completed" }] }],
  ];
  for (const [seq, type, payload] of events) story = tell(story, { seq, type, payload }, seq);
  assert.deepEqual(inOrder(story).map((item) => [item.kind, item.status ?? item.decision]), [["tool", "ok"], ["approval", "deny"]]);
  assert.deepEqual([story.items["tool:t"].title, story.promptsSeq, story.plan.items.length], ["make", 8, 1]);
});

test("a conversation that was chosen brings its agent, runner and directory; it is asked for where one runner keeps them", () => {
  const one = { conversation: "c1", providerId: "claude_code", path: "/src/cart", at: 1, title: "mend it" };
  const { body } = orderOf({ ...FORM, tree: "new", branch: "x", ...goingOn(one, "r1") });
  assert.deepEqual([body.conversation, body.providerId, body.repoRef.path, body.runnerId, body.worktree], ["c1", "claude_code", "/src/cart", "r1", undefined]);
  assert.equal(orderOf({ ...FORM, ...goingOn(null, "r1") }).body.conversation, undefined);
  const runner = (runnerId, features, connected = true) => ({ runnerId, connected, capabilities: { features } });
  const [a, b, old] = [runner("a", ["conversations"]), runner("b", ["conversations"]), runner("old", ["diff"])];
  assert.equal(keeperOf([a, old], ""), a);
  assert.equal(keeperOf([a, b], ""), null);
  assert.equal(keeperOf([a, b], "b"), b);
  assert.equal(keeperOf([a, old], "old"), null);
  assert.equal(keeperOf([runner("a", ["conversations"], false)], ""), null);
});

test("a turn that failed keeps its reason", () => {
  const turn = { type: "agent_turn", seq: 4, payload: { id: "t1", result: "failed", ms: 12, reason: "no credit" } };
  assert.equal(inOrder(tell(EMPTY_STORY, turn, 1))[0].reason, "no credit");
});
