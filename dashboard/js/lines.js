// The feed: one readable line for each work stream event or alert. Pure.

import { duration, plural, shortCommand, spelled } from "./format.js";
import { verdictOf } from "./verdict.js";

/** Feed filters, in the order of their buttons. */
export const KINDS = ["state", "approval", "test", "file", "alert", "provider"];

const DECIDED = { allow: "allowed", deny: "denied" };

/** Events of the runner's own: the terminal's size, and the text of a diff, which the changes show. */
const NO_NEWS = new Set(["terminal_resized", "session_diff"]);

/** A work_stream_event → {kind, tone, text} or null where a line would only be noise (terminal output and size). */
export function lineOf(event) {
  const line = told(event);
  return line && { ...line, text: spelled(line.text) };
}

function told(event) {
  const p = event.payload ?? {};
  switch (event.type) {
    case "session_start":
      return { kind: "state", tone: "begin", text: `started ${p.providerId ?? "a session"} in ${p.workspacePath ?? "?"}` };
    case "session_end":
      return ended(p);
    case "status_change":
      return statusChange(p);
    case "file_edit":
      return p.files ? diff(p) : { kind: "file", tone: "plain", text: `wrote ${p.path}` };
    case "file_delete":
      return { kind: "file", tone: "plain", text: `deleted ${p.path}` };
    case "file_read":
      return { kind: "file", tone: "faint", text: `read ${p.path}` };
    case "test_start":
      return { kind: "test", tone: "plain", text: `running ${shortCommand(p.command)}` };
    case "test_finish":
      return tests(p);
    case "agent_landed":
      return { kind: "state", tone: p.ok ? "good" : p.unknown ? "wait" : "fail", text: landedText(p) };
    case "provider_event":
      if (p.providerEvent?.type === "not_observed") return { kind: "provider", tone: "plain", text: `${p.providerEvent.message}` };
      return NO_NEWS.has(p.providerEvent?.type) ? null : { kind: "provider", tone: "faint", text: `${p.providerEvent?.type ?? "provider event"}` };
    default:
      return null;
  }
}

function ended(p) {
  const failed = p.finalState === "FAILED";
  const code = p.exitCode === undefined ? "" : ` with exit code ${p.exitCode}`;
  const took = p.totalDurationMs === undefined ? "" : ` after ${duration(p.totalDurationMs)}`;
  return { kind: "state", tone: failed ? "fail" : "done", text: `${failed ? "failed" : "finished"}${code}${took}` };
}

/** States that another event of the same moment tells better: the question itself, and the session's end. */
const SAID_BETTER = {
  WAITING_FOR_APPROVAL: () => true,
  COMPLETED: () => true,
  FAILED: (reason) => reason === "" || reason.startsWith("exited with code"),
};

function statusChange(p) {
  if (p.approval) {
    return { kind: "approval", tone: "wait", text: `asks (${p.approval.category}, ${p.approval.risk}): ${p.approval.summary}` };
  }
  if (p.approvalId) {
    const note = p.note ? `: ${p.note}` : "";
    return { kind: "approval", tone: p.decision === "allow" ? "good" : "fail", text: `${DECIDED[p.decision] ?? p.decision}${note}` };
  }
  if (SAID_BETTER[p.newState]?.(p.reason ?? "")) return null;
  const state = String(p.newState ?? "").toLowerCase().replaceAll("_", " ");
  const tone = p.newState === "FAILED" ? "fail" : "plain";
  return { kind: "state", tone, text: p.reason ? `${state}: ${p.reason}` : state };
}

/** Several agents in one working tree: whose change it is cannot be told. */
export const sharedWith = (diff) => (diff?.sharedTree > 0 ? `, tree shared with ${plural(diff.sharedTree, "agent")}` : "");

function diff(p) {
  return { kind: "file", tone: "plain", text: `${plural(p.filesChanged, "file differs", "files differ")}, +${p.linesAdded} −${p.linesRemoved}${sharedWith(p)}` };
}

/** What a person did with a session's changes, from its event or the list of GET …/git. */
export function landedText(p) {
  const branch = p.branch ?? "a detached commit";
  const commit = String(p.commit ?? "").slice(0, 8);
  if (p.unknown) return `${p.by}: ${LANDING[p.act] ?? p.act} of ${branch}, ${p.says ?? "it is not known whether it was done"}`;
  if (!p.ok) return `${p.by}: ${LANDING[p.act] ?? p.act} of ${branch} failed: ${p.says ?? "it is not known why"}`;
  const files = p.filesTotal === undefined || p.filesTotal === null ? "" : `, ${plural(p.filesTotal, "file")}`;
  const approved = p.approvedBy && p.approvedBy !== p.by ? `, allowed by ${p.approvedBy}` : "";
  const done = {
    commit: `${p.by} committed ${commit} on ${branch}: ${p.subject ?? ""}${files}`,
    branch: `${p.by} switched to the branch ${branch}`,
    push: `${p.by} pushed ${branch} (${commit}) to ${p.remote}`,
    pull_request: `${p.by} opened a pull request of ${branch}: ${p.url ?? "its address is not known"}`,
    merge: `${p.by} merged ${branch} into ${p.base} (${commit})`,
  };
  return `${done[p.act] ?? `${p.by}: ${p.act}`}${approved}`;
}

const LANDING = { commit: "commit", branch: "switch", push: "push", pull_request: "pull request", merge: "merge" };

const TEST_TONES = { passed: "good", failed: "fail", unknown: "plain" };

function tests(p) {
  const verdict = verdictOf(p);
  const counts = ["passed", "failed", "skipped"].filter((name) => p[name] !== undefined).map((name) => `${p[name]} ${name}`);
  const said = verdict === "unknown" ? ["test result unknown", p.reason] : counts.length ? [] : [`tests ${verdict}`, p.reason];
  const text = `${[...said, ...counts].filter(Boolean).join(", ")} in ${duration(p.duration)}`;
  return { kind: "test", tone: TEST_TONES[verdict], text };
}

/** An alert_raised → its line. */
export function lineOfAlert(alert) {
  const tone = { info: "plain", warn: "wait" }[alert.severity] ?? "fail";
  return { kind: "alert", tone, text: spelled(`${alert.severity}: ${alert.title}`) };
}

const SAME_MOMENT_MS = 1500;

/**
 * Lines about files that several agents of one house said at the same moment become one line of the house: they share a
 * working tree, and who of them wrote is not known. lines: oldest first; houseOf(line) → a house's id or undefined.
 */
export function shareLines(lines, houseOf) {
  const shown = [];
  for (const line of lines) {
    const house = line.kind === "file" ? houseOf(line) : undefined;
    const at = house === undefined ? -1 : shown.findLastIndex((one) => one.house === house && one.text === line.text && line.at - one.at < SAME_MOMENT_MS);
    if (at < 0) shown.push({ ...line, house });
    else if (shown[at].agentId !== line.agentId) shown[at] = { ...shown[at], shared: true };
  }
  return shown;
}

// eslint-disable-next-line no-control-regex -- the point is to take control sequences out
const SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|.)|[\x00-\x08\x0b-\x1f\x7f]/g;

/** The last line with something on it of a piece of terminal output, without control sequences; "" if there is none. */
export function lastLine(data) {
  const lines = String(data).slice(-2000).replaceAll("\r\n", "\n").split(/[\n\r]/);
  for (let i = lines.length - 1; i >= 0; i--) {
    const text = lines[i].replace(SEQUENCES, "").trim();
    if (text) return text.slice(0, 160);
  }
  return "";
}
