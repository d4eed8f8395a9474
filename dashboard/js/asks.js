// What an approval asks, as a person reads it: a title, the thing itself, its options, and whether all of it is here. Pure.

/** Bytes at which runners cut a diff; one of that size may have had a rest. */
const CUT_BYTES = 32 * 1024;
/** Lines that are shown at once. What is behind them is read before Allow is offered. */
export const LINES_AT_ONCE = 400;

const TITLES = {
  shell: "asks to run a command",
  network: "asks to reach the network",
  deps_add: "asks to add a dependency",
  secrets: "asks to use a secret",
  deploy: "asks to deploy",
  merge: "asks to merge",
  question: "asks a question",
  plan: "has a plan and asks to go on",
  budget: "asks to spend more",
};
const RUNS = new Set(["shell", "network", "deps_add", "deploy", "merge", "secrets"]);
/** Parts of the context that are shown in their own form, and so not again as facts. */
const SHOWN_APART = new Set(["input", "diff", "options", "suggestions", "questions", "toolUseId", "askedBy", "fromAfar"]);
const INPUT_APART = new Set(["command", "plan", "questions", "file_path"]);
/** Of an edit: the diff says it. */
const IN_DIFF = new Set(["old_string", "new_string", "content", "edits"]);

/** An ApprovalRequest → {kind, title, verb, refuse, command, summary, diff, plan, questions, always, facts, cut, lines, allow, why, note}: lines of the diff or the plan; what can be answered from here. */
export function askOf(one) {
  const context = objectOf(one.context);
  const input = objectOf(context.input);
  const kind = kindOf(one, context);
  const command = kind === "command" ? commandOf(one, context, input) : "";
  const diff = typeof context.diff === "string" && context.diff ? context.diff : "";
  const plan = kind === "plan" && typeof input.plan === "string" ? input.plan : "";
  return {
    kind,
    title: titleOf(one, context, input),
    verb: { question: "Answer", plan: "Go on" }[kind] ?? "Allow",
    refuse: { question: "Don't answer", plan: "Not like this" }[kind] ?? "Deny",
    command,
    summary: kind === "question" || byPerson(context) || command.includes(one.summary) || one.summary.includes(command) && command ? "" : one.summary,
    diff,
    plan,
    questions: kind === "question" ? questionsOf(one, context) : [],
    ...fromAfar(context),
    always: kind === "question" || fromAfar(context).allow === "no" ? [] : listOf(context.options).filter((option) => String(option?.kind ?? "").endsWith("_always") && !String(option.kind).startsWith("reject")),
    facts: one.category === "budget" ? budgetFacts(context) : factsOf(context, input, diff !== "", kind === "question"),
    cut: isCut(one, context),
    leftOut: one.leftOut === true,
    byPerson: byPerson(context),
    lines: diff ? diffLines(diff) : plan ? plan.split("\n").map((text) => ({ kind: "same", text })) : [],
  };
}

/** What can be answered from here: allow: "plain", "option" (by one of the agent's own only) or "no"; why; note: with which decisions the agent is told it. */
function fromAfar(context) {
  const { allow, note, why } = objectOf(context.fromAfar);
  return {
    allow: allow === "option" || allow === "no" ? allow : "plain",
    note: note === "deny" || note === "no" ? note : "any",
    why: typeof why === "string" ? why : "",
  };
}

const objectOf = (value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? value : {});
const listOf = (value) => (Array.isArray(value) ? value : []);

function kindOf(one, context) {
  if (one.category === "question" || one.category === "plan") return one.category;
  if (context.diff || one.category === "edit") return "edit";
  return RUNS.has(one.category) ? "command" : "other";
}

/** What a person does by hand with a session's changes, where a rule asks first. */
const byPerson = (context) => context.tool === "person" && typeof context.askedBy === "string";

function titleOf(one, context, input) {
  if (byPerson(context)) return `${context.askedBy} wants to ${one.summary}`;
  if (one.category === "edit") return input.file_path ? `asks to edit ${input.file_path}` : "asks to edit files";
  return TITLES[one.category] ?? "asks for a permission";
}

function commandOf(one, context, input) {
  const given = input.command ?? context.command;
  if (typeof given === "string") return given;
  if (Array.isArray(given)) return given.join(" ");
  return one.summary;
}

/** [{key, text, several, options: [{value, label, description}]}]; `byOption`: the answer is one of the options; `byId`: it is given by its id. */
function questionsOf(one, context) {
  const asked = listOf(context.questions).map(objectOf);
  if (asked.length) {
    return asked.map((question) => ({
      key: String(question.question ?? question.id ?? ""),
      text: String(question.question ?? ""),
      several: Boolean(question.multiSelect),
      byOption: question.freeText === false,
      options: listOf(question.options).map(objectOf).map((option) => ({ value: String(option.label ?? ""), label: String(option.label ?? ""), description: option.description })),
    }));
  }
  const options = listOf(context.options).map(objectOf).map((option) => ({ value: String(option.id), label: String(option.label ?? option.id), description: option.description }));
  return [{ key: one.summary, text: one.summary, several: false, byOption: options.length > 0, byId: options.length > 0, options }];
}

/** What a form says → the body of a decision, or null while a question has no answer. given: key → {chosen: [values], own: text}. */
export function answersOf(questions, given) {
  const answers = {};
  for (const { key, several } of questions) {
    const { chosen = [], own = "" } = given[key] ?? {};
    const all = [...chosen, ...(own.trim() ? [own.trim()] : [])];
    if (all.length === 0) return null;
    answers[key] = several ? all : all.at(-1);
  }
  const [only] = questions;
  if (questions.length === 1 && only.byId && !given[only.key]?.own?.trim()) return { optionId: answers[only.key] };
  return { answers };
}

/** What a question for more of a budget is about; what is unexpected in it is shown as it is. */
function budgetFacts(context) {
  const { limit, used, of, more, budgetId, ...rest } = objectOf(context.budget);
  const facts = [["used", `${textOf(used)} of ${textOf(of)} ${textOf(limit)}`], ["an allow adds", `${textOf(more)} ${textOf(limit)}`], ["budget", budgetId === undefined ? "the session's own" : textOf(budgetId)]];
  const others = Object.fromEntries(Object.entries(context).filter(([name]) => name !== "budget"));
  return [...(limit === undefined ? [] : facts), ...Object.entries(rest).map(([name, value]) => [name, textOf(value)]), ...factsOf(others, {}, false, false)];
}

function factsOf(context, input, hasDiff, isQuestion) {
  const facts = [];
  for (const [name, value] of Object.entries(context)) if (!SHOWN_APART.has(name) && !(name === "tool" && byPerson(context))) facts.push([name, textOf(value)]);
  if (isQuestion) return facts;
  for (const [name, value] of Object.entries(input)) {
    if (!INPUT_APART.has(name) && !(hasDiff && IN_DIFF.has(name))) facts.push([name, textOf(value)]);
  }
  return facts;
}

const textOf = (value) => (typeof value === "string" ? value : Array.isArray(value) && value.every((each) => typeof each === "string") ? value.join(", ") : JSON.stringify(value, null, 1));

/** Whether something of what is asked is not here: then it can only be denied. */
function isCut(one, context) {
  const parts = [one.context, context.input, context.suggestions, context.questions];
  if (one.truncated || one.leftOut || parts.some((part) => objectOf(part).cut || objectOf(part).truncated)) return true;
  return typeof context.diff === "string" && context.diff.length >= CUT_BYTES;
}

/** A command → [{op, text}]: each part after && || | ; begins a line. What stands in quotes is not cut. */
export function partsOf(command) {
  const parts = [];
  let quote = "";
  let op = "";
  let from = 0;
  const push = (to) => {
    const text = command.slice(from, to).replace(/^ +/, "");
    if (text.trim() || op) parts.push({ op, text });
  };
  for (let i = 0; i < command.length; i++) {
    const char = command[i];
    if (char === "\\" && quote !== "'") i++;
    else if (quote) quote = char === quote ? "" : quote;
    else if (char === "'" || char === '"' || char === "`") quote = char;
    else {
      const found = ["&&", "||", "|", ";"].find((one) => command.startsWith(one, i) && !(one === "|" && command[i - 1] === ">"));
      if (!found) continue;
      push(i);
      op = found;
      i += found.length - 1;
      from = i + 1;
    }
  }
  push(command.length);
  return parts;
}

/** Lines of a diff → [{kind: add | del | hunk | file | same, text}]. */
export function diffLines(diff) {
  return diff.replace(/\n$/, "").split("\n").map((text) => ({ kind: kindOfLine(text), text }));
}

function kindOfLine(text) {
  if (/^(---|\+\+\+|diff |index )/.test(text)) return "file";
  if (text.startsWith("@@")) return "hunk";
  return { "+": "add", "-": "del" }[text[0]] ?? "same";
}

/** How an allow stands that the service holds: ms until its agent gets it, or undefined. */
export const heldFor = (one, now) => (one.decision === "allow" && one.releaseAt > now ? one.releaseAt - now : undefined);

/** Who may allow it, in words, or "" where anyone may who decides: a rule's terms, and how far the allow is. */
export function termsOf(one) {
  const shared = one.category === "budget" && one.context?.budget?.budgetId; // more of it is an owner's to give
  const terms = one.answer ?? one.context?.rule?.answer ?? (shared ? { role: "owner" } : undefined);
  if (!terms) return "";
  const needed = terms.needed ?? terms.people ?? 1;
  const by = terms.allowedBy ?? [];
  const parts = [];
  if (needed > 1) parts.push(`${needed} people have to allow this: ${by.length} of ${needed} so far${by.length ? `, by ${by.join(", ")}` : ""}`);
  if (terms.role === "owner") parts.push("only an owner may allow it");
  if (terms.human) parts.push("only a person who has signed in may allow it");
  if (terms.notStarter) parts.push("the allow of the person who started the session does not count");
  return parts.length ? `${parts.join("; ")}.`.replace(/^./, (first) => first.toUpperCase()) : "";
}

/** A rule, in the words in which people write one: "allow: npm test, in /src/app". */
export function ruleText(rule) {
  const about = rule.command ?? rule.path ?? rule.host ?? rule.category ?? "everything";
  return `${rule.effect}: ${about}${rule.house ? `, in ${rule.house}` : ""}`;
}
