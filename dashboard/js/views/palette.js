// Find or do: one field over agents, houses, approvals and acts. And the list of keys.

import { COMMANDS, OTHER_KEYS, found } from "../commands.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { set, settings } from "../settings.js";
import * as store from "../store.js";
import { Glyph } from "./bits.js";

const SHOWN = 60;

export function Dialogs() {
  const open = store.dialog.value;
  if (open === "palette") return html`<${Modal} key=${open} name=${open} label="Find or do"><${Palette} /><//>`;
  if (open === "help") return html`<${Modal} key=${open} name=${open} label="Keys"><${Help} /><//>`;
  return null;
}

const close = () => (store.dialog.value = "");

/** name: what is open; the event that it closed may come when another one is open already. */
function Modal({ name, label, children }) {
  const dialog = useRef(null);
  useLayoutEffect(() => {
    dialog.current.showModal();
  }, []);
  const outside = (event) => event.target === dialog.current && close();
  const closed = () => store.dialog.peek() === name && close();
  return html`<dialog class="dialog" aria-label=${label} ref=${dialog} onClose=${closed} onClick=${outside}>${children}</dialog>`;
}

function Palette() {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const all = found(query);
  const rows = all.slice(0, SHOWN);
  const chosen = rows[Math.min(at, rows.length - 1)];
  const run = (one) => {
    if (!one) return;
    close();
    if (one.href) location.hash = one.href;
    else one.act();
  };
  const key = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setAt(Math.max(0, Math.min(rows.length - 1, at + step)));
    else if (event.key === "Enter") run(chosen);
    else return;
    event.preventDefault();
  };
  const list = useRef(null);
  useEffect(() => list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }), [at, query]);
  return html`<input class="palette-input" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant=${chosen ? `found-${rows.indexOf(chosen)}` : undefined} aria-label="Find an agent, a house, an approval, or something to do" placeholder="Find an agent, a house, an approval, or something to do" autofocus value=${query} data-testid="palette" onInput=${(event) => (setQuery(event.currentTarget.value), setAt(0))} onKeyDown=${key} />
    <div class="palette-list" id="palette-list" role="listbox" aria-label="Found" ref=${list}>${rows.map((one, i) => html`<div role="option" id=${`found-${i}`} key=${one.key} aria-selected=${one === chosen} onClick=${() => run(one)}>${one.tone ? html`<${Glyph} tone=${one.tone} />` : html`<span class="glyph" />`}<span class="clip"><bdi>${one.text}</bdi></span><span class="faint small push clip">${one.more}</span></div>`)}</div>
    <p class="palette-foot faint small" role="status">${rows.length === all.length ? `${all.length} found` : `${rows.length} of ${all.length} found`}</p>`;
}

function Help() {
  const { letters } = settings.value;
  return html`<div class="help"><h1>Keys</h1>
    <div class="help-columns">${[...COMMANDS.map((one) => [one.keys, one.text]), ...OTHER_KEYS].map(([keys, text]) => html`<p><span>${text}</span><kbd>${keys}</kbd></p>`)}</div>
    <label class="check"><input type="checkbox" checked=${letters} onChange=${(event) => set({ letters: event.currentTarget.checked })} />single letters move (outside fields and terminals; none of them decides anything)</label>
    <button type="button" class="button" autofocus onClick=${close}>Close</button></div>`;
}
