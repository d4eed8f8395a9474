// What a session used: totals, and tokens and cost over time. A cost that nobody has said is unknown, and said to be.

import * as api from "../api.js";
import { bytes, clock, count, duration, money } from "../format.js";
import { html, useEffect, useMemo, useState } from "../html.js";
import { allTokens, costWords, joined, sourceWords, spendingOf } from "../spending.js";
import { Panel } from "./bits.js";
import { BudgetsOf } from "./budgets.js";

const ROWS = [
  ["agentSeconds", "agent time", (n) => duration(n * 1000)],
  ["inputTokens", "tokens in", count],
  ["outputTokens", "tokens out", count],
  ["cacheReadTokens", "from the cache", count],
  ["terminalKb", "terminal", (n) => bytes(n * 1024)],
  ["commandsRun", "commands", count],
  ["filesTouched", "files touched", count],
  ["approvalsRequested", "approvals asked", count],
];
const PERIODS = 40;
const HEIGHT = 44;
/** So many questions for ticks: each reads some ten thousand events of the log. */
const MOST_PAGES = 60;

/** usage: the service's totals. ticks: those that the stream told, the newest. */
export function Usage({ agent, sessionId, usage, ticks }) {
  const { past, whole, trouble } = usePast(sessionId);
  const [heard, setHeard] = useState([]);
  useEffect(() => setHeard((known) => joined(known, ticks)), [ticks]);
  const all = useMemo(() => joined(past, heard, ticks), [past, heard, ticks]);
  const { length, periods, total } = useMemo(() => spendingOf(all, PERIODS), [all]);
  const cost = costWords({ cost: usage.costUsd ?? undefined, unpriced: total.unpriced, input: usage.inputTokens ?? total.input, output: usage.outputTokens ?? total.output }, money);
  const source = sourceWords(all);
  const nothing = Object.keys(usage).length === 0;
  return html`<${Panel} name="usage" title="Usage">
    ${nothing ? html`<p class="nothing">Nothing measured yet; a tick comes every 30 s.</p>` : html`<dl class="facts usage" data-testid="usage">
      <dt>cost</dt><dd data-testid="cost">${cost.words}${cost.known !== undefined && source ? html`<span class="faint">, ${source}</span>` : null}</dd>
      ${ROWS.filter(([name]) => usage[name] !== undefined && usage[name] !== null).map(([name, label, show]) => html`<dt>${label}</dt><dd class="num">${show(usage[name])}</dd>`)}</dl>`}
    ${trouble ? html`<p class="soft usage-note" role="status">Over time: the ticks of before could not be read (${trouble}). What is drawn begins when this page was opened.</p>` : null}
    ${!whole && !trouble ? html`<p class="soft usage-note" role="status">Reading the ticks of before …</p>` : null}
    <${BudgetsOf} agent=${agent} />
    ${periods.length ? html`<${OverTime} length=${length} periods=${periods} />` : null}
  <//>`;
}

/** The ticks of the log, page after page: {past, whole, trouble}. */
function usePast(sessionId) {
  const [found, setFound] = useState({ past: [], whole: false, trouble: "" });
  useEffect(() => {
    let gone = false;
    const read = async () => {
      const past = [];
      let after = 0;
      for (let page = 0; page < MOST_PAGES && !gone; page++) {
        const { items, next } = await api.ticks(sessionId, after);
        for (const { type, ts, units, intervalMs } of items) if (type === "USAGE_TICK") past.push({ at: ts, units, intervalMs });
        after = next;
        if (next === null || next === undefined) break;
      }
      if (!gone) setFound({ past, whole: true, trouble: after ? "there are too many events" : "" });
    };
    read().catch((error) => gone || setFound({ past: [], whole: false, trouble: error.message }));
    return () => (gone = true);
  }, [sessionId]);
  return found;
}

function OverTime({ length, periods }) {
  const costs = periods.map((one) => one.cost);
  const tokens = periods.map(allTokens);
  const priced = costs.some((one) => one !== undefined);
  const counted = periods.some((one) => one.input !== undefined || one.output !== undefined);
  if (!counted && !priced) return html`<p class="soft usage-note" data-testid="no-tokens">Tokens over time are not known: no tick has said any.</p>`;
  const each = duration(length).replace(/\.0 s$/, " s");
  const unpriced = periods.filter((one) => one.unpriced > 0).length;
  const unmeasured = periods.filter((one) => one.ticks === 0).length;
  return html`<div class="over-time" data-testid="over-time">
    ${priced ? html`<${Chart} name="Cost" each=${each} values=${costs} unknown=${periods.map((one) => one.unpriced > 0)} show=${money} />` : null}
    ${counted ? html`<${Chart} name="Tokens" each=${each} values=${tokens} unknown=${periods.map((one) => one.ticks === 0)} show=${count} />` : null}
    ${unpriced ? html`<p class="soft usage-note">Hatched: ${priced ? `in ${unpriced} of ${periods.length} times tokens came without a price` : "tokens came without a price"}.</p>` : null}
    ${unmeasured ? html`<p class="soft usage-note" data-testid="unmeasured">${unmeasured} of ${periods.length} times were not measured.</p>` : null}
    <details class="fold usage-table"><summary>As a table</summary><div class="scroll" tabindex="0" role="region" aria-label="Tokens and cost over time, as a table"><table class="spending"><thead><tr><th scope="col">from</th><th scope="col">tokens in</th><th scope="col">out</th><th scope="col">cache</th><th scope="col">cost</th></tr></thead>
      <tbody>${periods.map((one) => html`<tr key=${one.from}><th scope="row" class="num">${clock(one.from)}</th>${one.ticks === 0 ? html`<td colspan="4" class="faint">not measured</td>` : html`<td class="num">${told(one.input, count)}</td><td class="num">${told(one.output, count)}</td><td class="num">${told(one.cache, count)}</td><td class="num">${costOf(one)}</td>`}</tr>`)}</tbody></table></div></details>
  </div>`;
}

const told = (value, show) => (value === undefined ? html`<span class="faint">–</span>` : show(value));

function costOf({ cost, unpriced }) {
  if (unpriced === 0) return told(cost, money);
  return cost === undefined ? html`<span class="faint">not known</span>` : `at least ${money(cost)}`;
}

/** A bar a period; a period of which not all is known is hatched, also where its bar has no height. */
function Chart({ name, each, values, unknown, show }) {
  const top = Math.max(...values.map((value) => value ?? 0), 0);
  const width = 100 / Math.max(values.length, 12);
  const hatched = unknown.some(Boolean);
  const tall = (value) => (top > 0 && value > 0 ? Math.max(1.5, (value / top) * HEIGHT) : 0);
  return html`<figure class="chart"><svg class="bars" viewBox=${`0 0 100 ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${`${name} in each ${each}, ${values.length} times; highest ${show(top)}${hatched ? "; some are not known" : ""}`}>
      ${values.map((value, i) => html`${unknown[i] ? html`<rect class="bar-unknown" x=${i * width} y="0" width=${width * 0.8} height=${HEIGHT} />` : null}<rect x=${i * width} y=${HEIGHT - tall(value)} width=${width * 0.8} height=${tall(value)} />`)}</svg>
    <figcaption class="faint">${name} in each ${each}; highest ${show(top)}</figcaption></figure>`;
}
