// What differs in the repository, and which files were touched.

import { html } from "../html.js";
import { sharedWith } from "../lines.js";
import { Age, Panel } from "./bits.js";
import { Delta } from "./runs.js";

const LETTER = { added: "A", modified: "M", deleted: "D", renamed: "R" };

/** diff: the last DIFF_SUMMARY; files: {path: {path, how, at}}. */
export function Changes({ diff, files }) {
  const recent = Object.values(files).sort((a, b) => b.seq - a.seq).slice(0, 60);
  const most = Math.max(1, ...(diff?.files ?? []).map((file) => file.additions + file.deletions));
  const note = noteOf(diff);
  return html`<${Panel} name="changes" title="Differs from the start" end=${diff ? html`<${Delta} diff=${diff} />` : null}>
    ${diff?.files?.length ? html`<ul class="files" data-testid="diff">${diff.files.map((file) => html`<${FileRow} key=${file.path} file=${file} most=${most} />`)}</ul>` : html`<p class="nothing">${diff ? "No file differs." : "No change yet."}</p>`}
    ${note ? html`<p class="faint">${note}</p>` : null}
    ${recent.length ? html`<h3 class="sub">Touched</h3><ul class="files">${recent.map((file) => html`<li key=${file.path} class="file"><span class="file-path">${file.path}</span><span class="faint">${file.how}</span><span class="faint num"><${Age} at=${file.at} /></span></li>`)}</ul>` : null}
  <//>`;
}

/** What the list does not say by itself: that it is cut, and whose changes may be among it. */
function noteOf(diff) {
  const cut = diff?.truncated && diff.filesTotal > diff.files.length ? `${diff.files.length} of ${diff.filesTotal} files` : "";
  return [cut, sharedWith(diff).replace(/^, /, "")].filter(Boolean).join(" · ");
}

function FileRow({ file, most }) {
  const width = (n) => (60 * n) / most;
  return html`<li class="file">
    <abbr class=${`letter letter-${file.status}`} title=${file.status}>${LETTER[file.status] ?? "?"}</abbr>
    <span class="file-path">${file.path}</span>
    <svg class="file-bar" viewBox="0 0 60 6" aria-hidden="true"><rect class="bar-good" width=${width(file.additions)} height="6" /><rect class="bar-bad" x=${width(file.additions)} width=${width(file.deletions)} height="6" /></svg>
    <span class="num file-count"><span class="plus">+${file.additions}</span> <span class="minus">−${file.deletions}</span></span>
  </li>`;
}
