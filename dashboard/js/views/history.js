// History: who did what, found by words, house, agent, person, day and outcome. A hit opens its session at that place.

import * as api from "../api.js";
import { duration, money, plural } from "../format.js";
import { asked, byDay, DAYS, FILTERS, foundText, indexText, KINDS, OUTCOMES, parts, searched, took } from "../history.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { toSession, withQuery } from "../routes.js";
import { statusOf } from "../status.js";
import * as store from "../store.js";
import { Age, Glyph, Literal } from "./bits.js";
import { Foot, usePages } from "./pages.js";
import { Delta, LastTest } from "./runs.js";

const WAIT_MS = 250;
const AGAIN_MS = 2_000;

export function HistoryPage() {
  const { query } = store.route.value;
  const search = (query.q ?? "").trim() !== "";
  return html`<div class="history" data-testid="history">
    <h1 class="sr-only">History</h1>
    <${Tools} query=${query} search=${search} />
    ${search ? html`<${Hits} query=${query} />` : html`<${Sessions} query=${query} />`}
  </div>`;
}

const go = (change) => (location.hash = withQuery(location.hash, change));

function Tools({ query, search }) {
  const [text, setText] = useState(query.q ?? "");
  const timer = useRef(0);
  useEffect(() => setText((known) => (known.trim() === (query.q ?? "") ? known : (query.q ?? ""))), [query.q]);
  const typed = (event) => {
    const value = event.currentTarget.value;
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => location.replace(withQuery(location.hash, { q: value.trim() })), WAIT_MS);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  const counts = useCounts(query, search);
  const pick = (name, label, choices) => html`<label class="history-pick"><span class="sr-only">${label}</span><select class="input" data-testid=${`by-${name}`} value=${query[name] ?? ""} onChange=${(event) => go({ [name]: event.currentTarget.value })}>${withChosen(choices, query[name]).map(([id, words]) => html`<option value=${id}>${withCount(words, id, counts?.[COUNTED[name]])}</option>`)}</select></label>`;
  const houses = store.streetHouses.value.map((house) => [house.repoId, house.name]);
  const agents = store.roster.value.map((agent) => [agent.agentId, agent.agentName]).sort((a, b) => a[1].localeCompare(b[1]));
  const narrowed = FILTERS.some((name) => query[name]);
  return html`<div class="history-tools" role="search">
    <label class="history-words"><span class="sr-only">Search prompts, messages, terminals, paths</span><input class="input" type="search" maxlength="200" placeholder="Search prompts, messages, terminals, paths" title=${'All words must be there. "words in this order", prefix*, !not'} value=${text} data-testid="words" onInput=${typed} /></label>
    ${pick("house", "House", [["", "any house"], ...houses])}
    ${pick("agent", "Agent", [["", "any agent"], ...agents])}
    <${Who} pick=${pick} />
    ${pick("days", "When it began", DAYS)}
    ${pick("outcome", "Outcome", OUTCOMES)}
    ${search ? pick("kind", "Found in", KINDS) : null}
    ${counts === null ? html`<span class="faint small" data-testid="not-counted">${search ? "places found are not counted by house, agent or person" : "too many sessions: not counted by house, agent or person"}</span>` : null}
    ${narrowed ? html`<button type="button" class="link-button" onClick=${() => go(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>clear</button>` : null}
  </div>`;
}

/** Filters by which sessions are counted → the name of their counts. */
const COUNTED = { house: "houses", agent: "agents", who: "people", outcome: "outcomes" };

const withCount = (words, id, counts) => (id && counts ? `${words} (${counts[id] ?? 0})` : words);

/** undefined until there is an answer; null where nothing is counted: too many sessions, or a search. */
function useCounts(query, search) {
  const [counts, setCounts] = useState(undefined);
  const villageId = store.villageId.value;
  const wanted = !search && villageId ? JSON.stringify(asked(query, villageId, store.serviceNow())) : "";
  useEffect(() => {
    if (!wanted) return setCounts(search ? null : undefined);
    let over = false;
    api.sessionCounts(JSON.parse(wanted)).then((found) => over || setCounts(found.houses === null ? null : found), () => over || setCounts(undefined));
    return () => void (over = true);
  }, [wanted, search]);
  return counts;
}

/** A choice of the address that no list has (any more) stays a choice. */
const withChosen = (choices, chosen) => (chosen && !choices.some(([id]) => id === chosen) ? [...choices, [chosen, chosen]] : choices);

function Who({ pick }) {
  const [people, setPeople] = useState([]);
  const villageId = store.villageId.value;
  const user = store.user.value;
  useEffect(() => {
    if (user && villageId) api.members(villageId).then((items) => setPeople(items.map((one) => [one.userId, one.name ?? one.userId])), () => setPeople([]));
  }, [villageId, user?.userId]);
  if (!user) return null;
  const mine = people.map(([id, name]) => [id, id === user.userId ? `${name} (you)` : name]);
  return pick("who", "Started by", [["", "started by anybody"], ...mine]);
}

function Sessions({ query }) {
  const villageId = store.villageId.value;
  const wanted = asked(query, villageId, store.serviceNow());
  const list = usePages(villageId ? JSON.stringify(wanted) : null, (cursor) => api.sessionPage({ ...wanted, ...(cursor ? { cursor } : {}) }));
  const total = list.answer?.total;
  return html`<section class="panel" aria-label="Sessions">
    ${byDay(list.items, store.now.value).map((day) => html`<h2 class="found-day" key=${day.day}>${day.day}</h2>${day.items.map((one) => html`<${Row} key=${one.sessionId} one=${one} />`)}`)}
    <${Foot} list=${list} text=${total === undefined ? "" : total === 0 ? "No session is as you ask." : `${list.items.length} of ${plural(total, "session")}`} />
  </section>`;
}

function Row({ one }) {
  const status = statusOf({ ...one, lastEventAt: one.lastEventAt ?? undefined, stateAt: one.stateAt ?? undefined, activityAt: one.activityAt ?? undefined, agentStatus: one.agent ? { status: one.agent.status, reason: one.agent.statusFor, since: one.agent.since } : undefined, runnerStatus: one.detached ? "offline" : "online" }, store.now.value, one.pendingApprovals);
  const length = took(one, store.now.value);
  return html`<div class="found" data-testid="past" data-session=${one.sessionId}>
    <span class="status" title=${status.label}><${Glyph} tone=${status.tone} /><span class="sr-only">${status.label}</span></span>
    <span class="clip"><a class="name" href=${toSession(one.sessionId)}><bdi>${one.agentName}</bdi></a> <span class="faint small">${one.startedBy ? html`started by <bdi>${one.startedBy.name ?? one.startedBy.userId}</bdi>` : "started at its machine"}</span></span>
    <span class="clip soft opt"><bdi>${store.houseNameOf(one)}</bdi></span>
    <span class="clip soft small opt">${status.why ? html`<${Literal} text=${status.why} />` : ""}</span>
    <span class="opt"><${LastTest} run=${one.lastTest ?? undefined} /></span>
    <span class="num opt"><${Delta} diff=${one.diff ?? undefined} /></span>
    <span class="num soft opt">${length === undefined ? "" : duration(length)}</span>
    <span class="num soft opt">${one.usage?.costUsd ? money(one.usage.costUsd) : ""}</span>
    <span class="num"><${Age} at=${one.createdAt ?? undefined} suffix=" ago" /></span>
  </div>`;
}

function Hits({ query }) {
  const villageId = store.villageId.value;
  const wanted = searched(query, villageId, store.serviceNow());
  const list = usePages(villageId && wanted ? JSON.stringify(wanted) : null, (cursor) => api.search({ ...wanted, ...(cursor ? { cursor } : {}) }));
  const { answer } = list;
  const late = indexText(answer?.index);
  useEffect(() => { // what was said a moment ago is on its way into the index
    if (answer?.index.state !== "behind" || list.items.length > answer.items.length) return undefined;
    const timer = setTimeout(list.again, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [answer]);
  return html`<section class="panel" aria-label="Found">
    ${late ? html`<p class="found-late" role="status" data-testid="index">${late}</p>` : null}
    ${list.error ? null : html`<ol class="hits" data-testid="hits">${list.items.map((one) => html`<${Hit} key=${`${one.sessionId} ${one.kind} ${one.seq} ${one.at} ${one.snippet}`} one=${one} />`)}</ol>`}
    <${Foot} list=${list} text=${!answer ? "" : answer.advice ? `Nothing can be found: ${answer.advice}` : answer.total === 0 ? "Nothing is found. All words must be in one place; a word* finds what begins with it." : foundText(list.items.length, answer.total, answer.moreThanTotal)} />
  </section>`;
}

function Hit({ one }) {
  return html`<li class="hit" data-testid="hit">
    <a class="hit-link" href=${toSession(one.sessionId, one.seq)}><span class="hit-text mono">${parts(one.snippet, one.matches).map((part) => (part.marked ? html`<mark><${Literal} text=${part.text} /></mark>` : html`<${Literal} text=${part.text} />`))}</span></a>
    <p class="hit-where faint small"><span class="tag">${one.kind}</span><b><bdi>${one.agentName}</bdi></b><span><bdi>${store.houseNameOf(one)}</bdi></span><${Age} at=${one.at} suffix=" ago" /></p>
  </li>`;
}
