// Test runs: command, result, counts, duration; the newest first.

import { html } from "../html.js";
import { duration, plural, shortCommand } from "../format.js";
import { now } from "../store.js";
import { toneOf } from "../verdict.js";
import { testRuns } from "../world.js";
import { Age, Panel } from "./bits.js";

/** tests: the session's test_start and test_finish events. */
export function Tests({ tests, ended }) {
  const runs = testRuns(tests);
  return html`<${Panel} name="tests" title="Test runs" end=${html`<span class="faint num">${runs.length || ""}</span>`}>
    ${runs.length === 0 ? html`<p class="nothing">No test run yet. pytest, unittest, jest, vitest, go test and cargo test are recognised when the session runs them.</p>` : null}
    <ol class="test-runs" data-testid="test-runs">${runs.map((run) => html`<${Run} key=${run.seq} run=${run} ended=${ended} />`)}</ol>
  <//>`;
}

function Run({ run, ended }) {
  const open = run.finishedAt === undefined;
  const tone = open && ended ? "cut" : toneOf(run);
  return html`<li class=${`test-run run-${tone}`}>
    <p class="test-command" title=${run.command}><code>${shortCommand(run.command)}</code></p>
    ${open ? html`<p class="faint">${ended ? "never finished" : html`running for ${duration(now.value - run.startedAt)}`}</p>` : html`
      ${run.passed === undefined ? null : html`<${Counts} run=${run} />`}
      <p class="faint">${resultOf(run)} · ${duration(run.duration)} · <${Age} at=${run.finishedAt} suffix=" ago" /></p>`}
  </li>`;
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
