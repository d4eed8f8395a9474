// The screens of those who run it: QR codes, rules as text, addresses.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { qr } from "../../../dashboard/js/qr.js";
import { parseRoute, toOperator } from "../../../dashboard/js/routes.js";
import { parse, placed, toText } from "../../../dashboard/js/rules_text.js";

const lines = (rows) => rows.map((row) => row.map((dark) => (dark ? "#" : ".")).join(""));
const digest = (rows) => createHash("sha256").update(lines(rows).join("\n")).digest("hex").slice(0, 16);

const GOLDEN = [
  ["a", 21, "0b2a5ded825360b8"],
  ["townwatch runner join https://town.example --code twe_IdW_Z6EEN8-fROlt4WIgXLNAWmwQXOY29f9Ukxc", 41, "9111cb0f58ba967d"],
  ["é".repeat(60), 45, "e91f317561e797eb"],
  ["0123456789".repeat(25), 61, "28bf41b59e144e6e"],
  ["x".repeat(640), 97, "7a5d02f267758214"],
];

test("a QR code is the one that another encoder makes of the same text", () => {
  // Digests of what the Python package qrcode 8 drew (bytes, level M, the same mask).
  for (const [text, size, known] of GOLDEN) {
    const rows = qr(text);
    assert.equal(rows.length, size, text.slice(0, 20));
    assert.equal(digest(rows), known, text.slice(0, 20));
  }
});

test("a text that is too long has no QR code", () => {
  assert.notEqual(qr("x".repeat(660)), null);
  assert.equal(qr("x".repeat(700)), null);
});

test("rules are text, one a line, and come back as they were", () => {
  const rules = [{ id: "git", effect: "allow", command: "git *", path: null, risk: [], linesOver: 0 }, { id: "no", effect: "deny", note: "why\n“so”" }];
  const text = toText(rules);
  assert.equal(text.split("\n").length, 2);
  assert.deepEqual(parse(text).rules, [{ id: "git", effect: "allow", command: "git *", linesOver: 0 }, { id: "no", effect: "deny", note: "why\n“so”" }]);
});

test("an error stands at its line, also behind empty lines", () => {
  const read = parse('\n{"id": "a", "effect": "allow"}\n\n{"id": "b"}\nnonsense\n[]');
  assert.deepEqual(read.lines, [2, 4]);
  assert.deepEqual(read.errors.map((one) => one.line), [5, 6]);
  assert.deepEqual(placed("rules[1].effect: is missing", read.lines), { line: 4, text: "effect: is missing" });
  assert.deepEqual(placed("variables: too many", read.lines), { text: "variables: too many" });
  assert.deepEqual(placed("rules[9].id: odd", read.lines), { text: "rules[9].id: odd" });
});

test("each screen is an address", () => {
  assert.deepEqual(parseRoute(toOperator("audit", { village: "a b" })), { page: "operator", id: "audit", query: { village: "a b" } });
  assert.deepEqual(parseRoute(toOperator()), { page: "operator", id: "runners", query: {} });
});
