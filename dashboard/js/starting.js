// Starting work: what a form says → the body of POST /api/runner/sessions. Pure.

const FORGE = /^(github|gitlab|bitbucket):([^/\s]+)\/(\S+)$/;
const TITLE = 200;

/** "github:owner/name" or a path → a RepoRef, or null for what is neither. */
export function repoRefOf(text) {
  const found = FORGE.exec(text.trim());
  if (found) return { provider: found[1], owner: found[2], name: found[3].replace(/\.git$/, "") };
  const path = text.trim();
  return path.startsWith("/") ? { provider: "local", path } : null;
}

/** A session's repository → what stands in the field for it. */
export const repoText = (ref) => (ref.provider === "local" ? ref.path : `${ref.provider}:${ref.owner}/${ref.name}`);

/** The first line, as a title. */
export function titleOf(goal) {
  const line = goal.trim().split("\n")[0].trim();
  return line.length > TITLE ? `${line.slice(0, TITLE - 1)}…` : line;
}

const LIMITS = { usd: "US dollars", tokens: "tokens", minutes: "minutes" };

/** "5", "usd" → {budget: {usd: 5}}; "" → {}; what is no number above 0 → {wrong}. */
function budgetOf({ budget = "", budgetUnit = "usd" }) {
  if (!budget.trim()) return {};
  const value = Number(budget.trim().replace(",", "."));
  if (!(value > 0)) return { wrong: `A budget is a number of ${LIMITS[budgetUnit]} above 0, or empty for none.` };
  if (budgetUnit === "tokens" && !Number.isInteger(value)) return { wrong: "Tokens are whole numbers." };
  return { budget: { [budgetUnit]: value } };
}

/**
 * form: {villageId, goal, provider, command, repo, tree: asis | branch | new, branch, runnerId, name, model, resumeOf, conversation, asks: [guarded], network, budget, budgetUnit}
 * → {body} or {wrong: {field, text}}.
 */
export function orderOf(form) {
  const wrong = (field, text) => ({ wrong: { field, text } });
  if (!form.provider) return wrong("provider", "Choose who is to do it.");
  const own = form.provider === "command" || form.provider === "acp";
  if (own && !form.command.trim()) return wrong("command", "Say which command it is to run.");
  if (!own && !form.goal.trim()) return wrong("goal", "Say what is to be done.");
  const repoRef = repoRefOf(form.repo);
  if (repoRef === null) return wrong("repo", "A path on the runner's machine that begins with /, or github:owner/name, gitlab:owner/name, bitbucket:owner/name.");
  if (form.tree !== "asis" && !form.branch.trim()) return wrong("branch", "Name the branch.");
  const { budget, wrong: odd } = budgetOf(form);
  if (odd) return wrong("budget", odd);
  const goal = form.goal.trim() || form.command.trim();
  const task = { title: titleOf(goal), goal };
  return {
    body: {
      villageId: form.villageId,
      providerId: form.provider,
      repoRef,
      task,
      policy: { requiresApprovalFor: form.asks, networkMode: form.network },
      ...(form.tree === "branch" ? { checkout: { type: "branch", ref: form.branch.trim() } } : {}),
      ...(form.tree === "new" ? { worktree: { branch: form.branch.trim() } } : {}),
      ...(form.model.trim() && form.provider !== "command" ? { model: form.model.trim() } : {}),
      ...(form.resumeOf ? { resumeOf: form.resumeOf } : {}),
      ...(form.conversation ? { conversation: form.conversation } : {}),
      ...(own ? { command: form.provider === "command" ? ["sh", "-c", form.command] : form.command.trim().split(/\s+/) } : {}),
      agentName: form.name.trim() || titleOf(goal),
      ...(form.runnerId ? { runnerId: form.runnerId } : {}),
      ...(budget ? { budget } : {}),
    },
  };
}

/** Of a form what is the same at every start. */
const KEPT = ["goal", "provider", "command", "repo", "tree", "branch", "runnerId", "name", "model", "asks", "network", "budget", "budgetUnit"];
const MOST_TEMPLATES = 50;

/** Templates with this one in it, by name; one of the same name is replaced. */
export function withTemplate(list, name, form) {
  const made = { name: name.trim().slice(0, 80), form: Object.fromEntries(KEPT.map((field) => [field, form[field]])) };
  return [made, ...list.filter((one) => one.name !== made.name)].slice(0, MOST_TEMPLATES).sort((a, b) => a.name.localeCompare(b.name));
}

/** What a browser kept → templates; what is none is left out. */
export function parsedTemplates(text) {
  try {
    return JSON.parse(text ?? "[]").filter((one) => typeof one?.name === "string" && one.form && typeof one.form.goal === "string" && Array.isArray(one.form.asks));
  } catch {
    return [];
  }
}

const NAMES = { claude_code: "Claude Code", codex: "Codex", gemini_cli: "Gemini CLI", opencode: "OpenCode", qwen_code: "Qwen Code", copilot: "Copilot CLI", omnara: "Omnara", acp: "an agent that speaks ACP", command: "a command line" };
export const providerName = (id) => NAMES[id] ?? id;

/** What can be started on these runners: [{provider, name, versions, signedIn, obstacle}]; obstacle: why not, "" where it can. */
export function choicesOf(runners, runnerId) {
  const asked = runners.filter((one) => !runnerId || one.runnerId === runnerId);
  const free = asked.filter((one) => one.status === "online" && one.connected);
  const found = new Map();
  for (const runner of asked) {
    const agents = runner.capabilities.agents ?? [];
    for (const provider of new Set([...(runner.capabilities.providers ?? []), ...agents.map((agent) => agent.providerId)])) {
      const agent = agents.find((one) => one.providerId === provider);
      const known = found.get(provider) ?? { provider, name: providerName(provider), versions: [], obstacle: "its runner is not online" };
      const can = free.includes(runner) && (runner.capabilities.providers ?? []).includes(provider);
      if (agent?.version && !known.versions.includes(agent.version)) known.versions.push(agent.version);
      if (can) known.obstacle = "";
      if (agent?.signedIn === false) known.signedOut = true;
      found.set(provider, known);
    }
  }
  if (!found.has("command") && free.length) found.set("command", { provider: "command", name: providerName("command"), versions: [], obstacle: "" });
  return [...found.values()].sort((a, b) => Number(a.obstacle !== "") - Number(b.obstacle !== "") || Number(a.provider === "command") - Number(b.provider === "command") || a.name.localeCompare(b.name));
}

/** The runner whose machine can be asked for conversations that agents had outside: the chosen one, or the only one; null: none. */
export function keeperOf(runners, runnerId) {
  const able = runners.filter((one) => one.connected && (one.capabilities.features ?? []).includes("conversations"));
  return runnerId ? (able.find((one) => one.runnerId === runnerId) ?? null) : able.length === 1 ? able[0] : null;
}

/** What the form becomes when a conversation is chosen, null: none; it goes on in its own directory, as that is. */
export function goingOn(one, runnerId) {
  return one === null ? { conversation: "" } : { conversation: one.conversation, provider: one.providerId, repo: one.path, runnerId, tree: "asis", branch: "", command: "" };
}

/** Why nothing can be started at all, and the command that changes it: {text, command}; or null. */
export function noRunner(runners) {
  if (runners.length === 0) return { text: "No runner serves this village. This makes a code that takes one in:", command: "townwatch runner code" };
  if (runners.some((one) => one.status === "online" && one.connected)) return null;
  return { text: `No runner is online: ${runners.map((one) => `${one.name} is ${one.status}`).join(", ")}. This starts it, on its machine:`, command: "townwatch runner" };
}
