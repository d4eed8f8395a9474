// The village: its street, its people, what waits for a person, what happens.

import { html, useState } from "../html.js";
import { count, duration, money } from "../format.js";
import { toHouse } from "../routes.js";
import { needsPerson } from "../status.js";
import * as store from "../store.js";
import { approvalKey, isPending } from "../world.js";
import { Alerts } from "./alerts.js";
import { ApprovalCard, AskLine } from "./ask/card.js";
import { Glyph, Panel } from "./bits.js";
import { Budgets } from "./budgets.js";
import { NobodyAtWork } from "./empty.js";
import { Feed } from "./feed.js";
import { HousePicture, pictureOf } from "./house_picture.js";
import { Counters, Roster } from "./roster.js";
import { testWords } from "./runs.js";

export function VillagePage() {
  const asks = store.recentAsks.value.filter((one) => one.villageId === store.villageId.value);
  return html`<div class="village">
    <h1 class="sr-only">${store.village.value?.name ?? "Village"}</h1>
    <div class="village-main">
      <${Gauges} />
      <${Street} />
      <${Roster} agents=${store.roster.value} empty=${store.loaded.value ? html`<${NobodyAtWork} />` : null} />
    </div>
    <div class="village-side">
      ${asks.length ? html`<${Waiting} asks=${asks} />` : null}
      <${Alerts} />
      <${Budgets} />
      <${Feed} title="Feed" matches=${(line) => store.agents.value[line.agentId]?.villageId === store.villageId.value} />
    </div>
  </div>`;
}

/** One that waits is a whole card; more are lines, none of them cut, each opens its card. */
function Waiting({ asks }) {
  const waiting = asks.filter(isPending);
  const whole = asks.filter((one) => !isPending(one) || waiting.length === 1);
  return html`<section class="waiting" aria-label="Waiting for you">
    ${waiting.length > 1 ? html`<div class="panel waiting-lines">${waiting.map((one) => html`<${AskLine} key=${approvalKey(one)} one=${one} />`)}</div>` : null}
    ${whole.map((one) => html`<${ApprovalCard} key=${approvalKey(one)} one=${one} />`)}
  </section>`;
}

function Gauges() {
  const agents = store.roster.value;
  if (agents.length === 0) return null;
  const usage = store.villageUsage.value;
  const tokens = (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0);
  const more = [["agent time", duration((usage.agentSeconds ?? 0) * 1000)]];
  if (tokens || usage.costUsd) more.push(["tokens, cost", [tokens && count(tokens), usage.costUsd && money(usage.costUsd)].filter(Boolean).join(" · ")]);
  return html`<${Counters} agents=${agents} more=${more} />`;
}

/** Houses beyond these: the street is folded to those that call, and says how many more there are. */
const UNFOLDED = 12;

function Street() {
  const [whole, setWhole] = useState(false);
  const houses = store.streetHouses.value;
  if (houses.length === 0) return null;
  const calling = new Set(store.roster.value.filter((agent) => needsPerson(agent.status)).map((agent) => agent.repoId));
  const folds = houses.length > UNFOLDED;
  const shown = folds && !whole ? houses.filter((house) => calling.has(house.repoId)) : houses;
  const end = html`${folds ? html`<button type="button" class="link-button" data-testid="unfold" aria-expanded=${whole} onClick=${() => setWhole(!whole)}>${whole ? "Only those that call" : `${shown.length} of ${houses.length} houses call · show all`}</button>` : null}<${Legend} />`;
  return html`<${Panel} name="street" title="Street" end=${end}>
    <ul class="street" data-testid="street">${shown.map((house) => html`<${House} key=${house.repoId} house=${house} />`)}</ul>
  <//>`;
}

function House({ house }) {
  const agents = store.roster.value.filter((agent) => agent.repoId === house.repoId);
  const state = pictureOf(house, agents);
  const busy = state.tones.filter((tone) => tone === "work" || tone === "begin" || tone === "quiet").length;
  const waits = state.tones.filter((tone) => tone === "wait").length;
  const failed = state.tones.filter((tone) => tone === "fail" || tone === "lost").length;
  const words = [waits && `${waits} ${waits === 1 ? "waits" : "wait"}`, failed && `${failed} failed`, busy && `${busy} at work`, testWords(state.last)].filter(Boolean).join(" · ") || "quiet";
  return html`<li><a class="house-link" href=${toHouse(house.repoId)} data-testid="house">
    <span class="plot"><${HousePicture} state=${state} /></span>
    <span class="house-name">${house.name}</span>
    <span class=${`house-words ${waits ? "tone-wait" : ""}`}>${words}</span>
  </a></li>`;
}

function Legend() {
  const item = (tone, text) => html`<span class="legend-item"><${Glyph} tone=${tone} />${text}</span>`;
  return html`<details class="pop legend"><summary>How to read it</summary><div class="pop-body">
    <p>Roof: the last test run. Windows: sessions. Smoke: tests or a build run. Flag: an agent waits for you. Warm walls: work within 90 s. Fence: a runner is away.</p>
    <p class="legend-list">${item("work", "working")}${item("wait", "waits for you")}${item("quiet", "quiet")}${item("begin", "starting")}${item("pause", "paused")}${item("fail", "failed")}${item("lost", "runner lost")}${item("done", "done")}</p>
  </div></details>`;
}
