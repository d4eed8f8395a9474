// What the page knows after events, in any order and with any repeats. Run: node --test tests/browser/js/*.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_WORLD, FEED_LINES, fromRunnerEvent, pendingOf, reduce, sumUsage, testRuns } from "../../../dashboard/js/world.js";

const NOW = 1_800_000_000_000;
const CONTEXT = { villageId: "demo", now: NOW, asked: NOW };
const SESSION = "11112222-3333";
const AGENT = "runner_11112222";
const iso = (seq) => new Date(NOW + seq * 1000).toISOString();
const work = (seq, type, payload) => ["work_stream_event", { agentId: AGENT, sessionId: SESSION, seq, type, payload, timestamp: iso(seq) }];
const listed = (change = {}) => ["agents", [{ agentId: AGENT, sessionId: SESSION, villageId: "demo", agentName: "ada", state: "RUNNING", lastEventSeq: 1, lastEventAt: iso(1), runnerStatus: "online", ...change }]];
const after = (...events) => events.reduce((world, [name, data]) => reduce(world, name, data, CONTEXT), EMPTY_WORLD);
const state = (world) => world.agents[AGENT].state;

test("an agent appears with agent_spawn and is told apart by its session", () => {
  const spawn = { agentId: AGENT, sessionId: SESSION, agentType: "claude", agentName: "ada", repoPath: "/r", timestamp: iso(1) };
  const world = after(["houses", [{ repoId: "house_r", villageId: "demo", repoPath: "/r", name: "r" }]], ["agent_spawn", spawn]);
  assert.equal(state(world), "RUNNING");
  assert.equal(world.agents[AGENT].repoId, "house_r");
  const again = reduce(world, "agent_spawn", { ...spawn, sessionId: "other" }, CONTEXT);
  assert.equal(again.agents[AGENT].sessionId, "other");
});

test("an agent that says where it works leaves the house of those that have not", () => {
  const spawn = { agentId: AGENT, sessionId: SESSION, agentType: "claude", agentName: "ada", timestamp: iso(1) };
  const nowhere = after(["houses", [{ repoId: "house_none", villageId: "demo", repoPath: "" }]], ["agent_spawn", { ...spawn, repoPath: "" }]);
  assert.equal(nowhere.agents[AGENT].repoId, "house_none");
  const said = reduce(nowhere, "agent_spawn", { ...spawn, repoPath: "/new" }, CONTEXT);
  assert.equal(said.agents[AGENT].repoId, undefined);
});

test("a status is set by the event with the higher seq, whenever it comes", () => {
  const pause = work(5, "status_change", { previousState: "RUNNING", newState: "PAUSED_BY_HUMAN" });
  const resume = work(6, "status_change", { previousState: "PAUSED_BY_HUMAN", newState: "RUNNING" });
  assert.equal(state(after(listed(), pause, resume)), "RUNNING");
  assert.equal(state(after(listed(), resume, pause)), "RUNNING");
});

test("an older answer of the REST list does not undo what the stream said", () => {
  const world = after(listed(), work(9, "session_end", { finalState: "FAILED", exitCode: 3 }), listed({ lastEventSeq: 7 }));
  assert.equal(state(world), "FAILED");
  assert.equal(world.agents[AGENT].exitCode, 3);
});

test("a newer answer of the REST list tells what the stream missed", () => {
  assert.equal(state(after(listed(), listed({ state: "COMPLETED", lastEventSeq: 20 }))), "COMPLETED");
});

test("since when a listed state has been so is told by the last event that set it", () => {
  const change = (seq, newState) => ["history", { agentId: AGENT, events: [{ type: "SESSION_STATE_CHANGED", sessionId: SESSION, seq, ts: NOW + seq * 1000, newState }] }];
  const since = (...events) => after(listed({ lastEventSeq: 9, lastEventAt: iso(9) }), ...events).agents[AGENT].stateAt;
  const events = [change(2, "RUNNING"), change(5, "WAITING_FOR_APPROVAL"), change(7, "RUNNING")];
  assert.equal(since(), NOW + 9000);
  assert.equal(since(...events), NOW + 7000);
  assert.equal(since(...events.toReversed()), NOW + 7000);
  assert.equal(since(...events, listed({ lastEventSeq: 12, lastEventAt: iso(12) })), NOW + 7000);
});

test("a final state is final: a late agent_update changes nothing", () => {
  const world = after(listed(), work(9, "session_end", { finalState: "COMPLETED", exitCode: 0 }), ["agent_update", { agentId: AGENT, status: "RUNNING", ts: NOW + 99_000 }]);
  assert.equal(state(world), "COMPLETED");
});

test("a lost runner is said of the runner, and the state that it had stays", () => {
  const away = after(listed(), ["agent_update", { agentId: AGENT, status: "DETACHED", ts: NOW + 5000 }]);
  assert.deepEqual([state(away), away.agents[AGENT].runnerStatus], ["RUNNING", "offline"]);
  const back = reduce(away, "agent_update", { agentId: AGENT, status: "RUNNING", ts: NOW + 9000 }, CONTEXT);
  assert.equal(back.agents[AGENT].runnerStatus, "online");
});

test("terminal output is no line of the feed, but the agent's last line", () => {
  const world = after(listed(), work(4, "output", { data: "\x1b[32mone\x1b[0m\r\n  two \x1b]0;title\x07\r\n", stream: "stdout" }));
  assert.equal(world.feed.length, 0);
  assert.equal(world.agents[AGENT].preview, "two");
  assert.equal(world.agents[AGENT].lastEventAt, NOW + 1000, "when it was said is the service's to tell");
});

test("since when a state is so is what the list says, whatever its runner's clock is", () => {
  const hours = 3 * 3_600_000;
  const past = ["history", { agentId: AGENT, events: [{ type: "SESSION_STATE_CHANGED", sessionId: SESSION, seq: 1, ts: NOW - hours, newState: "RUNNING" }] }];
  const agent = after(listed({ stateAt: NOW - 5000, activityAt: NOW - 1000 }), past).agents[AGENT];
  assert.deepEqual([agent.stateAt, agent.activityAt], [NOW - 5000, NOW - 1000]);
  const paused = after(listed({ stateAt: NOW - 5000 }), ["work_stream_event", { ...work(4, "status_change", { newState: "PAUSED_BY_HUMAN" })[1], timestamp: new Date(NOW - hours).toISOString() }]);
  assert.equal(paused.agents[AGENT].stateAt, NOW);
});

const RUN = { verdict: "failed", command: "pytest", passed: 3, failed: 1, skipped: 0, at: NOW };
const changed = (agent, house = {}) => ["house_changed", { repoId: "house_r", villageId: "demo", ts: NOW, ...house, agents: [{ agentId: AGENT, sessionId: SESSION, state: "RUNNING", lastEventSeq: 5, activity: [], lastLine: "", openAlerts: [], ...agent }] }];

test("tests, diff, last line, activity, alerts and roofs come with the lists and house_changed", () => {
  const diff = { filesChanged: 2, linesAdded: 5, linesRemoved: 1 };
  const alert = { alertId: "x", severity: "error", category: "build", title: "broken", description: "", raisedAt: NOW, seq: 3 };
  const shown = { lastTest: RUN, diff, lastLine: "E  1 failed", activityAt: NOW - 2000, openAlerts: [alert] };
  const houses = ["houses", [{ repoId: "house_r", villageId: "demo", repoPath: "/r", name: "r", version: 1, lastTest: null }]];
  for (const world of [after(houses, listed({ lastEventSeq: 5, ...shown })), after(houses, listed(), changed(shown, { lastTest: RUN }))]) {
    const agent = world.agents[AGENT];
    assert.deepEqual([agent.lastTest, agent.diff, agent.preview, agent.activityAt], [RUN, diff, "E  1 failed", NOW - 2000]);
    assert.deepEqual([world.alerts[`${SESSION}/x`].title, world.alerts[`${SESSION}/x`].resolved], ["broken", false]);
  }
  const told = after(houses, listed(), changed(shown, { lastTest: RUN }));
  assert.equal(told.houses.house_r.lastTest.verdict, "failed");
  const over = reduce(told, ...changed({ lastEventSeq: 6 }, { lastTest: RUN }), CONTEXT);
  assert.equal(over.alerts[`${SESSION}/x`].resolved, true);
  const old = reduce(over, ...listed({ lastEventSeq: 4, lastLine: "older" }), CONTEXT);
  assert.equal(old.agents[AGENT].preview, "", "an older answer undoes nothing");
});

test("live sessions are shown before the long list of all agents has come", () => {
  const world = after(["liveSessions", [{ agentId: AGENT, sessionId: SESSION, villageId: "demo", agentName: "ada", providerId: "codex", state: "RUNNING", detached: false, lastEventSeq: 1, pendingApprovals: [] }]]);
  assert.deepEqual([state(world), world.agents[AGENT].agentType, world.agents[AGENT].runnerStatus], ["RUNNING", "codex", "online"]);
});

test("the feed holds each event once, in order, whatever is sent again", () => {
  const events = [3, 1, 2, 3, 1].map((seq) => work(seq, "file_edit", { path: `f${seq}`, reason: "write" }));
  assert.deepEqual(after(...events).feed.map((line) => line.text), ["wrote f1", "wrote f2", "wrote f3"]);
});

test("the feed is bounded, the newest stay", () => {
  const world = after(...Array.from({ length: FEED_LINES + 50 }, (_, i) => work(i + 1, "file_edit", { path: `f${i + 1}` })));
  assert.equal(world.feed.length, FEED_LINES);
  assert.equal(world.feed.at(-1).text, `wrote f${FEED_LINES + 50}`);
  const late = reduce(world, "work_stream_event", work(2, "file_edit", { path: "f2" })[1], CONTEXT);
  assert.equal(late.feed.length, FEED_LINES);
  assert.notEqual(late.feed[0].text, "wrote f2");
});

test("test runs are paired from start and finish, the newest first, also out of order", () => {
  const start = (seq) => work(seq, "test_start", { command: "pytest" });
  const finish = (seq, failed) => work(seq, "test_finish", { exitCode: failed ? 1 : 0, passed: 4, failed, skipped: 0, duration: 900 });
  const runs = testRuns(after(finish(2, 1), start(1), start(3), finish(4, 0), start(5), start(5)).sessions[SESSION].tests);
  assert.deepEqual(runs.map((run) => run.ok), [undefined, true, false]);
  assert.equal(runs[2].command, "pytest");
});

test("runs beside each other are told apart by their ids, and what is not known is neither passed nor failed", () => {
  const start = (seq, runId) => work(seq, "test_start", { command: runId, runId });
  const finish = (seq, runId, fields) => work(seq, "test_finish", { runId, duration: 900, ...fields });
  const world = after(
    start(1, "a"), start(2, "b"), finish(3, "a", { verdict: "failed", failed: 1 }),
    finish(4, "b", { verdict: "unknown", reason: "its output was thrown away" }),
  );
  const runs = testRuns(world.sessions[SESSION].tests);
  assert.deepEqual(runs.map((run) => [run.command, run.ok]), [["b", null], ["a", false]]);
  assert.equal(world.feed.at(-1).text, "test result unknown, its output was thrown away in 0.9 s");
});

test("the diff is the newest one", () => {
  const diff = (seq, filesChanged) => work(seq, "file_edit", { filesChanged, linesAdded: 1, linesRemoved: 0, files: [] });
  assert.equal(after(diff(8, 3), diff(5, 1)).sessions[SESSION].diff.filesChanged, 3);
});

test("a decided approval is not reopened by a request that is sent again", () => {
  const asked = { approvalId: "a1", sessionId: SESSION, agentId: AGENT, category: "shell", risk: "high", summary: "rm", requestedAt: NOW };
  const world = after(["approval_requested", asked], ["approval_resolved", { ...asked, decision: "deny", resolvedBy: "bo" }], ["approval_requested", asked]);
  assert.equal(world.approvals[`${SESSION}/a1`].decision, "deny");
  assert.equal(pendingOf(world.approvals).length, 0);
});

test("what the list of pending approvals no longer names was settled elsewhere; what is newer than the question stays", () => {
  const one = (approvalId, requestedAt) => ({ approvalId, sessionId: SESSION, agentId: AGENT, category: "shell", risk: "low", summary: approvalId, requestedAt });
  const world = after(["approval_requested", one("old", NOW - 60_000)], ["approval_requested", one("new", NOW)], ["approvals", []]);
  assert.deepEqual(pendingOf(world.approvals).map((each) => each.approvalId), ["new"]);
});

test("pending approvals are sorted, the oldest first", () => {
  const one = (approvalId, requestedAt) => ["approval_requested", { approvalId, requestedAt, sessionId: SESSION, agentId: AGENT, category: "shell", risk: "low", summary: "" }];
  assert.deepEqual(pendingOf(after(one("b", 2), one("a", 1), one("c", 3)).approvals).map((each) => each.approvalId), ["a", "b", "c"]);
});

test("a usage tick counts once", () => {
  const tick = ["usage_tick", { agentId: AGENT, sessionId: SESSION, units: { agentSeconds: 30 }, intervalMs: 30_000, timestamp: iso(3) }];
  assert.equal(after(tick, tick).sessions[SESSION].ticks.length, 1);
  assert.deepEqual(sumUsage([{ agentSeconds: 30, inputTokens: 5 }, { agentSeconds: 12 }, undefined]), { agentSeconds: 42, inputTokens: 5 });
});

test("a house shows its newest snapshot", () => {
  const at = (version, active) => ["house.activity", { repoId: "house_r", villageId: "demo", version, indicators: { lights: { active }, banner: {}, smoke: {} } }];
  assert.equal(after(at(4, true), at(3, false)).houses.house_r.indicators.lights.active, true);
});

test("an alert is a bug bot when it is an error, until it is resolved", () => {
  const world = after(["alert_raised", { alertId: "x", severity: "error", category: "build", title: "broken", agentId: AGENT, sessionId: SESSION, timestamp: iso(2) }], ["bug_bot_progress", { id: "x", sessionId: SESSION, progress: 0.5 }]);
  const key = `${SESSION}/x`;
  assert.deepEqual([world.alerts[key].bot, world.alerts[key].progress], [true, 0.5]);
  assert.equal(reduce(world, "bug_bot_resolved", { id: "x", sessionId: SESSION }, CONTEXT).alerts[key].resolved, true);
});

test("two sessions with the same ids keep their own approvals and alerts", () => {
  const asked = (sessionId) => ["approval_requested", { approvalId: "a1", sessionId, agentId: AGENT, category: "shell", risk: "low", summary: "", requestedAt: NOW }];
  const raised = (sessionId) => ["alert_raised", { alertId: "lint", sessionId, severity: "error", category: "build", title: "t", agentId: AGENT, timestamp: iso(2) }];
  const world = after(asked("s1"), asked("s2"), raised("s1"), raised("s2"), ["approval_resolved", { ...asked("s1")[1], decision: "allow" }], ["bug_bot_resolved", { id: "lint", sessionId: "s1" }]);
  assert.deepEqual(pendingOf(world.approvals).map((one) => one.sessionId), ["s2"]);
  assert.deepEqual(Object.values(world.alerts).filter((one) => !one.resolved).map((one) => one.sessionId), ["s2"]);
});

test("an event that nobody knows, or that is no object, changes nothing", () => {
  for (const [name, data] of [["nonsense", {}], ["agent_update", null], ["usage_tick", "x"], ["bug_bot_resolved", { id: "unknown" }]]) {
    assert.equal(reduce(EMPTY_WORLD, name, data, CONTEXT), EMPTY_WORLD);
  }
});

test("a runner's event of the past becomes what the stream would have said", () => {
  const base = { sessionId: SESSION, orgId: "demo", ts: NOW, seq: 7 };
  const [name, data] = fromRunnerEvent({ ...base, type: "FILE_TOUCHED", path: "a.py", reason: "delete" }, AGENT);
  assert.deepEqual([name, data.type, data.payload.path], ["work_stream_event", "file_delete", "a.py"]);
  assert.equal(fromRunnerEvent({ ...base, type: "TERMINAL_CHUNK", data: "x" }, AGENT), null);
  const live = after(listed(), work(7, "file_delete", { path: "a.py", reason: "delete" }));
  const past = after(listed(), ["history", { agentId: AGENT, events: [{ ...base, ts: NOW + 7000, type: "FILE_TOUCHED", path: "a.py", reason: "delete" }] }]);
  assert.deepEqual(past.feed, live.feed);
});

test("any order and any repetition of a session's events end in the same world", () => {
  const events = [
    work(2, "status_change", { newState: "RUNNING" }), work(3, "file_edit", { path: "a" }), work(4, "test_start", { command: "pytest" }),
    work(5, "test_finish", { exitCode: 1, passed: 1, failed: 1, skipped: 0, duration: 5 }), work(6, "file_delete", { path: "a" }),
    work(7, "status_change", { newState: "PAUSED_BY_HUMAN", reason: "lunch" }), work(8, "file_edit", { filesChanged: 1, linesAdded: 2, linesRemoved: 1, files: [] }),
  ];
  const expected = after(listed(), ...events);
  for (let seed = 1; seed <= 200; seed++) {
    const world = after(listed(), ...shuffled([...events, ...events.slice(seed % 5)], seed));
    assert.deepEqual({ feed: world.feed, sessions: world.sessions, seen: world.seen, state: state(world) }, { feed: expected.feed, sessions: expected.sessions, seen: expected.seen, state: state(expected) }, `seed ${seed}`);
  }
});

/** Fisher and Yates with a small linear generator: the same seed, the same order. */
function shuffled(list, seed) {
  let x = seed;
  const random = () => (x = (x * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

test("of a session that is not looked at the page keeps a little, of one that is its whole story", () => {
  const prompt = (sessionId, seq) => ["work_stream_event", { type: "agent_prompt", agentId: "a", sessionId, seq, timestamp: seq, payload: { text: `p${seq}`, from: "person" } }];
  const tested = (sessionId, seq) => ["work_stream_event", { type: "test_finish", agentId: "a", sessionId, seq, timestamp: seq, payload: { runId: `r${seq}`, passed: 1, duration: 1 } }];
  const wrote = (sessionId, seq) => ["work_stream_event", { type: "file_edit", agentId: "a", sessionId, seq, timestamp: seq, payload: { path: `f${seq}` } }];
  const used = (sessionId, seq) => ["usage_tick", { agentId: "a", sessionId, timestamp: seq, units: { inputTokens: 1 }, intervalMs: 1 }];
  let world = EMPTY_WORLD;
  const context = { villageId: "v", now: 1, followed: new Set(["seen"]) };
  for (let seq = 1; seq <= 400; seq += 4) {
    for (const id of ["seen", "other"]) {
      for (const [name, data] of [prompt(id, seq), tested(id, seq + 1), wrote(id, seq + 2), used(id, seq + 3)]) world = reduce(world, name, data, context);
    }
  }
  const sizes = ({ tests, files, ticks, story }) => [tests.length, Object.keys(files).length, ticks.length, Object.keys(story.items).length];
  assert.deepEqual(sizes(world.sessions.seen), [100, 100, 100, 300]);
  assert.deepEqual(sizes(world.sessions.other), [20, 60, 10, 0]);
  world = reduce(world, "left", { sessionId: "seen" }, context);
  assert.deepEqual(sizes(world.sessions.seen), [20, 60, 10, 0]);
  assert.equal(world.sessions.seen.files.f399.path, "f399");
  assert.equal(reduce(world, "cut", { sessionId: "seen" }, context).sessions.seen.story.cut, true);
});
