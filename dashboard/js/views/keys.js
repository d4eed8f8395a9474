// The keyboard: a allows, d denies, j and k choose. Never while somebody types, and never in the first moment that a question
// is on the screen, so that a key meant for something else answers nothing.

const GUARD_MS = 400;

let chosen; // approvalId
let shownSince = new Map(); // approvalId → when it came on the screen
let armed; // approvalId of a high-risk question that was pressed once

export function listenForKeys() {
  addEventListener("keydown", onKey);
  addEventListener("click", (event) => closePopUps((open) => !open.contains(event.target)));
  new MutationObserver(notice).observe(document.documentElement, { childList: true, subtree: true });
}

const cards = () => [...document.querySelectorAll('[data-approval][data-open="true"]')];

function notice() {
  const next = new Map();
  for (const { dataset } of cards()) next.set(dataset.approval, shownSince.get(dataset.approval) ?? performance.now());
  shownSince = next;
}

function closePopUps(which) {
  for (const open of document.querySelectorAll("details.pop[open]")) if (which(open)) open.open = false;
}

function onKey(event) {
  if (event.key === "Escape") closePopUps(() => true);
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || isTyping(event.target)) return;
  if (event.key === "j" || event.key === "k") return choose(event.key === "j" ? 1 : -1);
  const decision = { a: "allow", d: "deny" }[event.key];
  if (decision) answer(decision, event);
}

const isTyping = (target) => target instanceof Element && target.closest("input, textarea, select, [contenteditable], .glass") !== null;

function current() {
  const all = cards();
  const focused = document.activeElement?.closest?.("[data-approval]");
  return all.find((card) => card === focused) ?? all.find((card) => card.dataset.approval === chosen) ?? all[0];
}

function choose(step) {
  const all = cards();
  if (all.length === 0) return;
  const at = all.indexOf(current());
  const next = all[Math.max(0, Math.min(all.length - 1, chosen === undefined ? 0 : at + step))];
  chosen = next.dataset.approval;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

function answer(decision, event) {
  const card = current();
  if (card === undefined) return;
  const id = card.dataset.approval;
  const button = card.querySelector(`[data-decision="${decision}"]:not(:disabled)`);
  if (button === null || performance.now() - (shownSince.get(id) ?? performance.now()) < GUARD_MS) return;
  event.preventDefault();
  if (decision === "allow" && card.classList.contains("risk-high") && armed !== id) {
    armed = id;
    button.classList.add("armed");
    setTimeout(() => {
      armed = armed === id ? undefined : armed;
      button.classList.remove("armed");
    }, 3000);
    return;
  }
  armed = undefined;
  button.click();
}
