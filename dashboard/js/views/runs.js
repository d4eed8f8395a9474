// The last test run and the size of a diff, as marks and numbers.

import { html } from "../html.js";

const TEST_WORDS = {
  running: () => "running",
  passed: (run) => (run.passed === undefined || run.passed === null ? "tests pass" : `${run.passed} pass`),
  failed: (run) => (run.failed ? `${run.failed} fail` : "tests fail"),
  unknown: () => "no verdict",
};
export const testWords = (run) => run && TEST_WORDS[run.verdict]?.(run);

const TONES = { running: "open", passed: "good", failed: "bad", unknown: "cut" };

/** The last run as a mark and its number. */
export function LastTest({ run }) {
  if (!run) return html`<span class="faint">–</span>`;
  const tone = TONES[run.verdict] ?? "cut";
  return html`<span class="runs"><span class="run-marks" aria-hidden="true"><i class=${`run run-${tone}`}></i></span><span class=${`num run-text-${tone}`} data-testid="last-test">${testWords(run)}</span></span>`;
}

export function Delta({ diff }) {
  if (!diff) return html`<span class="faint">–</span>`;
  return html`<span class="plus">+${diff.linesAdded}</span> <span class="minus">−${diff.linesRemoved}</span>`;
}
