// A house: one repository, everybody who works in it, its tests and its feed.

import { html, useEffect } from "../html.js";
import { toStart, toVillage } from "../routes.js";
import * as store from "../store.js";
import { tellHistory } from "../past.js";
import { openPlace } from "../town.js";
import { Empty } from "./empty.js";
import { Feed } from "./feed.js";
import { HousePicture, pictureOf } from "./house_picture.js";
import { Panel } from "./bits.js";
import { Tests } from "./tests.js";
import { Roster } from "./roster.js";

export function HousePage({ repoId }) {
  const house = store.houses.value[repoId];
  const agents = store.roster.value.filter((agent) => agent.repoId === repoId);
  useEffect(() => void agents.slice(0, 8).forEach(tellHistory), [agents.length]);
  useEffect(() => void (house === undefined && openPlace("house", repoId)), [house === undefined]);
  if (house === undefined) {
    return store.missing.value === `house ${repoId}` ? html`<${Empty} whole title="There is no such house, or you may not see it."><p><a href="#/">Back to the village</a></p><//>` : html`<${Empty} whole quiet title="Looking for the house …" />`;
  }
  const sessions = store.sessions.value;
  const own = new Set(agents.map((agent) => agent.sessionId));
  return html`<div class="village house-page">
    <div class="village-main">
      <header class="house-head">
        <a class="back" href=${toVillage(house.villageId)} aria-label="Back to the village">←</a>
        <${HousePicture} state=${pictureOf(house, agents)} />
        <div><h1>${house.name}</h1><p class="faint path">${house.repoPath}</p></div>
        ${store.canDrive.value ? html`<a class="button push" data-testid="start-here" href=${toStart({ house: house.repoId })}>Start work here</a>` : null}
      </header>
      <${Conflicts} agents=${agents} sessions=${sessions} />
      <${Roster} agents=${agents} withHouse=${false} empty=${html`<p class="nothing">No agent has worked here yet.</p>`} />
      ${agents.filter((agent) => sessions[agent.sessionId]?.tests?.length).slice(0, TESTED).map((agent) => html`<div key=${agent.agentId}><h2 class="sub">${agent.agentName}</h2><${Tests} tests=${sessions[agent.sessionId].tests} ended=${!agent.online} /></div>`)}
    </div>
    <div class="village-side"><${Feed} title="Feed" matches=${(line) => own.has(line.sessionId)} /></div>
  </div>`;
}

const AN_HOUR = 3_600_000;
const MOST_FILES = 20;
/** Of so many agents the test runs stand on the house's page. */
const TESTED = 4;

/** Two agents wrote one file within an hour: somebody should know. */
function Conflicts({ agents, sessions }) {
  const writers = new Map();
  for (const agent of agents) {
    for (const file of Object.values(sessions[agent.sessionId]?.files ?? {})) {
      if (file.how === "read" || store.now.value - file.at > AN_HOUR) continue;
      writers.set(file.path, [...(writers.get(file.path) ?? []), agent.agentName]);
    }
  }
  const shared = [...writers].filter(([, names]) => names.length > 1);
  if (shared.length === 0) return null;
  return html`<${Panel} name="conflicts" title="Touched by more than one" end=${html`<span class="faint num">${shared.length > MOST_FILES ? `${MOST_FILES} of ${shared.length} files` : ""}</span>`}>
    <ul class="files">${shared.slice(0, MOST_FILES).map(([path, names]) => html`<li class="file"><span class="file-path">${path}</span><span class="faint">${names.join(", ")}</span></li>`)}</ul>
  <//>`;
}
