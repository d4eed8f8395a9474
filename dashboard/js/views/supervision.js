// The supervision tree, live: who keeps whom alive, how full the mailboxes are, who was restarted and why.

import { html, signal, useEffect, useRef, useState } from "../html.js";
import * as api from "../api.js";
import { age, since as ago } from "../format.js";
import * as store from "../store.js";
import { findNode, hasTrouble, isRunning, normalise, rowsOf, STRATEGY, totals, withRates } from "../tree.js";
import { Gauge } from "./bits.js";
import { ChaosPanel } from "./chaos.js";
import { Empty } from "./empty.js";
import { Drawer } from "./node_drawer.js";

const EVERY_MS = 1000;
const REPLICAS_EVERY = 3; // of those

const tree = signal(undefined);
const trouble = signal("");
const opened = signal(new Set());
const replicas = signal([]);
let answeredAt = 0;

/** Asks once a second while somebody looks. */
function usePolling() {
  useEffect(() => {
    let timer;
    let round = 0;
    const ask = async () => {
      if (!document.hidden) {
        try {
          const answer = await api.supervision();
          const asked = performance.now();
          tree.value = withRates(normalise(answer), tree.peek(), (asked - answeredAt) / 1000);
          answeredAt = asked;
          trouble.value = "";
          if (round++ % REPLICAS_EVERY === 0) replicas.value = (await api.replicas()).items;
        } catch (error) {
          trouble.value = error.status === 401 || error.status === 403 ? "Sign in to see the supervision tree." : error.message;
        }
      }
      timer = setTimeout(ask, EVERY_MS);
    };
    ask();
    return () => clearTimeout(timer);
  }, []);
}

export function SupervisionPage() {
  usePolling();
  const [chosen, setChosen] = useState("");
  if (tree.value === undefined) return html`<${Empty} whole quiet title=${trouble.value || "Asking for the tree …"} />`;
  const rows = rowsOf(tree.value, opened.value);
  const close = () => setChosen("");
  const breaks = Boolean(store.user.value?.chaos);
  return html`<div class="supervision" onKeyDown=${(event) => event.key === "Escape" && close()}>
    <div class="supervision-main">
      <header class="supervision-head"><h1>Supervision</h1><${Totals} root=${tree.value} />${trouble.value ? html`<p class="failure" role="alert">${trouble.value}; shown is the last answer</p>` : null}<${Replicas} /></header>
      <div class="scroll"><table class="tree" data-testid="tree">
        <thead><tr><th scope="col">Actor</th><th scope="col">State</th><th scope="col">Mailbox</th><th scope="col" class="right">Messages/s</th><th scope="col">Restarts</th><th scope="col">Last exit</th></tr></thead>
        <tbody onKeyDown=${walk}>${rows.map((row) => row.more || row.fewer ? html`<${FoldRow} key=${`${row.node.path}+`} row=${row} />` : html`<${NodeRow} key=${row.node.path} row=${row} chosen=${row.node.path === chosen} choose=${setChosen} />`)}</tbody>
      </table></div>
    </div>
    ${chosen || breaks ? html`<div class="supervision-side">${chosen ? html`<${Chosen} key=${chosen} path=${chosen} close=${close} />` : null}${breaks ? html`<${ChaosPanel} />` : null}</div>` : null}
  </div>`;
}

/** The drawer of a node, which stays open with what was known last when the node has gone. */
function Chosen({ path, close }) {
  const last = useRef(undefined);
  const found = findNode(tree.value, path);
  if (found) last.current = found;
  return last.current ? html`<${Drawer} node=${last.current} gone=${!found} close=${close} />` : null;
}

/** Arrow keys go from node to node. */
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const all = [...event.currentTarget.querySelectorAll("button")];
  const next = all[all.indexOf(document.activeElement) + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

function Totals({ root }) {
  const sum = totals(root);
  return html`<dl class="gauges">
    <${Gauge} name="actors" value=${sum.nodes} />
    <${Gauge} name="running" value=${sum.running} tone=${sum.running < sum.nodes ? "wait" : ""} />
    <${Gauge} name="restarts" value=${sum.restarts} tone=${sum.restarts ? "wait" : ""} />
    <${Gauge} name="queued" value=${sum.queued} />
    <${Gauge} name="dropped" value=${sum.dropped} tone=${sum.dropped ? "fail" : ""} />
  </dl>`;
}

/** The processes that share the database, where there are others: who leads, who hands on to it, when they were heard of. */
function Replicas() {
  if (replicas.value.length < 2) return null;
  return html`<ul class="replicas" data-testid="replicas" aria-label="Replicas">${replicas.value.map((one) => html`<li key=${one.name} class=${one.role} title=${one.address ?? undefined}>
    <b>${one.name}</b> ${one.role === "leader" ? "leads" : `relays ${one.relayed}`}
    <span class="faint">${one.version}${one.since === null ? "" : `, since ${new Date(one.since).toLocaleString()}`}, heard of ${ago(one.lagMs)}${one.linkMs === undefined || one.linkMs === null ? "" : `, leader answers in ${Math.round(one.linkMs)} ms`}</span></li>`)}</ul>`;
}

/** The lines of the tree, one cell a level. */
function Rails({ rails }) {
  const width = rails.length * 18;
  if (width === 0) return null;
  return html`<svg class="rails" viewBox=${`0 0 ${width} 30`} width=${width} height="30" aria-hidden="true">
    ${rails.map((goesOn, level) => {
      const x = level * 18 + 9;
      const last = level === rails.length - 1;
      if (!last) return goesOn ? html`<path d=${`M${x} 0v30`} />` : null;
      return html`<path d=${`M${x} 0v15h9${goesOn ? `M${x} 15v15` : ""}`} />`;
    })}
  </svg>`;
}

function NodeRow({ row, chosen, choose }) {
  const { node, rails } = row;
  return html`<tr class=${`${hasTrouble(node) ? "troubled" : ""} ${chosen ? "chosen" : ""}`} data-node=${node.path}>
    <th scope="row"><span class="node"><${Rails} rails=${rails} />
      <button type="button" class=${`node-name ${node.supervises ? "node-supervisor" : ""}`} aria-expanded=${chosen} title=${node.path} onClick=${() => choose(chosen ? "" : node.path)}>${node.id}</button>
      ${node.strategy ? html`<span class="strategy">${STRATEGY[node.strategy] ?? node.strategy}</span>` : html`<span class="faint node-kind" title=${node.note}>${node.note ?? node.kind}</span>`}</span></th>
    <td><span class=${`actor-state ${isRunning(node.state) ? "up" : "down"}`}>${node.state}</span></td>
    <td><${Mailbox} box=${node.mailbox} /></td>
    <td class="right num">${node.rate ? node.rate.toFixed(node.rate < 10 ? 1 : 0) : html`<span class="faint">${node.rate === 0 ? 0 : "–"}</span>`}</td>
    <td><${Restarts} key=${`${node.restarts}/${node.recent}`} node=${node} /></td>
    <td class="exit" title=${node.lastExit?.reason}>${node.lastExit ? html`<span class="num">${age((node.lastExit.age ?? NaN) * 1000)}</span> <span class="faint">${node.lastExit.reason}</span>` : html`<span class="faint">–</span>`}</td>
  </tr>`;
}

/** The end of a large group: opens it, or folds it again. */
function FoldRow({ row }) {
  const toggle = () => {
    const next = new Set(opened.peek());
    if (!next.delete(row.node.path)) next.add(row.node.path);
    opened.value = next;
  };
  const kept = row.more === row.node.more || opened.value.has(row.node.path); // the service itself left these out
  return html`<tr class="more"><th scope="row" colspan="6"><span class="node"><${Rails} rails=${row.rails} />${row.more && kept
    ? html`<span class="faint">and ${row.more} more</span>${opened.value.has(row.node.path) ? html`<button type="button" class="quiet-button" onClick=${toggle}>show fewer</button>` : null}`
    : html`<button type="button" class="quiet-button" onClick=${toggle}>${row.fewer ? "show fewer" : `and ${row.more} more`}</button>`}</span></th></tr>`;
}

/** Depth against capacity; the tick is the highest it ever was. */
function Mailbox({ box }) {
  if (!box) return html`<span class="faint">–</span>`;
  const x = (n) => (box.capacity ? Math.min(80, (80 * n) / box.capacity) : 0);
  const tight = box.capacity && box.depth / box.capacity > 0.8;
  return html`<span class=${`mailbox ${tight ? "tight" : ""}`}>
    <svg viewBox="0 0 80 8" aria-hidden="true"><rect class="mailbox-all" width="80" height="8" /><rect class="mailbox-full" width=${x(box.depth)} height="8" /><path class="mailbox-high" d=${`M${Math.max(0.5, x(box.high))} 0v8`} /></svg>
    <span class="num">${box.depth}<span class="faint"> / ${box.capacity || "∞"}</span>${box.dropped ? html` <span class="minus">−${box.dropped}</span>` : null}</span></span>`;
}

/** How often it was itself restarted; of a supervisor also its children's restarts within the window against the limit. */
function Restarts({ node }) {
  const own = html`<span class=${`num ${node.restarts ? "restarted" : "faint"}`}>${node.restarts || "–"}</span>`;
  const limit = node.intensity;
  if (limit === undefined) return html`<span class="restarts">${own}</span>`;
  const title = `${node.recent} of at most ${limit} restarts of its children within ${node.period} s`;
  if (limit > 12) return html`<span class="restarts" title=${title}>${own}<span class=${`num ${node.recent ? "restarted" : "faint"}`}>${node.recent}/${limit}</span></span>`;
  const pips = Array.from({ length: limit }, (_, i) => html`<i class=${i < node.recent ? "pip used" : "pip"}></i>`);
  return html`<span class="restarts" title=${title}>${own}<span class="pips" aria-hidden="true">${pips}</span><span class="num faint">${node.recent}/${limit}</span></span>`;
}
