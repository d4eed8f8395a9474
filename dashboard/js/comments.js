// Comments on lines of a diff: gathered, kept, and made into one prompt. Pure.
//
// A comment: {path, side: "new" | "old", line, code, text, at}. There is one for a place; `code` is the line as it was commented.

/** The longest prompt that the service takes, in characters. */
export const LONGEST_PROMPT = 65_536;
const QUOTED = 300;

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
  typeof one?.path === "string" && (one.side === "new" || one.side === "old") && Number.isInteger(one.line) && typeof one.code === "string" && typeof one.text === "string";

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

export const whereOf = ({ path, side, line }) => `${path}:${line}${side === "old" ? " (a removed line)" : ""}`;

/** All of them as one prompt. */
export function promptOf(list) {
  const said = written(list);
  const one = ({ code, text, ...place }) => `${whereOf(place)}\n> ${code.length > QUOTED ? `${code.slice(0, QUOTED)}…` : code}\n${text.trim()}`;
  return [`${said.length === 1 ? "A comment" : `${said.length} comments`} on your changes:`, ...said.map(one)].join("\n\n");
}
