// One node of the supervision tree: what it is, and what happened to it lately, live while it is open.

import { html, useEffect, useState } from "../html.js";
import * as api from "../api.js";
import { age, clock, since } from "../format.js";
import { STRATEGY } from "../tree.js";
import * as store from "../store.js";
import { faultsFor } from "../vitals.js";
import { chaos, FaultButton, Told } from "./chaos.js";

const EVERY_MS = 1000;
const TONE = { crashed: "minus", escalated: "minus", killed: "minus", mailbox_full: "restarted", dead_letter: "restarted", restarted: "plus" };

/** The node's last events, newest first; undefined until the first answer. */
function useEvents(path, asked) {
  const [events, setEvents] = useState(undefined);
  useEffect(() => {
    let timer, over;
    setEvents(undefined);
    const ask = async () => {
      const answer = document.hidden ? undefined : await api.nodeEvents(path).catch(() => undefined);
      if (over) return;
      if (answer) setEvents(answer.items.reverse());
      timer = setTimeout(ask, EVERY_MS);
    };
    if (asked) ask();
    return () => ((over = true), clearTimeout(timer));
  }, [path, asked]);
  return events;
}

export function Drawer({ node, gone, close }) {
  const admin = Boolean(store.user.value?.admin);
  const events = useEvents(node.path, admin);
  return html`<aside class="drawer" aria-label=${node.id} data-testid="drawer">
    <div class="panel-head"><h2>${node.id}</h2><span class="panel-end"><button type="button" class="quiet-button" onClick=${close}>Close</button></span></div>
    ${gone ? html`<p class="nothing">It is not in the tree any more.</p>` : null}
    ${chaos.value && store.user.value?.chaos && !gone ? html`<${Aimed} node=${node} />` : null}
    <${Facts} node=${node} />
    <h3 class="sub">Last events</h3>
    ${!admin ? html`<p class="nothing">Administrators see here what happened to it.</p>` : html`<${Events} events=${events} path=${node.path} />`}
  </aside>`;
}

/** The faults that can be aimed at this one. */
function Aimed({ node }) {
  const faults = faultsFor(chaos.value, node);
  if (faults.length === 0) return null;
  return html`<div class="aimed"><div class="fault-row">${faults.map((fault) => html`<${FaultButton} key=${fault.name} fault=${fault} target=${node.path} />`)}</div><${Told} /></div>`;
}

function Events({ events, path }) {
  if (events === undefined) return html`<p class="nothing">Asking …</p>`;
  if (events.length === 0) return html`<p class="nothing">Nothing happened to it that is remembered.</p>`;
  return html`<ol class="happenings" data-testid="happenings">${events.map((one) => html`<${Happening} key=${`${one.at}/${one.path}/${one.event}/${one.incarnation}`} one=${one} path=${path} />`)}</ol>`;
}

function Happening({ one, path }) {
  return html`<li><time class="num faint" title=${new Date(one.at).toLocaleString()}>${clock(one.at)}</time>
    <span><strong class=${TONE[one.event] ?? ""}>${one.event.replace("_", " ")}</strong>${one.count > 1 ? html` <span class="num">× ${one.count}</span>` : null}
    ${one.incarnation !== null && one.event === "started" ? html` <span class="faint num">life ${one.incarnation}</span>` : null}
    ${one.path === path ? null : html` <span class="path">${one.path.slice(path.length + 1)}</span>`}
    ${one.text ? html` <span class="why">${one.text}</span>` : null}</span></li>`;
}

function Facts({ node }) {
  return html`<dl class="facts">
    <dt>path</dt><dd class="path">${node.path}</dd><dt>kind</dt><dd>${node.kind || "–"}</dd><dt>state</dt><dd>${node.state}</dd>
    ${node.note ? html`<dt>says</dt><dd>${node.note}</dd>` : null}
    ${node.strategy ? html`<dt>strategy</dt><dd>${STRATEGY[node.strategy] ?? node.strategy}</dd><dt>gives up</dt><dd>after ${node.intensity} restarts in ${node.period} s</dd>` : null}
    ${node.uptime ? html`<dt>up</dt><dd class="num">${age(node.uptime * 1000)}, life ${node.incarnation}</dd>` : null}
    ${node.inHand ? html`<dt>in hand</dt><dd>${node.inHand}</dd>` : null}
    ${node.mailbox ? html`<dt>mailbox</dt><dd class="num">${node.mailbox.depth} of ${node.mailbox.capacity || "∞"}, at most ${node.mailbox.high}, dropped ${node.mailbox.dropped}</dd>` : null}
    <dt>restarts</dt><dd class="num">${node.restarts}</dd>
    ${node.lastExit ? html`<dt>last exit</dt><dd>${since((node.lastExit.age ?? NaN) * 1000)}: ${node.lastExit.reason}</dd>` : null}
    ${node.supervises ? html`<dt>children</dt><dd class="num">${node.children.length + node.more}</dd>` : null}
  </dl>`;
}
