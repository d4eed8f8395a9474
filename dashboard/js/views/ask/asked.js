// The thing itself: a command part by part, an edit as its diff, a plan, and every fact that came with it. Nothing is behind a "more".

import { LINES_AT_ONCE, partsOf } from "../../asks.js";
import { html } from "../../html.js";
import { Literal } from "../bits.js";

export function Asked({ one, ask, read, setRead }) {
  const shown = read ? ask.lines : ask.lines.slice(0, LINES_AT_ONCE);
  const rest = ask.lines.length - shown.length;
  return html`
    ${ask.summary ? html`<p class="ask-summary"><${Literal} text=${ask.summary} /></p>` : null}
    ${ask.command ? html`<pre class="asked-command" data-testid="asked">${partsOf(ask.command).map(({ op, text }) => html`<span class="part">${op ? html`<span class="op">${op}</span> ` : null}<${Literal} text=${text} /></span>`)}</pre>` : null}
    ${shown.length ? html`<div class="asked-diff" data-testid="asked-diff" tabindex="0" role="region" aria-label="What it would change">${shown.map(({ kind, text }) => html`<div class=${`dl dl-${kind}`}><${Literal} text=${text || " "} /></div>`)}</div>
      <p class="faint small">${shown.length} of ${ask.lines.length} lines</p>` : null}
    ${rest > 0 ? html`<button type="button" class="button" data-testid="read-rest" onClick=${() => setRead(true)}>Read the rest (${rest} lines)</button>` : null}
    ${ask.facts.length ? html`<dl class="facts small">${ask.facts.map(([name, value]) => html`<dt><${Literal} text=${name} /></dt><dd class="pre"><${Literal} text=${value} /></dd>`)}</dl>` : null}
    ${typeof one.context === "string" ? html`<pre class="asked-command"><${Literal} text=${one.context} /></pre>` : null}
    ${ask.cut ? html`<p class="ask-why" data-testid="cut">${ask.leftOut ? "What it asks was not kept, by the village's setting, and the service has restarted since." : "What it asks is longer than what came here."} It can be denied here; to allow it, read and answer it in its terminal.</p>` : null}`;
}
