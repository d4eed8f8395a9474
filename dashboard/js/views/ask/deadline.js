// How long an approval still waits.

import { html } from "../../html.js";
import * as store from "../../store.js";
import { Countdown } from "../bits.js";

const SOON_MS = 5 * 60_000;

/** A ring that empties until nobody has answered, which is a no. */
export function Deadline({ one }) {
  if (!one.timeoutAt) return html`<span class="deadline">no deadline</span>`;
  const left = one.timeoutAt - store.now.value;
  const share = Math.max(0, Math.min(1, left / Math.max(1, one.timeoutAt - one.requestedAt)));
  const round = 2 * Math.PI * 6;
  return html`<span class=${`deadline ${left < SOON_MS ? "is-soon" : ""}`} title="Without an answer by then it is denied">
    <svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6" /><circle cx="8" cy="8" r="6" class="left" stroke-dasharray=${`${round * share} ${round}`} transform="rotate(-90 8 8)" /></svg>
    ${left > 0 ? html`denied in <${Countdown} until=${one.timeoutAt} />` : "time is up"}</span>`;
}
