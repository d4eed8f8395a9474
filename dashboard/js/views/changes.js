// What a session changed: the text of its diff, file by file, and which files were touched.

import { notesOf, staleness } from "../diff.js";
import { html, useEffect, useMemo } from "../html.js";
import { sharedWith } from "../lines.js";
import { commentsOf, openComments, readDiff, readings } from "../reading.js";
import { isFinal } from "../status.js";
import * as store from "../store.js";
import { Age, Panel } from "./bits.js";
import { Gathered } from "./comments.js";
import { Landing } from "./landing.js";
import { DiffFile, Letter } from "./diff_file.js";
import { Delta } from "./runs.js";

const TOUCHED = 60;
/** Files are unfolded until this many lines are to be seen. */
const UNFOLDED_LINES = 400;

/** details: what the stream has told of the session: {diff: the last DIFF_SUMMARY, files: {path: {path, how, at}}, story}. */
export function Changes({ agent, details }) {
  const { sessionId } = agent;
  const reading = readings.value[sessionId];
  useEffect(() => {
    openComments(sessionId);
    readDiff(sessionId);
  }, [sessionId]);
  const view = reading?.view;
  const busy = reading?.busy ?? true;
  const may = store.canDrive.value;
  const again = html`<button type="button" class="button slim" data-testid="read-again" disabled=${busy} onClick=${() => readDiff(sessionId)}>${busy ? "Reading …" : "Read again"}</button>`;
  return html`<${Panel} name="changes" title="Changes since it began" end=${html`${view ? html`<${Delta} diff=${view} />` : null}${again}`}>
    <${AsOf} reading=${reading} details=${details} ended=${isFinal(agent.state)} />
    ${may ? html`<${Landing} agent=${agent} story=${details?.story} />` : null}
    ${view ? html`<${Files} sessionId=${sessionId} reading=${reading} may=${may} />` : reading?.error ? html`<${Counted} diff=${details?.diff} />` : null}
    <${Touched} files=${details?.files ?? {}} />
    ${may ? html`<${Gathered} agent=${agent} story=${details?.story} reading=${reading} />` : null}
  <//>`;
}

/** Of what state the text is, and why it may not be the newest; or why there is none. */
function AsOf({ reading, details, ended }) {
  if (reading === undefined || (reading.view === undefined && !reading.error)) return html`<p class="nothing" role="status">Asking for the text of the changes …</p>`;
  const { view, error } = reading;
  const trouble = error ? html`<p class="diff-trouble" role="status" data-testid="diff-unknown"><b>${view ? "Could not be read again" : "Not known"}:</b> ${error}</p>` : null;
  if (view === undefined) return trouble;
  const old = staleness(reading, details, ended);
  return html`<div class="diff-of">
    ${trouble}
    ${old ? html`<p class="diff-stale" role="status" data-testid="diff-stale">${old} This is the text of <${Age} at=${view.at} suffix=" ago" />.</p>` : null}
    <p class="faint" data-testid="diff-as-of">${view.live ? "Read" : "Kept when it ended,"} <${Age} at=${view.at} suffix=" ago" />${view.base ? html`, against <code title=${view.base}>${view.base.slice(0, 8)}</code>` : null}${view.live ? ", the commit at its start" : ""}.</p>
    ${notesOf(view).map((note) => html`<p class="diff-note" data-testid="diff-note">${note}</p>`)}
  </div>`;
}

function Files({ sessionId, reading, may }) {
  const { view, whole, wholeError } = reading;
  const comments = commentsOf(sessionId);
  const unfolded = useMemo(() => unfoldedOf(view), [view]);
  if (view.files.length === 0) return html`<p class="nothing" data-testid="diff">${view.filesChanged ? "No file is named." : "No file differs."}</p>`;
  return html`<div class="diff-files" data-testid="diff">${view.files.map((file) => html`<${DiffFile} key=${file.path} sessionId=${sessionId} file=${whole[file.path]?.file ?? file} alone=${whole[file.path]?.at} trouble=${wholeError[file.path]} comments=${comments.filter((one) => one.path === file.path)} may=${may} open=${unfolded.has(file.path)} />`)}</div>`;
}

function unfoldedOf(view) {
  const open = new Set();
  let room = UNFOLDED_LINES;
  for (const file of view.files) {
    room -= file.additions + file.deletions + 6;
    if (room < 0 && open.size > 0) break;
    open.add(file.path);
  }
  return open;
}

/** There is no text: what was counted last is still known. */
function Counted({ diff }) {
  if (!diff) return null;
  const cut = diff.truncated && diff.filesTotal > diff.files.length ? `${diff.files.length} of ${diff.filesTotal} files` : "";
  const note = [cut, sharedWith(diff).replace(/^, /, "")].filter(Boolean).join(" · ");
  return html`<h3 class="sub">As counted <${Age} at=${diff.at} suffix=" ago" /></h3>
    <ul class="files" data-testid="counted">${diff.files.map((file) => html`<li key=${file.path} class="file"><${Letter} status=${file.status} /><span class="file-path">${file.path}</span><span class="num file-count"><span class="plus">+${file.additions}</span> <span class="minus">−${file.deletions}</span></span></li>`)}</ul>
    ${note ? html`<p class="diff-note">${note}</p>` : null}`;
}

function Touched({ files }) {
  const all = Object.values(files).sort((a, b) => b.seq - a.seq);
  if (all.length === 0) return null;
  const recent = all.slice(0, TOUCHED);
  return html`<details class="fold touched" data-testid="touched"><summary>Touched: ${recent.length < all.length ? `the latest ${recent.length} of ${all.length} files` : all.length === 1 ? "1 file" : `${all.length} files`}</summary>
    <ul class="files">${recent.map((file) => html`<li key=${file.path} class="file"><span class="file-path">${file.path}</span><span class="faint">${file.how}</span><span class="faint num"><${Age} at=${file.at} /></span></li>`)}</ul></details>`;
}
