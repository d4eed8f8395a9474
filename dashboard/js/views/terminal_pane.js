// The agent's terminal: watched by everybody who may look, typed into by the one who holds its keyboard.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { bytes, plural } from "../format.js";
import { link } from "../store.js";
import { Screen } from "../terminal.js";
import { linkedParts } from "../terminal_text.js";
import { attachTerminal, resize, type, useKeyboard } from "../town.js";
import { Literal } from "./bits.js";
import { KeyboardStrip, Onlookers, keyboardState } from "./keyboard_strip.js";
import { Find } from "./terminal_find.js";

/** Keys a phone's keyboard does not have; Escape and arrows (A to D) follow the terminal's modes. */
const KEYS = [["esc", "\x1b"], ["tab", "\t"], ["⇧tab", "\x1b[Z"], ["^C", "\x03"], ["^D", "\x04"], ["^Z", "\x1a"], ["↑", "A"], ["↓", "B"], ["←", "D"], ["→", "C"], ["⏎", "\r"]];
/** And what programs scroll by that take the whole screen. */
const WHOLE_SCREEN = [["PgUp", "\x1b[5~"], ["PgDn", "\x1b[6~"]];
/** The names of keys whose label is a sign. */
const SPOKEN = { "⇧tab": "shift tab", "↑": "up", "↓": "down", "←": "left", "→": "right", "⏎": "Enter" };
/** What is typed within it behind something that was refused is left out: half a line must not be run. Milliseconds. */
const PAUSE = 700;

/** small: among others in a grid. */
export function TerminalPane({ agent, small = false }) {
  const place = useRef(null);
  const screen = useRef(null);
  const strip = useRef(null);
  const wire = useRef({});
  const cutOff = useRef({ until: 0, why: "" });
  const [trouble, setTrouble] = useState("");
  const [size, setSize] = useState("");
  const [many, setMany] = useState("");
  const [text, setText] = useState(null);
  const [finding, setFinding] = useState(false);
  const [whole, setWhole] = useState(false);
  const [address, setAddress] = useState("");
  const state = keyboardState(agent);
  const mine = state === "mine";
  wire.current = { sessionId: agent.sessionId, mine, state };

  const send = async (data) => {
    if (!wire.current.mine) return;
    const cut = cutOff.current;
    const isCut = () => performance.now() < cut.until;
    if (!isCut()) {
      const ack = await type(wire.current.sessionId, data);
      if (ack.ok !== false) return isCut() || setTrouble("");
      cut.why = ack.error.message;
    }
    cut.until = performance.now() + PAUSE;
    setTrouble(`${cut.why}; what is typed now is left out, until you pause`);
  };
  const take = () => wire.current.state === "free" && useKeyboard(wire.current.sessionId, "take").then(setTrouble);
  const give = () => {
    useKeyboard(wire.current.sessionId, "release").then(setTrouble);
    strip.current?.focus();
  };

  const drive = () => {
    screen.current?.setDriving(wire.current.mine);
    if (wire.current.mine && document.activeElement !== document.querySelector(".composer textarea")) screen.current?.focus();
  };

  useEffect(() => {
    const opened = new Screen(place.current, {
      input: send,
      resized: (cols, rows) => {
        setSize(`${cols} × ${rows}`);
        if (wire.current.mine) resize(wire.current.sessionId, cols, rows);
      },
      skipped: (chars) => setTrouble(`skipped ${bytes(chars)}: this browser could not keep up`),
      take,
      leave: give,
      find: () => (setText(null), setFinding(true)),
      many: setMany,
      uncopied: () => setTrouble("not copied: this browser does not let the page; its own menu does"),
      points: setAddress,
      modes: setWhole,
    }, small ? 11 : matchMedia("(max-width: 700px)").matches ? 12 : 13);
    screen.current = opened;
    drive();
    opened.refit();
    setSize(`${opened.terminal.cols} × ${opened.terminal.rows}`);
    const detach = attachTerminal(agent.agentId, opened);
    return () => {
      detach();
      opened.dispose();
      if (wire.current.mine) useKeyboard(wire.current.sessionId, "release");
    };
  }, [agent.agentId]);

  useLayoutEffect(() => drive(), [mine]); // not after the next frame: a key may come before it
  const press = (data) => (send(screen.current.bar(data)), screen.current.focus());
  const endFinding = () => (setFinding(false), screen.current.focus());
  return html`<section class=${`tty ${mine ? "driven" : ""}`} aria-label=${`Terminal of ${agent.agentName}`} data-keyboard=${state}>
    <div class="tty-strip" ref=${strip} tabindex="-1">
      <${KeyboardStrip} agent=${agent} state=${state} give=${give} />
      <span class="tty-end"><${Onlookers} agentId=${agent.agentId} /><span class="num tty-size">${size}</span>
        ${small ? null : html`<button type="button" class="drive" aria-expanded=${finding} title="Ctrl Shift F" data-testid="find" onClick=${() => (setText(null), setFinding(!finding))}>Search</button>`}<button type="button" class="drive" aria-pressed=${text !== null} data-testid="as-text" onClick=${() => (setFinding(false), setText(text === null ? screen.current.text() : null))}>Read as text</button></span>
      <span class="tty-link">${link.value.phase === "live" ? "" : link.value.phase.replace("-", " ")}</span>
      ${trouble ? html`<span class="trouble" role="alert">${trouble}</span>` : null}
    </div>
    ${many ? html`<div class="tty-ask" role="alertdialog" aria-label="Paste several lines" data-testid="paste-ask"><span>Paste ${plural(many.split(/\r\n|\r|\n/).length, "line")}? The program gets each as if Enter was pressed.</span>
      <button type="button" class="drive" data-testid="paste-yes" onClick=${() => (screen.current.paste(many), setMany(""), screen.current.focus())}>Paste</button><button type="button" class="drive" onClick=${() => (setMany(""), screen.current.focus())}>Don't</button></div>` : null}
    ${text === null ? null : html`<pre class="tty-text" tabindex="0" data-testid="text" aria-label="The terminal as text">${linkedParts(text).map((part) => (part.url ? html`<a href=${part.url} target="_blank" rel="noopener noreferrer">${part.text}</a>` : part.text))}</pre>`}
    <div class="glass" data-testid="terminal" hidden=${text !== null} onClick=${() => screen.current.focus()}><div class="glass-inner" ref=${place}></div>
      ${finding ? html`<${Find} screen=${screen.current} close=${endFinding} />` : null}
      ${address ? html`<p class="tty-address" data-testid="address"><b>Ctrl click opens</b> <${Literal} text=${address} /></p>` : null}</div>
    ${mine ? html`<div class="keys" role="group" aria-label="Keys">
      ${[...KEYS, ...(whole ? WHOLE_SCREEN : [])].map(([name, data]) => html`<button type="button" class="key" key=${name} aria-label=${SPOKEN[name]} onClick=${() => press(data)}>${name}</button>`)}
    </div>` : null}
  </section>`;
}
