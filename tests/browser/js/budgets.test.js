// Budgets in words. Run: node --test tests/browser/js/*.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { askOf, termsOf } from "../../../dashboard/js/asks.js";
import { amountOf, budgetOf, ofSession, timeOf, toneOf, whose, wordsOf } from "../../../dashboard/js/budgets.js";

const NOON = Date.parse("2026-11-30T12:00:00Z");
const BUDGET = { budgetId: "bud_1", scope: "person", unit: "usd", period: "day", amount: 5 };
const ACCOUNT = { subject: "user_1", name: "Ada", used: 4.2, of: 5, raised: 0, unknownSessions: 0, state: "warned" };

test("an account says what is used, how fast, and what is not known", () => {
  assert.equal(wordsOf(BUDGET, ACCOUNT, NOON), "$4.20 of $5.00");
  assert.equal(wordsOf(BUDGET, { ...ACCOUNT, overAt: NOON + 3_600_000 }, NOON), "$4.20 of $5.00 · at this pace over by 13:00 UTC");
  assert.match(wordsOf(BUDGET, { ...ACCOUNT, unknownSessions: 2, raised: 1, state: "used_up" }, NOON), /\$1\.00 of that added · what 2 sessions without a price cost is not known · used up$/);
  assert.equal(timeOf(NOON + 86_400_000, NOON), "2026-12-01 12:00 UTC");
  assert.equal(whose(BUDGET, ACCOUNT), "Ada, this day");
  assert.equal(whose({ ...BUDGET, scope: "village", period: "total" }, ACCOUNT), "all sessions, in all");
  assert.deepEqual([amountOf(120_000, "tokens"), amountOf(1.25, "minutes"), amountOf(3, "sessions")], ["120 k tokens", "1.3 minutes", "3 sessions"]);
  assert.deepEqual([toneOf(ACCOUNT), toneOf({ state: "used_up" }), toneOf({ state: "ok", overAt: 1 }), toneOf({ state: "ok" })], ["wait", "fail", "wait", "quiet"]);
});

test("a session spends of the budgets that are about it", () => {
  const agent = { sessionId: "s1", agentId: "a1", agentName: "Cody", repoPath: "/srv/app" };
  const budgets = [["village", ""], ["house", "/srv/app"], ["agent", "Cody"], ["session", "s2"], ["person", "user_1"]].map(([scope, subject]) => ({ scope, accounts: [{ subject }] }));
  assert.deepEqual(ofSession(budgets, agent).map(({ budget }) => budget.scope), ["village", "house", "agent"]);
});

test("a question for more of a shared budget says what an allow adds, and whose it is", () => {
  const one = { category: "budget", summary: "s", context: { budget: { limit: "usd", used: 5.1, of: 5, more: 5, budgetId: "bud_1" }, odd: 1 } };
  assert.deepEqual(askOf(one).facts, [["used", "5.1 of 5 usd"], ["an allow adds", "5 usd"], ["budget", "bud_1"], ["odd", "1"]]);
  assert.match(termsOf(one), /[Oo]nly an owner may allow it/);
  assert.equal(termsOf({ ...one, context: { budget: { limit: "usd", used: 1, of: 1, more: 1 } } }), "");
});

test("a form becomes a budget", () => {
  assert.deepEqual(budgetOf({ scope: "house", target: " /srv/app ", amount: "2,5", unit: "usd", period: "day" }).body, { scope: "house", unit: "usd", period: "day", amount: 2.5, target: "/srv/app" });
  assert.equal(budgetOf({ scope: "village", target: "x", amount: "3", unit: "sessions", period: "day" }).body.target, undefined);
  for (const [amount, unit] of [["", "usd"], ["-1", "usd"], ["1.5", "tokens"]]) assert.ok(budgetOf({ scope: "village", amount, unit, period: "day" }).wrong);
});
