// Numbers as people read them. Pure; times are epoch milliseconds, sizes are bytes.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** 900 → "0.9 s", 72_000 → "1 min 12 s", 4_000_000 → "1 h 6 min". */
export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 10 * SECOND) return `${(Math.max(0, ms) / SECOND).toFixed(1)} s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return two(ms, MINUTE, "min", SECOND, "s");
  if (ms < DAY) return two(ms, HOUR, "h", MINUTE, "min");
  return two(ms, DAY, "d", HOUR, "h");
}

function two(ms, big, bigName, small, smallName) {
  const rest = Math.floor((ms % big) / small);
  return `${Math.floor(ms / big)} ${bigName}${rest ? ` ${rest} ${smallName}` : ""}`;
}

/** How long ago, coarse and short: "now", "42 s", "7 min", "3 h", "2 d". */
export function age(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 2 * SECOND) return "now";
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)} h`;
  return `${Math.floor(ms / DAY)} d`;
}

/** The same as the end of a sentence: "just now", "42 s ago". */
export function since(ms) {
  const text = age(ms);
  return { now: "just now", "–": "–" }[text] ?? `${text} ago`;
}

/** "4:05" until a deadline; "0:00" once it has passed. */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / SECOND));
  const text = `${Math.floor(seconds / 60) % 60}:${String(seconds % 60).padStart(2, "0")}`;
  return seconds < 3600 ? text : `${Math.floor(seconds / 3600)}:${text.padStart(5, "0")}`;
}

/** 348_160 → "340 KB". */
export function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  if (n < 1024) return `${Math.round(n)} B`;
  if (n < 1024 * 1024) return `${scaled(n / 1024)} KB`;
  return `${scaled(n / 1024 / 1024)} MB`;
}

/** 12_345 → "12.3 k". */
export function count(n) {
  if (!Number.isFinite(n)) return "–";
  if (n < 1000) return String(Math.round(n));
  if (n < 1_000_000) return `${scaled(n / 1000)} k`;
  return `${scaled(n / 1_000_000)} M`;
}

function scaled(n) {
  return n < 100 ? n.toFixed(1).replace(/\.0$/, "") : String(Math.round(n));
}

export function money(usd) {
  return `$${usd < 0.01 && usd > 0 ? usd.toFixed(4) : usd.toFixed(2)}`;
}

/** Local wall clock, "14:03:07". */
export function clock(at) {
  const date = new Date(at);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => String(n).padStart(2, "0")).join(":");
}

export function plural(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}

/** ISO text or epoch milliseconds to epoch milliseconds; undefined stays undefined. */
export function millis(value) {
  if (value === undefined || value === null) return undefined;
  const at = typeof value === "number" ? value : Date.parse(value);
  return Number.isFinite(at) ? at : undefined;
}

/** A command as people type it: "/venv/bin/python -m pytest" → "python -m pytest". */
export function shortCommand(command) {
  return String(command ?? "").replace(/^\S*\/(?=[^/\s]+(\s|$))/, "");
}

/** The last folder of a path: what people call a repository. */
export function baseName(path) {
  return String(path ?? "").replace(/\/+$/, "").split(/[/:]/).pop() || String(path ?? "");
}

/** What nobody sees and what changes how the rest is read: controls, bidirectional overrides, zero widths, tags. Not \n and \t. */
// eslint-disable-next-line no-control-regex -- the point is to find them
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;

/** A text cut into what is read as it stands, and {code: "U+202E"} for each character that would deceive who decides on it. */
export function literally(text) {
  const parts = [];
  let from = 0;
  for (const found of String(text).matchAll(UNSEEN)) {
    if (found.index > from) parts.push(text.slice(from, found.index));
    parts.push({ code: `U+${found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` });
    from = found.index + found[0].length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/** The same in one line of text. */
export const spelled = (text) => literally(String(text)).map((part) => (typeof part === "string" ? part : `⟨${part.code}⟩`)).join("");
