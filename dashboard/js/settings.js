// What a person set for this browser: the theme, single-letter keys, which news call. Kept in localStorage.

import { effect, signal } from "./html.js";

const KEY = "townwatch.settings";
const DEFAULTS = { theme: "", letters: true, calls: { wait: true, fail: true, lost: true, turn: false }, desktop: false };

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return { ...DEFAULTS, ...kept, calls: { ...DEFAULTS.calls, ...kept.calls } };
  } catch {
    return DEFAULTS;
  }
}

export const settings = signal(read());

export function set(change) {
  settings.value = { ...settings.peek(), ...change };
  localStorage.setItem(KEY, JSON.stringify(settings.peek()));
}

/** As the system has it → light → dark → as the system has it. */
export const nextTheme = (theme) => ({ "": "light", light: "dark", dark: "" })[theme] ?? "";

effect(() => {
  const { theme } = settings.value;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
});
