// Budgets of the village: what is used of each, and, for owners, to set, raise and remove them.

import * as api from "../api.js";
import { PERIODS, SCOPES, UNITS, amountOf, budgetOf, ofSession, toneOf, whose, wordsOf } from "../budgets.js";
import { html, useEffect, useState } from "../html.js";
import * as store from "../store.js";
import { Glyph, Panel } from "./bits.js";

const AGAIN_MS = 5000;

/** The village's budgets, read again every few seconds while they are looked at: {budgets, failure, load}. */
function useBudgets(villageId) {
  const [found, setFound] = useState({ budgets: null, failure: "" });
  const load = () => api.budgets(villageId).then((budgets) => setFound({ budgets, failure: "" }), (error) => setFound((known) => ({ ...known, failure: error.message })));
  useEffect(() => {
    if (!villageId) return undefined;
    load();
    const timer = setInterval(load, AGAIN_MS);
    return () => clearInterval(timer);
  }, [villageId]);
  return { ...found, load };
}

/** Nothing where the village has no budgets and one may not set any. */
export function Budgets() {
  const villageId = store.villageId.value;
  const { budgets, failure, load } = useBudgets(villageId);
  const owner = store.canManage.value;
  if (budgets === null && !failure) return null;
  if (!owner && !failure && budgets.length === 0) return null;
  return html`<${Panel} name="budgets" title="Budgets" data-testid="budgets">
    ${failure ? html`<p class="failure budget-note" role="alert">Budgets could not be read: ${failure}</p>` : null}
    ${budgets?.length ? html`<ul class="budgets">${budgets.map((one) => html`<${Budget} key=${one.budgetId} budget=${one} owner=${owner} load=${load} />`)}</ul>` : html`<p class="soft budget-note">None: sessions use what they use.</p>`}
    ${owner ? html`<details class="fold budget-new" data-testid="new-budget"><summary>Set a budget</summary><${NewBudget} villageId=${villageId} load=${load} /></details>` : null}
  <//>`;
}

function Budget({ budget, owner, load }) {
  const [failure, setFailure] = useState("");
  const attempt = (work) => work.then(() => (setFailure(""), load()), (error) => setFailure(error.message));
  const at = [store.villageId.value, budget.budgetId];
  const each = budget.scope !== "village" && !budget.target;
  const accounts = budget.accounts.length ? budget.accounts : [{ subject: "", name: each ? `each ${budget.scope}` : budget.target, used: 0, of: budget.amount, raised: 0, state: "ok" }];
  return html`<li>
    ${accounts.map((account) => html`<div class="budget" key=${account.subject} data-testid="budget">
      <p class="budget-head"><${Glyph} tone=${toneOf(account)} /><strong class="clip">${whose(budget, account)}</strong>
        ${owner && account.period ? html`<button type="button" class="button" aria-label=${`Add ${amountOf(budget.amount, budget.unit)} to the budget of ${whose(budget, account)}`} data-testid="raise" onClick=${() => attempt(api.raiseBudget(...at, { amount: budget.amount, ...(each ? { subject: account.subject } : {}) }))}>+ ${amountOf(budget.amount, budget.unit)}</button>` : null}</p>
      <meter min="0" max=${account.of} value=${Math.min(account.used, account.of)} high=${account.of * 0.8} optimum="0" aria-label=${`used of the budget of ${whose(budget, account)}`}></meter>
      <p class="soft num">${wordsOf(budget, account, store.now.value)}</p></div>`)}
    ${budget.moreAccounts ? html`<p class="faint budget-note">Those who used most; there are more.</p>` : null}
    ${owner ? html`<${Remove} remove=${() => attempt(api.dropBudget(...at))} />` : null}
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}</li>`;
}

function Remove({ remove }) {
  const [sure, setSure] = useState(false);
  const press = () => {
    if (sure) remove();
    setSure(!sure);
    if (!sure) setTimeout(() => setSure(false), 4000);
  };
  return html`<button type="button" class="link-button" data-testid="drop-budget" onClick=${press}>${sure ? "Really remove it" : "Remove"}</button>`;
}

const BLANK = { scope: "village", target: "", amount: "", unit: "usd", period: "day" };

function NewBudget({ villageId, load }) {
  const [form, setForm] = useState(BLANK);
  const [failure, setFailure] = useState("");
  const field = (name) => ({ value: form[name], onInput: (event) => setForm({ ...form, [name]: event.currentTarget.value }) });
  const choice = (name, label, options) => html`<label class="field"><span>${label}</span><select class="input" data-testid=${`budget-${name}`} ...${field(name)}>${options.map(([id, text]) => html`<option value=${id}>${text}</option>`)}</select></label>`;
  const submit = (event) => {
    event.preventDefault();
    const { body, wrong } = budgetOf(form);
    if (wrong) return setFailure(wrong);
    api.makeBudget(villageId, body).then(() => (setForm(BLANK), setFailure(""), load()), (error) => setFailure(error.message));
    return undefined;
  };
  return html`<form class="budget-form" onSubmit=${submit}>
    ${choice("scope", "Of", SCOPES)}
    ${form.scope === "village" ? null : html`<label class="field"><span>Which (empty: each one for itself)</span><input class="input mono" spellcheck="false" maxlength="1000" ...${field("target")} /></label>`}
    <label class="field"><span>How much</span><input class="input num" inputmode="decimal" data-testid="budget-amount" ...${field("amount")} /></label>
    ${choice("unit", "What is counted", UNITS)}
    ${choice("period", "For", PERIODS)}
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
    <button type="submit" class="button primary" data-testid="set-budget">Set it</button></form>`;
}

/** Of one session: the budgets that it spends of, where its cost over time is. */
export function BudgetsOf({ agent }) {
  const { budgets } = useBudgets(agent.villageId);
  const mine = ofSession(budgets ?? [], agent);
  if (mine.length === 0) return null;
  return html`<ul class="budgets" data-testid="budgets-of">${mine.map(({ budget, account }) => html`<li key=${budget.budgetId} class="budget"><p class="budget-head"><${Glyph} tone=${toneOf(account)} /><span>${whose(budget, account)}</span></p><p class="soft num">${wordsOf(budget, account, store.now.value)}</p></li>`)}</ul>`;
}
