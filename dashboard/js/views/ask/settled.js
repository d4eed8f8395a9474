// An approval that was answered: held for five seconds and to be taken back, or settled.

import { askOf, heldFor } from "../../asks.js";
import { html } from "../../html.js";
import * as store from "../../store.js";
import { takeBack } from "../../town.js";
import { approvalKey } from "../../world.js";
import { Age, Glyph, Literal } from "../bits.js";
import { MakeRule } from "./rule.js";

const HOLD_MS = 5000;
const DID = { allow: "allowed", deny: "denied", withdrawn: "withdrawn" };

/** Allowed, and not yet given to the agent. The service counts. */
export function Held({ one }) {
  const left = heldFor(one, store.now.value) ?? 0;
  const verdict = store.verdicts.value[approvalKey(one)];
  return html`<div class="ask is-settled" role="status" data-testid="held" data-approval=${approvalKey(one)}>
    <div class="release"><${Glyph} tone="done" />
      <span>Allowed by ${byWhom(one)}: <code><${Literal} text=${askOf(one).command || one.summary} /></code>. Goes to the agent in ${Math.ceil(left / 1000)} s.</span>
      ${store.mayDecide(one) ? html`<button type="button" class="button slim" data-testid="take-back" disabled=${store.stale.value} onClick=${() => takeBack(one)}>Take back <kbd>Ctrl Z</kbd></button>` : null}
      <svg class="release-bar" viewBox="0 0 100 3" preserveAspectRatio="none" aria-hidden="true"><rect class="is-track" width="100" height="3" /><rect class="is-left" width=${Math.min(100, (100 * left) / HOLD_MS)} height="3" /></svg>
      ${verdict?.text ? html`<p class="failure" role="alert">${verdict.text}</p>` : null}
    </div></div>`;
}

const byWhom = (one) => (one.resolvedBy === store.user.value?.name ? "you" : (one.resolvedBy ?? "another person"));

const BY = { terminal: "in its terminal", timeout: "because there was no answer in time", "session end": "because its session ended" };

export function Outcome({ one }) {
  const verdict = store.verdicts.value[approvalKey(one)];
  const agent = store.agents.value[one.agentId];
  const how = one.decision ? `${DID[one.decision] ?? one.decision} ${BY[one.resolvedBy] ?? (one.resolvedBy ? `by ${byWhom(one)}` : "")}` : "settled while you were away";
  return html`<div class="ask is-settled" data-testid="approval" data-approval=${approvalKey(one)} data-open="false"><p class="ask-outcome" data-testid="outcome">
    <span class=${`outcome-${one.decision ?? "gone"}`}>${verdict?.state === "late" ? html`<strong>${byWhom(one)} was first: </strong>` : null}<b>${how}</b></span>: <code><${Literal} text=${askOf(one).command || one.summary} /></code>${one.note ? html` <span class="soft">“<${Literal} text=${one.note} />”</span>` : null}
    <span class="faint"> ${agent ? html`<bdi>${agent.agentName}</bdi>, ` : null}<${Age} at=${one.resolvedAt} suffix=" ago" /></span></p>
    ${store.canManage.value && (one.decision === "allow" || one.decision === "deny") ? html`<${MakeRule} one=${one} />` : null}</div>`;
}
