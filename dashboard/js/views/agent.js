// An agent: who it is, how it is and why, its terminal, what it asks, what it did.

import { html, useEffect, useState } from "../html.js";
import { toHouse, toSession, toStart, toVillage, withQuery } from "../routes.js";
import * as store from "../store.js";
import { tellHistory } from "../past.js";
import { command } from "../town.js";
import { isFinal } from "../status.js";
import { ApprovalCard } from "./ask/card.js";
import { Age, Glyph } from "./bits.js";
import { Changes } from "./changes.js";
import { Empty } from "./empty.js";
import { Composer } from "./composer.js";
import { Keep } from "./keep.js";
import { SeenBy, useSeen } from "./seen.js";
import { Story } from "./story.js";
import { TerminalPane } from "./terminal_pane.js";
import { Tests } from "./tests.js";
import { Usage } from "./usage.js";
import { approvalKey } from "../world.js";

const NO_TICKS = Object.freeze([]);
const TABS = ["terminal", "timeline", "changes", "tests", "usage"];

export function AgentPage({ agentId }) {
  const found = store.agents.value[agentId];
  const asked = store.route.value.query.tab;
  const tab = TABS.includes(asked) ? asked : "terminal";
  const setTab = (name) => (location.hash = withQuery(location.hash, { tab: name === "terminal" ? "" : name }));
  useEffect(() => found && tellHistory(found), [found?.sessionId]);
  useSeen(found);
  if (found === undefined) {
    return store.missing.value === `agent ${agentId}`
      ? html`<${Empty} whole title="There is no such agent, or you may not see it."><p><a href="#/">Back to the village</a></p><//>`
      : html`<${Empty} whole quiet title="Looking for the agent …" />`;
  }
  const agent = store.withStatus(found, store.now.value);
  return html`<div class="agent" data-tab=${tab}>
    <${Others} agentId=${agentId} />
    <${Head} agent=${agent} />
    <div class="agent-asks">${store.recentAsks.value.filter((one) => one.sessionId === agent.sessionId).map((one) => html`<${ApprovalCard} key=${approvalKey(one)} one=${one} inAgent />`)}</div>
    <${Tabs} tab=${tab} setTab=${setTab} />
    <div class="agent-work"><${TerminalPane} agent=${agent} /><${Composer} key=${agent.sessionId} agent=${agent} /></div>
    <div class="agent-side" role="tabpanel" aria-label=${tab === "terminal" ? "timeline" : tab}><${Side} tab=${tab} agent=${agent} /></div>
  </div>`;
}

function Side({ tab, agent }) {
  const details = store.sessions.value[agent.sessionId];
  if (tab === "tests") return html`<${Tests} tests=${details?.tests ?? []} story=${details?.story} ended=${isFinal(agent.state)} />`;
  if (tab === "changes") return html`<${Changes} key=${agent.sessionId} agent=${agent} details=${details} />`;
  if (tab === "usage") return html`<${Usage} key=${agent.sessionId} agent=${agent} sessionId=${agent.sessionId} usage=${store.usageOf(agent)} ticks=${details?.ticks ?? NO_TICKS} /><${Keep} agent=${agent} />`;
  return html`<${Story} key=${agent.sessionId} story=${details?.story} />`;
}

/** Where there is room the terminal stands beside the tabs, and is none of them. */
const ROOMY = matchMedia("(min-width: 901px)");

function useRoomy() {
  const [roomy, setRoomy] = useState(ROOMY.matches);
  useEffect(() => {
    const changed = () => setRoomy(ROOMY.matches);
    ROOMY.addEventListener("change", changed);
    return () => ROOMY.removeEventListener("change", changed);
  }, []);
  return roomy;
}

function Tabs({ tab: asked, setTab }) {
  const roomy = useRoomy();
  const tabs = roomy ? TABS.slice(1) : TABS;
  const tab = tabs.includes(asked) ? asked : tabs[0]; // the one that is seen is the one that the keyboard reaches
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    setTab(next);
    event.currentTarget.querySelector(`[data-tab-name=${next}]`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label="About this agent" onKeyDown=${move}>
    ${tabs.map((name) => html`<button type="button" role="tab" key=${name} class="tab" data-tab-name=${name} aria-selected=${name === tab} tabindex=${name === tab ? 0 : -1} onClick=${() => setTab(name)}>${name}</button>`)}
  </div>`;
}

function Head({ agent }) {
  const house = store.houses.value[agent.repoId];
  const status = agent.status;
  return html`<header class=${`agent-head tone-${status.tone}`}>
    <a class="back" href=${toVillage(agent.villageId)} aria-label="Back to the village">←</a>
    <div class="agent-title">
      <h1>${agent.agentName}</h1>
      <p class="agent-state" data-testid="agent-state"><${Glyph} tone=${status.tone} /><strong>${status.label}</strong> <${Age} at=${status.since} />${status.why && agent.waiting.length === 0 ? html`<span class="agent-why">${status.why}</span>` : null}<${SeenBy} agent=${agent} /></p>
      <${Facts} agent=${agent} house=${house} />
    </div>
    <${Controls} agent=${agent} />
  </header>`;
}

/** "Online" says which: the machine, the process, the activity, each with its age. */
function Facts({ agent, house }) {
  const away = agent.runnerStatus && agent.runnerStatus !== "online";
  return html`<ul class="agent-facts">
    ${house?.name ? html`<li><a href=${toHouse(house.repoId)}>${house.name}</a></li>` : null}
    <li>${agentWords(agent)}</li>
    ${agent.runnerId ? html`<li class=${away ? "tone-lost" : ""}>runner ${agent.runnerStatus ?? ""}</li>` : null}
    <li>process ${agent.endedAt || isFinal(agent.state) ? html`ended <${Age} at=${agent.endedAt ?? agent.stateAt} suffix=" ago" />` : html`up <${Age} at=${agent.startedAt} />`}</li>
    <li title="Output, a file, a test, a provider's event or input">last sign of work <${Age} at=${agent.activityAt} suffix=" ago" /></li>
  </ul>`;
}

/** What it is, as far as it has said: the CLI, its version, its model, how much of its context is used. */
function agentWords(agent) {
  const story = store.sessions.value[agent.sessionId]?.story;
  const { version, model } = story?.agent ?? {};
  const used = story?.context?.size ? `${Math.round((100 * story.context.used) / story.context.size)} % of its context` : "";
  return [agent.agentType ?? "custom", version, model, used].filter(Boolean).join(" · ");
}

function Controls({ agent }) {
  const [failure, setFailure] = useState("");
  const [sure, setSure] = useState(false);
  const replay = html`<a class="button" data-testid="replay-link" href=${toSession(agent.sessionId)}>Replay</a>`;
  const like = html`<a class="button" data-testid="like" href=${toStart({ like: agent.sessionId })}>${isFinal(agent.state) ? "Again …" : "Like this one …"}</a>`;
  if (!store.canDrive.value) return html`<div class="controls">${replay}</div>`;
  const resumable = store.sessions.value[agent.sessionId]?.story?.agent?.cliSessionId !== undefined;
  if (isFinal(agent.state)) return html`<div class="controls">${resumable ? html`<a class="button" data-testid="go-on" href=${toStart({ like: agent.sessionId, resume: "yes" })}>Go on …</a>` : null}${replay}${like}</div>`;
  const run = async (verb, body) => setFailure(await command(agent.sessionId, verb, body));
  const stop = () => {
    if (sure) run("stop", { graceful: true });
    setSure(!sure);
    if (!sure) setTimeout(() => setSure(false), 4000);
  };
  const paused = agent.state === "PAUSED_BY_HUMAN";
  return html`<div class="controls">
    ${replay}${like}
    ${paused
      ? html`<button type="button" class="button" data-testid="resume" onClick=${() => run("resume")}>Resume</button>`
      : html`<button type="button" class="button" data-testid="pause" disabled=${agent.state !== "RUNNING" && agent.state !== "WAITING_FOR_APPROVAL"} onClick=${() => run("pause")}>Pause</button>`}
    <button type="button" class=${`button ${sure ? "danger" : ""}`} data-testid="stop" disabled=${agent.state === "STOPPING"} onClick=${stop}>${sure ? "Really stop" : "Stop"}</button>
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
  </div>`;
}

/** The others of the village, one press away. */
function Others({ agentId }) {
  return html`<nav class="others" aria-label="Agents">
    ${store.roster.value.map((agent) => html`<a key=${agent.agentId} href=${`#/a/${encodeURIComponent(agent.agentId)}`} aria-current=${agent.agentId === agentId ? "page" : undefined}>
      <${Glyph} tone=${agent.status.tone} /><span class="others-name">${agent.agentName}</span><${Age} at=${agent.status.since} /><span class="sr-only">${agent.status.label}</span>
      <span class="others-house">${store.houses.value[agent.repoId]?.name || agent.status.label}</span></a>`)}
  </nav>`;
}
