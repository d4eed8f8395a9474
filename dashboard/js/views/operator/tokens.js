// A person's tokens for programs: make one with what it may do, shown once; see when each was used; revoke.

import { html, useState } from "../../html.js";
import { plural } from "../../format.js";
import * as run from "../../operating.js";
import * as store from "../../store.js";
import { Ago, Answered, Said, Secret, Sure, Table, useActs, useAnswer } from "./parts.js";

const SCOPES = { read: "look", drive: "start, stop, type", decide: "answer approvals", manage: "manage villages, runners, people", admin: "run the service" };
const DAYS = [[7, "7 days"], [30, "30 days"], [90, "90 days"], [365, "a year"]];

export function TokensScreen() {
  const tokens = useAnswer(run.tokens);
  return html`<${Make} changed=${tokens.again} />
    <${Answered} answer=${tokens}>${(all) => html`<${Tokens} all=${all} again=${tokens.again} />`}<//>
    <p class="faint small">You are <code>${store.user.value?.userId}</code>: an owner who adds you to a village needs this id.</p>`;
}

function Make({ changed }) {
  const [made, setMade] = useState(null);
  const [scopes, setScopes] = useState(["read"]);
  const { act, busy, said } = useActs(changed);
  const mine = Object.keys(SCOPES).filter((scope) => scope !== "admin" || store.user.value?.admin);
  const submit = async (event) => {
    event.preventDefault();
    const { label, days } = event.currentTarget.elements;
    const answer = await act(() => run.makeToken({ name: label.value.trim(), scopes, lifetimeDays: Number(days.value) }));
    if (answer) setMade(answer);
  };
  if (made) return html`<${Secret} title="Your new token." text=${made.token} close=${() => setMade(null)}><p class="soft">A program sends it as <code>Authorization: Bearer …</code>${made.expiresAt ? `, until ${new Date(made.expiresAt).toLocaleDateString()}` : ""}.</p><//>`;
  return html`<form class="panel operator-form" onSubmit=${submit} data-testid="new-token"><h2>Make a token</h2><div class="field-pair">
    <label class="field"><span>What it is for</span><input class="input" name="label" required maxlength="200" autocomplete="off" /></label>
    <label class="field"><span>It ends after</span><select class="input" name="days">${DAYS.map(([days, words]) => html`<option value=${days} selected=${days === 90}>${words}</option>`)}</select></label></div>
    <fieldset class="checks"><legend class="legend">It may</legend>${mine.map((scope) => html`<label class="check"><input type="checkbox" checked=${scopes.includes(scope)} onChange=${(event) => setScopes(event.currentTarget.checked ? [...scopes, scope] : scopes.filter((one) => one !== scope))} /><span><b>${scope}</b> <span class="faint small">${SCOPES[scope]}</span></span></label>`)}</fieldset>
    <p class="operator-acts"><button type="submit" class="button primary" disabled=${busy || scopes.length === 0}>Make it</button><span class="faint small">It never may more than you.</span></p><${Said} said=${said} /></form>`;
}

const isOver = (one) => Boolean(one.revokedAt) || (one.expiresAt && one.expiresAt <= store.now.value);

function Tokens({ all, again }) {
  const [past, setPast] = useState(false);
  const shown = past ? all : all.filter((one) => !isOver(one));
  return html`<section class="panel" aria-label="Tokens">${shown.length ? html`<${Table} label="Tokens" columns=${["For", "May", "Made", "Last used", "Ends", "(Do)"]} data-testid="tokens">${shown.map((one) => html`<${Token} key=${one.tokenId} one=${one} again=${again} />`)}<//>` : html`<p class="operator-note">${all.length ? "No token of yours is good any more." : "You have made no token."}</p>`}
    ${shown.length < all.length || past ? html`<p class="roster-foot">${shown.length} of ${plural(all.length, "token")} <button type="button" class="link-button" onClick=${() => setPast(!past)}>${past ? "hide those that ended" : "show those that ended"}</button></p>` : null}</section>`;
}

function Token({ one, again }) {
  const { act, busy, said } = useActs(again);
  return html`<tr data-testid="token"><td><strong><bdi>${one.name}</bdi></strong><${Said} said=${said} /></td><td class="soft" data-label="may">${one.scopes.join(", ") || "nothing by itself"}</td><td data-label="made"><${Ago} at=${one.createdAt} /></td><td data-label="last used"><${Ago} at=${one.usedAt} /></td>
    <td data-label="ends">${one.revokedAt ? html`<span class="tag">revoked</span>` : one.expiresAt ? new Date(one.expiresAt).toLocaleDateString() : "never"}</td><td class="acts">${isOver(one) ? null : html`<${Sure} word="Revoke" act=${() => act(() => run.revokeToken(one.tokenId))} disabled=${busy} of=${one.name} />`}</td></tr>`;
}
