// Test runs: command, result, counts, duration, and what failed; the newest first.

import { html } from "../html.js";
import { duration, plural, shortCommand } from "../format.js";
import { now } from "../store.js";
import { toneOf } from "../verdict.js";
import { testRuns, toolBeside } from "../world.js";
import { Age, Literal, Panel } from "./bits.js";

/** tests: the session's test_start and test_finish events; story: what its tools returned. */
export function Tests({ tests, story, ended }) {
  const runs = testRuns(tests);
  const newestFailed = runs.find((run) => run.ok === false);
  return html`<${Panel} name="tests" title="Test runs" end=${html`<span class="faint num">${runs.length || ""}</span>`}>
    ${runs.length === 0 ? html`<p class="nothing">No test run yet. pytest, unittest, jest, vitest, go test and cargo test are recognised when the session runs them.</p>` : null}
    <ol class="test-runs" data-testid="test-runs">${runs.map((run) => html`<${Run} key=${run.seq} run=${run} story=${story} ended=${ended} open=${run === newestFailed} />`)}</ol>
  <//>`;
}

function Run({ run, story, ended, open: unfolded }) {
  const open = run.finishedAt === undefined;
  const tone = open && ended ? "cut" : toneOf(run);
  return html`<li class=${`test-run run-${tone}`}>
    <p class="test-command" title=${run.command}><code>${shortCommand(run.command)}</code></p>
    ${open ? html`<p class="faint">${ended ? "never finished" : html`running for ${duration(now.value - run.startedAt)}`}</p>` : html`
      ${run.passed === undefined ? null : html`<${Counts} run=${run} />`}
      <p class="faint">${resultOf(run)} · ${duration(run.duration)} · <${Age} at=${run.finishedAt} suffix=" ago" /></p>
      ${run.ok === false ? html`<${Failures} run=${run} story=${story} unfolded=${unfolded} />` : null}`}
  </li>`;
}

/** What failed, as far as it is known: what the run printed, else what the agent's tool returned meanwhile. */
function Failures({ run, story, unfolded }) {
  const tool = run.failureText ? undefined : toolBeside(run, story);
  const text = run.failureText ?? tool?.output;
  if (text === undefined && story === undefined) return null; // a list of many sessions' runs: the agent's own page says what is known
  if (text === undefined) return html`<p class="soft" data-testid="failures-unknown">What failed is not known: the runner saw no text of this run. What it printed went elsewhere, or among that of others.</p>`;
  const lines = text.trimEnd().split("\n").length;
  return html`<details class="failures" data-testid="failures" open=${unfolded}><summary>What failed <span class="faint">· ${plural(lines, "line")}${run.failureCut ? ", cut" : ""}</span></summary>
    ${tool ? html`<p class="soft">The run itself was not seen. This is what the agent's tool <code><${Literal} text=${tool.title ?? tool.name ?? ""} /></code> returned meanwhile.</p>` : null}
    <pre class="tool-text" tabindex="0" aria-label=${`What failed in ${shortCommand(run.command)}`}><${Literal} text=${text} /></pre>
    ${run.failureCut ? html`<p class="soft">There is more: the terminal has it.</p>` : null}</details>`;
}

function resultOf(run) {
  if (run.ok) return "passed";
  if (run.ok === null) return `result unknown${run.reason ? `: ${run.reason}` : ""}`;
  return run.failed ? `${run.failed} failed` : run.reason ?? `exit code ${run.exitCode}`;
}

/** A bar in proportion, with the numbers beside. */
function Counts({ run }) {
  const total = run.passed + run.failed + run.skipped;
  const width = (n) => (total ? (100 * n) / total : 0);
  return html`<div class="counts">
    <svg viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=${plural(total, "test")}>
      <rect class="bar-good" x="0" width=${width(run.passed)} height="6" /><rect class="bar-bad" x=${width(run.passed)} width=${width(run.failed)} height="6" /><rect class="bar-skip" x=${width(run.passed + run.failed)} width=${width(run.skipped)} height="6" />
    </svg>
    <span class="num"><b class="plus">${run.passed}</b> <b class="minus">${run.failed}</b> <span class="faint">${run.skipped}</span></span>
  </div>`;
}
