// The audit log: who did what, from where. By person, action and day; the filters are in the address.

import { html, useEffect, useMemo, useRef, useState } from "../../html.js";
import { plural } from "../../format.js";
import * as run from "../../operating.js";
import { toSession, withQuery } from "../../routes.js";
import { Literal } from "../bits.js";
import { Foot, usePages } from "../pages.js";
import { Choice, Table, useAnswer } from "./parts.js";

const WAIT_MS = 300;
const go = (change) => location.replace(withQuery(location.hash, change));
/** Kinds of actions, each by how they begin. */
const AREAS = [["", "any action"], ["auth.", "signing in"], ["user.", "accounts"], ["member.", "members"], ["token.", "tokens"], ["village.", "villages"], ["runner.", "runners"], ["session.", "sessions"], ["approval.", "approvals"], ["policy.", "rules"], ["webhook.", "webhooks"], ["alert.", "alerts"], ["connection.", "connections"]];

/** A day of this browser's clock as {since, until}; none for no day. */
function dayOf(text) {
  const [year, month, day] = (text ?? "").split("-").map(Number);
  if (!year || !month || !day) return {};
  return { since: new Date(year, month - 1, day).getTime(), until: new Date(year, month - 1, day + 1).getTime() };
}

export function AuditScreen({ places, villageId, query }) {
  const people = useAnswer(() => (places.admin ? run.people() : run.members(villageId)), villageId);
  const names = useMemo(() => new Map((people.value ?? []).map((one) => [one.userId, one.name])), [people.value]);
  const wanted = { ...(query.who ? { userId: query.who } : {}), ...(query.action ? { action: query.action } : {}), ...dayOf(query.day) };
  const list = usePages(JSON.stringify([villageId, wanted]), (cursor) => run.audit(villageId, { ...wanted, ...(cursor ? { cursor } : {}) }));
  const narrowed = query.who || query.action || query.day;
  const text = !list.answer ? "" : list.answer.total === 0 ? (narrowed ? "Nothing fits." : "Nobody has done anything here yet.") : `${list.items.length} of ${list.answer.moreThanTotal ? "more than " : ""}${plural(list.answer.total, "entry", "entries")}`;
  const chosen = [...names].sort((a, b) => a[1].localeCompare(b[1]));
  if (query.who && !names.has(query.who)) chosen.push([query.who, query.who]);
  return html`<div class="history-tools" role="search">
      <${Choice} label="Person" data-testid="by-who" value=${query.who ?? ""} choices=${[["", "any person"], ...chosen]} pick=${(who) => go({ who })} />
      <${Choice} label="Kind of action" data-testid="by-action" value=${AREAS.some(([id]) => id === query.action) ? query.action : ""} choices=${AREAS} pick=${(action) => go({ action })} />
      <${Exact} value=${query.action ?? ""} />
      <label class="operator-pick"><span class="sr-only">Day</span><input class="input" type="date" data-testid="by-day" value=${query.day ?? ""} onChange=${(event) => go({ day: event.currentTarget.value })} /></label>
      ${narrowed ? html`<button type="button" class="link-button" onClick=${() => go({ who: "", action: "", day: "" })}>clear</button>` : null}
    </div>
    <section class="panel" aria-label="Audit log">
      ${list.items.length ? html`<${Table} label="Audit log" columns=${["When", "Who", "Did", "To", "From"]} data-testid="audit">${list.items.map((one) => html`<${Entry} key=${one.auditId} one=${one} names=${names} places=${places} whole=${!villageId} />`)}<//>` : null}
      <${Foot} list=${list} text=${text} /></section>`;
}

function Exact({ value }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => setText(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const typed = (event) => {
    const action = event.currentTarget.value;
    setText(action);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => go({ action: action.trim() }), WAIT_MS);
  };
  return html`<label class="operator-pick"><span class="sr-only">An action, or what it begins with</span><input class="input mono" type="search" maxlength="100" placeholder="runner.drain" value=${text} onInput=${typed} /></label>`;
}

function Entry({ one, names, places, whole }) {
  const details = one.details && Object.entries(one.details).filter(([, value]) => value !== null).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
  const who = one.userId ? (names.get(one.userId) ?? one.userId) : one.kind;
  const place = places.all.find((each) => each.villageId === one.villageId)?.name ?? one.villageId;
  return html`<tr data-testid="entry"><td class="num"><time datetime=${new Date(one.at).toISOString()}>${new Date(one.at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })}</time></td>
    <td><bdi>${who}</bdi>${one.kind === "api_token" ? html` <span class="faint small">by a token</span>` : null}</td>
    <td><code>${one.action}</code>${details ? html`<br /><span class="faint small"><${Literal} text=${details} /></span>` : null}</td>
    <td class="soft" data-label="to">${one.target ? html`<bdi>${names.get(one.target) ?? one.target}</bdi>` : ""}${one.sessionId ? html` <a href=${toSession(one.sessionId)}>its session</a>` : null}${whole && place ? html` <span class="faint small">in <bdi>${place}</bdi></span>` : null}</td>
    <td class="faint small" data-label="from">${one.address ?? ""}</td></tr>`;
}
