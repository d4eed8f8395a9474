// Prompts for an agent that takes them through its structured channel. Its words follow the agent's state; no text goes into a dialog.

import * as api from "../api.js";
import { html, useEffect, useState } from "../html.js";
import { modeOf } from "../prompting.js";
import { isFinal } from "../status.js";
import * as store from "../store.js";
import { Age, Literal } from "./bits.js";

/** What is written and not given yet is kept in this tab: over a reload, and while one looks elsewhere. */
const draftName = (sessionId) => `townwatch.draft ${sessionId}`;
const draftOf = (sessionId) => sessionStorage.getItem(draftName(sessionId)) ?? "";

function keepDraft(sessionId, text) {
  try {
    if (text) sessionStorage.setItem(draftName(sessionId), text);
    else sessionStorage.removeItem(draftName(sessionId));
  } catch {
    // No room: it is in the field, as it was before drafts were kept.
  }
}

export function Composer({ agent }) {
  const story = store.sessions.value[agent.sessionId]?.story;
  const [text, setDraft] = useState(() => draftOf(agent.sessionId));
  const setText = (value) => (setDraft(value), keepDraft(agent.sessionId, value));
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const [queue, setQueue] = useState([]);
  const takes = story?.agent !== undefined && store.canDrive.value && !isFinal(agent.state);
  useEffect(() => {
    if (takes) api.prompts(agent.sessionId).then(setQueue, () => {});
  }, [agent.sessionId, takes, story?.promptsSeq]);
  if (!takes) return null;
  const mode = modeOf(agent, story.agent);
  const attempt = async (work) => {
    setBusy(true);
    setFailure("");
    const done = await work().then(() => true, (error) => (setFailure(error.message), false));
    setBusy(false);
    api.prompts(agent.sessionId).then(setQueue, () => {});
    return done;
  };
  const give = async (how) => (await attempt(() => api.givePrompt(agent.sessionId, text.trim(), how))) && setText("");
  const withdraw = (one) => attempt(() => api.withdrawPrompt(agent.sessionId, one.promptId));
  const edit = async (one) => (await withdraw(one)) && setText(text.trim() ? `${one.text}\n\n${text}` : one.text);
  const off = busy || mode.off !== undefined || store.stale.value || text.trim() === "";
  const key = (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || off) return;
    event.preventDefault();
    give(mode.first);
  };
  return html`<section class="composer" aria-label="Tell the agent" data-testid="composer" data-mode=${mode.first}>
    ${queue.length ? html`<ol class="queue" data-testid="queue">${queue.map((one) => html`<li key=${one.promptId}><span class="faint">queued <${Age} at=${one.queuedAt} suffix=" ago" />${one.by ? html` by <bdi>${one.by}</bdi>` : null}</span> <span class="queue-text"><${Literal} text=${one.text} /></span>
      <button type="button" class="link-button" disabled=${busy} onClick=${() => edit(one)}>Edit</button><button type="button" class="link-button" disabled=${busy} onClick=${() => withdraw(one)}>Withdraw</button></li>`)}</ol>` : null}
    <div class="composer-row">
      <label class="field"><span class="sr-only">What the agent is told</span><textarea class="input" rows="2" maxlength="65536" placeholder=${mode.words} value=${text} disabled=${mode.off !== undefined} onInput=${(event) => setText(event.currentTarget.value)} onKeyDown=${key}></textarea></label>
      <div class="composer-buttons">
        <button type="button" class="button primary" data-testid="give" disabled=${off} onClick=${() => give(mode.first)}>${mode.first === "send" ? "Send" : "Queue"}</button>
        ${mode.interrupts ? html`<button type="button" class="button" data-testid="interrupt" disabled=${off} onClick=${() => give("interrupt")}>Interrupt and say</button>` : null}
      </div></div>
    ${mode.off ? html`<p class="faint">${mode.off}</p>` : null}
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
  </section>`;
}
