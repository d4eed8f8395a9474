// xterm.js on an agent's terminal: repeats dropped, floods bounded and said, and no style element or attribute, so that the
// page's Content-Security-Policy needs no 'unsafe-inline'.

import { FitAddon } from "../vendor/addon-fit/addon-fit.js";
import { UnicodeGraphemesAddon } from "../vendor/addon-unicode-graphemes/addon-unicode-graphemes.js";
import { Terminal } from "../vendor/xterm/xterm.js";
import { copied } from "./clipboard.js";
import { eraseSafely } from "./terminal_erase.js";
import { Keyboard } from "./terminal_keys.js";
import { addressesIn, cellAt, lineAt, placesOf, textOf } from "./terminal_text.js";

/** Text waiting to be drawn beyond this is skipped, and the skip is shown. */
const MAX_WAITING_CHARS = 2_000_000;
/** A watcher's letters get smaller than this (px) for nobody's terminal: the glass scrolls instead. */
const SMALLEST = 9;

const GLASS = {
  background: "#0b0e11", foreground: "#d8d9d4", cursor: "#ffb224", cursorAccent: "#0b0e11", selectionBackground: "#35506b",
  black: "#1b2126", red: "#ff7a6b", green: "#6fd19b", yellow: "#f0c35a", blue: "#78b6ff", magenta: "#c9a0ff", cyan: "#62cfd4", white: "#c9ccc8",
  brightBlack: "#77828b", brightRed: "#ff9d92", brightGreen: "#94e5b6", brightYellow: "#ffd98a", brightBlue: "#a5cfff", brightMagenta: "#dcc2ff",
  brightCyan: "#92e4e7", brightWhite: "#ffffff",
};

export class Screen {
  /** hooks: {input(data), resized(cols, rows), skipped(chars), take(), leave(), find(), many(text), uncopied(), points(url), modes(whole)}; an `undefined` one is not told. */
  constructor(element, hooks, fontSize) {
    this.hooks = hooks;
    this.fontSize = fontSize;
    this.held = undefined;
    this.lastSeq = 0;
    this.sessionId = undefined;
    this.waiting = 0;
    this.skipped = 0;
    this.fit = new FitAddon();
    styleByRules(document);
    this.terminal = new Terminal({
      theme: GLASS,
      fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", "Segoe UI Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
      fontSize,
      lineHeight: 1.15,
      scrollback: 5_000,
      cursorBlink: false,
      disableStdin: true,
      screenReaderMode: false,
      linkHandler: this.links(),
      allowProposedApi: true, // for the widths of Unicode 15 and its clusters, as runner and service count them
    });
    this.terminal.loadAddon(this.fit);
    this.terminal.loadAddon(new UnicodeGraphemesAddon());
    this.keyboard = new Keyboard(this.terminal, { input: (data) => hooks.input(data), take: hooks.take, leave: hooks.leave, find: hooks.find, copy: () => this.copy() });
    this.terminal.registerLinkProvider({ provideLinks: (y, told) => told(this.linksOf(y - 1)) });
    this.terminal.buffer.onBufferChange(({ type }) => hooks.modes?.(type === "alternate"));
    answerNothing(this.terminal);
    eraseSafely(this.terminal);
    this.terminal.open(element);
    element.addEventListener("paste", (event) => this.pasted(event), true);
    this.terminal.onData((data) => hooks.input(data));
    this.terminal.onResize(({ cols, rows }) => hooks.resized(cols, rows));
    this.watcher = new ResizeObserver(() => this.refit());
    this.watcher.observe(element);
  }

  /** A terminal_output of the wire. */
  write(output) {
    const { sessionId, data, seq, snapshot } = output;
    if (snapshot || sessionId !== this.sessionId) {
      this.inOrder(() => this.reset());
      this.lastSeq = 0;
      this.sessionId = sessionId;
    }
    if (seq <= this.lastSeq && !snapshot) return;
    this.lastSeq = seq;
    if (output.cols && output.rows) this.inOrder(() => this.sized(output.cols, output.rows, snapshot));
    if (!data) return;
    if (this.waiting + data.length > MAX_WAITING_CHARS) {
      this.skipped += data.length;
      this.hooks.skipped(this.skipped);
      return;
    }
    this.waiting += data.length;
    this.terminal.write(data, () => (this.waiting -= data.length));
  }

  /** Does it when everything that was written before is drawn. */
  inOrder(action) {
    this.terminal.write("", action);
  }

  /** The selection, into the clipboard. False where nothing is selected. */
  copy() {
    if (!this.terminal.hasSelection()) return false;
    copied(this.terminal.getSelection()).then((did) => (did ? this.terminal.clearSelection() : this.hooks.uncopied?.()));
    return true;
  }

  /** Several lines run one by one where the program does not ask for pastes as a whole: then a person is asked first. */
  pasted(event) {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    const asks = !this.terminal.modes.bracketedPasteMode && /[\r\n]./.test(text);
    if (!this.terminal.options.disableStdin && !asks) return;
    event.preventDefault();
    event.stopPropagation();
    if (asks && !this.terminal.options.disableStdin) this.hooks.many(text);
  }

  paste(text) {
    this.terminal.paste(text);
  }

  /** All that is there, as text: for reading, selecting, and for screen readers. */
  text() {
    const buffer = this.terminal.buffer.active;
    const lines = [];
    for (let i = 0; i < buffer.length; i++) {
      const line = buffer.getLine(i);
      if (line.isWrapped && lines.length) lines[lines.length - 1] += line.translateToString(true);
      else lines.push(line.translateToString(true));
    }
    return lines.join("\n").trimEnd();
  }

  reset() {
    this.terminal.reset();
    this.terminal.options.convertEol = false;
    this.keyboard.reset();
  }

  /** The terminal has this size from here in its output on. Whoever drives has chosen it. */
  sized(cols, rows, snapshot) {
    if (this.terminal.options.disableStdin) this.hold(cols, rows);
    else if (snapshot) this.terminal.resize(cols, rows);
  }

  /** What a key of the bar sends now. Programs choose between two forms of arrows (A up, B down, C right, D left), and of Escape. */
  bar(key) {
    if (key === "\x1b") return this.keyboard.flags() & 1 ? "\x1b[27u" : key;
    if (!/^[A-D]$/.test(key)) return key;
    return this.terminal.modes.applicationCursorKeysMode ? `\x1bO${key}` : `\x1b[${key}`;
  }

  /** Selects the newest place where the words are; step -1: an older one than that which is selected, 1: a newer one. {at, of}. */
  find(words, step = 0) {
    const { terminal } = this;
    const places = placesOf(terminal.buffer.active, words);
    if (places.length === 0) return terminal.clearSelection(), { at: 0, of: 0 };
    const here = terminal.getSelectionPosition()?.start;
    const chosen = here ? places.findIndex((one) => one.row === here.y && one.col === here.x) : -1;
    const at = step === 0 || chosen < 0 ? places.length - 1 : (chosen + step + places.length) % places.length;
    const { row, col, cells } = places[at];
    terminal.select(col, row, cells);
    terminal.scrollToLine(Math.max(0, row - Math.floor(terminal.rows / 2)));
    return { at: at + 1, of: places.length };
  }

  /** Addresses are opened by a click with Ctrl, as in other terminals: a mere click only focuses. */
  links() {
    return {
      activate: (event, url) => (event.ctrlKey || event.metaKey) && /^https?:/.test(url) && open(url, "_blank", "noopener,noreferrer"),
      hover: (_event, url) => this.hooks.points?.(url),
      leave: () => this.hooks.points?.(""),
    };
  }

  /** The addresses in the line of a row of the buffer, as xterm.js wants them: cells and rows from 1. */
  linksOf(row) {
    const { first, rows } = lineAt(this.terminal.buffer.active, row);
    const { activate, hover, leave } = this.links();
    return addressesIn(textOf(rows)).map(({ at, url }) => {
      const [begins, ends] = [cellAt(rows, at), cellAt(rows, at + url.length - 1)];
      const place = ({ row: down, col }) => ({ x: col + 1, y: first + down + 1 });
      return { text: url, range: { start: place(begins), end: place(ends) }, activate, hover, leave };
    });
  }

  seq() {
    return this.lastSeq;
  }

  /** Whether what is typed goes to the agent. */
  setDriving(driving) {
    this.terminal.options.disableStdin = !driving;
    this.terminal.options.cursorBlink = driving && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (driving) {
      this.held = undefined;
      this.refit();
      this.hooks.resized(this.terminal.cols, this.terminal.rows);
    } else {
      this.held ??= { cols: this.terminal.cols, rows: this.terminal.rows };
    }
  }

  /** A watcher shows the size the driver chose. */
  hold(cols, rows) {
    this.held = { cols, rows };
    this.refit();
  }

  /** Fills the glass; a size that is held is drawn in letters small enough for it. */
  refit() {
    const { held, fit, terminal } = this;
    terminal.options.fontSize = this.fontSize;
    if (!held) return fit.fit();
    const room = fit.proposeDimensions();
    if (room) terminal.options.fontSize = Math.max(SMALLEST, Math.floor(this.fontSize * Math.min(1, room.cols / held.cols, room.rows / held.rows)));
    terminal.resize(held.cols, held.rows);
  }

  focus() {
    this.terminal.focus();
  }

  dispose() {
    this.watcher.disconnect();
    this.terminal.dispose();
  }
}

/** The runner answers what programs ask their terminal: an answer of this one would be typed into them. */
function answerNothing(terminal) {
  const { parser } = terminal;
  const handled = () => true;
  for (const final of ["n", "c", "x", "t"]) for (const prefix of ["", "?", ">", "="]) parser.registerCsiHandler(prefix ? { prefix, final } : { final }, handled);
  for (const prefix of ["", "?"]) parser.registerCsiHandler({ ...(prefix && { prefix }), intermediates: "$", final: "p" }, handled);
  parser.registerDcsHandler({ intermediates: "$", final: "q" }, handled);
  for (const number of [4, 10, 11, 12]) parser.registerOscHandler(number, (data) => data.includes("?"));
}

/**
 * Lets xterm.js make <style> elements and style attributes without either.
 *
 * xterm.js 6 writes its theme into <style> elements and colours beyond the palette into style attributes; `style-src 'self'`
 * blocks both, but not the CSS object model. So a "style" element made from here on is an empty element whose text goes into
 * a constructed style sheet, and a span's setAttribute("style", …) goes to its `style` object. This is on the document itself:
 * xterm.js's option `documentOverride` reaches neither its row factory nor its viewport (both use the global document).
 */
export function styleByRules(page) {
  if (Object.hasOwn(page, "createElement")) return;
  const create = Document.prototype.createElement;
  page.createElement = (name, options) => {
    if (name === "style") return sheetElement(page);
    const element = create.call(page, name, options);
    if (name === "span") element.setAttribute = setAttribute;
    return element;
  };
}

function setAttribute(name, value) {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

function sheetElement(page) {
  const element = page.createElement("tw-sheet");
  const sheet = new CSSStyleSheet();
  element.hidden = true;
  Object.defineProperty(element, "textContent", { set: (text) => sheet.replaceSync(text) });
  element.remove = () => {
    page.adoptedStyleSheets = page.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(element);
  };
  page.adoptedStyleSheets = [...page.adoptedStyleSheets, sheet];
  return element;
}
