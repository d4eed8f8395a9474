// Sign-ins and devices: where one is connected from, to end one or all; for administrators, everyone's connections.

import { html, useMemo } from "../../html.js";
import { plural } from "../../format.js";
import * as run from "../../operating.js";
import { connectionId } from "../../town.js";
import { SignIns } from "./sign_ins.js";
import { Ago, Answered, Said, Sure, Table, useActs, useAnswer } from "./parts.js";

const EVERY_MS = 10_000;
const DOORS = { socketio: "a page", control: "a program" };

export function DevicesScreen({ places }) {
  const mine = useAnswer(run.myConnections, "", EVERY_MS);
  const { act, busy, said } = useActs();
  const everywhere = () => act(async () => (await run.signOutEverywhere(), location.reload()));
  return html`<section class="panel" aria-labelledby="past"><div class="panel-head"><h2 id="past">Your sign-ins</h2></div><${SignIns} label="Your sign-ins" /></section>
    <section class="panel" aria-labelledby="live"><div class="panel-head"><h2 id="live">Your live connections</h2></div><${Answered} answer=${mine}>${(all) => html`<${Connections} label="Your connections" all=${all} again=${mine.again} />`}<//></section>
    <p class="operator-acts"><${Sure} word="Sign out everywhere else" sure="Really end all other sign-ins?" act=${everywhere} disabled=${busy} slim=${false} /><span class="faint small">Links that were not used yet end, too. Your tokens stay: revoke them one by one.</span></p><${Said} said=${said} />
    ${places.admin ? html`<${Everyone} />` : null}`;
}

function Everyone() {
  const all = useAnswer(run.allConnections, "", EVERY_MS);
  const people = useAnswer(run.people);
  const names = useMemo(() => new Map((people.value ?? []).map((one) => [one.userId, one.name])), [people.value]);
  return html`<section class="panel" aria-labelledby="everyone"><div class="panel-head"><h2 id="everyone">All live connections</h2></div><${Answered} answer=${all}>${(found) => html`<${Connections} label="All live connections" all=${found} again=${all.again} names=${names} />`}<//></section>`;
}

function Connections({ label, all, again, names }) {
  const columns = [...(names ? ["Who"] : []), "What", "From", "Since", "(Do)"];
  return html`<${Table} label=${label} columns=${columns}>${all.map((one) => html`<${Row} key=${one.connectionId} one=${one} again=${again} names=${names} />`)}<//><p class="roster-foot">${plural(all.length, "live connection")}</p>`;
}

function Row({ one, again, names }) {
  const { act, busy, said } = useActs(again);
  return html`<tr data-testid="connection-row">${names ? html`<td><bdi>${one.userId ? (names.get(one.userId) ?? one.userId) : "a visitor"}</bdi></td>` : null}
    <td>${DOORS[one.kind] ?? one.kind}<br /><span class="faint small">${one.userAgent || "says nothing of itself"}</span><${Said} said=${said} /></td><td data-label="from">${one.address || "not known"}</td><td data-label="since"><${Ago} at=${one.since} /></td>
    <td class="acts">${one.connectionId === connectionId() ? html`<span class="tag is-you">this one</span>` : html`<button type="button" class="button slim" disabled=${busy} onClick=${() => act(() => run.closeConnection(one.connectionId))}>Close</button>`}</td></tr>`;
}
