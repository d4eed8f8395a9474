// One file of a diff: its lines with their numbers and colours, and the comments on them.

import { linesOf, placeKey } from "../comments.js";
import { hunksOf, keyOf, noText, placeOf, rangeOf } from "../diff.js";
import { paintHunk } from "../highlight.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { dropComment, keepComment, readFile } from "../reading.js";
import { serviceNow } from "../store.js";
import { Age, Literal } from "./bits.js";

const LETTER = { added: "A", modified: "M", deleted: "D", renamed: "R" };
/** Lines that are drawn at once. */
const SHOWN_LINES = 600;

export const Letter = ({ status }) => html`<abbr class=${`letter letter-${status}`} title=${status}>${LETTER[status] ?? "?"}</abbr>`;

/** alone: when it was read by itself, if it was. may: whether this person may comment. */
export function DiffFile({ sessionId, file, alone, trouble, comments, may, open: first }) {
  const [open, setOpen] = useState(first || comments.length > 0);
  return html`<details class="diff-file" data-testid="diff-file" data-path=${file.path} open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary><${Letter} status=${file.status} /><span class="file-path">${file.oldPath ? html`<span class="faint"><${Literal} text=${file.oldPath} /> → </span>` : null}<${Literal} text=${file.path} /></span>
      ${comments.length ? html`<span class="tag is-you">${comments.length === 1 ? "1 comment" : `${comments.length} comments`}</span>` : null}
      <span class="num file-count"><span class="plus">+${file.additions}</span> <span class="minus">−${file.deletions}</span></span></summary>
    ${open ? html`<${Text} sessionId=${sessionId} file=${file} alone=${alone} trouble=${trouble} comments=${comments} may=${may} />` : null}
  </details>`;
}

function Text({ sessionId, file, alone, trouble, comments, may }) {
  const none = noText(file);
  const hunks = useMemo(() => (none ? [] : hunksOf(file.patch)), [file.patch]);
  return html`${none ? html`<p class="diff-none">${none}</p>` : html`<${Lines} sessionId=${sessionId} path=${file.path} hunks=${hunks} comments=${comments} may=${may} />`}
    ${file.truncated ? html`<${Cut} sessionId=${sessionId} file=${file} alone=${alone} lines=${hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0)} />` : null}
    ${trouble ? html`<p class="failure diff-none" role="alert">${trouble}</p>` : null}
    ${alone ? html`<p class="diff-none faint">This file was read by itself <${Age} at=${alone} suffix=" ago" />.</p>` : null}`;
}

function Cut({ sessionId, file, alone, lines }) {
  const [busy, setBusy] = useState(false);
  const read = () => {
    setBusy(true);
    readFile(sessionId, file.path).finally(() => setBusy(false));
  };
  const shown = lines ? `Cut: ${lines} lines are here, +${file.additions} −${file.deletions} in all.` : `+${file.additions} −${file.deletions} in all.`;
  if (alone) return html`<p class="diff-none" data-testid="cut">${shown} There is no room for more: the rest is in its repository.</p>`;
  return html`<p class="diff-none" data-testid="cut">${shown} <button type="button" class="link-button" data-testid="read-file" disabled=${busy} onClick=${read}>${busy ? "Reading …" : "Read this file"}</button></p>`;
}

const LINE_KEYS = { ArrowDown: 1, ArrowUp: -1 };

function Lines({ sessionId, path, hunks, comments, may }) {
  const [most, setMost] = useState(SHOWN_LINES);
  const [editing, setEditing] = useState("");
  const [range, setRange] = useState(null); // of the comment that is written, where it is about several lines
  const anchor = useRef(""); // the line from which Shift goes to another
  const table = useRef(null);
  const painted = useMemo(() => hunks.map((hunk) => paintHunk(hunk.lines, path)), [hunks, path]);
  const byPlace = Object.fromEntries(comments.map((one) => [keyOf(one), one]));
  const total = hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0);
  const at = (key) => table.current?.querySelector(`[data-at="${key}"]`);
  const close = (key) => {
    at(key)?.focus();
    setEditing("");
    setRange(null);
  };
  /** A press comments on a line; with Shift, on all from the one that was pressed, or went away from, before. */
  const comment = (key, shift) => {
    const chosen = shift || (range !== null && editing === ""); // by Shift and the pointer, or by Shift and the arrows
    const found = chosen && anchor.current ? rangeOf(hunks, anchor.current, key) : undefined;
    anchor.current = found ? anchor.current : key;
    setRange(found ?? null);
    setEditing(found?.last ?? key);
  };
  const moved = (event) => {
    const from = event.target.closest(".no-button")?.dataset.at;
    if (!move(event)) return;
    const to = document.activeElement.dataset.at;
    if (!event.shiftKey) anchor.current = "";
    else anchor.current ||= from;
    setRange(event.shiftKey ? (rangeOf(hunks, anchor.current, to) ?? null) : null);
  };
  // The same elements as before are not drawn again: a key typed into a comment changes one row.
  const drawn = useMemo(() => hunks.map((hunk, i) => hunk.lines.map((line, n) => html`<${Line} key=${line.key} line=${line} parts=${painted[i][n]} first=${i + n === 0} may=${may} comment=${comment} />`)), [hunks, painted, may]);
  const inside = range ? new Set(hunks.flatMap((hunk) => hunk.lines).filter((line) => inRange(line.key, range)).map((line) => line.key)) : null;
  const rows = [];
  let left = most;
  for (let i = 0; i < hunks.length && left > 0; i++) {
    const lines = hunks[i].lines.slice(0, left);
    left -= lines.length;
    rows.push(html`<tr key=${hunks[i].key} class="line-head"><td class="no"></td><td class="no"></td><td></td><td><${Literal} text=${`${hunks[i].head} ${hunks[i].about}`} /></td></tr>`);
    lines.forEach((line, n) => {
      rows.push(inside?.has(line.key) ? html`<${Line} key=${line.key} line=${line} parts=${painted[i][n]} first=${i + n === 0} may=${may} comment=${comment} chosen />` : drawn[i][n]);
      const one = byPlace[line.key];
      if (editing === line.key) rows.push(html`<${Editor} key=${`e${line.key}`} sessionId=${sessionId} path=${path} line=${line} range=${range} one=${one} close=${close} />`);
      else if (one && line.kind !== "note") rows.push(html`<${Note} key=${`c${line.key}`} sessionId=${sessionId} line=${line} one=${one} edit=${() => (setRange(null), setEditing(line.key))} />`);
    });
  }
  return html`<div class="diff-scroll"><table class="diff" ref=${table} onKeyDown=${may ? moved : undefined} onfocusin=${may ? stay : undefined}><caption class="sr-only">${path}${may ? ": Enter on a line number comments on the line, arrows go from line to line, with Shift they choose several" : ""}</caption><tbody>${rows}</tbody></table></div>
    ${most < total ? html`<p class="diff-none">${most} of ${total} lines. <button type="button" class="link-button" onClick=${() => setMost(most + 4 * SHOWN_LINES)}>Show more</button></p>` : null}`;
}

/** A table is one stop for Tab; arrows go from line to line. */
function move(event) {
  const button = event.target.closest(".no-button");
  if (!button || event.ctrlKey || event.altKey || event.metaKey) return false;
  const all = [...event.currentTarget.querySelectorAll(".no-button")];
  const here = all.indexOf(button);
  const next = { Home: all[0], End: all.at(-1) }[event.key] ?? all[here + (LINE_KEYS[event.key] ?? NaN)];
  if (!next) return false;
  event.preventDefault();
  next.focus();
  return true;
}

const inRange = (key, { from, line, last }) => key[0] === last[0] && placeOf(key).line >= from && placeOf(key).line <= line;

function stay(event) {
  const button = event.target.closest(".no-button");
  if (!button) return;
  for (const other of event.currentTarget.querySelectorAll('.no-button[tabindex="0"]')) other.tabIndex = -1;
  button.tabIndex = 0;
}

const SIGN = { add: "+", del: "−", same: "", note: "" };
const WORD = { add: "added", del: "removed" };

function Line({ line, parts, first, may, comment, chosen = false }) {
  const number = (value, own) => (value !== undefined && own && may ? html`<button type="button" class="no-button" tabindex=${first ? 0 : -1} data-at=${line.key} aria-label=${`Comment on ${line.kind === "del" ? "removed line" : "line"} ${value}`} onClick=${(event) => comment(line.key, event.shiftKey)}>${value}</button>` : value);
  return html`<tr class=${`line-${line.kind}${chosen ? " is-chosen" : ""}`} data-line=${line.key}>
    <td class="no">${number(line.before, line.kind === "del")}</td><td class="no">${number(line.after, true)}</td>
    <td class="sign">${SIGN[line.kind]}${WORD[line.kind] ? html`<span class="sr-only">${WORD[line.kind]}</span>` : null}</td>
    <td class="code" dir="ltr">${parts.map(([kind, text]) => (kind ? html`<span class=${`code-${kind}`}><${Literal} text=${text} /></span>` : html`<${Literal} text=${text} />`))}</td></tr>`;
}

/** What is typed is kept with every key: leaving, reloading or a crash loses nothing. */
function Editor({ sessionId, path, line, range, one, close }) {
  const box = useRef(null);
  useLayoutEffect(() => box.current?.focus(), []);
  const about = range ?? (one?.from === undefined ? null : one);
  const place = { path, ...placeOf(line.key), ...(about && about.from < about.line ? { from: about.from } : {}) };
  const write = (event) => keepComment(sessionId, { ...place, code: about?.code ?? line.text, at: serviceNow(), text: event.currentTarget.value });
  const done = () => {
    if (one && one.text.trim() === "") dropComment(sessionId, one);
    close(line.key);
  };
  const remove = () => {
    if (one) dropComment(sessionId, one);
    close(line.key);
  };
  const key = (event) => {
    if (event.key !== "Escape" && !(event.key === "Enter" && (event.ctrlKey || event.metaKey))) return;
    event.preventDefault();
    event.stopPropagation();
    done();
  };
  return html`<tr class="line-comment"><td colspan="4"><div class="comment" data-testid="comment-editor">
    <label class="field"><span>Comment on ${linesOf(place)}</span><textarea ref=${box} class="input" rows="2" maxlength="8000" value=${one?.text ?? ""} onInput=${write} onKeyDown=${key}></textarea></label>
    <div class="comment-buttons"><button type="button" class="button slim" data-testid="comment-done" onClick=${done}>Done</button><button type="button" class="link-button" onClick=${remove}>Remove</button><span class="faint small">kept here until it is sent</span></div></div></td></tr>`;
}

function Note({ sessionId, line, one, edit }) {
  return html`<tr class="line-comment"><td colspan="4"><div class="comment" data-testid="comment" data-place=${placeKey(one)}>
    ${one.code === line.text || one.code.endsWith(`\n${line.text}`) ? null : html`<p class="faint small">The line was: <code><${Literal} text=${one.code} /></code></p>`}
    <p class="comment-text"><b>You</b> on ${linesOf(one)}: ${one.text}</p>
    <div class="comment-buttons"><button type="button" class="link-button" onClick=${edit}>Edit</button><button type="button" class="link-button" onClick=${() => dropComment(sessionId, one)}>Remove</button><span class="faint small">not sent</span></div></div></td></tr>`;
}
