// Budgets that sessions share, in words. Pure.

import { count, money } from "./format.js";

export const SCOPES = [["village", "all sessions together"], ["person", "who started them"], ["house", "a house"], ["agent", "an agent"], ["session", "a session"]];
export const UNITS = [["usd", "US dollars"], ["tokens", "tokens"], ["minutes", "minutes"], ["sessions", "sessions"]];
export const PERIODS = [["day", "a day (UTC)"], ["total", "in all"]];

/** 1.5, "usd" → "$1.50"; 120_000, "tokens" → "120 k tokens". */
export function amountOf(value, unit) {
  if (unit === "usd") return money(value);
  return `${unit === "tokens" ? count(value) : Number(value.toFixed(1))} ${unit}`;
}

/** Whose budget an account is: "all sessions, this day", "ada, in all". */
export function whose(budget, account) {
  const names = { village: "all sessions", session: `session ${account.name.slice(0, 8)}` };
  return `${names[budget.scope] ?? account.name}, ${budget.period === "day" ? "this day" : "in all"}`;
}

/** "15:40 UTC", with the day where it is another one. */
export function timeOf(at, now) {
  const text = new Date(at).toISOString();
  return `${text.slice(0, 10) === new Date(now).toISOString().slice(0, 10) ? "" : `${text.slice(0, 10)} `}${text.slice(11, 16)} UTC`;
}

/** What is used of it, how fast, and what is not known. */
export function wordsOf(budget, account, now) {
  const parts = [`${amountOf(account.used, budget.unit)} of ${amountOf(account.of, budget.unit)}`];
  if (account.raised > 0) parts.push(`${amountOf(account.raised, budget.unit)} of that added`);
  if (account.unknownSessions) parts.push(`what ${account.unknownSessions} session${account.unknownSessions > 1 ? "s" : ""} without a price cost is not known`);
  if (account.state === "used_up") parts.push("used up");
  else if (account.overAt) parts.push(`at this pace over by ${timeOf(account.overAt, now)}`);
  return parts.join(" · ");
}

export const toneOf = ({ state, overAt }) => (state === "used_up" ? "fail" : state === "warned" || overAt ? "wait" : "quiet");

/** The accounts that a session spends of: [{budget, account}]. */
export function ofSession(budgets, { sessionId, agentId, agentName, repoPath, startedBy }) {
  const mine = { village: () => true, session: (one) => one === sessionId, agent: (one) => one === agentId || one === agentName, house: (one) => one === repoPath, person: (one) => one === startedBy };
  return budgets.flatMap((budget) => budget.accounts.filter((account) => mine[budget.scope](account.subject)).map((account) => ({ budget, account })));
}

/** A form's fields → {body} or {wrong}. */
export function budgetOf({ scope, target, amount, unit, period }) {
  const value = Number(String(amount).replace(",", "."));
  if (!(value > 0)) return { wrong: "Say how much: a number above 0." };
  if ((unit === "tokens" || unit === "sessions") && !Number.isInteger(value)) return { wrong: `${unit} are whole numbers.` };
  const whom = scope === "village" ? "" : String(target ?? "").trim();
  return { body: { scope, unit, period, amount: value, ...(whom ? { target: whom } : {}) } };
}
