// Starts that a person keeps under a name, to begin from again. They are kept in this browser.

import { signal } from "./html.js";
import * as store from "./store.js";
import { parsedTemplates, withTemplate } from "./starting.js";

const nameOf = () => `townwatch.templates ${store.user.peek()?.userId ?? ""}`;
const kept = signal({});

/** [{name, form}], by name. */
export function templates() {
  const name = nameOf();
  kept.value[name] ?? load(name);
  return kept.peek()[name];
}

function load(name) {
  kept.value = { ...kept.peek(), [name]: parsedTemplates(localStorage.getItem(name)) };
}

addEventListener("storage", (event) => event.key in kept.peek() && load(event.key));

function keep(list) {
  localStorage.setItem(nameOf(), JSON.stringify(list));
  kept.value = { ...kept.peek(), [nameOf()]: list };
}

/** Raises what the browser says when it has no more room. */
export const keepTemplate = (name, form) => keep(withTemplate(templates(), name, form));
export const forgetTemplate = (name) => keep(templates().filter((one) => one.name !== name));
