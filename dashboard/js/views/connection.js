// The connection as an instrument: its phase, its round trip, its gaps. Nobody has to press reload.

import { html } from "../html.js";
import { age } from "../format.js";
import { gapWords, linkWords } from "../link.js";
import { clock, link, linkEvent } from "../store.js";
import { retryNow } from "../town.js";

export function Connection() {
  const state = link.value;
  const words = linkWords(state, clock.value);
  const gap = gapWords(state.gaps);
  return html`
    ${gap ? html`<button type="button" class="gap" data-testid="gap" title="Events that could not be sent again. Press to dismiss." onClick=${() => linkEvent({ type: "gaps-seen" })}>${gap}</button>` : null}
    <details class="pop connection">
      <summary class=${`link link-${words.tone}`} data-testid="connection" data-phase=${state.phase}>
        <span class="link-dot" aria-hidden="true"></span><span class="num">${words.text}</span><${Trace} values=${state.roundTrips} />
      </summary>
      <div class="pop-body"><${Details} state=${state} /></div>
    </details>
  `;
}

function Details({ state }) {
  const sorted = [...state.roundTrips].sort((a, b) => a - b);
  const at = (share) => (sorted.length ? `${Math.round(sorted[Math.floor((sorted.length - 1) * share)])} ms` : "–");
  return html`<dl class="facts">
      <dt>state</dt><dd>${state.phase.replace("-", " ")}${state.since ? ` for ${age(clock.value - state.since)}` : ""}</dd>
      <dt>round trip</dt><dd class="num">${at(0.5)} median · ${at(1)} worst</dd>
      ${state.reason ? html`<dt>reason</dt><dd>${state.reason}</dd>` : null}
      ${state.gaps.map((gap) => html`<dt>gap</dt><dd class="num">${gap.room} after ${gap.from} up to ${gap.to}</dd>`)}
    </dl>
    ${state.phase === "waiting" || state.phase === "refused" ? html`<button type="button" class="button" onClick=${retryNow}>Try now</button>` : null}`;
}

/** The last round trips, 0 at the bottom. */
function Trace({ values }) {
  if (values.length < 4) return null;
  const top = Math.max(...values, 20);
  const points = values.map((value, i) => `${(36 * i) / (values.length - 1)},${12 - (11 * value) / top}`).join(" ");
  return html`<svg class="trace" viewBox="0 0 36 12" aria-hidden="true"><polyline points=${points} fill="none" stroke="currentColor" /></svg>`;
}
