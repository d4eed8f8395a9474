// Colours of code, one line at a time: comments, strings, numbers, keywords. Small and linear, no parser: what it does not
// know stays plain. Pure.

const words = (text) => new Set(text.split(" "));
const CURLY = "abstract as async await bool boolean break byte case catch char class const continue debugger default defer delete do double else enum export extends false final finally float fn for from func function get go goto if impl implements import in instanceof int interface internal is let long loop match mod module mut namespace native new nil null object of operator override package private protected pub public range readonly ref return self set short signed sizeof static struct super switch this throw throws trait true try type typedef typeof undefined union unsafe unsigned use using val var virtual void volatile when where while with yield";
const PYTHON = "False None True and as assert async await break case class continue def del elif else except finally for from global if import in is lambda match nonlocal not or pass raise return try while with yield self";
const SCRIPT = "BEGIN END alias and begin break case class continue declare def defmodule do done elif else elsif end ensure esac exit export false fi for function if in include let local module next nil not null or private readonly require rescue return self set shift then true undef unless until unset when while yield";
const SQL = "add all alter and as asc begin between by case check column commit constraint create cross default delete desc distinct drop else end exists foreign from full grant group having if in index inner insert into is join key left like limit not null offset on or order outer primary references returning right rollback select set table then transaction trigger union unique update using values view when where with";

const DOUBLE = String.raw`"(?:[^"\\]|\\.)*(?:"|$)`;
const SINGLE = String.raw`'(?:[^'\\]|\\.)*(?:'|$)`;
const CLOSED = String.raw`"(?:[^"\\]|\\.)*"|'[^']*'`;
const CHAR = String.raw`'(?:[^'\\]|\\[^']+)'`;
const NUMBER = String.raw`\b\d[\w.]*`;
const WORD = String.raw`[A-Za-z_$][\w$]*`;
const block = (begin, end, kind) => ({ begin, end, kind });
const C_BLOCK = block("/*", "*/", "c");

const family = (keywords, line, strings, blocks = [], word = WORD, fold = false) => ({ keywords, blocks, fold, pattern: patternOf(line, strings, blocks, word) });

function patternOf(line, strings, blocks, word) {
  const begins = blocks.map((one) => one.begin.replace(/[*/"'`<!-]/g, String.raw`\$&`));
  const parts = [begins.join("|"), line && `(?<c>${line}.*)`, strings && `(?<s>${strings})`, `(?<n>${NUMBER})`, `(?<w>${word})`];
  return new RegExp(parts.filter(Boolean).join("|"), "g");
}

const TICKS = block("`", "`", "s");
const FAMILIES = {
  python: family(words(PYTHON), "#", `${DOUBLE}|${SINGLE}`, [block('"""', '"""', "s"), block("'''", "'''", "s")]),
  script: family(words(CURLY), "//", `${DOUBLE}|${SINGLE}`, [C_BLOCK, TICKS]),
  curly: family(words(CURLY), "//", `${DOUBLE}|${CHAR}`, [C_BLOCK]),
  go: family(words(CURLY), "//", `${DOUBLE}|${CHAR}`, [C_BLOCK, TICKS]),
  css: family(words("important and not only from to"), "", `${DOUBLE}|${SINGLE}`, [C_BLOCK], String.raw`@?[A-Za-z_-][\w-]*`),
  hash: family(words(SCRIPT), String.raw`(?<![^\s;])#`, `${DOUBLE}|${SINGLE}`),
  data: family(words("true false null yes no on off"), String.raw`(?<!\S)[#;]`, CLOSED),
  json: family(words("true false null"), "", DOUBLE),
  sql: family(words(SQL), "--", SINGLE, [C_BLOCK], WORD, true),
  markup: family(words(""), "", CLOSED, [block("<!--", "-->", "c")], String.raw`<\/?[A-Za-z][\w:-]*`),
};

const BY_ENDING = {
  python: "py pyi", script: "js mjs cjs jsx ts tsx mts cts php", curly: "c h cc cpp hpp java kt kts rs swift cs scala dart proto m groovy gradle zig", go: "go",
  css: "css scss less", hash: "sh bash zsh fish rb pl ex exs r mk cmake nix tf", data: "toml yaml yml ini cfg conf env properties editorconfig lock", json: "json jsonl ndjson",
  sql: "sql", markup: "html htm xml svg vue xhtml plist",
};
const BY_NAME = { Makefile: "hash", Dockerfile: "hash", Containerfile: "hash", Rakefile: "hash", Gemfile: "hash", ".gitignore": "data", ".env": "data" };
const FAMILY_OF = new Map(Object.entries(BY_ENDING).flatMap(([name, endings]) => endings.split(" ").map((ending) => [ending, name])));

/** The name of the family a path's code belongs to, or undefined: then its lines stay plain. */
export function familyOf(path) {
  const name = String(path).split("/").at(-1);
  return BY_NAME[name] ?? FAMILY_OF.get(name.split(".").at(-1).toLowerCase());
}

/** A line → {parts: [[kind, text]], open}: kinds c, s, n, k or "". `open`: the block that is not closed yet, for the next line. */
export function paint(line, name, open) {
  const family = FAMILIES[name];
  if (family === undefined) return { parts: [["", line]], open: undefined };
  const parts = [];
  let at = 0;
  const put = (kind, to) => {
    if (to > at) parts.push([kind, line.slice(at, to)]);
    at = to;
  };
  if (open !== undefined) {
    const end = line.indexOf(open.end);
    if (end < 0) return { parts: [[open.kind, line]], open };
    put(open.kind, end + open.end.length);
  }
  family.pattern.lastIndex = at;
  for (let found = family.pattern.exec(line); found !== null; found = family.pattern.exec(line)) {
    if (found[0] === "") break;
    const begun = family.blocks.find((one) => one.begin === found[0]);
    const kind = begun === undefined ? kindOf(found, family) : begun.kind;
    if (kind === "") continue;
    put("", found.index);
    if (begun === undefined) {
      put(kind, found.index + found[0].length);
      continue;
    }
    const end = line.indexOf(begun.end, at + begun.begin.length);
    if (end < 0) {
      put(begun.kind, line.length);
      return { parts, open: begun };
    }
    put(begun.kind, end + begun.end.length);
    family.pattern.lastIndex = at;
  }
  put("", line.length);
  return { parts, open: undefined };
}

function kindOf({ 0: text, groups }, { keywords, fold }) {
  if (groups.c !== undefined) return "c";
  if (groups.s !== undefined) return "s";
  if (groups.n !== undefined) return "n";
  if (text[0] === "<" || text[0] === "@") return "k";
  return keywords.has(fold ? text.toLowerCase() : text) ? "k" : "";
}

/** The lines of a hunk → their parts. Both sides are read as the texts that they are: a comment that is opened in a removed line opens nothing in the new text. */
export function paintHunk(lines, path) {
  const name = familyOf(path);
  const open = { old: undefined, new: undefined };
  return lines.map((line) => {
    if (line.kind === "note" || name === undefined) return [["", line.text]];
    const side = line.kind === "del" ? "old" : "new";
    const { parts, open: left } = paint(line.text, name, open[side]);
    if (line.kind === "same") open.old = paint(line.text, name, open.old).open;
    open[side] = left;
    return parts;
  });
}
