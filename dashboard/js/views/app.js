// The frame around every screen: head, navigation, the screen of the route.

import { spelled } from "../format.js";
import { effect, html } from "../html.js";
import { APPROVALS, SUPERVISION, toVillage } from "../routes.js";
import * as store from "../store.js";
import { AgentPage } from "./agent.js";
import { ApprovalsPage } from "./approvals.js";
import { Empty, NoVillage } from "./empty.js";
import { HousePage } from "./house.js";
import { Connection } from "./connection.js";
import { Notice, Person } from "./person.js";
import { SupervisionPage } from "./supervision.js";
import { VillagePage } from "./village.js";

effect(() => {
  const waiting = store.pending.value.length;
  const name = store.village.value?.name;
  document.title = `${waiting ? `(${waiting}) ` : ""}${name ? `${name} · ` : ""}Townwatch`;
});

export function App() {
  return html`
    <a class="skip" href="#content">Skip to content</a>
    <header class="head">
      <a class="brand" href="#/" aria-label="Townwatch, home"><${Mark} /><span>Townwatch</span></a>
      <${Villages} />
      <${Navigation} />
      <div class="head-end"><${Connection} /><${Person} /></div>
    </header>
    <${Notice} />
    <main id="content" tabindex="-1"><${Screen} /></main>
    <div class="sr-only" role="status" aria-live="polite"><${Announcer} /></div>
  `;
}

function Screen() {
  const route = store.route.value;
  if (route.page === "supervision") return html`<${SupervisionPage} />`;
  if (store.user.value === undefined) return html`<${Empty} quiet title="Opening the town …" />`;
  if (store.villages.value.length === 0) return html`<${NoVillage} />`;
  if (route.page === "approvals") return html`<${ApprovalsPage} />`;
  if (route.page === "agent") return html`<${AgentPage} key=${route.id} agentId=${route.id} />`;
  if (route.page === "house") return html`<${HousePage} key=${route.id} repoId=${route.id} />`;
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
  supervision: "M10 3v4M10 7H5v4M10 7h5v4M10 7v4M3.5 11h3v3h-3zM8.5 11h3v3h-3zM13.5 11h3v3h-3z",
};

function Navigation() {
  const page = store.route.value.page;
  const waiting = store.pending.value.length;
  const link = (href, here, name, badge) => html`<a href=${href} aria-current=${here ? "page" : undefined} data-testid=${`nav-${name}`}>
    <svg viewBox="0 0 20 20" aria-hidden="true"><path d=${ICONS[name]} fill="none" stroke="currentColor" stroke-width="1.4" stroke-linejoin="round" /></svg>
    <span class="nav-text">${name}</span>
    ${badge ? html`<span class="badge" data-testid="pending-count"><span class="sr-only">waiting: </span>${badge}</span>` : null}
  </a>`;
  const home = store.villageId.value ? toVillage(store.villageId.value) : "#/";
  return html`<nav class="nav" aria-label="Screens">
    ${link(home, ["home", "village", "house", "agent"].includes(page), "village")}
    ${link(APPROVALS, page === "approvals", "approvals", waiting)}
    ${link(SUPERVISION, page === "supervision", "supervision")}
  </nav>`;
}

/** What a screen reader should say when it happens: only what needs a person. */
function Announcer() {
  const first = store.pending.value.at(-1);
  return first ? `Approval asked, ${first.category}, risk ${first.risk}: ${spelled(first.summary)}` : "";
}
