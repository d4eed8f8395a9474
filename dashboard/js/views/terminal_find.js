// Search in what a terminal still has, its scrollback included: the newest place first, and how many there are.

import { html, useLayoutEffect, useRef, useState } from "../html.js";

/** screen: the terminal; close(): the field goes away. */
export function Find({ screen, close }) {
  const [words, setWords] = useState("");
  const [found, setFound] = useState(null);
  const field = useRef(null);
  useLayoutEffect(() => field.current.focus(), []);
  const look = (text, step) => setFound(text ? screen.find(text, step) : null);
  const typed = (event) => (setWords(event.currentTarget.value), look(event.currentTarget.value, 0));
  const key = (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter") look(words, event.shiftKey ? 1 : -1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="tty-find" role="search" aria-label="Search in this terminal" data-testid="find-bar" onClick=${(event) => event.stopPropagation()}>
    <input class="input" type="search" aria-label="Words in this terminal" placeholder="Search in this terminal" autocomplete="off" spellcheck="false" maxlength="200" ref=${field} value=${words} data-testid="find-words" onInput=${typed} onKeyDown=${key} />
    <span class="num" role="status" data-testid="find-count">${found === null ? "" : found.of === 0 ? "not there" : `${found.at} of ${found.of}`}</span>
    <button type="button" class="drive" disabled=${!found?.of} onClick=${() => look(words, -1)}>Older</button><button type="button" class="drive" disabled=${!found?.of} onClick=${() => look(words, 1)}>Newer</button>
    <button type="button" class="drive" onClick=${close}>Close</button></div>`;
}
