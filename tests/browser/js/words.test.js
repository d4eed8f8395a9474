// The words and decisions of the page that need no browser: numbers, statuses, routes, the connection, the tree.

import assert from "node:assert/strict";
import { test } from "node:test";
import { age, baseName, bytes, count, countdown, duration, literally, millis, shortCommand, spelled } from "../../../dashboard/js/format.js";
import { lastLine, lineOf, shareLines } from "../../../dashboard/js/lines.js";
import { backoff, FIRST_LINK, gapWords, isStale, linkWords, nextLink } from "../../../dashboard/js/link.js";
import { Pacer } from "../../../dashboard/js/pacer.js";
import { parseRoute, toAgent, toApproval, withQuery } from "../../../dashboard/js/routes.js";
import { byAttention, mayDrive, needsPerson, statusOf } from "../../../dashboard/js/status.js";
import { findNode, normalise, rowsOf, SHOWN_CHILDREN, totals, withRates } from "../../../dashboard/js/tree.js";
import { faultsFor, outcome, vitalRows, whyNot } from "../../../dashboard/js/vitals.js";

test("numbers read as people say them", () => {
  assert.deepEqual([duration(900), duration(72_000), duration(4_000_000)], ["0.9 s", "1 min 12 s", "1 h 6 min"]);
  assert.deepEqual([age(900), age(42_000), age(3 * 86_400_000)], ["now", "42 s", "3 d"]);
  assert.deepEqual([countdown(245_000), countdown(-5), countdown(3_725_000)], ["4:05", "0:00", "1:02:05"]);
  assert.deepEqual([bytes(340 * 1024), bytes(12), bytes(1_500_000)], ["340 KB", "12 B", "1.4 MB"]);
  assert.deepEqual([count(12_345), count(999), count(5_200_000)], ["12.3 k", "999", "5.2 M"]);
  assert.deepEqual([baseName("/a/b/"), baseName("github:o/n"), millis("2026-11-23T00:00:00.000Z"), millis("x")], ["b", "n", 1795392000000, undefined]);
});

test("every route is a link, and what is not known leads home", () => {
  assert.deepEqual(parseRoute(toAgent("runner_a/b")), { page: "agent", id: "runner_a/b", query: {} });
  assert.deepEqual(parseRoute(withQuery(toAgent("a"), { tab: "tests", q: "" })), { page: "agent", id: "a", query: { tab: "tests" } });
  assert.equal(withQuery("#/a/a?tab=tests", { tab: "" }), "#/a/a");
  assert.deepEqual(parseRoute("#/approvals"), { page: "approvals", query: {} });
  assert.deepEqual(parseRoute(toApproval({ sessionId: "s/1", approvalId: "a" })), { page: "approvals", sessionId: "s/1", approvalId: "a", query: {} });
  for (const hash of ["", "#/", "#/v", "#/nonsense/1", "#/a/"]) assert.deepEqual(parseRoute(hash), { page: "home", query: {} });
  assert.deepEqual(parseRoute("#/v/%E0%A4%A"), { page: "village", id: "%E0%A4%A", query: {} });
});

test("a status says what, why and since when", () => {
  const now = 1_000_000;
  const agent = { agentId: "a", agentName: "a", state: "RUNNING", stateAt: now - 5000, lastEventAt: now - 1000 };
  assert.equal(statusOf(agent, now).tone, "work");
  const idle = statusOf({ ...agent, activityAt: now - 90_000 }, now);
  assert.deepEqual([idle.label, idle.tone, idle.since], ["idle", "quiet", now - 90_000], "events that are no work keep nobody at work");
  assert.equal(statusOf({ ...agent, activityAt: now - 9000 }, now).tone, "work");
  const failed = { status: "idle", reason: "its turn failed: no credit", since: now };
  assert.equal(statusOf({ ...agent, agentStatus: failed }, now).why, "its turn failed: no credit");
  assert.equal(statusOf({ ...agent, agentStatus: { ...failed, reason: undefined } }, now).why, "finished its turn");
  assert.equal(statusOf({ ...agent, runnerStatus: "offline" }, now).why, "was working, last heard now ago");
  assert.equal(statusOf({ ...agent, state: "FAILED", exitCode: 3, reason: "runner process lost" }, now).why, "runner process lost, exit code 3");
  const waiting = statusOf(agent, now, [{ category: "shell", summary: "rm -rf build/", requestedAt: now - 9 }, {}]);
  assert.deepEqual([waiting.tone, waiting.why, waiting.since], ["wait", "shell: rm -rf build/ (and 1 more)", now - 9]);
  assert.equal(statusOf({ ...agent, state: "SOMETHING_NEW" }, now).label, "something_new");
});

test("who needs a person comes first", () => {
  const one = (agentName, tone, since) => ({ agentName, status: { tone, since } });
  const order = [one("d", "done", 1), one("w", "work", 1), one("q2", "wait", 9), one("q1", "wait", 3), one("f", "fail", 1)].sort(byAttention);
  assert.deepEqual(order.map((agent) => agent.agentName), ["q1", "q2", "f", "w", "d"]);
  const failed = (agentName, seenBy) => ({ agentName, status: statusOf({ agentName, state: "FAILED", stateAt: 1, seenBy }, 9) });
  const mixed = [failed("seen", { name: "Ann", at: 2 }), one("turn", "turn", 1), one("work", "work", 1), failed("unseen")].sort(byAttention);
  assert.deepEqual(mixed.map((agent) => agent.agentName), ["unseen", "turn", "seen", "work"], "a failure that was seen calls nobody");
  assert.deepEqual(mixed.map((agent) => needsPerson(agent.status)), [true, false, false, false]);
});

test("viewers and strangers do not drive", () => {
  assert.deepEqual(["owner", "operator", "viewer", null, undefined].map(mayDrive), [true, true, false, false, false]);
});

test("two pings in a row without an answer end live, and the next answer begins it again", () => {
  const live = [{ type: "connected" }, { type: "caught-up" }].reduce((link, event) => nextLink(link, event, 100), FIRST_LINK);
  const once = nextLink(live, { type: "missed" }, 4000);
  assert.deepEqual([once.phase, isStale(once)], ["live", false]);
  const twice = nextLink(once, { type: "missed" }, 8000);
  assert.deepEqual([twice.phase, isStale(twice), twice.heardAt, linkWords(twice, 8000).text], ["silent", true, 100, "no answer"]);
  const back = nextLink(twice, { type: "round-trip", ms: 5 }, 9000);
  assert.deepEqual([back.phase, back.missed, isStale(back)], ["live", 0, false]);
  assert.equal(nextLink(nextLink(once, { type: "round-trip", ms: 5 }, 5000), { type: "missed" }, 9000).phase, "live");
  assert.equal(isStale(FIRST_LINK), false);
});

test("a first failure and a lost connection go the same way: wait, with a countdown, and try again", () => {
  const failed = nextLink(nextLink(FIRST_LINK, { type: "connecting" }, 0), { type: "lost", delay: 2000, reason: "refused" }, 100);
  assert.equal(linkWords(failed, 100).text, "reconnecting in 2 s");
  assert.equal(linkWords(failed, 1500).text, "reconnecting in 1 s");
  const back = nextLink(failed, { type: "connected" }, 3000);
  assert.equal(linkWords(back, 3000).text, "catching up");
  const live = nextLink(nextLink(back, { type: "caught-up" }, 3100), { type: "round-trip", ms: 22.6 }, 3200);
  assert.equal(linkWords(live, 3200).text, "live 23 ms");
  const lost = nextLink(live, { type: "lost", delay: 500, reason: "transport close" }, 9000);
  assert.deepEqual([lost.phase, lost.roundTrip, lost.since], ["waiting", undefined, 9000]);
});

test("a gap is said in bytes where they are known, else in events", () => {
  assert.equal(gapWords([]), "");
  assert.equal(gapWords([{ from: 1, to: 9, bytes: 340 * 1024 }]), "gap of 340 KB");
  assert.equal(gapWords([{ from: 1, to: 9 }, { from: 0, to: 1 }]), "gap of 9 events");
});

test("the back-off grows, is spread, and has a ceiling", () => {
  assert.deepEqual([backoff(0, 0), backoff(13, 0.999), backoff(14, 0.999), backoff(17, 0), backoff(50, 0.999)], [150, 300, 500, 2000, 9995]);
});

test("joins stay below the service's limit", () => {
  const pacer = new Pacer(3, 1000);
  assert.deepEqual([pacer.take(0), pacer.take(10), pacer.take(20), pacer.take(30), pacer.take(1001)], [0, 0, 0, 970, 0]);
});

test("control sequences never reach a preview line", () => {
  assert.equal(lastLine("\x1b[2J\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07\r\n\r\n"), "red link");
  assert.equal(lastLine("progress 10%\rprogress 20%"), "progress 20%");
  assert.equal(lastLine("\x1b[?25l\x07"), "");
});

test("a command is shown as it is typed", () => {
  assert.deepEqual(["/venv/bin/python -m pytest a/b", "go test ./...", "/bin/sh"].map(shortCommand), ["python -m pytest a/b", "go test ./...", "sh"]);
});

test("what another event tells better has no line of its own", () => {
  const line = (newState, reason) => lineOf({ type: "status_change", payload: { newState, reason } })?.text;
  assert.deepEqual([line("WAITING_FOR_APPROVAL", "x"), line("COMPLETED"), line("FAILED", "exited with code 3")], [undefined, undefined, undefined]);
  assert.equal(line("FAILED", "runner process lost"), "failed: runner process lost");
});

test("what several agents of one house say at one moment about a file is one line of the house", () => {
  const line = (agentId, at, text, kind = "file") => ({ key: `${agentId}${at}`, agentId, at, text, kind });
  const houses = { ada: "shop", grace: "shop", linus: "bank" };
  const shown = shareLines(
    [line("ada", 0, "wrote a"), line("grace", 9, "wrote a"), line("linus", 9, "wrote a"), line("ada", 10, "2 passed", "test"), line("grace", 11, "2 passed", "test"), line("grace", 5000, "wrote a")],
    (one) => houses[one.agentId],
  );
  assert.deepEqual(shown.map((one) => [one.agentId, one.text, one.shared ?? false]), [
    ["ada", "wrote a", true], ["linus", "wrote a", false], ["ada", "2 passed", false], ["grace", "2 passed", false], ["grace", "wrote a", false],
  ]);
});

test("every kind of work stream event has a line, output and size have none", () => {
  const line = (type, payload) => lineOf({ type, payload })?.text;
  assert.equal(line("session_end", { finalState: "FAILED", exitCode: 3, totalDurationMs: 900 }), "failed with exit code 3 after 0.9 s");
  assert.equal(line("status_change", { newState: "PAUSED_BY_HUMAN", reason: "lunch" }), "paused by human: lunch");
  assert.equal(line("status_change", { approvalId: "a", decision: "deny", note: "no" }), "denied: no");
  assert.equal(line("file_edit", { files: [], filesChanged: 1, linesAdded: 2, linesRemoved: 3 }), "1 file differs, +2 −3");
  assert.equal(line("output", { data: "x" }), undefined);
  assert.equal(line("provider_event", { providerEvent: { type: "terminal_resized", cols: 80, rows: 24 } }), undefined);
  assert.equal(line("provider_event", { providerEvent: { type: "compacted" } }), "compacted");
});

test("what would deceive the eye is spelled out, what is only foreign is not", () => {
  assert.deepEqual(literally("rm \u202e/ fr-\u202c x"), ["rm ", { code: "U+202E" }, "/ fr-", { code: "U+202C" }, " x"]);
  assert.equal(spelled("ls\r rm\u001b[2K\u200b"), "ls⟨U+000D⟩ rm⟨U+001B⟩[2K⟨U+200B⟩");
  assert.equal(spelled("a\u{e0041}b"), "a⟨U+E0041⟩b");
  for (const plain of ["", "für éclair — 東京 🙂⚠️", "two\n\tlines", "שלום"]) assert.equal(spelled(plain), plain);
  assert.equal(lineOf({ type: "file_edit", payload: { path: "a\u202egpj.exe" } }).text, "wrote a⟨U+202E⟩gpj.exe");
});

const leaf = (id, change = {}) => ({ id, kind: "Client", state: "running", ...change });

test("the tree's names may be in either spelling", () => {
  const node = normalise({ id: "r", mailbox: { depth: 1, capacity: 4, high_water: 3, dropped: 0 }, last_exit: { reason: "boom", age: 2 }, restarts: 2 });
  assert.deepEqual([node.mailbox.high, node.lastExit.reason, node.restarts], [3, "boom", 2]);
});

test("messages per second come from two answers, of the same life only", () => {
  const at = (handled, incarnation) => normalise({ id: "r", incarnation, mailbox: { handled } });
  assert.equal(withRates(at(30, 1), at(10, 1), 2).rate, 10);
  assert.equal(withRates(at(30, 2), at(10, 1), 2).rate, undefined);
  assert.equal(withRates(at(30, 1), undefined, 2).rate, undefined);
});

test("children of a kind of their own are never folded, however many there are", () => {
  const children = Array.from({ length: 20 }, (_, i) => leaf(`c${i}`, { actor: `Class${i}` }));
  assert.equal(rowsOf(normalise({ id: "root", state: "up", strategy: "one_for_one", children })).length, 21);
});

test("a node is found however it is folded", () => {
  const root = normalise({ id: "root", state: "up", children: [{ id: "a", children: [leaf("b")] }, leaf("ab")] });
  assert.equal(findNode(root, "root/a/b").id, "b");
  assert.equal(findNode(root, "root/ab").id, "ab");
  assert.equal(findNode(root, "root/c"), undefined);
});

test("many children are folded into a number, but never the one in trouble", () => {
  const children = Array.from({ length: 40 }, (_, i) => leaf(`c${i}`, i === 39 ? { restarts: 2 } : {}));
  const root = normalise({ id: "root", state: "running", strategy: "one_for_one", children });
  const rows = rowsOf(root);
  assert.equal(rows.length, 1 + SHOWN_CHILDREN + 1);
  assert.ok(rows.some((row) => row.node.id === "c39"));
  assert.equal(rows.at(-1).more, 40 - SHOWN_CHILDREN);
  const all = rowsOf(root, new Set(["root"]));
  assert.equal(all.length, 42);
  assert.ok(all.at(-1).fewer);
  assert.deepEqual(totals(root), { nodes: 41, running: 41, restarts: 2, queued: 0, dropped: 0 });
});

test("what became of a fault, in one line", () => {
  assert.equal(outcome({ fault: "kill-router", target: "t/router", lastsMs: 0, backMs: 3.25 }), "kill-router hit t/router; it answered again after 3.3 ms");
  assert.equal(outcome({ fault: "slow-disk", target: "journal.db", lastsMs: 5000, backMs: null }), "slow-disk hit journal.db, for 5.0 s");
});

test("a fault is only offered for what it can be aimed at", () => {
  const chaos = { kept: false, faults: [{ name: "kill-actor", aims: "actor" }, { name: "kill-supervisor", aims: "supervisor" }] };
  assert.deepEqual(faultsFor(chaos, { path: "t/a", supervises: false }).map((one) => one.name), ["kill-actor"]);
  assert.deepEqual(faultsFor(chaos, { path: "t/s", supervises: true }).map((one) => one.name), ["kill-supervisor"]);
  assert.deepEqual(faultsFor(chaos, { path: "t", supervises: true }), []);
  assert.match(whyNot(chaos, { name: "kill-process", aims: "nothing" }), /--keep/);
  assert.equal(whyNot({ kept: true }, { name: "kill-process", aims: "nothing" }), "");
});

test("the numbers say why the service is not ready, and how fast it stores", () => {
  const vitals = { reasonsNotReady: ["the disk is full"], stored: 30, committed: 30, repeats: 0, refused: 0, waitingMs: 0, approvalsPending: 1, approvalsDecided: 2, clients: 1, runners: 2 };
  const rows = Object.fromEntries(vitalRows(vitals, { ...vitals, committed: 10 }, 2).map((row) => [row.name, row]));
  assert.deepEqual(rows.ready, { name: "ready", value: "the disk is full", tone: "fail" });
  assert.equal(rows["events stored"].value, "30, 10/s");
  assert.equal(rows.live.value, "1 client, 2 runners");
  assert.equal(Object.fromEntries(vitalRows(vitals, { ...vitals, committed: 99 }, 2).map((row) => [row.name, row]))["events stored"].value, "30"); // it began anew
});
