// xterm.js on an agent's terminal: repeats dropped, floods bounded and said, and no style element or attribute, so that the
// page's Content-Security-Policy needs no 'unsafe-inline'.

import { FitAddon } from "../vendor/addon-fit/addon-fit.js";
import { Terminal } from "../vendor/xterm/xterm.js";

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
  /** hooks: {input(data), resized(cols, rows), skipped(chars)} */
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
      allowProposedApi: false,
    });
    this.terminal.loadAddon(this.fit);
    this.terminal.open(element);
    this.terminal.onData((data) => hooks.input(data));
    this.terminal.onResize(({ cols, rows }) => hooks.resized(cols, rows));
    this.watcher = new ResizeObserver(() => this.refit());
    this.watcher.observe(element);
  }

  /** A terminal_output of the wire. */
  write(output) {
    const { sessionId, data, seq, snapshot } = output;
    if (snapshot || sessionId !== this.sessionId) {
      this.terminal.reset();
      this.lastSeq = 0;
      this.sessionId = sessionId;
    }
    if (snapshot && output.cols && output.rows) this.hold(output.cols, output.rows);
    if (seq <= this.lastSeq && !snapshot) return;
    this.lastSeq = seq;
    if (this.waiting + data.length > MAX_WAITING_CHARS) {
      this.skipped += data.length;
      this.hooks.skipped(this.skipped);
      return;
    }
    this.waiting += data.length;
    this.terminal.write(data, () => (this.waiting -= data.length));
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
