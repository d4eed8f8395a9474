// Who holds the keyboard of a terminal, in words, and what one can do about it. Looking is free; taking is an act.

import { html, useState } from "../html.js";
import { isFinal } from "../status.js";
import * as store from "../store.js";
import { useKeyboard } from "../town.js";
import { Age } from "./bits.js";

/** free | mine | elsewhere | other | watch | ended */
export function keyboardState(agent) {
  if (isFinal(agent.state)) return "ended";
  const holder = store.keyboards.value[agent.sessionId]?.holder;
  if (!store.canDrive.value) return "watch";
  if (store.driving.value === agent.sessionId) return "mine";
  if (!holder) return "free";
  return holder.userId === store.user.value?.userId ? "elsewhere" : "other";
}

export function KeyboardStrip({ agent, state, give }) {
  const [failure, setFailure] = useState("");
  const keyboard = store.keyboards.value[agent.sessionId] ?? { holder: null, asking: [] };
  const act = async (action, more) => setFailure(await useKeyboard(agent.sessionId, action, more));
  const take = (text, more) => html`<button type="button" class="drive" data-testid="drive" disabled=${store.stale.value} onClick=${() => act("take", more)}>${text}</button>`;
  const parts = {
    ended: () => html`<span class="badge-text">the process has ended</span>`,
    watch: () => html`<span class="badge-text" data-testid="holder">${keyboard.holder ? html`<bdi>${keyboard.holder.name}</bdi> holds the keyboard` : "not driven"}</span>`,
    free: () => take("Take the keyboard"),
    elsewhere: () => html`<span data-testid="holder">You hold the keyboard in another window.</span>${take("Take it here")}`,
    mine: () => html`<button type="button" class="drive" data-testid="drive" aria-pressed="true" onClick=${give}>Give back</button><span data-testid="holder">You hold the keyboard. <span class="wide-only">Ctrl M gives it back.</span></span><${Asking} keyboard=${keyboard} act=${act} /><${HandOver} agent=${agent} act=${act} />`,
    other: () => html`<${Held} keyboard=${keyboard} act=${act} />`,
  };
  return html`${parts[state]()}${failure ? html`<span class="trouble" role="alert">${failure}</span>` : null}`;
}

function Held({ keyboard, act }) {
  const [sure, setSure] = useState(false);
  const asked = keyboard.asking.some((one) => one.userId === store.user.value?.userId);
  const left = keyboard.freeAt ? Math.max(0, Math.ceil((keyboard.freeAt - store.now.value) / 1000)) : undefined;
  return html`<span data-testid="holder"><bdi>${keyboard.holder.name}</bdi> ${left === undefined ? html`holds the keyboard, <${Age} at=${keyboard.since} />` : `is gone, free in ${left} s`}</span>
    <button type="button" class="drive" data-testid="ask-keyboard" disabled=${asked || store.stale.value} onClick=${() => act("ask")}>${asked ? "Asked" : "Ask for it"}</button>
    ${sure
      ? html`<button type="button" class="drive danger" data-testid="take-over" onClick=${() => act("take", { over: true })}>Yes, take over</button><button type="button" class="drive" onClick=${() => setSure(false)}>Back</button>`
      : html`<button type="button" class="drive" data-testid="over" disabled=${store.stale.value} onClick=${() => setSure(true)}>Take over …</button>`}`;
}

/** Who asks for it, at its holder. */
function Asking({ keyboard, act }) {
  const [later, setLater] = useState([]);
  return keyboard.asking.filter((one) => !later.includes(one.userId)).map((one) => html`<span class="asking" role="status" key=${one.userId}><bdi>${one.name}</bdi> asks for it
    <button type="button" class="drive" data-testid="hand-over" onClick=${() => act("offer", { to: one.userId })}>Give</button><button type="button" class="drive" onClick=${() => setLater([...later, one.userId])}>Not now</button></span>`);
}

/** To others who look on and may drive. */
function HandOver({ agent, act }) {
  const people = (store.presence.value[`agent:${agent.agentId}`]?.people ?? []).filter((one) => one.userId !== store.user.value?.userId && one.role !== "viewer" && one.role !== undefined);
  if (people.length === 0) return null;
  return html`<label class="hand-over"><span class="sr-only">Hand the keyboard over to</span><select class="drive" value="" onChange=${(event) => event.currentTarget.value && act("offer", { to: event.currentTarget.value })}><option value="">Hand over …</option>${people.map((one) => html`<option value=${one.userId}>${one.name}</option>`)}</select></label>`;
}

/** The faces of who looks on. */
export function Onlookers({ agentId }) {
  const there = store.presence.value[`agent:${agentId}`];
  const others = (there?.people ?? []).filter((one) => one.userId !== store.user.value?.userId);
  const count = others.length + (there?.visitors ?? 0);
  if (count === 0) return null;
  return html`<span class="onlookers" data-testid="onlookers" title=${others.map((one) => one.name).join(", ")}>${count} ${count === 1 ? "other looks" : "others look"} on</span>`;
}
