// What can be done from the keyboard and the palette: one table for both, and for the list of keys.

import { fits } from "./finding.js";
import { APPROVALS, CALLS, SUPERVISION, toAgent, toApproval, toGrid, toHistory, toHouse, toOperator, toStart, toVillage } from "./routes.js";
import { nextTheme, set, settings } from "./settings.js";
import * as store from "./store.js";
import { askOf } from "./asks.js";
import { templates } from "./templates.js";

const go = (hash) => () => (location.hash = hash);
const home = () => (store.villageId.peek() ? toVillage(store.villageId.peek()) : "#/");

/** {id, text, keys, act}: `keys` are letters, pressed one after the other outside fields and terminals. */
export const COMMANDS = [
  { id: "village", text: "Village", keys: "g v", act: () => go(home())() },
  { id: "approvals", text: "Approvals", keys: "g a", act: go(APPROVALS) },
  { id: "history", text: "History", keys: "g h", act: go(toHistory()) },
  { id: "start", text: "Start work", keys: "n", act: go(toStart()) },
  { id: "calls", text: "Calls: how you are called", keys: "g c", act: go(CALLS) },
  { id: "grid", text: "Grid of all that need you", keys: "g g", act: () => go(toGrid({ of: "needs", v: store.villageId.peek() }))() },
  { id: "operator", text: "Run it: runners, people, rules, audit", keys: "g o", act: go(toOperator()) },
  { id: "supervision", text: "Supervision", keys: "g s", act: go(SUPERVISION) },
  { id: "theme", text: "Light, dark, or as the system has it", keys: "t", act: () => set({ theme: nextTheme(settings.peek().theme) }) },
  { id: "search", text: "Search in this list", keys: "/", act: () => document.querySelector('main input[type="search"]')?.focus() },
  { id: "help", text: "Keys", keys: "?", act: () => store.dialog.value = "help" },
];

/** Keys that are no command of the palette. */
export const OTHER_KEYS = [
  ["Ctrl K", "find or do anything"],
  ["j k", "next, previous card or row"],
  ["Enter", "open what has the focus; in a terminal: take the free keyboard"],
  ["Ctrl Enter", "on the card that has the focus: allow, or its second question; in the composer: send"],
  ["Ctrl Backspace", "on the card that has the focus: deny"],
  ["Ctrl Z", "take an allow back within 5 s"],
  ["Ctrl Shift F", "in a terminal: search in all it still has"],
  ["Ctrl click", "in a terminal: open an address"],
  ["Ctrl M", "in a terminal: give the keyboard back and leave"],
  ["Ctrl C, Ctrl V", "in a terminal: copy what is selected (else ^C), paste"],
  ["Esc", "close what is open"],
];

/** What the palette finds: [{key, tone, text, more, href or act}]. It opens approvals, and never decides one. */
export function found(query) {
  const agents = store.roster.peek().map((agent) => ({ key: `a ${agent.agentId}`, tone: agent.status.tone, text: agent.agentName, more: `${agent.status.label} · ${store.houses.peek()[agent.repoId]?.name ?? ""}`, href: toAgent(agent.agentId) }));
  const asks = store.pending.peek().map((one) => ({ key: `p ${one.sessionId}/${one.approvalId}`, tone: "wait", text: `Review: ${askOf(one).title}`, more: store.agents.peek()[one.agentId]?.agentName ?? "", href: toApproval(one) }));
  const houses = store.streetHouses.peek().flatMap((house) => [
    { key: `h ${house.repoId}`, text: house.name, more: "house", href: toHouse(house.repoId) },
    ...(store.canDrive.peek() ? [{ key: `s ${house.repoId}`, text: `Start work in ${house.name}`, more: "", href: toStart({ house: house.repoId }) }] : []),
  ]);
  const starts = store.canDrive.peek() ? templates().map((one) => ({ key: `t ${one.name}`, text: `Start from “${one.name}”`, more: "template", href: toStart({ template: one.name }) })) : [];
  const villages = store.villages.peek().map((one) => ({ key: `v ${one.villageId}`, text: one.name ?? one.villageId, more: "village", href: toVillage(one.villageId) }));
  const acts = COMMANDS.map((command) => ({ key: `c ${command.id}`, text: command.text, more: command.keys, act: command.act }));
  const all = [...asks, ...agents, ...houses, ...starts, ...villages, ...acts];
  const words = query.trim();
  const search = words ? [{ key: "search", text: `Search for “${words}”`, more: "in prompts, messages, terminals, paths", href: toHistory({ q: words }) }] : [];
  return [...all.filter((one) => fits(`${one.text} ${one.more}`, query)), ...search];
}
