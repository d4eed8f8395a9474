// The faults as buttons, with what must hold ticking beside them. Only for administrators of a service that was started for it.

import { html, signal, useEffect, useState } from "../html.js";
import * as api from "../api.js";
import { since } from "../format.js";
import { groupsOf, ms, outcome, vitalRows, whyNot } from "../vitals.js";

const EVERY_MS = 1000;
const SURE_MS = 4000;

/** The latest answer of GET /api/chaos; undefined until there is one. */
export const chaos = signal(undefined);
const before = signal(undefined);
const told = signal(undefined); // {text, failed}: what became of the latest fault
const busy = signal("");
const seconds = signal(5);

/** Asks while somebody looks, one question at a time. */
function useChaos() {
  useEffect(() => {
    let timer, over;
    const ask = async () => {
      const answer = document.hidden ? undefined : await api.chaos().catch(() => undefined); // the tree says that it is away
      if (over) return;
      if (answer) {
        if (chaos.peek()) before.value = { vitals: chaos.peek().vitals, at: chaos.peek().at };
        chaos.value = { ...answer, at: performance.now() };
      }
      timer = setTimeout(ask, EVERY_MS);
    };
    ask();
    return () => ((over = true), clearTimeout(timer));
  }, []);
}

async function pull(fault, target) {
  busy.value = fault.name;
  told.value = { text: `${fault.name} …` };
  try {
    told.value = { text: outcome(await api.fault({ fault: fault.name, ...(target ? { target } : {}), ...(fault.lasts ? { seconds: seconds.peek() } : {}) })) };
  } catch (error) {
    told.value = { text: `${fault.name}: ${error.message}`, failed: true };
  }
  busy.value = "";
}

/** A fault. What everybody would feel is asked for twice. */
export function FaultButton({ fault, target, refused }) {
  const [sure, setSure] = useState(false);
  useEffect(() => {
    if (!sure) return undefined;
    const timer = setTimeout(() => setSure(false), SURE_MS);
    return () => clearTimeout(timer);
  }, [sure]);
  const press = () => {
    if (fault.felt && !sure) return setSure(true);
    setSure(false);
    return pull(fault, target);
  };
  return html`<button type="button" class=${`button fault ${sure ? "danger" : ""}`} title=${refused || fault.says} disabled=${Boolean(refused) || busy.value !== ""} data-fault=${fault.name} onClick=${press}>
    ${sure ? `Really ${fault.name}` : fault.name}</button>`;
}

export function Told() {
  return html`<p class=${`told ${told.value?.failed ? "failure" : ""}`} role="status" data-testid="told">${told.value?.text ?? ""}</p>`;
}

export function Seconds() {
  return html`<label class="seconds">what lasts, lasts <select value=${seconds.value} onChange=${(event) => (seconds.value = Number(event.currentTarget.value))}>
    ${[1, 5, 15, 60].map((n) => html`<option value=${n}>${n} s</option>`)}</select></label>`;
}

export function ChaosPanel() {
  useChaos();
  const [wide] = useState(() => matchMedia("(min-width: 901px)").matches);
  const now = chaos.value;
  if (!now) return html`<section class="chaos"><p class="nothing">Asking what can be broken …</p></section>`;
  return html`<details class="chaos" open=${wide} data-testid="chaos">
    <summary><h2>Pull a plug</h2><${Verdict} chaos=${now} /></summary>
    <${Told} />
    <ul class="invariants" data-testid="invariants">${now.invariants.map((one) => html`<${Invariant} key=${one.name} one=${one} />`)}</ul>
    <${Vitals} now=${now} />
    <${Seconds} />
    ${groupsOf(now).map((group) => html`<${Group} key=${group.aims} group=${group} now=${now} />`)}
  </details>`;
}

/** All of it in two words, also while the panel is closed. */
function Verdict({ chaos: now }) {
  const broken = now.invariants.filter((one) => !one.holds).length;
  const unready = now.vitals.reasonsNotReady.length > 0;
  const text = broken ? `${broken} broken` : unready ? "not ready" : "all holds";
  return html`<span class=${`verdict ${broken || unready ? "minus" : "plus"}`} data-testid="verdict">${text}</span>`;
}

function Invariant({ one }) {
  return html`<li class=${one.holds ? "" : "minus"}><span class=${one.holds ? "plus" : "minus"} aria-hidden="true">${one.holds ? "✓" : "✗"}</span>
    <span>${one.name}<span class="sr-only">${one.holds ? ": holds" : ": does not hold"}</span> <span class="faint num">${one.detail}</span></span></li>`;
}

function Vitals({ now }) {
  const last = now.vitals.lastRecovery;
  const rows = vitalRows(now.vitals, before.value?.vitals, before.value ? (now.at - before.value.at) / 1000 : 0);
  return html`<dl class="facts vitals" data-testid="vitals">
    ${rows.map((row) => html`<dt>${row.name}</dt><dd class=${`num ${{ fail: "minus", wait: "restarted", good: "plus" }[row.tone] ?? ""}`}>${row.value}</dd>`)}
    <dt>last recovery</dt><dd class="num">${last ? `${ms(last.backMs)}, ${last.target}, ${since(Date.now() - last.at)}` : "–"}</dd>
  </dl>`;
}

function Group({ group, now }) {
  const [target, setTarget] = useState("");
  const aimed = group.targets.includes(target) ? target : "";
  return html`<fieldset class="faults"><legend>${group.title}</legend>
    ${group.targets.length ? html`<select aria-label=${group.title} value=${aimed} onChange=${(event) => setTarget(event.currentTarget.value)}>
      <option value="">one by chance</option>${group.targets.map((one) => html`<option value=${one}>${one}</option>`)}</select>` : null}
    <div class="fault-row">${group.faults.map((fault) => html`<${FaultButton} key=${fault.name} fault=${fault} target=${aimed} refused=${whyNot(now, fault, group)} />`)}</div>
  </fieldset>`;
}
