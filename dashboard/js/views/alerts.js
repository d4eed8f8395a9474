// Alerts, and the bug bots of those that somebody has to look at.

import { resolveAlert } from "../api.js";
import { html, useState } from "../html.js";
import { toAgent } from "../routes.js";
import * as store from "../store.js";
import { Age, Panel } from "./bits.js";

const SHOWN = 2;
const UNFOLDED = 30;

/** agentId: only those of one agent. */
export function Alerts({ agentId }) {
  const open = Object.values(store.alerts.value)
    .filter((alert) => !alert.resolved && alert.title && (agentId === undefined || alert.agentId === agentId))
    .filter((alert) => store.agents.value[alert.agentId]?.villageId === store.villageId.value)
    .sort((a, b) => Number(b.bot) - Number(a.bot) || b.at - a.at);
  if (open.length === 0) return null;
  return html`<${Panel} name="alerts" title="Alerts" end=${html`<span class="faint num">${open.length}</span>`}>
    <ul class="alerts" data-testid="alerts">${open.slice(0, SHOWN).map((alert) => html`<${Alert} key=${`${alert.sessionId}/${alert.alertId}`} alert=${alert} />`)}</ul>
    ${open.length > SHOWN ? html`<details class="more-alerts"><summary>${open.length > UNFOLDED ? `${UNFOLDED} of ${open.length}` : `and ${open.length - SHOWN} more`}</summary><ul class="alerts">${open.slice(SHOWN, UNFOLDED).map((alert) => html`<${Alert} key=${`${alert.sessionId}/${alert.alertId}`} alert=${alert} />`)}</ul></details>` : null}
  <//>`;
}

function Alert({ alert }) {
  const agent = store.agents.value[alert.agentId];
  const [failure, setFailure] = useState("");
  const resolve = () => resolveAlert(alert).then(() => store.dispatch([["bug_bot_resolved", alert]]), (error) => setFailure(error.message));
  return html`<li class=${`alert severity-${alert.severity}`}>
    <${Bug} bot=${alert.bot} />
    <div><p><strong>${alert.title}</strong></p>
      <p class="faint">${alert.severity} · ${alert.category} · <a href=${toAgent(alert.agentId)}>${agent?.agentName ?? alert.agentId}</a> · <${Age} at=${alert.at} suffix=" ago" /></p>
      ${alert.description ? html`<p class="alert-text">${alert.description}</p>` : null}
      ${alert.bot && alert.progress > 0 ? html`<progress max="1" value=${alert.progress} aria-label="repair"></progress>` : null}
      ${store.canDrive.value ? html`<button type="button" class="link-button" data-testid="resolve-alert" disabled=${store.stale.value} onClick=${resolve}>Resolve<span class="sr-only"> ${alert.title}</span></button>` : null}
      ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
    </div></li>`;
}

function Bug({ bot }) {
  return html`<svg class="bug" viewBox="0 0 16 16" role="img" aria-label=${bot ? "bug bot" : "alert"}>
    ${bot
      ? html`<ellipse cx="8" cy="9" rx="3.4" ry="4.4" /><path d="M8 4.6V13M4.6 8H1.5M4.6 11.2 2 13.5M11.4 8h3.1M11.4 11.2 14 13.5M5.5 5 3.5 2.5M10.5 5l2-2.5" />`
      : html`<path d="M8 2.5 14.5 13.5h-13zM8 6.5v3.5M8 11.5v.6" />`}
  </svg>`;
}
