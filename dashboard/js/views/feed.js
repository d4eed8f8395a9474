// What happened, newest first, one readable line each.

import { html, useState } from "../html.js";
import { clock } from "../format.js";
import { KINDS, shareLines } from "../lines.js";
import { toAgent, toHouse } from "../routes.js";
import * as store from "../store.js";
import { Panel } from "./bits.js";

const SHOWN = 200;

/** matches(line) chooses the lines; `oneAgent`: without the agent's name. */
export function Feed({ title, matches, oneAgent = false }) {
  const [kind, setKind] = useState("");
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const name = (line) => store.agents.value[line.agentId]?.agentName ?? line.agentId;
  const fits = (line) => matches(line) && (!kind || line.kind === kind) && (!wanted || `${line.text} ${name(line)}`.toLowerCase().includes(wanted));
  const all = store.feed.value.filter(fits);
  const found = all.slice(-SHOWN);
  const lines = (oneAgent ? found : shareLines(found, (line) => store.agents.value[line.agentId]?.repoId)).toReversed();
  const search = html`<input type="search" class="feed-search" aria-label="Search the feed" placeholder="filter" value=${text} onInput=${(event) => setText(event.currentTarget.value)} />`;
  return html`<${Panel} name="feed" title=${title} end=${search}>
    <div class="chips" role="group" aria-label="Kinds of events">
      ${["", ...KINDS].map((one) => html`<button type="button" class="chip" aria-pressed=${kind === one} onClick=${() => setKind(one)}>${one || "all"}</button>`)}
    </div>
    <ol class="feed" data-testid="feed">
      ${lines.map((line) => html`<li key=${line.key} class=${`line line-${line.tone} kind-${line.kind}`}>
        <time class="num" datetime=${new Date(line.at).toISOString()}>${clock(line.at)}</time>
        <span class="line-text">${oneAgent ? null : html`<${Who} line=${line} name=${name(line)} /> `}${line.text}</span>
      </li>`)}
      ${all.length > SHOWN ? html`<li class="line faint">the last ${SHOWN} of ${all.length}</li>` : null}
      ${lines.length ? null : html`<li class="line faint">${wanted || kind ? "nothing fits the filter" : "nothing yet"}</li>`}
    </ol>
  <//>`;
}

function Who({ line, name }) {
  if (!line.shared) return html`<a href=${toAgent(line.agentId)}>${name}</a>`;
  return html`<span class="faint">in</span> <a href=${toHouse(line.house)}>${store.houses.value[line.house]?.name || "this house"}</a><span class="faint">:</span>`;
}
