// Words and addresses in a terminal's buffer; templates of the start form; when an open page keeps quiet.

import assert from "node:assert/strict";
import { test } from "node:test";
import { placeOf, quietNow, titleOf } from "../../../dashboard/js/calling.js";
import { parsedTemplates, withTemplate } from "../../../dashboard/js/starting.js";
import { ownAct } from "../../../dashboard/js/terminal_keys.js";
import { addressesIn, cellAt, lineAt, linkedParts, placesOf } from "../../../dashboard/js/terminal_text.js";

const COLUMNS = 10;

/** Rows as xterm.js has them; "漢" takes two cells; a row that begins with "+" goes on the row before. */
function buffer(...texts) {
  const lines = texts.map((text) => {
    const isWrapped = text.startsWith("+");
    const cells = [...(isWrapped ? text.slice(1) : text)].flatMap((char) => (char === "漢" ? [[char, 2], ["", 0]] : [[char, 1]]));
    while (cells.length < COLUMNS) cells.push(["", 1]);
    const read = (trim) => cells.map(([char, width]) => char || (width ? " " : "")).join("").replace(trim ? / +$/ : /$^/, "");
    return { isWrapped, length: COLUMNS, getCell: (x) => ({ getChars: () => cells[x][0], getWidth: () => cells[x][1] }), translateToString: read };
  });
  return { length: lines.length, getLine: (row) => lines[row] };
}

test("words are found over the ends of rows and behind wide characters", () => {
  const found = buffer("an error", "漢漢Error", "0123456 er", "+ror");
  assert.deepEqual(placesOf(found, "error"), [{ row: 0, col: 3, cells: 5 }, { row: 1, col: 4, cells: 5 }, { row: 2, col: 8, cells: 5 }]);
  assert.deepEqual([placesOf(found, "漢"), placesOf(found, "")], [[{ row: 1, col: 0, cells: 2 }, { row: 1, col: 2, cells: 2 }], []]);
  const { first, rows } = lineAt(found, 3);
  assert.deepEqual([first, rows.length, cellAt(rows, 11)], [2, 2, { row: 1, col: 1 }]);
});

test("an address ends where its sentence goes on", () => {
  const urls = (text) => addressesIn(text).map((one) => one.url);
  assert.deepEqual(urls("see https://a.example/x?y=1#z, or (http://b.example/c_(d)). file:///etc/passwd javascript:1 http://"), ["https://a.example/x?y=1#z", "http://b.example/c_(d)"]);
  assert.deepEqual(urls('<a href="https://a.example/b">'), ["https://a.example/b"]);
  assert.deepEqual(linkedParts("to http://a.example/ now"), [{ text: "to " }, { text: "http://a.example/", url: "http://a.example/" }, { text: " now" }]);
  assert.deepEqual(linkedParts("none"), [{ text: "none" }]);
});

test("the key for searching is the page's own, whether one looks on or drives", () => {
  const key = { key: "F", ctrlKey: true, shiftKey: true, altKey: false, metaKey: false };
  assert.deepEqual([ownAct(key, true), ownAct(key, false), ownAct({ ...key, key: "f", shiftKey: false }, false)], ["find", "find", undefined]);
});

test("a template keeps what is the same at every start, and one name once", () => {
  const form = { goal: "Test it", provider: "codex", asks: ["merge"], resumeOf: "s1", conversation: "c1" };
  const once = withTemplate([], " nightly ", form);
  assert.deepEqual([once[0].name, once[0].form.goal, once[0].form.resumeOf, once[0].form.conversation], ["nightly", "Test it", undefined, undefined]);
  const list = withTemplate(withTemplate(once, "a", form), "nightly", { ...form, goal: "Test it again" });
  assert.deepEqual(list.map((one) => [one.name, one.form.goal]), [["a", "Test it"], ["nightly", "Test it again"]]);
  assert.deepEqual(parsedTemplates(JSON.stringify(list)).length, 2);
  for (const odd of [null, "no json", "{}", '[{"name": 1}, null, {"name": "x", "form": {}}]']) assert.deepEqual(parsedTemplates(odd), []);
});

test("a tab is called by what it shows", () => {
  const agents = { a: { agentName: "Ada" } };
  assert.equal(titleOf(2, [placeOf({ page: "agent", id: "a" }, agents, {}), "Demo"], true), "◆ 2 · Ada · Demo · Townwatch");
  assert.equal(titleOf(0, [placeOf({ page: "village", id: "demo" }, agents, {}), "Demo"], true), "Demo · Townwatch");
  assert.equal(titleOf(0, [placeOf({ page: "history" }, agents, {}), undefined], false), "○ not live · History · Townwatch");
});

test("quiet hours are those of the person's own clock, also over midnight", () => {
  const at = (time) => Date.parse(`2026-11-30T${time}:00Z`);
  const night = { quiet: { begins: 22 * 60, ends: 7 * 60 }, timeZone: "Europe/Berlin" }; // an hour ahead
  assert.deepEqual(["20:59", "21:00", "23:30", "05:59", "06:00"].map((time) => quietNow(night, at(time))), [false, true, true, true, false]);
  assert.equal(quietNow({ quiet: null, timeZone: "UTC" }, at("03:00")), false);
  assert.equal(quietNow({ quiet: { begins: 60, ends: 120 }, timeZone: "UTC" }, at("01:30")), true);
});
