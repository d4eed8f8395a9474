// What a session used: totals, and the last ticks as bars.

import { html } from "../html.js";
import { bytes, count, duration, money } from "../format.js";
import { Bars, Panel } from "./bits.js";

const ROWS = [
  ["agentSeconds", "agent time", (n) => duration(n * 1000)],
  ["inputTokens", "tokens in", count],
  ["outputTokens", "tokens out", count],
  ["costUsd", "cost", money],
  ["terminalKb", "terminal", (n) => bytes(n * 1024)],
  ["commandsRun", "commands", count],
  ["filesTouched", "files touched", count],
  ["approvalsRequested", "approvals asked", count],
];

export function Usage({ usage, ticks }) {
  const tokens = (units) => (units.inputTokens ?? 0) + (units.outputTokens ?? 0);
  const inTokens = ticks.some((tick) => tokens(tick.units) > 0);
  const values = ticks.map((tick) => (inTokens ? tokens(tick.units) : (tick.units.terminalKb ?? 0)));
  const unit = inTokens ? "tokens" : "terminal KB";
  return html`<${Panel} name="usage" title="Usage">
    <dl class="facts usage" data-testid="usage">${ROWS.filter(([name]) => usage[name] !== undefined).map(([name, label, show]) => html`<dt>${label}</dt><dd class="num">${show(usage[name])}</dd>`)}</dl>
    ${Object.keys(usage).length === 0 ? html`<p class="nothing">Nothing measured yet; a tick comes every 30 s.</p>` : null}
    ${values.length ? html`<figure class="chart"><${Bars} values=${values} label=${`${unit} a tick`} /><figcaption class="faint">${unit} a tick, the last ${Math.min(40, values.length)}; highest ${count(Math.max(...values))}</figcaption></figure>` : null}
  <//>`;
}
