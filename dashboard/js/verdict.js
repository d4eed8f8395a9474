// What is known of a test run's end. Pure.

/** A test_finish → passed, failed or unknown. A runner that says no verdict has an exit code; what is not known is neither. */
export function verdictOf({ verdict, failed, exitCode }) {
  if (verdict) return verdict;
  if (failed > 0 || (exitCode ?? 0) !== 0) return "failed";
  return exitCode === 0 ? "passed" : "unknown";
}

/** true: passed, false: failed, null: not known. */
export const okOf = (event) => ({ passed: true, failed: false })[verdictOf(event)] ?? null;

/** A run from world.js's testRuns → open, good, bad or unknown: the tone of its marks. */
export function toneOf(run) {
  if (run.finishedAt === undefined) return "open";
  return run.ok === null ? "unknown" : run.ok ? "good" : "bad";
}

