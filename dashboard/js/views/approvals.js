// What waits for a person: a list of all, and the cards. Nearest deadline first.

import { html, useEffect } from "../html.js";
import * as store from "../store.js";
import { approvalKey, isPending } from "../world.js";
import { AskLine, ApprovalCard } from "./ask/card.js";
import { Outcome } from "./ask/settled.js";
import { Panel } from "./bits.js";
import { Empty } from "./empty.js";

const SETTLED = 30;

export function ApprovalsPage() {
  const waiting = store.pending.value;
  const route = store.route.value;
  const chosen = route.approvalId === undefined ? undefined : `${route.sessionId}/${route.approvalId}`;
  useEffect(() => showChosen(chosen), [chosen, waiting.some((one) => approvalKey(one) === chosen)]);
  const recent = store.recentAsks.value;
  const settled = Object.values(store.approvals.value).filter((one) => !isPending(one) && !recent.includes(one)).sort((a, b) => (b.resolvedAt ?? 0) - (a.resolvedAt ?? 0));
  const unknown = chosen !== undefined && store.loaded.value && !Object.values(store.approvals.value).some((one) => approvalKey(one) === chosen);
  return html`<div class="inbox">
    <div class="inbox-side">
      <${Panel} name="waiting" title="Waiting" end=${html`<span class="faint">${waiting.length ? "nearest deadline first" : "nothing"}</span>`}>
        ${waiting.map((one) => html`<${AskLine} key=${approvalKey(one)} one=${one} current=${approvalKey(one) === chosen} />`)}
      <//>
      ${settled.length ? html`<${Panel} name="settled" title="Settled" end=${html`<span class="faint">${settled.length > SETTLED ? `the last ${SETTLED} of ${settled.length}` : ""}</span>`}>${settled.slice(0, SETTLED).map((one) => html`<${Outcome} key=${approvalKey(one)} one=${one} />`)}<//>` : null}
    </div>
    <div class="inbox-list" data-testid="inbox">
      <h1 class="sr-only">Approvals</h1>
      ${unknown ? html`<p class="ask-why">That approval is not there any more, or you may not see it.</p>` : null}
      ${recent.length ? recent.map((one) => html`<${ApprovalCard} key=${approvalKey(one)} one=${one} />`) : html`<${Empty} title="No approval waits for an answer.">
        <p class="faint">An agent asks by itself, or any script by <code>townwatch ask --category shell --risk high "rm -rf build/"</code>.</p><//>`}
    </div>
  </div>`;
}

/** A link to one approval shows it and gives it the focus: keys act on it alone. */
function showChosen(key) {
  if (key === undefined) return;
  const card = document.querySelector(`[data-approval="${CSS.escape(key)}"]`);
  card?.scrollIntoView({ block: "start" });
  card?.focus({ preventScroll: true });
}
