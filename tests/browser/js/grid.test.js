// Which terminals a grid shows, and that tiles keep their places.

import assert from "node:assert/strict";
import { test } from "node:test";

import { idsOf, kindOf, settled, tilesOf } from "../../../dashboard/js/grid.js";
import { parseRoute, toGrid } from "../../../dashboard/js/routes.js";

const agent = (agentId, tone) => ({ agentId, agentName: agentId, status: { tone } });

test("those that need a person, then the busy ones; chosen ones as they were chosen", () => {
  const agents = [agent("w", "work"), agent("d", "done"), agent("a", "wait"), agent("l", "lost")];
  assert.deepEqual(tilesOf(agents, {}), { ids: ["a", "l"], of: 2 });
  assert.deepEqual(tilesOf(agents, { of: "busy" }), { ids: ["a", "l", "w"], of: 3 });
  assert.deepEqual(tilesOf(agents, { agents: "w,d,w,," }), { ids: ["w", "d"], of: 2 });
  assert.deepEqual([kindOf({}), kindOf({ of: "odd" }), kindOf({ agents: "" })], ["needs", "needs", "chosen"]);
});

test("a grid holds nine, and says of how many", () => {
  const many = Array.from({ length: 12 }, (_, i) => agent(`a${i}`, "wait"));
  const { ids, of } = tilesOf(many, {});
  assert.deepEqual([ids.length, of], [9, 12]);
  assert.equal(tilesOf([], { agents: many.map((one) => one.agentId).join(",") }).of, 12);
  assert.deepEqual(idsOf(" a , b,a"), ["a", "b"]);
});

test("a tile keeps its place, a new one takes that of one that left, and the driven one stays", () => {
  assert.deepEqual(settled(["a", "b", "c"], ["c", "a", "d"]), ["a", "d", "c"]);
  assert.deepEqual(settled(["a", "b"], ["b"], "a"), ["a", "b"]);
  assert.deepEqual(settled([], ["a", "b"]), ["a", "b"]);
  assert.deepEqual(settled(["a"], []), []);
});

test("a grid is an address", () => {
  assert.deepEqual(parseRoute(toGrid({ v: "demo", agents: "a b,c" })), { page: "grid", query: { v: "demo", agents: "a b,c" } });
});
