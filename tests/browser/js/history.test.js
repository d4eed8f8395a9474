// The history's address, its snippets, and the player's clock.

import assert from "node:assert/strict";
import { test } from "node:test";

import { asked, byDay, foundText, indexText, parts, searched, took } from "../../../dashboard/js/history.js";
import { parseRoute, toSession } from "../../../dashboard/js/routes.js";
import { EMPTY_STORY, MOST_ITEMS, storyOf, tell } from "../../../dashboard/js/story.js";
import { bars, clocked, filmed, IDLE_MS, nextMark, PART, partsOf, placeOf } from "../../../dashboard/js/replay.js";

const NOW = new Date(2026, 10, 29, 20, 0).getTime();

test("a session and its moment are an address", () => {
  assert.deepEqual(parseRoute(toSession("s/1", 42)), { page: "session", id: "s/1", query: { at: "42" } });
  assert.equal(toSession("s"), "#/s/s");
  assert.deepEqual(parseRoute("#/history?q=a%20b&outcome=failed"), { page: "history", query: { q: "a b", outcome: "failed" } });
});

test("the address says what is asked, and what it says wrong is not asked", () => {
  const midnight = new Date(2026, 10, 29).getTime();
  assert.deepEqual(asked({ house: "h", who: "u", days: "1", outcome: "failed" }, "v", NOW), { villageId: "v", repoId: "h", startedBy: "u", outcome: "failed", since: midnight });
  assert.deepEqual(asked({ days: "x", outcome: "odd", kind: "odd" }, "v", NOW), { villageId: "v" });
  assert.equal(searched({ q: "  " }, "v", NOW), undefined);
  assert.deepEqual(searched({ q: " a ", kind: "terminal", agent: "x" }, "v", NOW), { villageId: "v", agentId: "x", kind: "terminal", q: "a" });
});

test("ranges of a snippet count characters, not halves of them", () => {
  assert.deepEqual(parts("🎉 cart 🎉", [[2, 6]]), [{ text: "🎉 ", marked: false }, { text: "cart", marked: true }, { text: " 🎉", marked: false }]);
  assert.deepEqual(parts("plain", []), [{ text: "plain", marked: false }]);
  assert.deepEqual(parts("<b>", [[0, 3]]), [{ text: "<b>", marked: true }]);
});

test("sessions stand under their day, and one without a time under none", () => {
  const at = (days) => ({ createdAt: NOW - days * 86_400_000 });
  assert.deepEqual(byDay([at(0), at(0), at(1), {}], NOW).map((day) => [day.day, day.items.length]), [["today", 2], ["yesterday", 1], ["day unknown", 1]]);
});

test("how long it took is not guessed", () => {
  assert.equal(took({ startedAt: 10, endedAt: 30, state: "COMPLETED" }, 99), 20);
  assert.equal(took({ startedAt: 10, state: "RUNNING" }, 99), 89);
  assert.equal(took({ startedAt: 10, state: "FAILED" }, 99), undefined);
});

test("a list that is cut says so, and what the index lacks is said", () => {
  assert.equal(foundText(20, 143, false), "20 of 143 places");
  assert.equal(foundText(20, 1000, true), "20 of more than 1000 places");
  assert.equal(indexText({ state: "current", behindEvents: 0 }), "");
  assert.match(indexText({ state: "behind", behindEvents: 1 }), /1 event/);
  assert.match(indexText({ state: "stopped", behindEvents: 2, reason: "the disk is full" }), /2 events behind: the disk is full/);
});

const FILM = [
  { type: "SESSION_STARTED", seq: 1, ts: 1000 },
  { type: "TERMINAL_CHUNK", seq: 2, ts: 1500, data: "a" },
  { type: "PROVIDER_EVENT_FORWARDED", seq: 3, ts: 1400, providerEvent: { type: "terminal_resized", cols: 100, rows: 30 } },
  { type: "PROVIDER_EVENT_FORWARDED", seq: 4, ts: 61_500, providerEvent: { type: "agent.prompt", text: "go" } },
  { type: "TEST_RUN_FINISHED", seq: 5, ts: 62_000, exitCode: 1 },
  { type: "TEST_RUN_FINISHED", seq: 6, ts: 62_000 },
  { type: "SESSION_ENDED", seq: 7, ts: 62_500, finalState: "COMPLETED" },
];

test("frames are what a terminal showed, marks are what happened; an unknown verdict is neither", () => {
  const { frames, marks } = filmed(FILM);
  assert.deepEqual(frames, [{ seq: 2, at: 1500, data: "a" }, { seq: 3, at: 1400, cols: 100, rows: 30 }]);
  assert.deepEqual(marks.map((mark) => [mark.seq, mark.kind]), [[4, "prompt"], [5, "failed"], [6, "other"], [7, "passed"]]);
  assert.deepEqual([nextMark(marks, 4, 1).seq, nextMark(marks, 4, -1), nextMark(marks, 7, -1).seq], [5, undefined, 6]);
});

test("a pause is as long as it was, or short when idle is skipped; time never goes back", () => {
  const whole = clocked(FILM, false);
  assert.deepEqual([whole.length, whole.moments.map((one) => one.time)], [61_500, [0, 500, 500, 60_500, 61_000, 61_000, 61_500]]);
  assert.equal(clocked(FILM, true).length, 500 + IDLE_MS + 500 + 500);
  assert.deepEqual([placeOf(whole.moments, "time", 499), placeOf(whole.moments, "time", 500), placeOf(whole.moments, "seq", 0)], [0, 2, -1]);
  assert.deepEqual(bars(whole.moments, whole.length, 2), [3, 4]);
  assert.deepEqual(clocked([], true), { moments: [], length: 0 });
});

test("a session is played in parts of so many events", () => {
  assert.deepEqual([undefined, 0, 1, PART, PART + 1, 3 * PART].map(partsOf), [1, 1, 1, 1, 2, 3]);
});

test("many events make the same story at once as one by one, and more of it", () => {
  const events = Array.from({ length: 40 }, (_, i) => [{ type: i % 3 ? "agent_tool" : "agent_message", sessionId: "s", seq: i + 1, payload: i % 3 ? { id: `t${i >> 1}`, name: "Bash", status: i % 2 ? "started" : "done" } : { id: `m${i}`, text: `m${i}` } }, i]);
  const { growing, ...all } = storyOf(events);
  assert.deepEqual(all, events.reduce((story, [e, at]) => tell(story, e, at), EMPTY_STORY));
  const many = Array.from({ length: MOST_ITEMS + 500 }, (_, i) => [{ type: "agent_message", sessionId: "s", seq: i + 1, payload: { id: `m${i}`, text: "x" } }, i]);
  assert.equal(Object.keys(storyOf(many).items).length, MOST_ITEMS + 500);
  assert.deepEqual(EMPTY_STORY.items, {});
});
