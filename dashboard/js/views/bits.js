// Small parts that every screen uses.

import { copied } from "../clipboard.js";
import { html, useState } from "../html.js";
import { age, countdown, literally } from "../format.js";
import { now } from "../store.js";

/** The age of a moment, ticking. */
export function Age({ at, suffix = "" }) {
  if (at === undefined) return html`<span class="age">–</span>`;
  const text = age(now.value - at);
  return html`<time class="age" datetime=${new Date(at).toISOString()} title=${new Date(at).toLocaleString()}>${text}${text === "now" ? "" : suffix}</time>`;
}

export function Countdown({ until }) {
  return html`<span class="num">${countdown(until - now.value)}</span>`;
}

/** What an agent wrote, as it is: nothing in it hides, or turns the rest around. */
export function Literal({ text }) {
  return html`<bdi dir="ltr">${literally(String(text)).map((part) => (typeof part === "string" ? part : html`<span class="unseen" title="an invisible character">${part.code}</span>`))}</bdi>`;
}

const SHAPES = {
  wait: html`<path d="M6 .8 11.2 6 6 11.2.8 6z" />`,
  turn: html`<path d="M6 1.300 10.700 6 6 10.700 1.300 6z" class="line" />`,
  fail: html`<path d="M2 2l8 8M10 2l-8 8" class="line thick" />`,
  lost: html`<circle cx="6" cy="6" r="4.3" class="line" stroke-dasharray="2.2 2.2" />`,
  begin: html`<path d="M6 1.5a4.5 4.5 0 0 1 0 9z" /><circle cx="6" cy="6" r="4.5" class="line" />`,
  work: html`<circle cx="6" cy="6" r="4.8" />`,
  quiet: html`<circle cx="6" cy="6" r="4.3" class="line" />`,
  pause: html`<path d="M2.5 1.8h2.5v8.4H2.5zM7 1.8h2.5v8.4H7z" />`,
  done: html`<path d="M1.8 6.3l2.8 2.8 5.6-6.2" class="line" />`,
};

/** A status as a shape and a colour; the word stands beside it. */
export function Glyph({ tone }) {
  return html`<svg class=${`glyph tone-${tone}`} viewBox="0 0 12 12" aria-hidden="true">${SHAPES[tone] ?? SHAPES.quiet}</svg>`;
}

export function Status({ status }) {
  return html`<span class=${`status tone-${status.tone}`} data-testid="status"><${Glyph} tone=${status.tone} /><span>${status.label}</span></span>`;
}

export function Panel({ title, name, end, children, ...rest }) {
  const id = `panel-${name}`;
  return html`<section class=${`panel panel-${name}`} aria-labelledby=${id} ...${rest}>
    <div class="panel-head"><h2 id=${id}>${title}</h2><div class="panel-end">${end}</div></div>
    ${children}
  </section>`;
}

/** A figure and its name. */
export function Gauge({ name, value, tone = "" }) {
  return html`<div class=${`gauge ${tone && `tone-${tone}`}`}><dt>${name}</dt><dd class="num">${value}</dd></div>`;
}

const SAID_MS = 2500;

/** [what became of the last copy, or ""; a function that copies a text]. */
export function useCopy() {
  const [said, setSaid] = useState("");
  const copy = async (text) => {
    setSaid((await copied(text)) ? "copied" : "not copied: select it");
    setTimeout(() => setSaid(""), SAID_MS);
  };
  return [said, copy];
}

/** A command to copy and try. */
export function Command({ text }) {
  const [said, copy] = useCopy();
  return html`<span class="command"><code>${text}</code><button type="button" class="quiet-button" onClick=${() => copy(text)}>${said || "copy"}</button></span>`;
}
