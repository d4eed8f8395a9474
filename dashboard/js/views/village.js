// The village: its street, its people, what waits for a person, what happens.

import { html } from "../html.js";
import { bytes, count, duration, money } from "../format.js";
import { toAgent, toHouse } from "../routes.js";
import * as store from "../store.js";
import { testRuns } from "../world.js";
import { Alerts } from "./alerts.js";
import { ApprovalCard } from "./approvals.js";
import { Age, Glyph, Panel, Status } from "./bits.js";
import { NobodyAtWork } from "./empty.js";
import { Feed } from "./feed.js";
import { HousePicture, pictureOf } from "./house_picture.js";

export function VillagePage() {
  const waiting = store.pending.value.filter((one) => one.villageId === store.villageId.value);
  return html`<div class="village">
    <h1 class="sr-only">${store.village.value?.name ?? "Village"}</h1>
    <div class="village-main">
      <${Gauges} />
      <${Street} />
      <${Roster} />
    </div>
    <div class="village-side">
      ${waiting.length ? html`<section class="waiting" aria-label="Waiting for you">${waiting.slice(0, 3).map((one) => html`<${ApprovalCard} key=${one.approvalId} one=${one} compact />`)}</section>` : null}
      <${Alerts} />
      <${Feed} title="Feed" matches=${(line) => store.agents.value[line.agentId]?.villageId === store.villageId.value} />
    </div>
  </div>`;
}

function Gauges() {
  if (store.roster.value.length === 0) return null;
  const tones = store.roster.value.map((agent) => agent.status.tone);
  const of = (...names) => tones.filter((tone) => names.includes(tone)).length;
  const usage = store.villageUsage.value;
  const tokens = (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0);
  return html`<dl class="gauges" aria-label="The village now">
    <${Gauge} name="at work" value=${of("work", "begin", "quiet", "pause")} />
    <${Gauge} name="waiting" value=${of("wait")} tone=${of("wait") ? "wait" : ""} />
    <${Gauge} name="failed" value=${of("fail")} tone=${of("fail") ? "fail" : ""} />
    ${of("lost") ? html`<${Gauge} name="runner lost" value=${of("lost")} tone="lost" />` : null}
    <${Gauge} name="done" value=${of("done")} />
    <${Gauge} name="agent time" value=${duration((usage.agentSeconds ?? 0) * 1000)} />
    ${tokens ? html`<${Gauge} name="tokens" value=${count(tokens)} />` : html`<${Gauge} name="terminal" value=${bytes((usage.terminalKb ?? 0) * 1024)} />`}
    ${usage.costUsd ? html`<${Gauge} name="cost" value=${money(usage.costUsd)} />` : null}
  </dl>`;
}

export function Gauge({ name, value, tone = "" }) {
  return html`<div class=${`gauge ${tone && `tone-${tone}`}`}><dt>${name}</dt><dd class="num">${value}</dd></div>`;
}

function Street() {
  const houses = store.streetHouses.value;
  if (houses.length === 0) return null;
  return html`<${Panel} name="street" title="Street" end=${html`<${Legend} />`}>
    <ul class="street" data-testid="street">${houses.map((house) => html`<${House} key=${house.repoId} house=${house} />`)}</ul>
  <//>`;
}

function House({ house }) {
  const agents = store.roster.value.filter((agent) => agent.repoId === house.repoId);
  const state = pictureOf(house, agents, store.sessions.value, testRuns);
  const busy = state.tones.filter((tone) => tone === "work" || tone === "begin" || tone === "quiet").length;
  const waits = state.tones.filter((tone) => tone === "wait").length;
  const words = [waits && `${waits} waits`, busy && `${busy} at work`, testWords(state.last)].filter(Boolean).join(" · ") || "quiet";
  return html`<li><a class="house-link" href=${toHouse(house.repoId)} data-testid="house">
    <span class="plot"><${HousePicture} state=${state} /></span>
    <span class="house-name">${house.name}</span>
    <span class=${`house-words ${waits ? "tone-wait" : ""}`}>${words}</span>
  </a></li>`;
}

const testWords = (run) => run && (run.ok ? `${run.passed} pass` : run.failed ? `${run.failed} fail` : "tests fail");

function Legend() {
  const item = (tone, text) => html`<span class="legend-item"><${Glyph} tone=${tone} />${text}</span>`;
  return html`<details class="pop legend"><summary>How to read it</summary><div class="pop-body">
    <p>Roof: the last test run. Windows: sessions. Smoke: tests or a build run. Flag: somebody waits for you. Warm walls: work within 90 s. Fence: a runner is away.</p>
    <p class="legend-list">${item("work", "working")}${item("wait", "waits for you")}${item("quiet", "quiet")}${item("begin", "starting")}${item("pause", "paused")}${item("fail", "failed")}${item("lost", "runner lost")}${item("done", "done")}</p>
  </div></details>`;
}

function Roster() {
  const agents = store.roster.value;
  return html`<${Panel} name="roster" title="Agents" end=${html`<span class="faint num">${agents.length || ""}</span>`}>
    ${agents.length ? html`<${AgentTable} agents=${agents} />` : store.loaded.value ? html`<${NobodyAtWork} />` : null}
  <//>`;
}

export function AgentTable({ agents, withHouse = true }) {
  return html`<div class="scroll"><table class="agents" data-testid="agents">
    <thead><tr><th scope="col">Status</th><th scope="col">Agent</th>${withHouse ? html`<th scope="col">House</th>` : null}<th scope="col">Why, or the last line</th><th scope="col" class="right">Tests</th><th scope="col" class="right">Diff</th><th scope="col" class="right">Since</th></tr></thead>
    <tbody>${agents.map((agent) => html`<${AgentRow} key=${agent.agentId} agent=${agent} withHouse=${withHouse} />`)}</tbody>
  </table></div>`;
}

function AgentRow({ agent, withHouse }) {
  const details = store.sessions.value[agent.sessionId];
  const house = store.houses.value[agent.repoId];
  const why = agent.status.why;
  return html`<tr class=${`row-${agent.status.tone}`} data-testid="agent" data-agent=${agent.agentId}>
    <td class="c-status"><${Status} status=${agent.status} /></td>
    <td class="c-name"><a href=${toAgent(agent.agentId)}>${agent.agentName}</a> <span class="kind">${agent.agentType ?? ""}</span></td>
    ${withHouse ? html`<td class="c-house">${house?.name ?? ""}</td>` : null}
    <td class="c-why">${why ? html`<span>${why}</span>` : html`<span class="preview">${agent.preview ?? ""}</span>`}</td>
    <td class="c-tests right"><${LastTests} tests=${details?.tests} /></td>
    <td class="c-diff right num"><${Delta} diff=${details?.diff} /></td>
    <td class="c-age right num"><${Age} at=${agent.status.since} /></td>
  </tr>`;
}

/** The last runs as marks, the newest right, with the newest one's numbers. */
export function LastTests({ tests }) {
  if (!tests?.length) return html`<span class="faint">–</span>`;
  const runs = testRuns(tests).slice(0, 6);
  const tone = (run) => (run.finishedAt === undefined ? "open" : run.ok ? "good" : "bad");
  const newest = runs[0];
  const words = newest.finishedAt === undefined ? "running" : newest.ok ? `${newest.passed} pass` : `${newest.failed} fail`;
  return html`<span class="runs"><span class="run-marks" aria-hidden="true">${runs.toReversed().map((run) => html`<i class=${`run run-${tone(run)}`}></i>`)}</span><span class=${`num run-text-${tone(newest)}`}>${words}</span></span>`;
}

export function Delta({ diff }) {
  if (!diff) return html`<span class="faint">–</span>`;
  return html`<span class="plus">+${diff.linesAdded}</span> <span class="minus">−${diff.linesRemoved}</span>`;
}
