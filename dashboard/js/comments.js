// Comments on lines of a diff: gathered, kept, and made into one prompt. Pure.
//
// A comment: {path, side: "new" | "old", line, from?, code, text, at}. There is one for a place, which is its last line; `from` is the
// first line of a range, and `code` the line, or the lines, as they were commented.

/** The longest prompt that the service takes, in characters. */
export const LONGEST_PROMPT = 65_536;
/** Characters of one line, or of all the lines of a range. */
const QUOTED = 300;
const QUOTED_RANGE = 2_000;

export const placeKey = ({ path, side, line }) => `${side} ${line} ${path}`;

/** Where a person's comments on a session are kept in this browser. */
export const keptUnder = (userId, sessionId) => `townwatch.comments ${userId} ${sessionId}`;

/** What was kept → comments; whatever is not one is left out. */
export function parsed(text) {
  let list;
  try {
    list = JSON.parse(text ?? "[]");
  } catch {
    return [];
  }
  return Array.isArray(list) ? list.filter(isComment) : [];
}

const isComment = (one) =>
  typeof one?.path === "string" && (one.side === "new" || one.side === "old") && Number.isInteger(one.line) && typeof one.code === "string" && typeof one.text === "string" && (one.from === undefined || (Number.isInteger(one.from) && one.from <= one.line));

/** The list with this comment in it, in the order of the files and their lines. */
export function put(list, comment) {
  const others = list.filter((one) => placeKey(one) !== placeKey(comment));
  return [...others, comment].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.line - b.line || (a.side < b.side ? 1 : -1)));
}

export const without = (list, comment) => list.filter((one) => placeKey(one) !== placeKey(comment));

/** What is left when `sent` has been taken: what was written about the same place meanwhile stays. */
export function remaining(list, sent) {
  const taken = new Map(sent.map((one) => [placeKey(one), one.text]));
  return list.filter((one) => taken.get(placeKey(one)) !== one.text);
}

/** Those that say something. */
export const written = (list) => list.filter((one) => one.text.trim() !== "");

const isRange = ({ from, line }) => from !== undefined && from < line;

export const whereOf = (one) => `${one.path}:${isRange(one) ? `${one.from}-${one.line}` : one.line}${one.side === "old" ? (isRange(one) ? " (removed lines)" : " (a removed line)") : ""}`;

/** "line 4", "lines 4 to 6", "removed line 4". */
export const linesOf = (one) => `${one.side === "old" ? "removed " : ""}${isRange(one) ? `lines ${one.from} to ${one.line}` : `line ${one.line}`}`;

const roomOf = (code) => (code.includes("\n") ? QUOTED_RANGE : QUOTED);

/** The code as it is quoted: each line of it behind its mark. */
const quoted = (code) => (code.length > roomOf(code) ? `${code.slice(0, roomOf(code))}…` : code).split("\n").map((line) => `> ${line}`).join("\n");

/** All of them as one prompt. */
export function promptOf(list) {
  const said = written(list);
  const one = ({ code, text, ...place }) => `${whereOf(place)}\n${quoted(code)}\n${text.trim()}`;
  return [`${said.length === 1 ? "A comment" : `${said.length} comments`} on your changes:`, ...said.map(one)].join("\n\n");
}
