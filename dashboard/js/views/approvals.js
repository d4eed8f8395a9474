// Approvals: what an agent asks, and a person's answer. No answer is never a yes.

import { spelled } from "../format.js";
import { html, useRef, useState } from "../html.js";
import { toAgent } from "../routes.js";
import * as store from "../store.js";
import { decide } from "../town.js";
import { isPending } from "../world.js";
import { Age, Countdown, Literal, Panel } from "./bits.js";
import { Empty } from "./empty.js";

const RISK = { low: "low risk", med: "medium risk", high: "high risk" };
const DID = { allow: "allowed", deny: "denied" };

/** `inAgent`: on the agent's own page, where its name is known. `compact`: a summary in the village. */
export function ApprovalCard({ one, inAgent = false, compact = false }) {
  const [note, setNote] = useState("");
  const verdict = store.verdicts.value[one.approvalId];
  const open = isPending(one);
  return html`<article class=${`approval risk-${one.risk} ${open ? "" : "settled"}`} data-testid="approval" data-approval=${one.approvalId} data-open=${open} tabindex="-1" aria-label=${`Approval: ${spelled(one.summary)}`}>
    <header class="approval-head">
      <span class=${`risk risk-${one.risk}`}>${RISK[one.risk] ?? one.risk}</span>
      <span class="approval-category">${one.category.replace("_", " ")}</span>
      ${inAgent ? null : html`<${Asker} one=${one} />`}
      <span class="approval-time">${open ? html`<${Deadline} one=${one} />` : html`<${Age} at=${one.resolvedAt} suffix=" ago" />`}</span>
    </header>
    <p class="approval-summary"><code><${Literal} text=${one.summary} /></code></p>
    ${one.context !== undefined && one.context !== null && !compact ? html`<${Context} context=${one.context} />` : null}
    ${open ? html`<${Answer} one=${one} note=${note} setNote=${setNote} verdict=${verdict} compact=${compact} />` : html`<${Outcome} one=${one} verdict=${verdict} />`}
  </article>`;
}

/** Whatever the asker added, as names and values. */
function Context({ context }) {
  if (typeof context !== "object") return html`<pre class="approval-context"><${Literal} text=${context} /></pre>`;
  const text = (value) => (typeof value === "string" ? value : Array.isArray(value) ? value.map(text).join(", ") : JSON.stringify(value));
  return html`<dl class="approval-context facts">${Object.entries(context).map(([name, value]) => html`<dt><${Literal} text=${name} /></dt><dd><${Literal} text=${text(value)} /></dd>`)}</dl>`;
}

function Asker({ one }) {
  const agent = store.agents.value[one.agentId];
  const house = store.houses.value[agent?.repoId];
  return html`<span class="approval-who"><a href=${toAgent(one.agentId)}>${agent?.agentName ?? one.agentId}</a>${house ? html`<span class="faint"> in ${house.name}</span>` : null}</span>`;
}

/** A ring that empties until nobody has answered, which is a no. */
function Deadline({ one }) {
  if (!one.timeoutAt) return html`<span class="faint">asked <${Age} at=${one.requestedAt} suffix=" ago" /></span>`;
  const share = Math.max(0, Math.min(1, (one.timeoutAt - store.now.value) / Math.max(1, one.timeoutAt - one.requestedAt)));
  const round = 2 * Math.PI * 6;
  return html`<span class="deadline" title="Without an answer by then it is denied">
    <svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6" class="ring" /><circle cx="8" cy="8" r="6" class="ring-left" stroke-dasharray=${`${round * share} ${round}`} transform="rotate(-90 8 8)" /></svg>
    ${one.timeoutAt > store.now.value ? html`denied in <${Countdown} until=${one.timeoutAt} />` : "time is up"}</span>`;
}

function Answer({ one, note, setNote, verdict, compact }) {
  if (!store.canDrive.value) return html`<p class="faint">Only who may drive can answer.</p>`;
  const sending = verdict?.state === "sending";
  const answer = (decision) => decide(one, decision, note.trim() || undefined);
  return html`<div class="answer">
    ${compact ? null : html`<label class="note"><span class="sr-only">Note to the agent</span><input placeholder="Note to the agent (optional)" maxlength="2000" value=${note} onInput=${(event) => setNote(event.currentTarget.value)} /></label>`}
    <button type="button" class="button allow" data-testid="allow" data-decision="allow" disabled=${sending} onClick=${() => answer("allow")}>Allow <kbd>a</kbd></button>
    <button type="button" class="button deny" data-testid="deny" data-decision="deny" disabled=${sending} onClick=${() => answer("deny")}>Deny <kbd>d</kbd></button>
    ${verdict?.state === "failed" ? html`<p class="failure" role="alert">${verdict.text}</p>` : null}
  </div>`;
}

function Outcome({ one, verdict }) {
  const who = one.resolvedBy ? ` by ${one.resolvedBy}` : "";
  return html`<p class=${`outcome outcome-${one.decision ?? "gone"}`} data-testid="outcome">
    ${verdict?.state === "late" ? html`<strong>Somebody was first. </strong>` : null}
    ${one.decision ? `${DID[one.decision] ?? one.decision}${who}` : "settled while you were away"}${one.note ? html`<span class="faint"> “${one.note}”</span>` : null}
  </p>`;
}

export function ApprovalsPage() {
  const waiting = store.pending.value;
  const settled = Object.values(store.approvals.value).filter((one) => !isPending(one)).sort((a, b) => (b.resolvedAt ?? 0) - (a.resolvedAt ?? 0));
  const list = useRef(null);
  return html`<div class="inbox" ref=${list}>
    <div class="inbox-head"><h1>Approvals</h1><p class="faint">${waiting.length ? `${waiting.length} waiting, the oldest first` : "nothing waits for you"}</p>
      ${waiting.length ? html`<p class="hint"><kbd>j</kbd> <kbd>k</kbd> choose · <kbd>a</kbd> allow · <kbd>d</kbd> deny · high risk asks twice</p>` : null}</div>
    <div class="inbox-list" data-testid="inbox">
      ${waiting.length ? waiting.map((one) => html`<${ApprovalCard} key=${one.approvalId} one=${one} />`) : html`<${Empty} title="Nobody waits for an answer.">
        <p class="faint">An agent asks by itself, or any script by <code>townwatch ask --category shell --risk high "rm -rf build/"</code>.</p><//>`}
    </div>
    ${settled.length ? html`<${Panel} name="settled" title="Settled">${settled.slice(0, 30).map((one) => html`<${ApprovalCard} key=${one.approvalId} one=${one} compact />`)}<//>` : null}
  </div>`;
}
