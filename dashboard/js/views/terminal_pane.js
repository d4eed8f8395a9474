// The agent's terminal: watched by everybody who may look, typed into by who may drive.

import { html, useEffect, useRef, useState } from "../html.js";
import { bytes } from "../format.js";
import { isFinal } from "../status.js";
import { canDrive, link } from "../store.js";
import { Screen } from "../terminal.js";
import { attachTerminal, resize, type } from "../town.js";

/** Keys a phone's keyboard does not have. */
const KEYS = [["esc", "\x1b"], ["tab", "\t"], ["^C", "\x03"], ["^D", "\x04"], ["↑", "\x1b[A"], ["↓", "\x1b[B"], ["←", "\x1b[D"], ["→", "\x1b[C"], ["⏎", "\r"]];

export function TerminalPane({ agent }) {
  const place = useRef(null);
  const screen = useRef(null);
  const wire = useRef({ driving: false });
  const [driving, setDriving] = useState(false);
  const [trouble, setTrouble] = useState("");
  const [size, setSize] = useState("");
  const possible = canDrive.value && !isFinal(agent.state);
  wire.current.sessionId = agent.sessionId;

  const send = async (data) => {
    if (!wire.current.driving) return;
    const ack = await type(wire.current.sessionId, data);
    setTrouble(ack.ok === false ? ack.error.message : "");
  };

  useEffect(() => {
    const opened = new Screen(place.current, {
      input: send,
      resized: (cols, rows) => {
        setSize(`${cols} × ${rows}`);
        if (wire.current.driving) resize(wire.current.sessionId, cols, rows);
      },
      skipped: (chars) => setTrouble(`skipped ${bytes(chars)}: this browser could not keep up`),
    }, matchMedia("(max-width: 700px)").matches ? 12 : 13);
    screen.current = opened;
    opened.refit();
    setSize(`${opened.terminal.cols} × ${opened.terminal.rows}`);
    const detach = attachTerminal(agent.agentId, opened);
    return () => {
      detach();
      opened.dispose();
    };
  }, [agent.agentId]);

  // At once and not after the next drawing: what is typed right after the click must arrive.
  const drive = (wanted) => {
    const takes = wanted && possible;
    if (wire.current.driving === takes) return;
    wire.current.driving = takes;
    screen.current.setDriving(takes);
    setDriving(takes);
    if (takes) screen.current.focus();
  };
  useEffect(() => drive(driving), [possible]);
  return html`<section class=${`tty ${driving ? "driven" : ""}`} aria-label=${`Terminal of ${agent.agentName}`}>
    <div class="tty-strip">
      <${Keyboard} driving=${driving} possible=${possible} drive=${drive} ended=${isFinal(agent.state)} />
      <span class="faint num tty-size">${size}</span>
      <span class="tty-link">${link.value.phase === "live" ? "" : link.value.phase.replace("-", " ")}</span>
      ${trouble ? html`<span class="trouble" role="alert">${trouble}</span>` : null}
    </div>
    <div class="glass" data-testid="terminal" onFocusIn=${() => drive(true)} onClick=${() => drive(true)}><div class="glass-inner" ref=${place}></div></div>
    ${possible ? html`<div class="keys" role="group" aria-label="Keys">
      ${KEYS.map(([name, data]) => html`<button type="button" class="key" onClick=${() => (drive(true), send(data))}>${name}</button>`)}
    </div>` : null}
  </section>`;
}

function Keyboard({ driving, possible, drive, ended }) {
  if (!possible) return html`<span class="badge-text">${ended ? "the process has ended" : "watching"}</span>`;
  return html`<button type="button" class="drive" data-testid="drive" aria-pressed=${driving} onClick=${() => drive(!driving)}>${driving ? "you have the keyboard" : "take the keyboard"}</button>`;
}
