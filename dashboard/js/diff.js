// A session's diff as it is drawn: hunks, numbered lines, the place of a comment, and whether it is older than the tree. Pure.

const HEAD = /^@@+ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@+ ?(.*)$/;

/**
 * A patch → [{key, head, lines: [{key, kind, text, before, after}]}]. kind: same, add, del or note (git's own remark).
 * A line's key is its place: n61 is line 61 as it is now, o12 line 12 as it was.
 */
export function hunksOf(patch) {
  const hunks = [];
  let before = 0;
  let after = 0;
  const lines = String(patch ?? "").split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) {
    const head = HEAD.exec(line);
    if (head) {
      before = Number(head[1]);
      after = Number(head[2]);
      hunks.push({ key: `h${before}-${after}`, head: line.slice(0, line.length - head[3].length).trimEnd(), about: head[3], lines: [] });
    } else if (hunks.length > 0) {
      hunks.at(-1).lines.push(lineOf(line));
    }
  }
  return hunks;

  function lineOf(line) {
    const text = line.slice(1);
    switch (line[0]) {
      case "+":
        return { key: `n${after}`, kind: "add", text, after: after++ };
      case "-":
        return { key: `o${before}`, kind: "del", text, before: before++ };
      case "\\":
        return { key: `x${before}-${after}`, kind: "note", text: line.slice(2) };
      default:
        return { key: `n${after}`, kind: "same", text, before: before++, after: after++ };
    }
  }
}

/** A key of `hunksOf` → {side: "new" | "old", line}. */
export const placeOf = (key) => ({ side: key[0] === "o" ? "old" : "new", line: Number(key.slice(1)) });
export const keyOf = ({ side, line }) => `${side === "old" ? "o" : "n"}${line}`;

/**
 * The lines from one key to another of the same hunk and the same side, in their order: {from, line, code, last}. `last` is the key of
 * the last one. undefined where they are not of one hunk, or of two sides: a comment is about lines that stand together.
 */
export function rangeOf(hunks, one, other) {
  const hunk = hunks.find((each) => each.lines.some((line) => line.key === one));
  if (one[0] !== other[0] || !hunk?.lines.some((line) => line.key === other)) return undefined;
  const [from, to] = [placeOf(one).line, placeOf(other).line].sort((a, b) => a - b);
  const within = hunk.lines.filter((line) => line.key[0] === one[0] && placeOf(line.key).line >= from && placeOf(line.key).line <= to);
  return { from, line: to, code: within.map((line) => line.text).join("\n"), last: within.at(-1).key };
}

/** The newest event that changed a file, as far as this page has heard: what a diff that is read now is at least as new as. */
export function heardOf(details) {
  const wrote = Object.values(details?.files ?? {}).filter((file) => file.how !== "read").map((file) => file.seq);
  return Math.max(0, details?.diff?.seq ?? 0, ...wrote);
}

/**
 * Why a reading {view, heard} is older than the tree, or "" while nothing says so. A summary that counts what was read is of
 * the same state: it comes a moment after the text.
 */
export function staleness({ view, heard }, details, ended) {
  if (view.live && ended) return "The session has ended since.";
  if (!view.live) return "";
  const summary = details?.diff;
  if (summary !== undefined && summary.seq > heard && !sameCounts(summary, view)) return "The files have changed since.";
  const wrote = Object.values(details?.files ?? {}).some((file) => file.how !== "read" && file.seq > Math.max(heard, sameAs(summary, view)));
  return wrote ? "Files were written since." : "";
}

const sameCounts = (summary, view) =>
  summary.linesAdded === view.linesAdded && summary.linesRemoved === view.linesRemoved && summary.filesChanged === view.filesChanged;

const sameAs = (summary, view) => (summary !== undefined && sameCounts(summary, view) ? summary.seq : 0);

/** What the text does not say by itself: what is left out of it, and whose changes are among it. */
export function notesOf(view) {
  const notes = [];
  if (view.files.length < view.filesChanged) notes.push(`${view.files.length} of ${view.filesChanged} files are named here.`);
  const cut = view.files.filter((file) => file.truncated).length;
  if (cut) notes.push(`The text of ${cut === 1 ? "1 file" : `${cut} files`} is cut or missing, and says so.`);
  if (view.sharedTree > 0) {
    const others = view.sharedTree === 1 ? "1 other session works" : `${view.sharedTree} other sessions work`;
    notes.push(`${others} in this tree: whose change a line is cannot be told.`);
  }
  return notes;
}

/** Why a file has no lines to read, or "". */
export function noText(file) {
  if (file.binary) return "A binary file: it has no lines.";
  if (file.patch === null || file.patch === undefined) return file.truncated ? "Its text did not fit into the answer." : "Its text is not known.";
  if (file.patch !== "") return "";
  return file.status === "renamed" ? "No line differs: it has another name." : "No line differs: it is empty, or only its rights differ.";
}
