// The agent's terminal: watched by everybody who may look, typed into by the one who holds its keyboard.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { bytes, plural } from "../format.js";
import { link } from "../store.js";
import { Screen } from "../terminal.js";
import { attachTerminal, resize, type, useKeyboard } from "../town.js";
import { KeyboardStrip, Onlookers, keyboardState } from "./keyboard_strip.js";

/** Keys a phone's keyboard does not have; arrows follow the terminal's mode. */
const KEYS = [["esc", "\x1b"], ["tab", "\t"], ["^C", "\x03"], ["^D", "\x04"], ["^Z", "\x1a"], ["↑", "A"], ["↓", "B"], ["←", "D"], ["→", "C"], ["⏎", "\r"]];
/** What is typed within it behind something that was refused is left out: half a line must not be run. Milliseconds. */
const PAUSE = 700;
const ARROWS = new Set(["↑", "↓", "←", "→"]);

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
      many: setMany,
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
  const press = (name, data) => (send(ARROWS.has(name) ? screen.current.arrow(data) : data), screen.current.focus());
  return html`<section class=${`tty ${mine ? "driven" : ""}`} aria-label=${`Terminal of ${agent.agentName}`} data-keyboard=${state}>
    <div class="tty-strip" ref=${strip} tabindex="-1">
      <${KeyboardStrip} agent=${agent} state=${state} give=${give} />
      <span class="tty-end"><${Onlookers} agentId=${agent.agentId} /><span class="num tty-size">${size}</span>
        <button type="button" class="drive" aria-pressed=${text !== null} data-testid="as-text" onClick=${() => setText(text === null ? screen.current.text() : null)}>Read as text</button></span>
      <span class="tty-link">${link.value.phase === "live" ? "" : link.value.phase.replace("-", " ")}</span>
      ${trouble ? html`<span class="trouble" role="alert">${trouble}</span>` : null}
    </div>
    ${many ? html`<div class="tty-ask" role="alertdialog" aria-label="Paste several lines" data-testid="paste-ask"><span>Paste ${plural(many.split(/\r\n|\r|\n/).length, "line")}? The program gets each as if Enter was pressed.</span>
      <button type="button" class="drive" data-testid="paste-yes" onClick=${() => (screen.current.paste(many), setMany(""), screen.current.focus())}>Paste</button><button type="button" class="drive" onClick=${() => (setMany(""), screen.current.focus())}>Don't</button></div>` : null}
    ${text === null ? null : html`<pre class="tty-text" tabindex="0" data-testid="text" aria-label="The terminal as text">${text}</pre>`}
    <div class="glass" data-testid="terminal" hidden=${text !== null} onClick=${() => screen.current.focus()}><div class="glass-inner" ref=${place}></div></div>
    ${mine ? html`<div class="keys" role="group" aria-label="Keys">
      ${KEYS.map(([name, data]) => html`<button type="button" class="key" onClick=${() => press(name, data)}>${name}</button>`)}
    </div>` : null}
  </section>`;
}
