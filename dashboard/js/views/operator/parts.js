// What the screens of those who run it share: asking, acting, saying what went wrong, and what must not happen by chance.

import { html, useEffect, useRef, useState } from "../../html.js";
import { Age, useCopy } from "../bits.js";

/** An error of the service in plain words. */
export function plainly(error) {
  if (error.status === 0) return "The service does not answer.";
  return error.status === 403 ? `You may not do this: ${error.message}.` : error.message;
}

/** The answer to a question that is asked again when `question` changes: {value, error, again}. `everyMs`: and from time to time. */
export function useAnswer(ask, question = "", everyMs = 0) {
  const [state, setState] = useState({ value: undefined, error: null });
  const turn = useRef(0);
  const again = async () => {
    const mine = ++turn.current;
    try {
      const value = await ask();
      if (mine === turn.current) setState({ value, error: null });
    } catch (error) {
      if (mine === turn.current) setState((known) => ({ ...known, error }));
    }
  };
  useEffect(() => {
    setState({ value: undefined, error: null });
    again();
    const timer = everyMs ? setInterval(() => !document.hidden && again(), everyMs) : 0;
    return () => (clearInterval(timer), void (turn.current += 1));
  }, [question]);
  return { ...state, again };
}

/** Acts one after the other: {act, busy, said}. `after` runs when one was done. */
export function useActs(after = () => {}) {
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState(null);
  const act = async (work, text = "") => {
    setBusy(true);
    setSaid(null);
    try {
      const answer = await work();
      if (text) setSaid({ text });
      await after(answer);
      return answer;
    } catch (error) {
      setSaid({ text: plainly(error), failed: true });
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  return { act, busy, said };
}

/** What became of an act. */
export function Said({ said }) {
  if (!said) return null;
  return html`<p class=${said.failed ? "failure" : "soft"} role=${said.failed ? "alert" : "status"} data-testid="said">${said.text}</p>`;
}

/** The value when it is there; until then, and where it cannot be had, what there is to say. */
export function Answered({ answer, children }) {
  if (answer.value !== undefined) return html`${answer.error ? html`<p class="failure" role="alert">${plainly(answer.error)} What is shown is older.</p>` : null}${children(answer.value)}`;
  if (answer.error) return html`<p class="failure operator-note" role="alert" data-testid="refused">${plainly(answer.error)} <button type="button" class="link-button" onClick=${answer.again}>Try again</button></p>`;
  return html`<p class="faint operator-note" role="status">Looking …</p>`;
}

/** A button that asks again before it acts: the second press does it. It forgets the first when the focus goes away. */
export function Sure({ word, sure = `Really ${word.toLowerCase()}?`, act, disabled = false, slim = true, of = "", ...rest }) {
  const [asked, setAsked] = useState(false);
  const press = () => (asked ? (setAsked(false), act()) : setAsked(true));
  return html`<button type="button" class=${`button ${slim ? "slim" : ""} ${asked ? "danger" : ""}`} disabled=${disabled} onClick=${press} onBlur=${() => setAsked(false)} onKeyDown=${(event) => event.key === "Escape" && setAsked(false)} ...${rest}>${asked ? sure : word}${of ? html`<span class="sr-only"> ${of}</span>` : null}</button>`;
}

/** What cannot be taken back: its name has to be typed. */
export function Typed({ word, expected, children, act, busy }) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  if (!open) return html`<button type="button" class="button slim" onClick=${() => setOpen(true)}>${word} …</button>`;
  const submit = (event) => {
    event.preventDefault();
    if (text === expected) act();
  };
  return html`<form class="operator-typed" onSubmit=${submit} onKeyDown=${(event) => event.key === "Escape" && setOpen(false)}>
    <p>${children}</p>
    <label class="field"><span>Type <code>${expected}</code> to confirm</span><input class="input" autocomplete="off" spellcheck="false" autofocus value=${text} onInput=${(event) => setText(event.currentTarget.value)} /></label>
    <p class="operator-acts"><button type="submit" class="button danger" disabled=${text !== expected || busy}>${word}</button><button type="button" class="button" onClick=${() => (setOpen(false), setText(""))}>Cancel</button></p>
  </form>`;
}

/** A secret, which the service shows once. */
export function Secret({ title, text, children, close }) {
  const [said, copy] = useCopy();
  return html`<div class="panel operator-secret" role="group" aria-label=${title} data-testid="secret">
    <p><strong>${title}</strong> It is shown once, and kept nowhere.</p>
    <div class="operator-copy"><code tabindex="0" data-testid="secret-text">${text}</code><button type="button" class="button slim" onClick=${() => copy(text)}>${said || "Copy"}</button></div>
    ${children}
    <p><button type="button" class="button" onClick=${close}>I have it</button></p>
  </div>`;
}

/** A moment of the past: its age. */
export const Ago = ({ at, never = "never" }) => (at ? html`<${Age} at=${at} suffix=" ago" />` : html`<span class="faint">${never}</span>`);

/** A table whose rows are blocks on a phone. columns: [[words, class]]. */
export function Table({ label, columns, children, ...rest }) {
  return html`<table class="plain" aria-label=${label} ...${rest}><thead><tr>${columns.map((words) => html`<th scope="col">${words.startsWith("(") ? html`<span class="sr-only">${words.slice(1, -1)}</span>` : words}</th>`)}</tr></thead><tbody>${children}</tbody></table>`;
}

export function Choice({ label, value, choices, pick, hidden = true, ...rest }) {
  return html`<label class="operator-pick">${hidden ? html`<span class="sr-only">${label}</span>` : html`<span>${label}</span>`}<select class="input" value=${value} onChange=${(event) => pick(event.currentTarget.value)} ...${rest}>${choices.map(([id, words]) => html`<option value=${id}>${words}</option>`)}</select></label>`;
}

/** Whether this person manages that village. */
export const manages = (places, villageId) => places.managed.some((one) => one.villageId === villageId);
