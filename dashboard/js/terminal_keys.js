// Keys in the glass: what is the page's own (take, leave, copy, find, paste), and keys with modifiers for programs that asked for the
// kitty keyboard protocol (CSI > flags u): Shift+Enter is not Enter to them.

const CODES = { Enter: 13, Tab: 9, Backspace: 127, Escape: 27 };

export class Keyboard {
  /** acts: {input(data), take(), leave(), find(), copy() → whether there was something} */
  constructor(terminal, acts) {
    this.reset();
    const { parser } = terminal;
    parser.registerCsiHandler({ prefix: ">", final: "u" }, ([flags]) => this.change(() => this.stack.push(flags ?? 0)));
    parser.registerCsiHandler({ prefix: "<", final: "u" }, ([count]) => this.change(() => this.stack.splice(Math.max(0, this.stack.length - (count || 1)))));
    parser.registerCsiHandler({ prefix: "=", final: "u" }, ([flags, mode]) => this.change(() => this.set(flags ?? 0, mode || 1)));
    terminal.attachCustomKeyEventHandler((event) => {
      const own = ownAct(event, terminal.options.disableStdin);
      if (own !== undefined) return own !== "browser" && event.type === "keydown" ? done(event, acts[own]) : false;
      const sequence = terminal.options.disableStdin ? undefined : sequenceOf(event, this.flags());
      if (sequence === undefined) return !terminal.options.disableStdin;
      event.preventDefault();
      if (event.type === "keydown") acts.input(sequence);
      return false;
    });
  }

  reset() {
    this.stack = [0];
  }

  flags() {
    return this.stack.at(-1) ?? 0;
  }

  change(action) {
    action();
    if (this.stack.length > 17) this.stack.splice(1, 1);
    if (!this.stack.length) this.stack.push(0);
    return true;
  }

  set(flags, mode) {
    const now = this.flags();
    this.stack[this.stack.length - 1] = mode === 1 ? flags : mode === 2 ? now | flags : now & ~flags;
  }
}

/** What a key sends under these flags; undefined: what it always sends. */
export function sequenceOf({ key, shiftKey, altKey, ctrlKey, metaKey }, flags) {
  const code = CODES[key];
  if (!(flags & 1) || code === undefined) return undefined;
  const modifiers = 1 + (shiftKey ? 1 : 0) + (altKey ? 2 : 0) + (ctrlKey ? 4 : 0) + (metaKey ? 8 : 0);
  if (modifiers === 1) return key === "Escape" ? "\x1b[27u" : undefined;
  return `\x1b[${code};${modifiers}u`;
}

/** Does it. A copy without a selection is no copy: the key goes to the program. */
function done(event, act) {
  const did = act?.();
  if (did === false) return true;
  event.preventDefault();
  return false;
}

/** take, leave, find, copy; "browser": what the browser does with the key; undefined: a key of the terminal's. Pure. */
export function ownAct({ key, ctrlKey, shiftKey, altKey, metaKey }, looking) {
  const letter = key.toLowerCase();
  const ctrl = ctrlKey && !altKey && !metaKey;
  if (ctrl && letter === "v") return "browser"; // its paste event comes
  if (ctrl && letter === "c" && (shiftKey || !looking)) return "copy";
  if (ctrl && shiftKey && letter === "f") return "find";
  if (looking) return key === "Enter" && !ctrlKey && !altKey && !metaKey ? "take" : "browser";
  return ctrl && !shiftKey && letter === "m" ? "leave" : undefined;
}
