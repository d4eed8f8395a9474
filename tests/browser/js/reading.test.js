// Reading work: the text of a diff, its colours, comments on its lines, tokens and cost over time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { keptUnder, linesOf, parsed, placeKey, promptOf, put, remaining, without } from "../../../dashboard/js/comments.js";
import { heardOf, hunksOf, keyOf, noText, notesOf, placeOf, rangeOf, staleness } from "../../../dashboard/js/diff.js";
import { money } from "../../../dashboard/js/format.js";
import { familyOf, paint, paintHunk } from "../../../dashboard/js/highlight.js";
import { costWords, joined, sourceWords, spendingOf } from "../../../dashboard/js/spending.js";

const PATCH = "@@ -1,3 +1,3 @@ class Cart:\n one\n-two\n+TWO\n three\n\\ No newline at end of file\n@@ -40 +40,2 @@\n forty\n+--- not a head\n";

test("each line of a patch has its numbers and a place of its own", () => {
  const [first, second] = hunksOf(PATCH);
  assert.deepEqual([first.head, first.about], ["@@ -1,3 +1,3 @@", "class Cart:"]);
  assert.deepEqual(first.lines.map((line) => [line.key, line.kind, line.text]), [["n1", "same", "one"], ["o2", "del", "two"], ["n2", "add", "TWO"], ["n3", "same", "three"], ["x4-4", "note", "No newline at end of file"]]);
  assert.deepEqual(second.lines.map((line) => [line.key, line.text]), [["n40", "forty"], ["n41", "--- not a head"]]);
  assert.deepEqual(placeOf("o12"), { side: "old", line: 12 });
  assert.equal(keyOf(placeOf("n7")), "n7");
  assert.deepEqual([hunksOf(undefined), hunksOf("")], [[], []]);
});

const view = (more) => ({ live: true, filesChanged: 1, linesAdded: 2, linesRemoved: 1, files: [{}], sharedTree: 0, ...more });

test("a diff says when it is older than the tree, and what is left out of it", () => {
  const read = { view: view(), heard: 10 };
  const counted = (seq, linesAdded, files = {}) => ({ diff: { seq, linesAdded, linesRemoved: 1, filesChanged: 1 }, files });
  assert.equal(staleness(read, counted(10, 5), false), "", "what it had heard of before it read");
  assert.equal(staleness(read, counted(11, 2), false), "", "the summary of what was read comes a moment later");
  assert.match(staleness(read, counted(12, 3), false), /have changed/);
  assert.match(staleness(read, counted(11, 2, { a: { how: "wrote", seq: 12 } }), false), /written/, "the same counts may be other lines");
  assert.equal(staleness(read, counted(12, 2, { a: { how: "wrote", seq: 11 }, b: { how: "read", seq: 20 } }), false), "");
  assert.match(staleness(read, counted(10, 2), true), /ended/);
  assert.equal(staleness({ view: view({ live: false }), heard: 1 }, counted(20, 9), true), "", "what was kept at the end is the last word");
  assert.equal(heardOf(counted(4, 1, { a: { how: "read", seq: 9 }, b: { how: "deleted", seq: 6 } })), 6);
  assert.deepEqual(notesOf(view({ filesChanged: 402, files: [{ truncated: true }, {}], sharedTree: 2 })).map((note) => note.split(" ").slice(0, 3).join(" ")), ["2 of 402", "The text of", "2 other sessions"]);
  assert.deepEqual(notesOf(view()), []);
  assert.match(noText({ binary: true }), /binary/);
  assert.match(noText({ patch: null, truncated: true }), /fit/);
  assert.match(noText({ patch: "", status: "renamed" }), /another name/);
  assert.equal(noText({ patch: "@@ -1 +1 @@\n" }), "");
});

const kinds = (line, path, open) => paint(line, familyOf(path), open).parts.filter(([kind]) => kind).map(([kind, text]) => `${kind}:${text}`);

test("code has colours, and every character of it is still there", () => {
  assert.deepEqual(kinds('    return total * 0.5  # "half"', "a/b.py"), ["k:return", "n:0.5", 'c:# "half"']);
  assert.deepEqual(kinds("const x = 'it' + `y` / 2; // no", "a.ts"), ["k:const", "s:'it'", "s:`y`", "n:2", "c:// no"]);
  assert.deepEqual(kinds("fn f<'a>(x: &'a str) { 'b' }", "x.rs"), ["k:fn", "s:'b'"], "a lifetime is no string");
  assert.deepEqual(kinds("SELECT a FROM b -- c", "x.sql"), ["k:SELECT", "k:FROM", "c:-- c"]);
  assert.deepEqual(kinds("url: http://a/#b # c", "x.yaml"), ["c:# c"]);
  assert.deepEqual(kinds("all: build", "src/Makefile"), []);
  assert.equal(familyOf("README"), undefined);
  for (const line of ['x = """a', "it's /* b", "<!-- c", "\\", "``` ' \" `", "𝒳 = 'ü'"]) {
    for (const path of ["a.py", "a.js", "a.go", "a.html", "a.sh", "a.sql", "a.css", "a.json", "a.toml", "a.txt"]) {
      assert.equal(paint(line, familyOf(path)).parts.map(([, text]) => text).join(""), line, `${path}: ${line}`);
    }
  }
});

test("a block goes on over lines, on each side by itself", () => {
  const line = (kind, text) => ({ kind, text });
  const painted = paintHunk([line("del", '"""old'), line("add", "new = 1"), line("same", 'both"""'), line("add", "x = 2"), line("del", "y = 3")], "a.py");
  assert.deepEqual(painted.map((parts) => parts.map(([kind]) => kind)), [["s"], ["", "n"], ["", "s"], ["s"], ["", "n"]], "opened and closed in the old text, opened in the new one");
  const docs = paintHunk([line("same", "/** it"), line("same", " * goes on */ int x;")], "a.java");
  assert.deepEqual(docs.map((parts) => parts.map(([kind]) => kind)), [["c"], ["c", "", "k", ""]]);
});

test("a line as long as lines get takes no long time", () => {
  const began = performance.now();
  for (const text of ["'\\".repeat(1000), '"'.repeat(2000), "/*".repeat(1000), "1.".repeat(1000), "<a".repeat(1000)]) {
    for (const path of ["a.py", "a.js", "a.rs", "a.html", "a.yaml", "a.sql"]) paint(text, familyOf(path));
  }
  assert.ok(performance.now() - began < 2000);
});

const comment = (line, text, more) => ({ path: "src/cart.py", side: "new", line, code: "return total", text, at: 1, ...more });

test("comments become one prompt, in the order of the files", () => {
  let list = put([], comment(61, "also one for 150 %, please"));
  list = put(list, comment(9, "why?", { side: "old", code: "x".repeat(400) }));
  list = put(list, comment(3, "  ", {}));
  list = put(list, comment(2, "first", { path: "a.py" }));
  assert.equal(
    promptOf(list),
    `3 comments on your changes:\n\na.py:2\n> return total\nfirst\n\nsrc/cart.py:9 (a removed line)\n> ${"x".repeat(300)}…\nwhy?\n\nsrc/cart.py:61\n> return total\nalso one for 150 %, please`,
  );
  assert.match(promptOf([comment(1, "one")]), /^A comment on your changes:/);
});

test("a comment on several lines names and quotes all of them", () => {
  const [hunk] = hunksOf("@@ -1,3 +1,4 @@\n one\n-two\n+zwei\n+drei\n four\n");
  const range = rangeOf([hunk], "n3", "n1");
  assert.deepEqual(range, { from: 1, line: 3, code: "one\nzwei\ndrei", last: "n3" });
  assert.equal(rangeOf([hunk], "n3", "o2"), undefined); // a removed line is no line of the file as it is now
  assert.equal(rangeOf([hunk], "n3", "n9"), undefined);
  const about = comment(3, "in English, please", { from: 1, code: range.code });
  assert.equal(promptOf([about]), "A comment on your changes:\n\nsrc/cart.py:1-3\n> one\n> zwei\n> drei\nin English, please");
  assert.equal(linesOf(about), "lines 1 to 3");
  assert.equal(linesOf(comment(2, "", { side: "old" })), "removed line 2");
  assert.equal(parsed(JSON.stringify([about, { ...about, from: 5 }, { ...about, from: "1" }])).length, 1);
});

test("a comment is kept until it is sent, also what was written meanwhile", () => {
  const before = [comment(1, "a"), comment(2, "b")];
  const meanwhile = put(put(before, comment(2, "b, and more")), comment(3, "c"));
  assert.deepEqual(remaining(meanwhile, before).map((one) => one.text), ["b, and more", "c"]);
  assert.deepEqual(parsed(JSON.stringify(before)), before);
  assert.deepEqual([parsed(null), parsed("{"), parsed('[{"path": 1}]'), parsed("7")], [[], [], [], []]);
  assert.deepEqual(without(before, before[0]), [before[1]]);
  assert.notEqual(placeKey(comment(1, "")), placeKey(comment(1, "", { side: "old" })));
  assert.notEqual(keptUnder("u", "s"), keptUnder("v", "s"));
});

const tick = (at, units) => ({ at: at * 1000, intervalMs: 30_000, units });

test("tokens and cost over time: what no tick says is unknown, never nothing", () => {
  const ticks = [tick(30, { inputTokens: 100, outputTokens: 10, costUsd: 0.25, source: "agent" }), tick(60, {}), tick(150, { inputTokens: 50, outputTokens: 5 })];
  const { length, periods, total } = spendingOf(ticks);
  assert.equal(length, 30_000);
  assert.deepEqual(periods.map((one) => [one.ticks, one.cost, one.unpriced]), [[1, 0.25, 0], [1, undefined, 0], [0, undefined, 0], [0, undefined, 0], [1, undefined, 55]]);
  assert.deepEqual([total.input, total.output, total.cost, total.unpriced, total.ticks], [150, 15, 0.25, 55, 3]);
  assert.equal(costWords(total, money).words, "at least $0.25: some tokens came without a price");
  assert.match(costWords(spendingOf([ticks[2]]).total, money).words, /not known: .*tokens and not what they cost/);
  assert.match(costWords(spendingOf([ticks[1]]).total, money).words, /not known: .*no tokens and no cost/);
  assert.equal(costWords(spendingOf([ticks[0]]).total, money).words, "$0.25");
  assert.equal(sourceWords(ticks), "said by the agent");
  const listed = { at: 5, units: { inputTokens: 5, costUsd: 0.1, unpricedTokens: 2, source: "price_table", pricesAsOf: "2026-11-10" } };
  assert.equal(sourceWords([...ticks, listed]), "said by the agent and by list prices as of 2026-11-10");
  assert.equal(spendingOf([listed]).total.unpriced, 2);
  assert.deepEqual(spendingOf([]).periods, []);
  const late = [30.02, 60.05, 90.2].map((at) => tick(at, { inputTokens: 1 }));
  assert.deepEqual(spendingOf(late).periods.map((one) => one.ticks), [1, 1, 1], "ticks that come a little late leave no gap");
});

test("a long session has as many periods as there is room for, and no tick counts twice", () => {
  const ticks = Array.from({ length: 3000 }, (_, i) => tick(30 * (i + 1), { inputTokens: 1, costUsd: 0.001 }));
  const { periods, total } = spendingOf(joined(ticks, ticks.slice(-50)));
  assert.ok(periods.length <= 40 && periods.length > 10, String(periods.length));
  assert.equal(periods.reduce((all, one) => all + one.input, 0), 3000);
  assert.equal(total.input, 3000);
});
