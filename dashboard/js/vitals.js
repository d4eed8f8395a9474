// What stands beside the faults: the service's numbers as rows of words, and the faults in groups. Pure.

import { count, plural } from "./format.js";

/** [{name, value, tone}]: what the service says of itself. `before`: the answer `seconds` earlier, for rates. */
export function vitalRows(vitals, before, seconds) {
  const rate = (name) => (before && seconds > 0 && vitals[name] >= before[name] ? (vitals[name] - before[name]) / seconds : undefined);
  const perSecond = rate("committed");
  const ready = vitals.reasonsNotReady.length === 0;
  return [
    { name: "ready", value: ready ? "yes" : vitals.reasonsNotReady.join("; "), tone: ready ? "good" : "fail" },
    { name: "events stored", value: `${count(vitals.stored)}${perSecond === undefined ? "" : `, ${perSecond.toFixed(perSecond < 10 ? 1 : 0)}/s`}` },
    { name: "acknowledged since the start", value: count(vitals.committed) },
    { name: "repeats dropped", value: count(vitals.repeats) },
    { name: "malformed, refused", value: count(vitals.refused), tone: vitals.refused ? "wait" : "" },
    { name: "commit under way for", value: ms(vitals.waitingMs), tone: vitals.waitingMs > 1000 ? "fail" : vitals.waitingMs > 100 ? "wait" : "" },
    { name: "slowest commit, 10 s", value: ms(vitals.slowestCommitMs), tone: vitals.slowestCommitMs > 150 ? "wait" : "" },
    { name: "event loop late by, 10 s", value: ms(vitals.slowestLoopMs), tone: vitals.slowestLoopMs > 1000 ? "fail" : vitals.slowestLoopMs > 100 ? "wait" : "" },
    { name: "approvals", value: `${vitals.approvalsPending} pending, ${count(vitals.approvalsDecided)} decided` },
    { name: "live", value: `${plural(vitals.clients, "client")}, ${plural(vitals.runners, "runner")}` },
  ];
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(value > 0 && value < 10 ? 1 : 0)} ms`;
}

const GROUPS = [
  ["actor", "An actor, by chance"],
  ["supervisor", "A supervisor, by chance"],
  ["nothing", "The service"],
  ["runner", "A runner's connection"],
  ["client", "A client's connection"],
];

/** [{aims, title, faults, targets}], without groups that nothing is in. */
export function groupsOf(chaos) {
  return GROUPS.map(([aims, title]) => ({
    aims,
    title,
    faults: chaos.faults.filter((fault) => fault.aims === aims),
    targets: ["runner", "client"].includes(aims) ? (chaos.targets[aims] ?? []) : [],
  })).filter((group) => group.faults.length > 0);
}

/** The faults that can be aimed at a node of the tree; the root is not to be had. */
export function faultsFor(chaos, node) {
  if (!node.path.includes("/")) return [];
  return chaos.faults.filter((fault) => fault.aims === (node.supervises ? "supervisor" : "actor"));
}

/** Why this fault cannot be had now, or "". */
export function whyNot(chaos, fault, group) {
  if (fault.name === "kill-process" && !chaos.kept) return "nothing would start it again: townwatch serve --keep";
  if (["runner", "client"].includes(fault.aims) && group && group.targets.length === 0) return `no ${fault.aims} is connected`;
  return "";
}

/** What became of a fault, in one line. */
export function outcome(report) {
  const back = report.backMs === null || report.backMs === undefined ? "" : `; it answered again after ${ms(report.backMs)}`;
  const lasts = report.lastsMs >= 500 ? `, for ${ms(report.lastsMs)}` : "";
  return `${report.fault} hit ${report.target}${lasts}${back}`;
}
