// xterm.js without a page, as the oracle for contracts/vt. Reads one JSON object a line: {cols, rows, steps: [text | [cols, rows]]},
// prints the whole state of the terminal after it, one JSON object a line.
import readline from "node:readline";
import { UnicodeGraphemesAddon } from "./graphemes.mjs";
import headless from "@xterm/headless";
import { eraseSafely } from "../../dashboard/js/terminal_erase.js";

const HAS_EXTENDED = 0x10000000;
const UNDERLINE = 0x10000000;

function open(cols, rows, plain) {
  const terminal = new headless.Terminal({ cols, rows, scrollback: 1000, allowProposedApi: true, logLevel: "off" });
  if (!plain) terminal.loadAddon(new UnicodeGraphemesAddon());
  eraseSafely(terminal); // as the page does
  terminal.answers = "";
  terminal.title = "";
  terminal.onData((data) => (terminal.answers += data));
  terminal.onTitleChange((title) => (terminal.title = title));
  return terminal;
}

const write = (terminal, text) => new Promise((done) => terminal.write(text, done));

function link(core, id) {
  const found = id ? core._oscLinkService?._dataByLinkId?.get(id)?.data : undefined;
  return found ? [found.id && !found.id.startsWith("tw.") ? `id=${found.id}` : "", found.uri] : id ? "gone" : null;
}

// xterm.js leaves bits of an older colour behind an index: nothing reads them.
const colour = (value) => ((value & 0x3000000) < 0x3000000 ? value & ~0xffff00 : value) >>> 0;

const pen = (core, attributes) => {
  const kept = attributes.bg & HAS_EXTENDED;
  const extended = attributes.extended;
  const bare = kept && !(extended._ext & 0x1c000000) && !extended._urlId;
  if (bare) return [colour(attributes.fg & ~UNDERLINE), colour(attributes.bg & ~HAS_EXTENDED), 0, null]; // not underlined
  if (!kept && attributes.fg & UNDERLINE) return [colour(attributes.fg), colour(attributes.bg | HAS_EXTENDED), 1 << 26, null]; // a simple line
  const drawn = kept && extended._ext & 0x1c000000 ? UNDERLINE : 0; // a style that counts is drawn without the attribute
  return [colour(attributes.fg | drawn), colour(attributes.bg), kept ? colour(extended._urlId ? extended._ext & ~0x1c000000 : extended._ext) : 0, kept ? link(core, extended._urlId) : null];
};

function lineOf(core, line, cols, cell) {
  const text = [];
  const runs = [];
  let last = "";
  for (let column = 0; column < cols; column++) {
    line.loadCell(column, cell);
    const width = line.getWidth(column);
    text.push([line.getString(column), width]);
    const key = JSON.stringify(pen(core, cell));
    if (key === last) runs[runs.length - 1][0] += 1;
    else runs.push([1, JSON.parse(key)]);
    last = key;
  }
  return { text, pens: runs, wrapped: line.isWrapped };
}

function charset(table) {
  if (!table) return "";
  let all = "";
  for (let code = 0x20; code < 0x7f; code++) all += (table[String.fromCharCode(code)] ?? String.fromCharCode(code))[0];
  return all;
}

function bufferOf(core, buffer, cols, Cell) {
  const lines = [];
  // A resized alternate buffer of xterm.js may hold lines above its screen; nobody can see them.
  for (let y = buffer._hasScrollback ? 0 : buffer.ybase; y < buffer.lines.length; y++) lines.push(lineOf(core, buffer.lines.get(y), cols, new Cell()));
  const saved = buffer.savedCurAttrData;
  return {
    lines, base: buffer._hasScrollback ? buffer.ybase : 0, top: buffer.scrollTop, bottom: buffer.scrollBottom,
    tabs: Object.keys(buffer.tabs).filter((key) => buffer.tabs[key]).map(Number).filter((x) => x < cols).sort((a, b) => a - b),
    saved: [Math.min(buffer.savedX, cols - 1), Math.min(buffer._rows - 1, Math.max(0, buffer.savedY - buffer.ybase)), colour(saved.fg), colour(saved.bg), charset(buffer.savedCharset)],
  };
}

function state(terminal) {
  const core = terminal._core;
  const { buffers, cols, rows } = core._bufferService;
  const { decPrivateModes: dec, modes } = core.coreService;
  const mouse = core.coreMouseService;
  const active = buffers.active === buffers.alt ? "alternate" : "normal";
  const Cell = buffers.normal.getNullCell().constructor;
  const charsets = core._charsetService;
  const join = core._inputHandler._parser.precedingJoinState;
  return {
    cols, rows, active, x: buffers.active.x, y: buffers.active.y,
    normal: bufferOf(core, buffers.normal, cols, Cell),
    alternate: active === "alternate" ? bufferOf(core, buffers.alt, cols, Cell) : null,
    pen: pen(core, core._inputHandler._curAttrData),
    charset: charset(charsets.charset), level: charsets.glevel, charsets: [0, 1, 2, 3].map((g) => charset(charsets._charsets[g])),
    modes: {
      1: dec.applicationCursorKeys, 6: dec.origin, 7: dec.wraparound, 12: core.optionsService.rawOptions.cursorBlink,
      25: !core.coreService.isCursorHidden, 45: dec.reverseWraparound, 66: dec.applicationKeypad, 1004: dec.sendFocus,
      2004: dec.bracketedPasteMode, 2026: dec.synchronizedOutput, insert: modes.insertMode, newline: core.optionsService.rawOptions.convertEol,
      mouse: mouse.activeProtocol, encoding: mouse.activeEncoding, style: dec.cursorStyle ?? null, blink: dec.cursorBlink ?? null,
    },
    title: terminal.title, join: join ? [(join >> 3) & 0xf, (join >> 1) & 3] : null, answers: terminal.answers,
  };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { cols, rows, steps, plain } = JSON.parse(line);
  const terminal = open(cols, rows, plain);
  for (const step of steps) {
    if (typeof step === "string") await write(terminal, step);
    else terminal.resize(...step);
  }
  await write(terminal, "");
  process.stdout.write(JSON.stringify(state(terminal)) + "\n");
  terminal.dispose();
}
