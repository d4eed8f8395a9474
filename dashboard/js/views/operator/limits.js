// Limits in use: how near one is to what the settings allow.

import { html } from "../../html.js";
import * as run from "../../operating.js";
import { Answered, Table, useAnswer } from "./parts.js";

const EVERY_MS = 3_000;
/** How full is a warning. */
const NEAR = 0.8;
const WORDS = {
  connections_per_user: ["Your live connections", "close one under Sign-ins and devices"],
  reads: ["What you look at", "requests that change nothing"],
  commands: ["What you change", "requests that change something"],
  typing: ["Typing into terminals", "keys and resizes"],
  subscriptions: ["Subscriptions", "over the control WebSocket"],
  connections: ["Live connections of all people", ""],
  runners: ["Runners", ""],
};

export function LimitsScreen() {
  const limits = useAnswer(run.limits, "", EVERY_MS);
  return html`<${Answered} answer=${limits}>${(all) => html`<section class="panel" aria-label="Limits"><${Table} label="Limits in use" columns=${["Limit", "In use", "Share", "Comes free", "Setting"]} data-testid="limits">${all.map((one) => html`<${Row} key=${one.name} one=${one} />`)}<//></section>
    <p class="faint small">The settings are in the service's file, under [limits]; reads and commands and so on are each a burst that comes free again by the second. How many sessions a runner takes stands with the runners.</p>`}<//>`;
}

function Row({ one }) {
  const share = one.allowed > 0 ? Math.min(1, one.used / one.allowed) : 1;
  const [name, more] = WORDS[one.name] ?? [one.name, ""];
  return html`<tr><td>${name}${more ? html`<br /><span class="faint small">${more}</span>` : null}</td><td class=${`num ${share >= NEAR ? "failure" : ""}`} data-label="in use">${Math.round(one.used)} of ${one.allowed}</td>
    <td><meter min="0" max="1" high=${NEAR} value=${share} aria-label=${`${name}: ${Math.round(share * 100)} %`}></meter></td><td class="soft" data-label="comes free">${one.perSecond ? `${one.perSecond} each second` : "when one ends"}</td><td class="mono faint" data-label="setting">${one.perSecond ? `${one.name}_per_second, ${one.name}_burst` : one.name}</td></tr>`;
}
