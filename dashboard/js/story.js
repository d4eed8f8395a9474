// An agent's session as a story: prompts, messages, tool calls, plan, approvals, tests, files. Pure; events may come twice
// and in any order: pieces and states are kept by their seq.

import { lineOf } from "./lines.js";

export const EMPTY_STORY = Object.freeze({
  items: {}, // by key: {key, seq, at, kind, last, …}
  agent: undefined, // {status, for, since, model, mode, version}: undefined without a structured channel
  plan: undefined, // {seq, items: [{text, status}]}
  context: undefined, // {seq, used, size}
  promptsSeq: 0, // of the last event about a queued prompt
  landedSeq: 0, // of the last commit, push or merge
});

/** Items beyond this: the oldest are dropped, and the story says so. */
export const MOST_ITEMS = 3000;

/** The story of many work_stream_events [[event, at], …], with all of their items. One by one, each would copy what is there. */
export const storyOf = (events) => events.reduce((story, [e, at]) => tell(story, e, at), { ...EMPTY_STORY, items: {}, growing: true });

/** A work_stream_event → the story after it. */
export function tell(story, e, at) {
  const payload = e.payload ?? {};
  const teller = TELLERS[e.type];
  return teller ? teller(story, e, payload, at) : told(story, e, at);
}

const TELLERS = {
  agent_session: (story, e, p) => stated(story, e, { cliSessionId: p.cliSessionId, model: p.model, mode: p.mode, version: p.version }, "session"),
  agent_status: (story, e, p) => stated(story, e, { status: p.status, for: p.for, since: p.since }, "status"),
  agent_context: (story, e, p) => ((story.context?.seq ?? 0) > e.seq ? story : { ...story, context: { seq: e.seq, used: p.used, size: p.size } }),
  agent_plan: (story, e, p) => ((story.plan?.seq ?? 0) > e.seq ? story : { ...story, plan: { seq: e.seq, items: p.items ?? [] } }),
  agent_prompt: prompted,
  agent_message: said,
  agent_tool: (story, e, p, at) => merged(story, `tool:${p.id}`, "tool", e, { name: p.name, title: p.title, input: p.input, status: p.status, ms: p.ms, output: p.output, parent: p.parent }, at),
  agent_subagent: (story, e, p, at) => merged(story, `sub:${p.id}`, "subagent", e, { name: p.name, status: p.status, parent: p.parent }, at),
  agent_turn: (story, e, p, at) => merged(story, `turn:${p.id}`, "turn", e, { result: p.result, ms: p.ms, reason: p.reason }, at),
  agent_landed: (story, e, p, at) => told({ ...story, landedSeq: Math.max(story.landedSeq ?? 0, e.seq) }, e, at),
  agent_retry: (story, e, p, at) => merged(story, `retry:${e.seq}`, "retry", e, p, at),
  status_change: (story, e, p, at) => (p.approval || p.approvalId ? asked(story, e, p, at) : told(story, e, at)),
  test_start: (story, e, p, at) => merged(story, `test:${p.runId ?? e.seq}`, "test", e, { command: p.command }, at),
  test_finish: tested,
  file_edit: (story, e, p, at) => (p.files ? story : touched(story, e, p, "wrote", at)),
  file_delete: (story, e, p, at) => touched(story, e, p, "deleted", at),
  file_read: (story) => story,
  output: (story) => story,
};

/** What the agent says of itself: each part as of its newest event. */
function stated(story, e, fields, part) {
  const seqs = story.agent?.seqs ?? {};
  if ((seqs[part] ?? 0) > e.seq) return story;
  return { ...story, agent: { ...story.agent, ...fields, seqs: { ...seqs, [part]: e.seq } } };
}

function prompted(story, e, p, at) {
  const heard = { ...story, agent: story.agent ?? { seqs: {} }, promptsSeq: Math.max(story.promptsSeq, e.seq) };
  if (p.queued || p.withdrawn) return heard;
  return merged(heard, `prompt:${p.id ?? e.seq}`, "prompt", e, { text: p.text, by: p.by }, at);
}

function said(story, e, p, at) {
  const key = `message:${p.id}`;
  const known = story.items[key];
  const pieces = { ...known?.pieces, [e.seq]: p.text };
  const text = Object.keys(pieces).sort((a, b) => a - b).map((seq) => pieces[seq]).join("");
  return merged(story, key, "message", e, { pieces, text, role: p.role ?? "assistant" }, at, true);
}

function asked(story, e, p, at) {
  const id = p.approval?.approvalId ?? p.approvalId;
  const fields = p.approval ? { category: p.approval.category, risk: p.approval.risk, summary: p.approval.summary } : { decision: p.decision, by: p.resolvedBy, note: p.note, decidedAt: at };
  return merged(story, `approval:${id}`, "approval", e, fields, at, true);
}

function tested(story, e, p, at) {
  const { verdict, passed, failed, skipped, exitCode, duration, reason } = p;
  return merged(story, `test:${p.runId ?? e.seq}`, "test", e, { verdict, passed, failed, skipped, exitCode, duration, reason, finished: true }, at, true);
}

/** Files that are written again and again are one item, where it was written first. */
function touched(story, e, p, how, at) {
  const key = `file:${p.path}`;
  const known = story.items[key];
  const times = { ...known?.times, [e.seq]: true };
  return merged(story, key, "file", e, { path: p.path, how: known?.last > e.seq ? known.how : how, times }, at, true);
}

/** Anything else is one readable line, as in the feed. */
function told(story, e, at) {
  const line = lineOf(e);
  return line === null ? story : merged(story, `line:${e.seq}`, "line", e, { text: line.text, tone: line.tone }, at);
}

/** Puts the fields into the item. `any`: whatever the order; else an older event does not undo a newer one's. */
function merged(story, key, kind, e, fields, at, any = false) {
  const known = story.items[key];
  const newer = known === undefined || e.seq >= known.last;
  const present = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const both = newer || any ? { ...known, ...present } : { ...present, ...known };
  const item = { ...both, key, kind, seq: Math.min(known?.seq ?? e.seq, e.seq), last: Math.max(known?.last ?? e.seq, e.seq), at: Math.min(known?.at ?? at, at) };
  if (story.growing) return ((story.items[key] = item), story);
  const items = { ...story.items, [key]: item };
  const keys = Object.keys(items);
  if (keys.length <= MOST_ITEMS) return { ...story, items };
  const oldest = keys.reduce((a, b) => (items[a].seq < items[b].seq ? a : b));
  delete items[oldest];
  return { ...story, items, dropped: (story.dropped ?? 0) + 1 };
}

/** The items in the order in which they began. */
export const inOrder = (story) => Object.values(story.items).sort((a, b) => a.seq - b.seq);

/** {done, of} of the plan, or undefined. */
export function progressOf(plan) {
  if (!plan?.items?.length) return undefined;
  return { done: plan.items.filter((item) => item.status === "completed").length, of: plan.items.length };
}
