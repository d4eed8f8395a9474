// The latest calls to this person, and what became of each.

import * as api from "../api.js";
import { html, useEffect, useState } from "../html.js";
import { Age, Literal, Panel } from "./bits.js";

const SHOWN = 20;
const AGAIN_MS = 2000;
const WORDS = { delivered: "delivered", dead: "given up", void: "not needed" };

/** `rounds`: counts what was done above; after it, one looks again for a while. */
export function CallLog({ rounds, load }) {
  const [found, setFound] = useState(null);
  const look = () => api.calls().then(setFound, () => {});
  useEffect(() => {
    look();
    const timers = [1, 2, 4, 8].map((times) => setTimeout(look, AGAIN_MS * times));
    return () => timers.forEach(clearTimeout);
  }, [rounds]);
  if (found === null) return null;
  const rows = found.items;
  return html`<${Panel} name="call-log" title="Your latest calls" end=${html`<button type="button" class="link-button" onClick=${load}>Look again</button>`}>
    ${rows.length === 0 ? html`<p class="nothing">None yet.</p>` : html`<ul class="call-log" data-testid="call-log">${rows.map((one) => html`<li key=${one.deliveryId}><span class="clip"><${Literal} text=${one.body} /></span><span class=${one.state === "dead" ? "failure" : "faint"}>${stateOf(one)}</span><${Age} at=${one.createdAt} suffix=" ago" /></li>`)}</ul>`}
    ${found.next !== null ? html`<p class="faint nothing">the latest ${SHOWN} of more</p>` : null}<//>`;
}

function stateOf(one) {
  if (one.state !== "waiting") return `${WORDS[one.state] ?? one.state}${one.error ? `: ${one.error}` : ""}`;
  if (one.error) return `is tried again: ${one.error}`;
  if (one.nextAt <= Date.now() + 1000) return "on its way";
  const at = new Date(one.nextAt).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return one.kind === "approval.escalated" ? `if nobody answers by ${at}` : `waits until ${at}`;
}
