// The frame around every screen: head, navigation, the screen of the route.

import { spelled } from "../format.js";
import { html } from "../html.js";
import { APPROVALS, toGrid, toHistory, toStart, toVillage } from "../routes.js";
import * as store from "../store.js";
import { ApprovalsPage } from "./approvals.js";
import { Empty, NoSuchVillage, NoVillage } from "./empty.js";
import { Later } from "./later.js";
import { Connection } from "./connection.js";
import { Dialogs } from "./palette.js";
import { Notice, Person } from "./person.js";
import { VillagePage } from "./village.js";

export function App() {
  return html`
    <a class="skip" href="#content">Skip to content</a>
    <header class="head">
      <a class="brand" href="#/" aria-label="Townwatch, home"><${Mark} /><span>Townwatch</span></a>
      <${Villages} />
      <${Navigation} />
      <div class="head-end"><button type="button" class="seek" aria-label="Find or do" data-testid="seek" onClick=${() => (store.dialog.value = "palette")}><svg viewBox="0 0 20 20" aria-hidden="true"><path d="M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4zM13 13l4 4" fill="none" stroke="currentColor" stroke-width="1.4" /></svg><span class="seek-words">Find or do</span> <kbd class="wide-only">Ctrl K</kbd></button><${Connection} /><${Person} /></div>
    </header>
    <${Notice} />
    <${AsOf} />
    <main id="content" tabindex="-1" class=${store.stale.value ? "stale" : ""}><${Screen} /></main>
    <${Dialogs} />
    <div class="sr-only" role="status" aria-live="polite"><${Announcer} /></div>
  `;
}

/** Nothing is heard any more: since when what is shown is no news. */
function AsOf() {
  const { heardAt } = store.link.value;
  if (!store.stale.value) return null;
  const time = new Date(heardAt).toLocaleTimeString("en-GB");
  return html`<p class="as-of" role="status" data-testid="as-of">as of <time datetime=${new Date(heardAt).toISOString()}>${time}</time></p>`;
}

/** Screens whose files are fetched when one is opened: what is seen first is there sooner, and a terminal's only where one is. */
const OPERATOR = () => import("./operator/operator.js");
const SUPERVISION_SCREEN = () => import("./supervision.js");
const GRID = () => import("./grid.js");
const START = () => import("./start.js");
const CALLS = () => import("./calls.js");
const HISTORY = () => import("./history.js");
const PLAYER = () => import("./player.js");
const AGENT = () => import("./agent.js");
const HOUSE = () => import("./house.js");

function Screen() {
  const route = store.route.value;
  if (route.page === "supervision") return html`<${Later} load=${SUPERVISION_SCREEN} part="SupervisionPage" />`;
  if (store.user.value === undefined) return html`<${Empty} whole quiet title="Opening the town …" />`;
  if (route.page === "operator") return html`<${Later} load=${OPERATOR} part="OperatorPage" />`;
  if (store.villages.value.length === 0) return html`<${NoVillage} />`;
  const named = { village: route.id, grid: route.query.v }[route.page];
  if (named !== undefined && !store.villages.value.some((one) => one.villageId === named)) return html`<${NoSuchVillage} villageId=${named} />`;
  if (route.page === "grid") return html`<${Later} load=${GRID} part="GridPage" />`;
  if (route.page === "start") return html`<${Later} load=${START} part="StartPage" key=${location.hash} />`;
  if (route.page === "calls") return html`<${Later} load=${CALLS} part="CallsPage" />`;
  if (route.page === "history") return html`<${Later} load=${HISTORY} part="HistoryPage" />`;
  if (route.page === "session") return html`<${Later} load=${PLAYER} part="PlayerPage" key=${`player ${route.id}`} sessionId=${route.id} />`;
  if (route.page === "approvals") return html`<${ApprovalsPage} />`;
  if (route.page === "agent") return html`<${Later} load=${AGENT} part="AgentPage" key=${`agent ${route.id}`} agentId=${route.id} />`;
  if (route.page === "house") return html`<${Later} load=${HOUSE} part="HousePage" key=${`house ${route.id}`} repoId=${route.id} />`;
  return html`<${VillagePage} />`;
}

/** A lantern: the mark of a watchman. */
function Mark() {
  return html`<svg class="mark" viewBox="0 0 20 20" aria-hidden="true">
    <path d="M7 3.5a3 3 0 0 1 6 0" fill="none" stroke="currentColor" stroke-width="1.3" />
    <path d="M5 5h10M6 17.5h8" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />
    <path d="M6.2 5.5 5 16h10L13.8 5.5" fill="none" stroke="currentColor" stroke-width="1.3" />
    <path class="flame" d="M10 8c1.7 1.9 2.3 2.9 2.3 4a2.3 2.3 0 0 1-4.6 0c0-1.1.6-2.1 2.3-4z" />
  </svg>`;
}

function Villages() {
  const all = store.villages.value;
  const current = store.villageId.value;
  if (all.length === 0) return html`<span class="village-name"></span>`;
  if (all.length === 1) return html`<span class="village-name" data-testid="village">${all[0].name ?? all[0].villageId}</span>`;
  return html`<label class="village-name">
    <span class="sr-only">Village</span>
    <select data-testid="village" value=${current} onChange=${(event) => (location.hash = toVillage(event.currentTarget.value))}>
      ${all.map((one) => html`<option value=${one.villageId}>${one.name ?? one.villageId}</option>`)}
    </select>
  </label>`;
}

const ICONS = {
  village: "M3 10.5 10 4l7 6.5M5 9v7h10V9M9 16v-4h2v4",
  approvals: "M4 5h12v8H9.5L6 16v-3H4zM7.5 9l1.8 1.8 3.5-3.5",
  history: "M4.500 6.500A6.500 6.500 0 1 1 3.500 10M4 3v4h4M10 6.500V10l2.500 1.500",
  grid: "M4 4h5v5H4zM11 4h5v5h-5zM4 11h5v5H4zM11 11h5v5h-5z",
  start: "M10 4v12M4 10h12",
};

function Navigation() {
  const page = store.route.value.page;
  const waiting = store.pending.value.length;
  const link = (href, here, name, badge, wide = false) => html`<a href=${href} class=${wide ? "wide-only" : undefined} aria-current=${here ? "page" : undefined} data-testid=${`nav-${name}`}>
    <svg viewBox="0 0 20 20" aria-hidden="true"><path d=${ICONS[name]} fill="none" stroke="currentColor" stroke-width="1.4" stroke-linejoin="round" /></svg>
    <span class="nav-text">${name}</span>
    ${badge ? html`<span class="badge" data-testid="pending-count"><span class="sr-only">waiting: </span>${badge}</span>` : null}
  </a>`;
  const home = store.villageId.value ? toVillage(store.villageId.value) : "#/";
  return html`<nav class="nav" aria-label="Screens">
    ${link(home, ["home", "village", "house", "agent"].includes(page), "village")}
    ${link(APPROVALS, page === "approvals", "approvals", waiting)}
    ${link(toGrid({ v: store.villageId.value }), page === "grid", "grid", 0, true)}
    ${link(toHistory(), ["history", "session"].includes(page), "history")}
    ${store.canDrive.value ? link(toStart(), page === "start", "start") : null}
  </nav>`;
}

/** What a screen reader should say when it happens: only what needs a person. */
function Announcer() {
  const first = store.pending.value.at(-1);
  return first ? `Approval asked, ${first.category}, risk ${first.risk}: ${spelled(first.summary)}` : "";
}
