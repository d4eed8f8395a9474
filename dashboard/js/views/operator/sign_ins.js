// Past sign-ins: when, by which way, from where, and whether they still open the service. Each can be ended by itself.

import { html, useState } from "../../html.js";
import { plural } from "../../format.js";
import * as run from "../../operating.js";
import { Ago, Answered, Said, Sure, Table, useActs, useAnswer } from "./parts.js";

const WAYS = {
  link: "one-time link", password: "password", oidc: "single sign-on", machine: "on the service's machine",
  renewed: "renewed after ending all others", token: "API token", issuer: "another issuer's token",
};
/** userId: of another person. What is over is shown when it is asked for. */
export function SignIns({ userId, label }) {
  const answer = useAnswer(() => run.signIns(userId), userId ?? "");
  const [past, setPast] = useState(false);
  return html`<${Answered} answer=${answer}>${(all) => {
    const over = all.filter((one) => !one.valid).length;
    const shown = past ? all : all.filter((one) => one.valid);
    return html`<${Table} label=${label} columns=${["When", "How", "From", "Still valid", "(Do)"]} data-testid="sign-ins">${shown.map((one) => html`<${Row} key=${one.signInId} one=${one} userId=${userId} again=${answer.again} />`)}<//>
      <p class="roster-foot">${plural(shown.length, "sign-in")} of ${all.length}${over ? html` · <button type="button" class="link-button" aria-pressed=${past} onClick=${() => setPast(!past)}>${past ? "hide" : "show"} ${over} that ${over === 1 ? "is" : "are"} over</button>` : null}</p>`;
  }}<//>`;
}

function Row({ one, userId, again }) {
  const { act, busy, said } = useActs(again);
  const from = one.address || "not known";
  return html`<tr data-testid="sign-in-row"><td data-label="when"><${Ago} at=${one.at} /></td>
    <td>${WAYS[one.way] ?? one.way}${one.tokenName ? html` <bdi>${one.tokenName}</bdi>` : null}<br /><span class="faint small">${one.userAgent || "says nothing of itself"}</span><${Said} said=${said} /></td>
    <td data-label="from">${from}</td><td data-label="still valid"><${Validity} one=${one} /></td>
    <td class="acts">${one.current ? html`<span class="tag is-you">this one</span>` : one.valid ? html`<${Sure} word=${one.way === "token" ? "End token" : "End"} sure=${one.way === "token" ? "Really end this token everywhere?" : "Really end it?"} act=${() => act(() => run.endSignIn(one.signInId, userId))} disabled=${busy} of=${`the sign-in from ${from}`} />` : null}</td></tr>`;
}

function Validity({ one }) {
  if (one.valid) return one.expiresAt ? html`yes, until <time datetime=${new Date(one.expiresAt).toISOString()}>${new Date(one.expiresAt).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}</time>` : "yes, until it is ended";
  return one.endedAt ? html`no, ended <${Ago} at=${one.endedAt} />` : "no, it is over";
}
