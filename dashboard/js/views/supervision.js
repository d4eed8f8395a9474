// The supervision tree, live: who keeps whom alive, how full the mailboxes are, who was restarted and why.

import { html, signal, useEffect, useState } from "../html.js";
import * as api from "../api.js";
import { age } from "../format.js";
import { hasTrouble, isRunning, normalise, rowsOf, totals, withRates } from "../tree.js";
import { Empty } from "./empty.js";
import { Gauge } from "./village.js";

const EVERY_MS = 1000;
const STRATEGY = { one_for_one: "one for one", one_for_all: "one for all", rest_for_one: "rest for one", dynamic: "dynamic" };

const tree = signal(undefined);
const trouble = signal("");
const opened = signal(new Set());
let answeredAt = 0;

/** Asks once a second while somebody looks. */
function usePolling() {
  useEffect(() => {
    let timer;
    const ask = async () => {
      if (!document.hidden) {
        try {
          const answer = await api.supervision();
          const asked = performance.now();
          tree.value = withRates(normalise(answer), tree.peek(), (asked - answeredAt) / 1000);
          answeredAt = asked;
          trouble.value = "";
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
  if (tree.value === undefined) return html`<${Empty} quiet title=${trouble.value || "Asking for the tree …"} />`;
  const rows = rowsOf(tree.value, opened.value);
  const node = rows.find((row) => row.node.path === chosen && !row.more)?.node;
  return html`<div class="supervision">
    <div class="supervision-main">
      <header class="supervision-head"><h1>Supervision</h1><${Totals} root=${tree.value} />${trouble.value ? html`<p class="failure" role="alert">${trouble.value}; shown is the last answer</p>` : null}</header>
      <div class="scroll"><table class="tree" data-testid="tree">
        <thead><tr><th scope="col">Actor</th><th scope="col">State</th><th scope="col">Mailbox</th><th scope="col" class="right">Messages/s</th><th scope="col">Restarts</th><th scope="col">Last exit</th></tr></thead>
        <tbody>${rows.map((row) => row.more ? html`<${MoreRow} key=${`${row.node.path}+`} row=${row} />` : html`<${NodeRow} key=${row.node.path} row=${row} chosen=${row.node.path === chosen} choose=${setChosen} />`)}</tbody>
      </table></div>
    </div>
    ${node ? html`<${Drawer} node=${node} close=${() => setChosen("")} />` : null}
  </div>`;
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
      <button type="button" class=${`node-name ${node.supervises ? "node-supervisor" : ""}`} aria-expanded=${chosen} onClick=${() => choose(chosen ? "" : node.path)}>${node.id}</button>
      ${node.strategy ? html`<span class="strategy">${STRATEGY[node.strategy] ?? node.strategy}</span>` : html`<span class="faint node-kind">${node.kind}</span>`}</span></th>
    <td><span class=${`actor-state ${isRunning(node.state) ? "up" : "down"}`}>${node.state}</span></td>
    <td><${Mailbox} box=${node.mailbox} /></td>
    <td class="right num">${node.rate ? node.rate.toFixed(node.rate < 10 ? 1 : 0) : html`<span class="faint">${node.rate === 0 ? 0 : "–"}</span>`}</td>
    <td><${Restarts} key=${`${node.restarts}/${node.recent}`} node=${node} /></td>
    <td class="exit">${node.lastExit ? html`<span class="num">${age((node.lastExit.age ?? NaN) * 1000)}</span> <span class="faint">${node.lastExit.reason}</span>` : html`<span class="faint">–</span>`}</td>
  </tr>`;
}

function MoreRow({ row }) {
  const open = () => (opened.value = new Set([...opened.peek(), row.node.path]));
  return html`<tr class="more"><th scope="row" colspan="6"><span class="node"><${Rails} rails=${row.rails} /><button type="button" class="quiet-button" onClick=${open}>and ${row.more} more</button></span></th></tr>`;
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

function Drawer({ node, close }) {
  return html`<aside class="drawer" aria-label=${node.id}>
    <div class="panel-head"><h2>${node.id}</h2><button type="button" class="quiet-button" onClick=${close}>Close</button></div>
    <dl class="facts">
      <dt>path</dt><dd class="path">${node.path}</dd><dt>kind</dt><dd>${node.kind || "–"}</dd><dt>state</dt><dd>${node.state}</dd>
      ${node.strategy ? html`<dt>strategy</dt><dd>${STRATEGY[node.strategy] ?? node.strategy}</dd><dt>gives up</dt><dd>after ${node.intensity} restarts in ${node.period} s</dd>` : null}
      ${node.uptime ? html`<dt>up</dt><dd class="num">${age(node.uptime * 1000)}, life ${node.incarnation}</dd>` : null}
      ${node.inHand ? html`<dt>in hand</dt><dd>${node.inHand}</dd>` : null}
      ${node.mailbox ? html`<dt>mailbox</dt><dd class="num">${node.mailbox.depth} of ${node.mailbox.capacity}, at most ${node.mailbox.high}, dropped ${node.mailbox.dropped}</dd>` : null}
      <dt>restarts</dt><dd class="num">${node.restarts}</dd>
      ${node.lastExit ? html`<dt>last exit</dt><dd>${age((node.lastExit.age ?? NaN) * 1000)} ago: ${node.lastExit.reason}</dd>` : null}
      <dt>children</dt><dd class="num">${node.children.length}</dd>
    </dl>
    ${node.events.length ? html`<h3 class="sub">Last events</h3><ol class="feed">${node.events.slice(-20).reverse().map((event) => html`<li class="line"><span class="line-text">${typeof event === "string" ? event : JSON.stringify(event)}</span></li>`)}</ol>` : null}
  </aside>`;
}
