// Two to nine live terminals beside each other. One looks on; the keyboard of each is a lease, as on its own page.

import { html, useEffect, useState } from "../html.js";
import { MOST, kindOf, settled, tilesOf } from "../grid.js";
import { toAgent, toGrid } from "../routes.js";
import * as store from "../store.js";
import { tellHistory } from "../past.js";
import { Age, Glyph } from "./bits.js";
import { Empty } from "./empty.js";
import { TerminalPane } from "./terminal_pane.js";

/** Tiles come and go no faster than this. */
const TURN_MS = 10_000;
const KINDS = [["needs", "needs you"], ["busy", "needs you, then the busiest"]];

export function GridPage() {
  const { query } = store.route.value;
  const kind = kindOf(query);
  const wanted = tilesOf(store.roster.value, query);
  const [shown, setShown] = useState([]);
  const driven = Object.values(store.agents.value).find((one) => one.sessionId === store.driving.value)?.agentId;
  const question = JSON.stringify([kind, query.agents, store.villageId.value, store.loaded.value]);
  useEffect(() => setShown(wanted.ids), [question]);
  const turn = () => setShown((known) => settled(known, wanted.ids, driven));
  useEffect(() => {
    const timer = setTimeout(turn, shown.length === 0 ? 0 : TURN_MS);
    return () => clearTimeout(timer);
  }, [wanted.ids.join(" "), driven]);
  const links = kind === "chosen" ? [...KINDS, ["chosen", "chosen"]] : KINDS;
  return html`<div class="grid-page">
    <div class="grid-head"><h1>Grid</h1>
      <nav class="grid-kinds" aria-label="Which terminals">${links.map(([id, words]) => html`<a class="chip" href=${id === "chosen" ? location.hash : toGrid({ of: id, v: store.villageId.value })} aria-current=${id === kind ? "page" : undefined}>${words}</a>`)}</nav>
      <span class="faint small" role="status" data-testid="grid-count">${shown.length ? `${shown.length} of ${wanted.of}${wanted.of > MOST ? `: a grid holds ${MOST}` : ""}` : ""}</span></div>
    ${shown.length === 0 ? html`<${Nothing} kind=${kind} />` : html`<div class=${`grid grid-${Math.min(MOST, shown.length)}`} data-testid="grid">${shown.map((id) => html`<${Tile} key=${id} agentId=${id} />`)}</div>`}
  </div>`;
}

function Nothing({ kind }) {
  if (!store.loaded.value) return html`<${Empty} quiet title="Looking who is at work …" />`;
  if (kind === "needs") return html`<${Empty} title="Nobody needs you."><p><a href=${toGrid({ of: "busy", v: store.villageId.value })}>Show who is at work</a></p><//>`;
  return html`<${Empty} title="Nobody is at work here." />`;
}

function Tile({ agentId }) {
  const found = store.agents.value[agentId];
  useEffect(() => void (found && tellHistory(found)), [found?.sessionId]);
  if (!found) return html`<article class="tile" data-testid="tile"><p class="operator-note faint">${store.loaded.value ? "This agent is not in this village, or you may not see it." : "Looking for the agent …"}</p></article>`;
  const agent = store.withStatus(found, store.now.value);
  const { status } = agent;
  const house = store.houses.value[agent.repoId]?.name;
  return html`<article class=${`tile tone-${status.tone}`} data-testid="tile" data-agent=${agentId} aria-label=${agent.agentName}>
    <header class="tile-head"><${Glyph} tone=${status.tone} /><a class="name clip" href=${toAgent(agentId)}><bdi>${agent.agentName}</bdi></a>${house ? html`<span class="faint small clip"><bdi>${house}</bdi></span>` : null}<span class="tile-state small">${status.label} <${Age} at=${status.since} /></span></header>
    <${TerminalPane} agent=${agent} small />
  </article>`;
}
