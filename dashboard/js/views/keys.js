// The keyboard. Letters only move; deciding needs Ctrl, and acts on the one card that has the focus, never on another.

import { COMMANDS } from "../commands.js";
import { settings } from "../settings.js";
import * as store from "../store.js";
import { takeBack } from "../town.js";

export function listenForKeys() {
  addEventListener("keydown", onKey);
  addEventListener("click", (event) => closePopUps((open) => !open.contains(event.target)));
}

function closePopUps(which) {
  for (const open of document.querySelectorAll("details.pop[open]")) if (which(open)) open.open = false;
}

const isTyping = (target) => target instanceof Element && target.closest("input, textarea, select, [contenteditable], .glass, dialog") !== null;

function onKey(event) {
  if (event.key === "Escape") closePopUps(() => true);
  if (event.repeat || event.metaKey || event.altKey) return;
  if (event.ctrlKey) return withCtrl(event);
  if (isTyping(event.target) || !settings.peek().letters) return;
  if (letter(event)) return event.preventDefault();
  if (event.key === "j" || event.key === "k") choose(event.key === "j" ? 1 : -1);
}

function withCtrl(event) {
  if (event.key === "k") return void ((store.dialog.value = "palette"), event.preventDefault());
  if (event.key === "Enter") press("allow", event);
  if (event.key === "Backspace") press("deny", event);
  if (event.key === "z" && !isTyping(event.target)) takeLastBack(event);
}

/** The button of the card that has the focus; the card itself, or something in it. */
function press(decision, event) {
  const card = document.activeElement?.closest?.('[data-approval][data-open="true"]');
  if (!card) return;
  event.preventDefault();
  card.querySelector(`[data-decision="${decision}"]:not(:disabled)`)?.click();
}

function takeLastBack(event) {
  const mine = store.held.value.findLast((one) => one.resolvedBy === store.user.value?.name);
  if (!mine) return;
  event.preventDefault();
  takeBack(mine);
}

const cards = () => [...document.querySelectorAll('[data-approval][data-open="true"]')];

/** Where no card is open: the rows of the list. */
const rows = () => [...document.querySelectorAll(".agent-row .name, .found .name, .hit-link")];

function choose(step) {
  const open = cards();
  const all = open.length ? open : rows();
  if (all.length === 0) return;
  const at = all.indexOf(open.length ? document.activeElement?.closest?.("[data-approval]") : document.activeElement);
  const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + step))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

const TOGETHER_MS = 1200;
let begun = "";
let begunAt = 0;

/** A letter, or the second one of two: whether it was a command's. */
function letter(event) {
  const now = performance.now();
  const both = begun && now - begunAt < TOGETHER_MS ? `${begun} ${event.key}` : "";
  const command = COMMANDS.find((one) => one.keys === both) ?? COMMANDS.find((one) => one.keys === event.key);
  begun = COMMANDS.some((one) => one.keys.startsWith(`${event.key} `)) ? event.key : "";
  begunAt = now;
  command?.act();
  return command !== undefined;
}
