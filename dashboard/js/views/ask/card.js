// An approval: who asks, the whole of what is asked, where, and only then the answer. The same card on every screen.

import { LINES_AT_ONCE, askOf, heldFor } from "../../asks.js";
import { spelled } from "../../format.js";
import { html, useState } from "../../html.js";
import { toAgent, toApproval } from "../../routes.js";
import * as store from "../../store.js";
import { approvalKey, isPending } from "../../world.js";
import { Age, Countdown, Glyph, Literal } from "../bits.js";
import { Answer } from "./answer.js";
import { Asked } from "./asked.js";
import { Deadline } from "./deadline.js";
import { Held, Outcome } from "./settled.js";

const RISK = { low: "low risk", med: "medium risk", high: "high risk" };
const RISK_TONE = { low: "", med: "is-wait", high: "is-bad" };

/** `inAgent`: on the agent's own page, where its name is known. */
export function ApprovalCard({ one, inAgent = false }) {
  const [read, setRead] = useState(false);
  const open = isPending(one);
  if (heldFor(one, store.now.value) !== undefined) return html`<${Held} one=${one} />`;
  if (!open) return html`<${Outcome} one=${one} />`;
  const ask = askOf(one);
  const key = approvalKey(one);
  const title = `ask-${key.replace(/[^\w-]/g, "_")}`;
  return html`<article class=${`ask ${one.risk === "high" ? "is-high" : ""}`} data-testid="approval" data-approval=${key} data-open="true" tabindex="0" aria-labelledby=${title}>
    <header class="ask-head"><${Glyph} tone="wait" /><h2 class="ask-title" id=${title}>${inAgent ? null : html`<span class="sr-only">${nameOf(one)} </span>`}<${Literal} text=${ask.title} /></h2><${Deadline} one=${one} />
      <p class="ask-who"><span class=${`tag ${RISK_TONE[one.risk] ?? "is-bad"}`} data-testid="risk">${RISK[one.risk] ?? one.risk}</span> ${inAgent ? null : html`<${Asker} one=${one} />`} <span class="faint">${one.category.replace("_", " ")}, asked <${Age} at=${one.requestedAt} suffix=" ago" /></span></p></header>
    <${Asked} one=${one} ask=${ask} read=${read} setRead=${setRead} />
    <${Answer} key=${JSON.stringify(one.context ?? one.summary)} one=${one} ask=${ask} unread=${ask.lines.length > LINES_AT_ONCE && !read} />
  </article>`;
}

const nameOf = (one) => spelled(store.agents.value[one.agentId]?.agentName ?? one.agentId ?? "");

function Asker({ one }) {
  const house = store.houses.value[store.agents.value[one.agentId]?.repoId];
  return html`<a href=${toAgent(one.agentId)}><bdi>${nameOf(one)}</bdi></a>${house ? html`<span class="soft"> in ${house.name}</span>` : null}`;
}

/** One line for lists: it never decides, it opens the card. */
export function AskLine({ one, current = false }) {
  const ask = askOf(one);
  const left = one.timeoutAt ? html`<${Countdown} until=${one.timeoutAt} />` : html`<${Age} at=${one.requestedAt} />`;
  const high = one.risk === "high";
  return html`<a class="ask-line" href=${toApproval(one)} data-testid="ask-line" aria-current=${current ? "true" : undefined}><${Glyph} tone="wait" />
    <span class="clip"><b><bdi>${nameOf(one)}</bdi></b></span><span class=${`tag ${high ? "is-bad" : ""}`}>${high ? "high risk · " : ""}${left}</span>
    <span class="second clip"><${Literal} text=${`${ask.title}: ${ask.command || one.summary}`} /></span></a>`;
}
