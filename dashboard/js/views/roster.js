// Counters that filter, and the table of agents: only the rows in view are in the document, whatever their number.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { age, money } from "../format.js";
import { countsOf, nextSort, sortOf, tableOf, windowOf } from "../roster.js";
import { LEAST, MOST } from "../grid.js";
import { toAgent, toGrid, withQuery } from "../routes.js";
import { ATTENTION, TONE_WORDS } from "../status.js";
import * as store from "../store.js";
import { Age, Glyph, Literal, Panel, Status } from "./bits.js";
import { Delta, LastTest } from "./runs.js";

const go = (change) => (location.hash = withQuery(location.hash, change));
const NARROW = 620;
const ROWS = { wide: 33, touch: 48, narrow: 62 };

/** Each counter is a filter; pressed again it is off. `more`: figures that filter nothing. */
export function Counters({ agents, more }) {
  const counts = countsOf(agents);
  const { tone } = store.route.value.query;
  const counter = (id) => html`<button type="button" key=${id} class=${`counter tone-${id} ${counts[id] ? "" : "is-zero"}`} data-testid=${`count-${id}`} aria-pressed=${tone === id} onClick=${() => go({ tone: tone === id ? "" : id })}><${Glyph} tone=${id} /><b class="num">${counts[id]}</b><span>${TONE_WORDS[id]}</span></button>`;
  return html`<div class="counters" role="group" aria-label="Filter by state">${ATTENTION.map(counter)}${more.map(([name, value]) => html`<div class="counter is-plain" key=${name}><b class="num">${value}</b><span>${name}</span></div>`)}</div>`;
}

export function Roster({ agents, title = "Agents", withHouse = true, empty }) {
  const { query } = store.route.value;
  const [closed, setClosed] = useState(new Set());
  const [ticked, setTicked] = useState([]);
  const named = agents.map((agent) => ({ ...agent, houseName: store.houses.value[agent.repoId]?.name, usage: store.usageOf(agent) }));
  const table = tableOf(named, query, closed);
  const toggle = (group) => {
    const next = new Set(closed);
    for (const key of [group.key, `+${group.key}`]) next.delete(key);
    next.add(group.closed ? `+${group.key}` : group.key);
    setClosed(next);
  };
  const of = table.shown === table.total ? `${table.total} ${table.total === 1 ? "agent" : "agents"}` : `${table.shown} of ${table.total} agents match`;
  return html`<${Panel} name="roster" title=${title} end=${agents.length > 1 ? html`<${Tools} query=${query} />` : null}>
    ${agents.length === 0 ? empty : html`<div class=${`roster ${withHouse ? "" : "no-house"}`}>
      <${Rows} items=${table.items} toggle=${toggle} query=${query} ticked=${ticked} tick=${(id, on) => setTicked(on ? [...ticked, id] : ticked.filter((one) => one !== id))} />
      <p class="roster-foot" data-testid="roster-foot">${of}${table.folded ? ` · ${table.folded} folded away` : ""}${query.tone || query.q || query.hide ? html` · <a href=${withQuery(location.hash, { tone: "", q: "", hide: "" })} data-testid="clear">clear</a>` : null}${ticked.length ? html`<${Ticked} ids=${ticked} clear=${() => setTicked([])} />` : null}</p></div>`}
  <//>`;
}

/** What was ticked, and where it leads: two to nine terminals are a grid. */
function Ticked({ ids, clear }) {
  const fits = ids.length >= LEAST && ids.length <= MOST;
  return html`<span class="roster-ticked"> · ${ids.length} chosen ${fits ? html`<a href=${toGrid({ v: store.villageId.value, agents: ids.join(",") })} data-testid="open-grid">open as a grid</a>` : html`<span>(a grid holds ${LEAST} to ${MOST})</span>`} <button type="button" class="link-button" onClick=${clear}>choose none</button></span>`;
}

function Tools({ query }) {
  const [text, setText] = useState(query.q ?? "");
  useEffect(() => setText(query.q ?? ""), [query.q]);
  const type = (value) => {
    setText(value);
    history.replaceState(null, "", withQuery(location.hash, { q: value }));
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return html`<button type="button" class="chip" data-testid="needs" aria-pressed=${query.tone === "needs"} onClick=${() => go({ tone: query.tone === "needs" ? "" : "needs" })}>needs a person</button><button type="button" class="chip" data-testid="hide-done" aria-pressed=${query.hide === "done"} onClick=${() => go({ hide: query.hide === "done" ? "" : "done" })}>hide done</button>
    <label class="tool"><span class="sr-only">Group by</span><select class="input" data-testid="by" value=${query.by ?? ""} onChange=${(event) => go({ by: event.currentTarget.value })}><option value="">group</option><option value="state">by state</option><option value="house">by house</option><option value="runner">by runner</option><option value="kind">by kind</option><option value="none">not grouped</option></select></label>
    <input type="search" class="input roster-search" data-testid="search" aria-label="Search agents" placeholder="search" value=${text} onInput=${(event) => type(event.currentTarget.value)} />`;
}

/** The scroller: measures itself, and draws what is in view. */
function Rows({ items, toggle, query, ticked, tick }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 900, width: 1000 });
  useLayoutEffect(() => {
    const element = box.current;
    let frame = 0;
    const measure = () => {
      frame = 0;
      setView({ top: element.scrollTop, height: element.clientHeight, width: element.clientWidth });
    };
    const soon = () => (frame ||= requestAnimationFrame(measure));
    const watcher = new ResizeObserver(soon);
    watcher.observe(element);
    element.addEventListener("scroll", soon, { passive: true });
    measure();
    return () => (watcher.disconnect(), element.removeEventListener("scroll", soon), cancelAnimationFrame(frame));
  }, []);
  const row = view.width <= NARROW ? ROWS.narrow : matchMedia("(pointer: coarse)").matches ? ROWS.touch : ROWS.wide;
  const { from, to } = windowOf(items.length, view.top, view.height, row);
  return html`<div class="rows" ref=${box} role="table" aria-label="Agents" aria-rowcount=${items.length + 1} data-testid="agents">
    <${Columns} sort=${query.sort} />
    <${Space} before=${from * row} />
    ${items.slice(from, to).map((item, i) => item.group ? html`<${GroupRow} key=${`g ${item.group.key}`} group=${item.group} index=${from + i + 2} toggle=${toggle} />` : html`<${AgentRow} key=${item.agent.agentId} agent=${item.agent} index=${from + i + 2} ticked=${ticked.includes(item.agent.agentId)} tick=${tick} />`)}
    <${Space} before=${(items.length - to) * row} />
    ${items.length ? null : html`<p class="nothing" role="row"><span role="cell">Nothing matches.</span></p>`}
  </div>`;
}

/** The room of the rows that are not drawn. Set by the object model: the page allows no style in the markup. */
function Space({ before }) {
  const space = useRef(null);
  useLayoutEffect(() => void (space.current.style.height = `${before}px`), [before]);
  return html`<div ref=${space} role="presentation"></div>`;
}

const COLUMNS = [["c-status", "State", ""], ["c-name", "Agent", "name"], ["c-house", "House", "house"], ["c-doing", "Doing, or why", null], ["c-pulse", "15 min", null], ["c-tests", "Tests", null], ["c-diff num", "Diff", "diff"], ["c-cost num", "Cost", "cost"], ["c-age num", "Since", "since"]];

const ARROWS = { ascending: " ↑", descending: " ↓", other: " ↓", none: "" };

function Columns({ sort = "" }) {
  return html`<div class="roster-head" role="row" aria-rowindex="1">${COLUMNS.map(([kind, text, by]) => html`<span class=${kind} role="columnheader" aria-sort=${by === null ? undefined : sortOf(sort, by)}>${by === null ? text : html`<button type="button" onClick=${() => go({ sort: nextSort(sort, by) })}>${text}${ARROWS[sortOf(sort, by)]}</button>`}</span>`)}</div>`;
}

function GroupRow({ group, index, toggle }) {
  return html`<div class="group-row" role="row" aria-rowindex=${index}><span role="cell"><button type="button" aria-expanded=${!group.closed} data-testid="group" onClick=${() => toggle(group)}><span class="chevron" aria-hidden="true">${group.closed ? "▸" : "▾"}</span>${group.tone ? html`<${Glyph} tone=${group.tone} />` : null}<bdi>${group.label}</bdi> <span class="faint">${group.count}</span></button></span>
    ${Number.isFinite(group.oldest) ? html`<span class="faint small" role="cell">the oldest for ${age(store.now.value - group.oldest)}</span>` : null}</div>`;
}

function AgentRow({ agent, index, ticked, tick }) {
  const { status } = agent;
  return html`<div class=${`agent-row tone-${status.tone}`} role="row" aria-rowindex=${index} data-testid="agent" data-agent=${agent.agentId}>
    <span class="c-status" role="cell"><input type="checkbox" class="c-tick" data-testid="tick" aria-label=${`Choose ${agent.agentName} for a grid`} checked=${ticked} onChange=${(event) => tick(agent.agentId, event.currentTarget.checked)} /><${Status} status=${status} /></span>
    <span class="c-name clip" role="cell"><a class="name" href=${toAgent(agent.agentId)}><bdi>${agent.agentName}</bdi></a> <span class="kind">${agent.agentType ?? ""}</span></span>
    <span class="c-house clip soft" role="cell">${agent.houseName ?? ""}</span>
    <span class="c-doing clip" role="cell">${status.why ? status.why : html`<span class="preview"><${Literal} text=${agent.preview ?? ""} /></span>`}</span>
    <span class="c-pulse" role="cell"><${Pulse} activity=${agent.activity} /></span>
    <span class="c-tests" role="cell"><${LastTest} run=${agent.lastTest} /></span>
    <span class="c-diff num" role="cell"><${Delta} diff=${agent.diff} /></span>
    <span class="c-cost num soft" role="cell">${agent.usage?.costUsd ? money(agent.usage.costUsd) : ""}</span>
    <span class="c-age num" role="cell"><${Age} at=${status.since} /></span>
  </div>`;
}

/** Signs of work in each of the last fifteen minutes. */
function Pulse({ activity }) {
  if (!Array.isArray(activity) || !activity.some((n) => n > 0)) return null;
  const top = Math.max(...activity, 1);
  const tall = (n) => (n > 0 ? 2 + (12 * Math.log1p(n)) / Math.log1p(top) : 0);
  return html`<svg class="pulse" viewBox="0 0 58 14" role="img" aria-label=${`${activity.reduce((a, b) => a + b, 0)} signs of work in 15 minutes`}>${activity.map((n, i) => html`<rect x=${i * 3.9} y=${14 - tall(n)} width="3" height=${tall(n)} />`)}</svg>`;
}
