// Start work: what, where, who, by which rules; beside it, in words, what will happen.

import * as api from "../api.js";
import { html, useEffect, useState } from "../html.js";
import { toAgent } from "../routes.js";
import { choicesOf, noRunner, orderOf, providerName, repoText } from "../starting.js";
import * as store from "../store.js";
import { templates } from "../templates.js";
import { Command, Panel } from "./bits.js";
import { Earlier } from "./earlier.js";
import { Empty } from "./empty.js";
import { KeepTemplate, Templates } from "./templates.js";

const GUARDED = [["merge", "commit, push, merge"], ["deps_add", "add dependencies"], ["secrets", "read secrets"], ["deploy", "deploy"]];
/** While the form is open, which runners there are is asked again. */
const AGAIN_MS = 4000;
const BLANK = { goal: "", provider: "", command: "", repo: "", tree: "asis", branch: "", runnerId: "", name: "", model: "", resumeOf: "", conversation: "", asks: GUARDED.map(([id]) => id), network: "restricted", budget: "", budgetUnit: "usd" };

export function StartPage() {
  const { query } = store.route.value;
  const [runners, setRunners] = useState(null);
  const [form, setForm] = useState(BLANK);
  const [wrong, setWrong] = useState(null);
  const [busy, setBusy] = useState(false);
  const villageId = store.villageId.value;
  useEffect(() => {
    if (!villageId) return undefined;
    const look = () => api.runners({ villageId }).then(setRunners, (error) => setWrong((known) => known ?? { text: error.message }));
    look();
    const timer = setInterval(() => document.hidden || look(), AGAIN_MS); // a runner that comes meanwhile can be chosen
    return () => clearInterval(timer);
  }, [villageId]);
  useEffect(() => void filled(query).then((known) => setForm((form) => ({ ...form, ...known })), (error) => setWrong({ text: `That session cannot be repeated: ${error.message}` })), [query.like, query.house, query.template, store.loaded.value]);
  if (!store.canDrive.value) return html`<${Empty} whole title="Only who may drive this village can start work." />`;
  const choices = choicesOf(runners ?? [], form.runnerId);
  const provider = form.provider || choices.find((one) => one.obstacle === "")?.provider || "";
  const whole = { ...form, provider, villageId };
  const set = (change) => (setForm({ ...form, ...change }), setWrong(null));
  const field = (name) => ({ value: form[name], onInput: (event) => set({ [name]: event.currentTarget.value }), "aria-invalid": wrong?.field === name ? "true" : undefined });
  const submit = async (event) => {
    event.preventDefault();
    const order = orderOf(whole);
    if (order.wrong) return setWrong(order.wrong);
    setBusy(true);
    try {
      const { agentId } = await api.start(order.body);
      location.hash = toAgent(agentId);
    } catch (error) {
      setWrong({ text: error.message });
      setBusy(false);
    }
  };
  const nothing = runners && noRunner(runners);
  const own = provider === "command" || provider === "acp";
  return html`<form class="start" onSubmit=${submit} data-testid="start">
    <h1>${form.resumeOf || form.conversation ? "Go on where it ended" : query.like ? "Start work like before" : "Start work"}</h1>
    <div class="start-form">
      <${Templates} chosen=${query.template} />
      <${Panel} name="who" title="Who"><div class="start-body">
        ${choices.length ? null : html`<p class="soft" role="status">${runners === null ? "Looking which agents there are …" : "No agent can be started now."}</p>`}
        <div class="choices" role="radiogroup" aria-label="Who">${choices.map((one) => html`<label class=${`option ${one.obstacle ? "is-off" : ""}`}><input type="radio" name="provider" value=${one.provider} checked=${provider === one.provider} disabled=${one.obstacle !== ""} onChange=${() => set({ provider: one.provider, conversation: "" })} /><span>${one.name} <span class="faint">${one.versions.join(", ")}</span></span>${one.obstacle || one.signedOut ? html`<small>${one.obstacle || "not signed in on its machine"}</small>` : null}</label>`)}</div>
        ${own ? html`<label class="field"><span>Command</span><input class="input mono" data-testid="command" spellcheck="false" ...${field("command")} /></label>` : null}
      </div><//>
      ${form.resumeOf ? null : html`<${Earlier} form=${form} runners=${runners ?? []} villageId=${villageId} set=${set} />`}
      <${Panel} name="what" title="What"><div class="start-body">
        <label class="field"><span>${own ? "What it is about (optional)" : "What is to be done"}</span><textarea class="input" rows="5" maxlength="4000" data-testid="goal" ...${field("goal")}></textarea></label>
        <div class="field-pair"><label class="field"><span>Name (optional)</span><input class="input" maxlength="200" ...${field("name")} /></label>
        ${provider === "command" ? null : html`<label class="field"><span>Model (optional)</span><input class="input mono" maxlength="200" spellcheck="false" ...${field("model")} /></label>`}</div>
      </div><//>
      ${form.resumeOf || form.conversation ? null : html`<${Panel} name="where" title="Where"><div class="start-body">
        <label class="field"><span>Runner</span><select class="input" value=${form.runnerId} onChange=${(event) => set({ runnerId: event.currentTarget.value, provider: "" })}><option value="">the one with most room</option>${(runners ?? []).map((one) => html`<option value=${one.runnerId}>${one.name}: ${one.status}${one.connected ? `, ${one.activeSessions} of ${one.capabilities.maxConcurrentSessions} sessions` : ""}</option>`)}</select></label>
        <label class="field"><span>Repository</span><input class="input mono" list="repos" data-testid="repo" spellcheck="false" placeholder="/path/on/its/machine or github:owner/name" ...${field("repo")} /><datalist id="repos">${store.streetHouses.value.map((house) => html`<option value=${house.repoPath}>${house.name}</option>`)}</datalist></label>
        <div class="choices" role="radiogroup" aria-label="Working tree">${TREES.map(([id, label]) => html`<label class="option"><input type="radio" name="tree" value=${id} checked=${form.tree === id} onChange=${() => set({ tree: id })} /><span>${label}</span></label>`)}</div>
        ${form.tree === "asis" ? null : html`<label class="field"><span>Branch</span><input class="input mono" maxlength="200" spellcheck="false" data-testid="branch" ...${field("branch")} /></label>`}
      </div><//>`}
      <${Panel} name="rules" title="Rules"><div class="start-body">
        <fieldset class="checks"><legend class="legend">It asks before it may</legend>${GUARDED.map(([id, label]) => html`<label class="check"><input type="checkbox" checked=${form.asks.includes(id)} onChange=${() => set({ asks: form.asks.includes(id) ? form.asks.filter((one) => one !== id) : [...form.asks, id] })} />${label}</label>`)}</fieldset>
        <label class="check"><input type="checkbox" checked=${form.network === "open"} onChange=${(event) => set({ network: event.currentTarget.checked ? "open" : "restricted" })} />it may use the network freely</label>
        <label class="field"><span>Budget (optional)</span><span class="field-row"><input class="input num" inputmode="decimal" data-testid="budget" ...${field("budget")} /><select class="input" aria-label="What the budget counts" data-testid="budget-unit" value=${form.budgetUnit} onChange=${(event) => set({ budgetUnit: event.currentTarget.value })}><option value="usd">US dollars</option><option value="tokens">tokens</option><option value="minutes">minutes</option></select></span><small>Used up, it is paused and asks: as much again, or stop.</small></label>
      </div><//>
    </div>
    <div class="start-side">
      <${Panel} name="then" title="What will happen"><div class="start-body"><p data-testid="then">${inWords(whole, runners ?? [])}</p>
        ${nothing ? html`<p class="ask-why">${nothing.text}</p><p><${Command} text=${nothing.command} /></p>` : null}
        ${wrong ? html`<p class="failure" role="alert" data-testid="wrong">${wrong.text}</p>` : null}
        <button type="submit" class="button primary" data-testid="go" disabled=${busy || runners === null || store.stale.value}>${busy ? "Starting …" : "Start"}</button>
        <${KeepTemplate} form=${whole} chosen=${query.template} /></div><//>
    </div></form>`;
}

const TREES = [["asis", "the tree as it is"], ["branch", "a branch, in that tree"], ["new", "a new branch, in a tree of its own"]];

function inWords(form, runners) {
  const runner = runners.find((one) => one.runnerId === form.runnerId)?.name ?? "the runner with most room";
  const tree = { asis: "in the tree as it is", branch: `on branch ${form.branch || "…"}, checked out in that tree`, new: `on the new branch ${form.branch || "…"}, in a tree of its own` }[form.tree];
  const asks = GUARDED.filter(([id]) => form.asks.includes(id)).map(([, label]) => label);
  if (!form.provider) return "Nothing yet: no agent is chosen.";
  return `${providerName(form.provider)} ${form.conversation ? "goes on with an earlier conversation" : "starts"} on ${runner} in ${form.repo || "…"}, ${tree}. ${asks.length ? `It asks before it may ${asks.join("; ")}.` : "It asks for nothing of that."} Network: ${form.network === "open" ? "free" : "restricted"}.${form.budget.trim() ? ` Budget: ${form.budget.trim()} ${form.budgetUnit === "usd" ? "US dollars" : form.budgetUnit}.` : ""}`;
}

/** Of an order's budget the field and its unit: the form has one, and money is asked for first. */
function budgetText(budget) {
  const unit = ["usd", "tokens", "minutes"].find((one) => budget?.[one]);
  return unit ? { budget: String(budget[unit]), budgetUnit: unit } : {};
}

/** What is known before anybody types: of a house, of a template, or of the session that is to be repeated. */
async function filled({ like, house, resume, template }) {
  if (like) {
    const order = await api.order(like);
    const own = order.providerId === "command" ? (order.command ?? []).slice(order.command?.[0] === "sh" && order.command?.[1] === "-c" ? 2 : 0).join(" ") : (order.command ?? []).join(" ");
    return {
      provider: order.providerId, repo: repoText(order.repoRef), goal: order.task.goal, command: own, name: order.agentName ?? "",
      asks: order.policy.requiresApprovalFor, network: order.policy.networkMode, runnerId: order.runnerId ?? "",
      ...budgetText(order.budget), model: order.model ?? "", resumeOf: resume ? like : "",
      tree: order.worktree ? "new" : order.checkout?.type === "branch" ? "branch" : "asis",
      branch: order.worktree ? `${order.worktree.branch}${resume ? "" : "-2"}` : (order.checkout?.ref ?? ""),
    };
  }
  if (template) return templates().find((one) => one.name === template)?.form ?? {};
  const found = house && store.houses.peek()[house];
  return found ? { repo: found.repoPath } : {};
}
